/** The `residency` section: which clients' requests must stay in which regions. */
import * as v from 'valibot'
import { countryCode, identifier } from '../values.ts'

const values = v.pipe(v.array(v.string()), v.minLength(1, 'at least one value is expected'))

const ResidencyRule = v.strictObject({
  id: v.pipe(
    identifier,
    v.description('Name of the rule, in records and in `routes[].residency`.'),
  ),
  from: v.pipe(
    v.optional(
      v.strictObject({
        europeanUnion: v.pipe(
          v.optional(v.literal(true)),
          v.description('Clients in the European Union, its outermost regions included.'),
        ),
        countries: v.pipe(
          v.optional(v.array(countryCode), []),
          v.description('Clients in these countries.'),
        ),
        continents: v.pipe(
          v.optional(v.array(v.picklist(['AF', 'AN', 'AS', 'EU', 'NA', 'OC', 'SA'])), []),
          v.description('Clients on these continents.'),
        ),
        claim: v.pipe(
          v.optional(v.strictObject({ name: v.string(), values })),
          v.description('Clients whose verified token has this claim with one of these values.'),
        ),
        header: v.pipe(
          v.optional(
            v.strictObject({
              name: v.pipe(
                v.string(),
                v.transform((name) => name.toLowerCase()),
              ),
              values,
            }),
          ),
          v.description(
            'Requests in which a trusted proxy set this header to one of these values.',
          ),
        ),
      }),
      {},
    ),
    v.description(
      'Whom the rule binds: anybody who meets one of the conditions. Left out or empty: everybody.',
    ),
  ),
  allowTags: v.pipe(
    v.array(v.string()),
    v.minLength(1, 'a residency rule allows at least one tag'),
    v.description('Only regions with one of these tags may see the request.'),
  ),
  onUnknown: v.pipe(
    v.optional(v.picklist(['deny', 'restrict', 'allow']), 'deny'),
    v.description(
      'A client that nothing is known about: refuse it, treat it as bound by the rule, or as not bound.',
    ),
  ),
  announce: v.pipe(
    v.optional(v.boolean(), false),
    v.description(
      'Tell origins by `x-meridian-residency` when the rule binds a request: a gateway behind this one that has this one among its `trustedProxies`, and a rule of the same id, then binds it too.',
    ),
  ),
  scope: v.pipe(
    v.optional(v.picklist(['all', 'named']), 'all'),
    v.description('All routes, or only those that name the rule.'),
  ),
})

export const ResidencySection = v.pipe(
  v.array(ResidencyRule),
  v.description(
    'Rules that keep requests in regions with certain tags. They come before every other choice, retries and fallbacks included; several narrow each other.',
  ),
)
export type ResidencyConfig = v.InferOutput<typeof ResidencySection>
export type ResidencyRuleConfig = ResidencyConfig[number]
