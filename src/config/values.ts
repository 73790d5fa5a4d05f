/**
 * Values that config sections share: durations, sizes, addresses, secrets, expressions. Each is a Valibot
 * schema that parses text into the domain's own type, and says in its description what it takes, so
 * that one source gives types, validation and the published JSON Schema.
 */
import * as v from 'valibot'
import { parseCidr } from '../http/cidr.ts'
import { parseIp } from '../http/ip.ts'

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1000,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
}

export const DURATION_PATTERN = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$'
export const SIZE_PATTERN = '^[0-9]+(\\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)$'
const durationRegExp = new RegExp(DURATION_PATTERN)
const sizeRegExp = new RegExp(SIZE_PATTERN)

function withUnits(text: string, units: Readonly<Record<string, number>>): number {
  const split = text.search(/[A-Za-z]/)
  return Math.round(Number(text.slice(0, split)) * (units[text.slice(split)] as number))
}

/** `"30s"`, `"1.5h"`; milliseconds after parsing. */
export const duration = v.pipe(
  v.string('a duration such as "250ms", "30s", "5m", "12h" or "7d" is expected'),
  v.regex(durationRegExp, 'a duration such as "250ms", "30s", "5m", "12h" or "7d" is expected'),
  v.description('A duration: a number and one of ms, s, m, h, d.'),
  v.transform((text) => withUnits(text, DURATION_UNITS)),
)

/** `"128KiB"`, `"10MB"`; bytes after parsing. */
export const size = v.pipe(
  v.string('a size such as "64KiB", "10MB" or "1GiB" is expected'),
  v.regex(sizeRegExp, 'a size such as "64KiB", "10MB" or "1GiB" is expected'),
  v.description('A size: a number and one of B, KB, MB, GB, KiB, MiB, GiB.'),
  v.transform((text) => withUnits(text, SIZE_UNITS)),
)

/** A secret is never in the file: it is named there and read at load. */
export const secret = v.pipe(
  v.union(
    [v.strictObject({ env: v.string() }), v.strictObject({ file: v.string() })],
    'a secret is given by reference: {"env": "NAME"} or {"file": "/path"}',
  ),
  v.description('A secret by reference: an environment variable or a file.'),
)
export type SecretRef = v.InferOutput<typeof secret>

export const ipAddress = v.pipe(
  v.string(),
  v.check((text) => parseIp(text) !== undefined, 'an IP address is expected'),
)

export const cidr = v.pipe(
  v.string(),
  v.check(
    (text) => parseCidr(text) !== undefined,
    'an IP address or a CIDR without host bits is expected, such as "10.0.0.0/8"',
  ),
  v.description('An IP address or CIDR block.'),
)

/** A rules-language expression; its syntax and types are checked when the config is compiled. */
export const expression = v.pipe(
  v.string(),
  v.minLength(1, 'an expression is expected'),
  v.maxLength(4096, 'an expression has at most 4096 characters'),
  v.description('An expression in the rules language (docs/expressions.md).'),
)

export const identifier = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'an identifier has 1 to 63 letters, digits, dots, dashes or underscores and begins with a letter or digit',
  ),
)

export const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))
export const positiveInteger = v.pipe(v.number(), v.integer(), v.minValue(1))
export const nonNegativeInteger = v.pipe(v.number(), v.integer(), v.minValue(0))
export const percent = v.pipe(v.number(), v.minValue(0), v.maxValue(100))
export const countryCode = v.pipe(
  v.string(),
  v.regex(/^[A-Z]{2}$/, 'an upper-case ISO 3166-1 alpha-2 country code is expected, such as "DE"'),
)
