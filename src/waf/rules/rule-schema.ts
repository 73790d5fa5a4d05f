/** Native rules: a ruleset file in JSON. One source for types, validation and `rules/ruleset.schema.json`. */
import * as v from 'valibot'

const expression = v.pipe(
  v.string(),
  v.minLength(1, 'an expression is expected'),
  v.maxLength(4096, 'an expression has at most 4096 characters'),
  v.description('When the rule matches, in the rules language (docs/expressions.md).'),
)

const TestRequest = v.strictObject({
  method: v.pipe(v.optional(v.string(), 'GET'), v.description('Method.')),
  uri: v.pipe(v.optional(v.string(), '/'), v.description('Path and query, or an absolute URL.')),
  host: v.pipe(v.optional(v.string(), 'example.com'), v.description('Host.')),
  headers: v.pipe(
    v.optional(v.record(v.string(), v.union([v.string(), v.array(v.string())])), {}),
    v.description('Request headers; a list repeats the field.'),
  ),
  body: v.pipe(v.optional(v.string()), v.description('Request body.')),
  ip: v.pipe(v.optional(v.string()), v.description('Client address.')),
  country: v.pipe(v.optional(v.string()), v.description('Country of the client, such as "DE".')),
  asn: v.pipe(v.optional(v.number()), v.description('Autonomous system of the client.')),
})

const TestResponse = v.strictObject({
  status: v.optional(v.number(), 200),
  headers: v.optional(v.record(v.string(), v.union([v.string(), v.array(v.string())])), {}),
})

const Test = v.strictObject({
  request: v.pipe(v.optional(TestRequest, {}), v.description('The request to ask about.')),
  response: v.pipe(v.optional(TestResponse), v.description('The response, for response rules.')),
  match: v.pipe(v.boolean(), v.description('Whether the rule must match it.')),
})

const Skip = v.strictObject({
  rulesets: v.optional(v.array(v.string())),
  ids: v.optional(v.array(v.union([v.string(), v.number()]))),
  tags: v.optional(v.array(v.string())),
  phases: v.optional(v.array(v.picklist(['request', 'response']))),
})

export const RULE_ACTIONS = ['block', 'challenge', 'log', 'skip', 'allow', 'score'] as const

const Rule = v.strictObject({
  id: v.pipe(
    v.string(),
    v.regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
      'an id has 1 to 63 letters, digits, dots, dashes or underscores',
    ),
    v.description('Unique in the ruleset; named in logs, exceptions and overrides.'),
  ),
  description: v.pipe(v.optional(v.string(), ''), v.description('What it finds, for people.')),
  expression,
  action: v.pipe(
    v.picklist(RULE_ACTIONS),
    v.description(
      'block ends the request; challenge does, unless the client has solved one; allow ends the inspection; skip leaves rules out; score adds to the anomaly score; log only reports.',
    ),
  ),
  status: v.pipe(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599))),
    v.description('For block: the HTTP status; the WAF setting when not given.'),
  ),
  body: v.pipe(
    v.optional(
      v.strictObject({
        contentType: v.optional(v.string(), 'text/plain; charset=utf-8'),
        text: v.string(),
      }),
    ),
    v.description('For block: what to answer, instead of problem details.'),
  ),
  score: v.pipe(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100))),
    v.description('For score: how much it adds.'),
  ),
  skip: v.pipe(
    v.optional(Skip),
    v.description('For skip: which rules; without it the rest of this ruleset.'),
  ),
  enabled: v.pipe(v.optional(v.boolean(), true), v.description('False leaves the rule out.')),
  mode: v.pipe(
    v.optional(v.picklist(['enforce', 'simulate']), 'enforce'),
    v.description('simulate reports what the rule would have done.'),
  ),
  tags: v.pipe(v.optional(v.array(v.string()), []), v.description('For exceptions and overrides.')),
  tests: v.pipe(
    v.optional(v.array(Test), []),
    v.description('Requests that must, or must not, match; checked when the ruleset is loaded.'),
  ),
})

export const RulesetSchema = v.pipe(
  v.strictObject({
    $schema: v.pipe(
      v.optional(v.string()),
      v.description('Where the JSON Schema is, for editors.'),
    ),
    ruleset: v.pipe(
      v.string(),
      v.regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a ruleset name is lower case, without spaces'),
      v.description('Name of the ruleset.'),
    ),
    description: v.optional(v.string()),
    version: v.optional(v.string()),
    rules: v.pipe(v.array(Rule), v.description('Rules in order.')),
  }),
  v.title('Meridian WAF ruleset'),
)

export type NativeRuleset = v.InferOutput<typeof RulesetSchema>
export type NativeRule = v.InferOutput<typeof Rule>
export type RuleTest = v.InferOutput<typeof Test>
export type RuleAction = NativeRule['action']
