/** The web application firewall: rulesets, modes, what of a body is inspected, exceptions (`waf`). */
import * as v from 'valibot'
import { filePath } from '../paths.ts'
import {
  duration,
  expression,
  identifier,
  nonNegativeInteger,
  percent,
  positiveInteger,
  secret,
  size,
} from '../values.ts'

/** Rulesets that come with the gateway. */
export const BUILT_IN_RULESETS = ['managed', 'basic'] as const

const mode = v.picklist(['enforce', 'simulate', 'off'])
const failMode = v.picklist(['open', 'closed'])
const oversize = v.picklist(['inspect-prefix', 'block', 'skip'])
const invalid = v.picklist(['flag', 'block'])
const leaks = v.picklist(['off', 'log', 'block'])

const ruleId = v.union(
  [v.pipe(v.number(), v.integer(), v.minValue(1)), v.pipe(v.string(), v.minLength(1))],
  'a rule id, or a range such as "942000-942999", is expected',
)
const ruleIds = v.pipe(v.array(ruleId), v.minLength(1, 'at least one rule id is expected'))
const tags = v.pipe(
  v.array(v.pipe(v.string(), v.minLength(1))),
  v.minLength(1, 'at least one tag is expected'),
)

const Override = v.strictObject({
  ids: v.pipe(v.optional(ruleIds), v.description('Rules by id; ids of the CRS may be ranges.')),
  tags: v.pipe(v.optional(tags), v.description('Rules that carry one of these tags.')),
  enabled: v.pipe(v.optional(v.boolean()), v.description('False leaves the rules out.')),
  mode: v.pipe(
    v.optional(v.picklist(['enforce', 'simulate'])),
    v.description('simulate: the rules log what they would have done.'),
  ),
  action: v.pipe(
    v.optional(v.picklist(['block', 'challenge', 'log'])),
    v.description('Another action for native rules.'),
  ),
})

const rulesetSettings = {
  mode: v.pipe(
    v.optional(v.picklist(['enforce', 'simulate'])),
    v.description('simulate: every rule of it logs only.'),
  ),
  overrides: v.pipe(
    v.optional(v.array(Override), []),
    v.description('Changes to single rules, in order; an id that does not exist is an error.'),
  ),
}

const Ruleset = v.union(
  [
    v.picklist(BUILT_IN_RULESETS),
    v.strictObject({
      name: v.pipe(
        v.picklist(BUILT_IN_RULESETS),
        v.description('A ruleset that comes with the gateway.'),
      ),
      ...rulesetSettings,
    }),
    v.strictObject({
      file: v.pipe(
        filePath,
        v.description(
          'A ruleset file: native rules (rules/ruleset.schema.json) or an imported CRS (rules/seclang.schema.json).',
        ),
      ),
      ...rulesetSettings,
    }),
  ],
  'a ruleset is expected: "managed", "basic", {"name": ...} or {"file": ...}',
)

const Exception = v.strictObject({
  description: v.pipe(v.optional(v.string()), v.description('Why, for the next reader.')),
  when: v.pipe(
    v.optional(expression),
    v.description('Requests that it holds for; without it, all.'),
  ),
  rulesets: v.pipe(
    v.optional(v.array(identifier)),
    v.description('Rulesets by name; all of their rules unless ids or tags are given.'),
  ),
  ids: v.pipe(
    v.optional(ruleIds),
    v.description(
      'Rules by id; an id that does not exist is an error. "data-leak" is what waf.responses.leaks finds.',
    ),
  ),
  tags: v.pipe(v.optional(tags), v.description('Rules that carry one of these tags.')),
  target: v.pipe(
    v.optional(
      v.pipe(
        v.string(),
        v.regex(
          /^(?:[A-Z_]+(:.+)?|leak:[a-z-]+)$/,
          'a target such as "ARGS:password", or "leak:card-number" of "data-leak", is expected',
        ),
      ),
    ),
    v.description(
      'Only this target of CRS rules is left out, such as "ARGS:password"; of "data-leak" a class, such as "leak:card-number".',
    ),
  ),
})

const bodies = {
  inspect: v.pipe(
    v.optional(size, '128KiB'),
    v.description('How much of a request body the rules see; it is held back until they agree.'),
  ),
  oversize: v.pipe(
    v.optional(oversize, 'inspect-prefix'),
    v.description('A longer body: inspect its beginning, block it with 413, or do not inspect it.'),
  ),
}

const Bodies = v.strictObject({
  ...bodies,
  arguments: v.pipe(
    v.optional(positiveInteger, 1000),
    v.description('Most arguments that are taken apart, of query and body each.'),
  ),
  depth: v.pipe(v.optional(positiveInteger, 64), v.description('Deepest nesting of JSON and XML.')),
  parts: v.pipe(
    v.optional(positiveInteger, 1000),
    v.description('Most parts of a multipart body.'),
  ),
  invalid: v.pipe(
    v.optional(invalid, 'flag'),
    v.description(
      'A body that is not what its Content-Type says, that parsers read differently, or whose content coding cannot be taken off: leave it to the rules, or block it with 400.',
    ),
  ),
  ratio: v.pipe(
    v.optional(positiveInteger, 100),
    v.description(
      'Bytes that one byte of a compressed body may become on average; a body above it is invalid. The origin gets the body as it came.',
    ),
  ),
})

const Responses = v.strictObject({
  headers: v.pipe(
    v.optional(v.boolean(), true),
    v.description('Whether response rules see status and headers.'),
  ),
  body: v.pipe(
    v.optional(v.boolean(), false),
    v.description(
      'Whether they see bodies of text types. Event streams, upgrades, ranges and gRPC never are held.',
    ),
  ),
  leaks: v.pipe(
    v.optional(leaks, 'block'),
    v.description(
      'Where bodies are inspected: error messages of databases and runtimes, source code, private keys, credentials, card numbers.',
    ),
  ),
  limit: v.pipe(
    v.optional(size, '512KiB'),
    v.description('How much of a response body is inspected; what follows passes.'),
  ),
  window: v.pipe(
    v.optional(size, '16KiB'),
    v.description('How much of a response body is held back at most.'),
  ),
})

