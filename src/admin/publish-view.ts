/** Files that the control port can replace: the config, and the rulesets it names. The runtime implements it. */
import type { Done } from './regions-view.ts'

/** What is wrong with a text, and where. */
export interface TextProblem {
  readonly path: string
  readonly message: string
  readonly hint?: string | undefined
  /** Another file than the one that was sent. */
  readonly file?: string | undefined
  /** From 1. */
  readonly line?: number | undefined
  readonly column?: number | undefined
}

/** A file as it is on disk now. */
export interface SourceText {
  readonly text: string
  /** Without quotes; of the text alone. */
  readonly etag: string
  /** Why it cannot be replaced; null when it can. */
  readonly readOnly: string | null
}

export type Published =
  | ({ readonly outcome: 'published'; readonly etag: string } & Done)
  /** Somebody else was faster; what is there now. */
  | { readonly outcome: 'stale'; readonly etag: string }
  | { readonly outcome: 'invalid'; readonly problems: readonly TextProblem[] }
  /** It cannot be written here. */
  | { readonly outcome: 'unavailable'; readonly why: string }
  /** It did not go into use, and the text before it is back. */
  | { readonly outcome: 'failed'; readonly why: string }

/** `*`, or the entity tags of an If-Match field. */
export type IfMatch = '*' | readonly string[]

export interface ConfigView {
  /** Of the config in use. */
  etag(): Promise<string>
  source(): Promise<SourceText>
  validate(text: string): Promise<readonly TextProblem[]>
  publish(text: string, ifMatch: IfMatch): Promise<Published>
}

export interface RulesetInfo {
  readonly name: string
  /** `built-in`, or the file as the config names it. */
  readonly source: string
  readonly etag: string
  readonly writable: boolean
  /** Why not. */
  readonly why?: string | undefined
  readonly rules: number
  readonly mode: 'enforce' | 'simulate'
}

export interface DryRunRequest {
  readonly id: string
  readonly method: string
  /** Masked, with the query. */
  readonly path: string
  readonly route: string | null
  readonly rules: readonly string[]
}

export interface DryRun {
  /** Recorded requests that were judged under both. */
  readonly requests: number
  /** Of those, without their body: bodies are not recorded. */
  readonly withoutBody: number
  readonly newlyBlocked: readonly DryRunRequest[]
  readonly newlyPassed: readonly DryRunRequest[]
  /** How many there are of both; the lists may be shorter. */
  readonly newlyBlockedCount: number
  readonly newlyPassedCount: number
  /** Other rules match, with the same outcome. */
  readonly otherRules: number
  readonly unchanged: number
}

export interface RecordedRequest {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly method: string
  readonly url: string
  readonly client: string
  readonly status: number
  readonly outcome: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly hasBody: boolean
}

export interface RulesView {
  list(): Promise<readonly RulesetInfo[]>
  /** Undefined when there is none of that name. */
  read(name: string): Promise<SourceText | undefined>
  /** @param name of the ruleset that it would replace: then the config is checked with it too */
  validate(text: string, name: string | undefined): Promise<readonly TextProblem[] | undefined>
  dryRun(
    name: string,
    text: string,
    limit: number,
  ): Promise<DryRun | readonly TextProblem[] | undefined>
  publish(name: string, text: string, ifMatch: IfMatch): Promise<Published | undefined>
  /** @param limit how many of the recorded requests come along, the newest */
  recorded(limit: number): Promise<{
    readonly size: number
    readonly capacity: number
    readonly requests: readonly RecordedRequest[]
  }>
}
