/**
 * The vocabulary of the detectors: attack classes, where a value came from, and what a detector says.
 */

/** One score per class is published as `meridian.waf.score.<class>`. */
export const ATTACK_CLASSES = [
  'sqli',
  'nosql',
  'xss',
  'lfi',
  'rce',
  'code',
  'ssrf',
  'xxe',
  'ssi',
  'ldap',
  'mail',
  'crlf',
  'graphql',
  'scanner',
  'protocol',
  'leak',
] as const

export type AttackClass = (typeof ATTACK_CLASSES)[number]

/** Where a value stood in the request; decides which detectors make sense and how values are cut. */
export type Place =
  | 'path'
  | 'query'
  | 'form'
  | 'json'
  | 'xml'
  | 'header'
  | 'cookie'
  | 'user-agent'
  | 'multipart'
  | 'body'

/** What a stand-alone detector says of one value. */
export interface Detection {
  readonly attack: boolean
  /** The syntactic context in which the value breaks out: `none`, `single`, `data`, `attribute-double`... */
  readonly context: string
  /** A short piece of the value, or the name of the structure that decided. */
  readonly evidence: string
  /** 0 to 100. `attack` is true from 50 on; the managed rules block from about 80 on. */
  readonly confidence: number
}

/** One class found in one value. */
export interface Finding {
  readonly class: AttackClass
  /** 0 to 100, high is bad. */
  readonly score: number
  /** Which structure or signal decided. */
  readonly evidence: string
  /** Decodings that were undone before the finding, in order; empty for the plain value. */
  readonly decoded: readonly string[]
  readonly place: Place
}

export const NO_DETECTION: Detection = Object.freeze({
  attack: false,
  context: 'none',
  evidence: '',
  confidence: 0,
})