const Challenge = v.strictObject({
  secret: v.pipe(
    v.optional(v.union([secret, v.pipe(v.array(secret), v.minLength(1), v.maxLength(2))])),
    v.description(
      'Signs challenges and clearances, at least 32 bytes; of two the first signs and both are accepted. Left out: drawn at random when the gateway starts, which holds for one machine; a Worker needs one.',
    ),
  ),
  difficulty: v.pipe(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(8), v.maxValue(22)), 16),
    v.description(
      'Zero bits that the hash of an answer begins with, 8 to 22. Each more doubles the work; 16 are about 65,000 hashes.',
    ),
  ),
  ttl: v.pipe(
    v.optional(
      v.pipe(
        duration,
        v.check((ms) => ms >= 60_000 && ms <= 86_400_000, 'a clearance holds between 1m and 1d'),
      ),
      '30m',
    ),
    v.description('How long a solved challenge is remembered, 1m to 1d.'),
  ),
})

const level = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(4))

const Crs = v.strictObject({
  paranoiaLevel: v.pipe(
    v.optional(level, 1),
    v.description(
      '1 to 4: rules above it do not count. More finds more, and more that is harmless.',
    ),
  ),
  detectionParanoiaLevel: v.pipe(
    v.optional(level),
    v.description('Rules up to this level log without counting; paranoiaLevel when not given.'),
  ),
  inboundThreshold: v.pipe(
    v.optional(positiveInteger, 5),
    v.description('Anomaly score from which a request is blocked; a critical match counts 5.'),
  ),
  outboundThreshold: v.pipe(
    v.optional(positiveInteger, 4),
    v.description('Anomaly score from which a response is blocked.'),
  ),
  earlyBlocking: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Block on the headers already, before the body is read.'),
  ),
  sampling: v.pipe(
    v.optional(percent, 100),
    v.description('Share of requests that the CRS inspects, percent.'),
  ),
  settings: v.pipe(
    v.optional(
      v.record(
        v.pipe(v.string(), v.regex(/^[a-z0-9_]+$/, 'a lower-case TX variable name is expected')),
        v.union([v.string(), v.number()]),
      ),
      {},
    ),
    v.description('Further settings of crs-setup.conf, by TX variable, such as "allowed_methods".'),
  ),
})

export const WafSection = v.strictObject({
  mode: v.pipe(
    v.optional(mode, 'enforce'),
    v.description('enforce acts; simulate logs what it would have done; off does nothing.'),
  ),
  rulesets: v.pipe(
    v.optional(v.array(Ruleset), ['managed']),
    v.description(
      'Rulesets in order. Native rules run in this order; the first that ends the request wins.',
    ),
  ),
  status: v.pipe(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)), 403),
    v.description('Status of a blocked request, unless the rule has its own.'),
  ),
  anomalyThreshold: v.pipe(
    v.optional(positiveInteger, 10),
    v.description(
      'Sum of what native rules with action "score" add, from which a request is blocked.',
    ),
  ),
  bodies: v.pipe(v.optional(Bodies, {}), v.description('Request bodies.')),
  responses: v.pipe(v.optional(Responses, {}), v.description('The response phase.')),
  challenge: v.pipe(
    v.optional(Challenge, {}),
    v.description(
      'What rules with action "challenge" ask of a browser: a proof of work, remembered in a cookie.',
    ),
  ),
  crs: v.pipe(v.optional(Crs, {}), v.description('Settings of an imported OWASP Core Rule Set.')),
  exceptions: v.pipe(
    v.optional(v.array(Exception), []),
    v.description('Rules, or targets of rules, that some requests are let off.'),
  ),
  workBudget: v.pipe(
    v.optional(nonNegativeInteger, 268_435_456),
    v.description(
      'Bytes times patterns that one request may cost; the same on every machine, unlike time. 0 for no limit.',
    ),
  ),
  onBudget: v.pipe(
    v.optional(failMode, 'closed'),
    v.description('A request over the budget: let through (open) or blocked (closed).'),
  ),
})
export type WafConfig = v.InferOutput<typeof WafSection>

/** What a route may set for itself. */
export const RouteWafSection = v.strictObject({
  mode: v.pipe(v.optional(mode), v.description('enforce, simulate or off, for this route.')),
  simulateShare: v.pipe(
    v.optional(percent),
    v.description(
      'Share of requests that are only simulated, percent, while the rest is enforced.',
    ),
  ),
  inspect: v.pipe(v.optional(size), v.description('As waf.bodies.inspect.')),
  oversize: v.pipe(v.optional(oversize), v.description('As waf.bodies.oversize.')),
  invalid: v.pipe(v.optional(invalid), v.description('As waf.bodies.invalid.')),
  ratio: v.pipe(v.optional(positiveInteger), v.description('As waf.bodies.ratio.')),
  leaks: v.pipe(
    v.optional(leaks),
    v.description('As waf.responses.leaks, where waf.responses.body is on.'),
  ),
  onBudget: v.pipe(v.optional(failMode), v.description('As waf.onBudget.')),
  exceptions: v.pipe(
    v.optional(v.array(Exception), []),
    v.description('As waf.exceptions, for this route only.'),
  ),
})
export type RouteWafConfig = v.InferOutput<typeof RouteWafSection>
export type WafException = v.InferOutput<typeof Exception>
export type WafOverride = v.InferOutput<typeof Override>
