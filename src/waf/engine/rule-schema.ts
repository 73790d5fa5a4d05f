/**
 * The JSON form of SecLang rules: what `meridian rules import` writes, people edit and the engine runs.
 * One source for types, validation and `rules/seclang.schema.json`. Text holds byte strings: each
 * character is one byte, U+0000 to U+00FF.
 */
import * as v from 'valibot'

const operator = v.pipe(
  v.strictObject({
    name: v.pipe(v.string(), v.description('Operator without the @, such as rx, pm, detectSQLi.')),
    argument: v.optional(
      v.pipe(
        v.string(),
        v.description(
          'What the operator compares with; %{...} macros are expanded where it takes them.',
        ),
      ),
    ),
    phrases: v.optional(
      v.pipe(v.array(v.string()), v.description('For pm: the phrases, any case.')),
    ),
    negated: v.optional(v.pipe(v.boolean(), v.description('True when the rule wrote !@.'))),
  }),
  v.description('The comparison.'),
)

const setvar = v.pipe(
  v.tuple([
    v.picklist(['set', 'add', 'subtract', 'delete']),
    v.pipe(v.string(), v.description('Collection and name, such as tx.score; may hold a macro.')),
    v.string(),
  ]),
  v.description(
    'What to do, with which variable, and the value or amount; for each value that matches.',
  ),
)

const control = v.pipe(
  v.tuple([v.string(), v.string()]),
  v.description('A run-time control (ctl) and its value, such as ["ruleRemoveById", "920540"].'),
)

const linkEntries = {
  targets: v.pipe(
    v.array(v.string()),
    v.description(
      'Variables in SecLang form: ARGS, &ARGS, !ARGS:name, TX:/regex/; empty for SecAction.',
    ),
  ),
  transforms: v.optional(
    v.pipe(v.array(v.string()), v.description('Applied in this order to each value.')),
  ),
  operator,
  multiMatch: v.optional(
    v.pipe(v.boolean(), v.description('Compare after each transformation that changed the value.')),
  ),
  capture: v.optional(
    v.pipe(v.boolean(), v.description('Keep the match and its groups in TX:0 to TX:9.')),
  ),
  setvar: v.optional(v.array(setvar)),
  ctl: v.optional(v.array(control)),
}

const link = v.pipe(
  v.strictObject(linkEntries),
  v.description('A further condition: all links must match, in order.'),
)

const rule = v.strictObject({
  id: v.pipe(v.number(), v.integer(), v.minValue(1), v.description('Unique over all rulesets.')),
  phase: v.pipe(
    v.picklist([1, 2, 3, 4, 5]),
    v.description('1 request headers, 2 request body, 3 response headers, 4 response body, 5 end.'),
  ),
  ...linkEntries,
  chain: v.optional(v.array(link)),
  action: v.pipe(
    v.picklist([
      'block',
      'deny',
      'drop',
      'redirect',
      'allow',
      'allow:phase',
      'allow:request',
      'pass',
    ]),
    v.description('block does what the defaults of its phase say.'),
  ),
  status: v.optional(v.pipe(v.number(), v.description('HTTP status of deny and redirect.'))),
  location: v.optional(v.pipe(v.string(), v.description('Where redirect leads.'))),
  log: v.optional(
    v.pipe(v.boolean(), v.description('False for plumbing that nobody wants to see.')),
  ),
  audit: v.optional(v.boolean()),
  msg: v.optional(v.string()),
  logdata: v.optional(v.string()),
  severity: v.optional(v.string()),
  tags: v.optional(v.array(v.string())),
  version: v.optional(v.string()),
  revision: v.optional(v.string()),
  maturity: v.optional(v.string()),
  accuracy: v.optional(v.string()),
  skip: v.optional(v.pipe(v.number(), v.description('Rules to jump over when this one matches.'))),
  skipAfter: v.optional(
    v.pipe(v.string(), v.description('Marker to continue after, in this phase.')),
  ),
  enabled: v.optional(v.boolean()),
  mode: v.optional(
    v.pipe(v.picklist(['enforce', 'simulate']), v.description('simulate never blocks.')),
  ),
})

const marker = v.strictObject({
  marker: v.pipe(v.string(), v.description('A place that skipAfter names.')),
})

export const SeclangRulesetSchema = v.strictObject({
  $schema: v.optional(v.string()),
  ruleset: v.pipe(v.string(), v.description('Name of the ruleset, such as owasp-crs.')),
  version: v.optional(v.string()),
  defaults: v.optional(
    v.pipe(
      v.record(
        v.string(),
        v.strictObject({
          action: v.picklist(['deny', 'drop', 'redirect', 'allow', 'pass']),
          status: v.optional(v.number()),
          log: v.optional(v.boolean()),
          audit: v.optional(v.boolean()),
        }),
      ),
      v.description('By phase ("1" to "5"): what block means there.'),
    ),
  ),
  lists: v.optional(
    v.pipe(
      v.record(v.string(), v.array(v.string())),
      v.description('Phrase lists by file name, for pmFromFile and ipMatchFromFile.'),
    ),
  ),
  rules: v.array(v.union([marker, rule])),
})

export type SeclangRuleset = v.InferOutput<typeof SeclangRulesetSchema>
export type SeclangRule = v.InferOutput<typeof rule>
export type SeclangMarker = v.InferOutput<typeof marker>
export type SeclangLink = v.InferOutput<typeof link>
export type SeclangOperator = v.InferOutput<typeof operator>
export type SeclangSetvar = v.InferOutput<typeof setvar>
export type SeclangDefaults = NonNullable<SeclangRuleset['defaults']>[string]
export type SeclangPhase = SeclangRule['phase']
