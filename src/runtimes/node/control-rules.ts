/** The control port's hand on the rulesets: which there are, what a changed one would do, and its publication. */
import { basename, dirname, resolve } from 'node:path'
import type {
  DryRun,
  DryRunRequest,
  IfMatch,
  RecordedRequest,
  RulesetInfo,
  RulesView,
  SourceText,
  TextProblem,
} from '../../admin/publish-view.ts'
import { ConfigError } from '../../config/errors.ts'
import { GeoSlots } from '../../geo/place.ts'
import type { KeptRequest } from '../../telemetry/recorder.ts'
import type { ConfigFile } from './config-file.ts'
import type { Asker } from './control.ts'
import type { Instance } from './instance.ts'
import {
  etagOf,
  problemsWith,
  sourceText,
  takeIntoUse,
  textProblem,
  type Written,
  writeChecked,
} from './publishing.ts'
import { readOnlyReason } from './replace-file.ts'
import { checkRuleset, environmentWith } from './ruleset-check.ts'
import { builtInRuleset } from './rulesets.ts'
import { type Rehearsed, WafRehearsal } from './waf-rehearsal.ts'

/** What the primary asks of a worker about the rules. */
export type RulesQuestion =
  | { readonly ask: 'rules-list' }
  | { readonly ask: 'rules-read'; readonly name: string }
  | { readonly ask: 'rules-validate'; readonly text: string; readonly name: string | undefined }
  | {
      readonly ask: 'rules-dry-run'
      readonly name: string
      readonly text: string
      readonly limit: number
    }
  | {
      readonly ask: 'rules-write'
      readonly name: string
      readonly text: string
      readonly ifMatch: IfMatch
    }
  | { readonly ask: 'rules-recorded'; readonly limit: number }

/** For "there is none": an answer that a process can give, unlike undefined. */
const NONE = null

/** Longest lists of a dry run. */
const MAX_LISTED = 200
/** Requests judged before others get a turn of the event loop. */
const AT_ONCE = 20

export async function answerAboutRules(
  instance: Instance,
  file: ConfigFile,
  question: RulesQuestion,
): Promise<unknown> {
  switch (question.ask) {
    case 'rules-list':
      return list(instance)
    case 'rules-read': {
      const place = placeOf(instance, question.name)
      return place === undefined ? NONE : read(place)
    }
    case 'rules-validate': {
      const { name, text } = question
      if (name === undefined) return problemsAlone(instance, 'ruleset.json', text)
      const place = placeOf(instance, name)
      return place === undefined ? NONE : problemsInPlace(instance, file, place, text)
    }
    case 'rules-write': {
      const { name, text, ifMatch } = question
      const place = placeOf(instance, name)
      if (place === undefined) return NONE
      if (place.path === undefined) return { outcome: 'unavailable', why: BUILT_IN }
      return writeChecked(file, place.path, text, ifMatch, () =>
        problemsInPlace(instance, file, place, text),
      )
    }
    case 'rules-recorded': {
      const { recorder } = instance
      return {
        size: recorder?.size ?? 0,
        capacity: recorder?.capacity ?? 0,
        requests: recorder?.newest(question.limit) ?? [],
      }
    }
    case 'rules-dry-run': {
      const { name, text, limit } = question
      const place = placeOf(instance, name)
      return place === undefined ? NONE : dryRun(instance, file, place, text, limit)
    }
  }
}

interface Place {
  readonly name: string
  /** As the config has it. */
  readonly source: string
  /** Absolute; undefined for a ruleset that comes with the gateway. */
  readonly path: string | undefined
  readonly mode: 'enforce' | 'simulate'
}

const BUILT_IN = 'it comes with the gateway; copy it to a file and name that in the config'

/** Rulesets of the config by name: that of the file without folders and `.json`; a second one gets a number. */
function placesOf({ bundle }: Instance): Place[] {
  const taken = new Map<string, number>()
  return bundle.config.waf.rulesets.map((entry): Place => {
    const isFile = typeof entry !== 'string' && 'file' in entry
    const source = typeof entry === 'string' ? entry : isFile ? entry.file : entry.name
    const short = isFile ? basename(source).replace(/\.json$/i, '') : source
    const count = (taken.get(short) ?? 0) + 1
    taken.set(short, count)
    return {
      name: count === 1 ? short : `${short}-${count}`,
      source: isFile ? source : 'built-in',
      path: isFile ? resolve(dirname(bundle.path), source) : undefined,
      mode: (typeof entry === 'string' ? undefined : entry.mode) ?? 'enforce',
    }
  })
}

function placeOf(instance: Instance, name: string): Place | undefined {
  return placesOf(instance).find((place) => place.name === name)
}

async function read({ name, path }: Place): Promise<SourceText> {
  if (path !== undefined) return sourceText(path)
  const text = builtInRuleset(name.replace(/-\d+$/, '')) ?? ''
  return { text, etag: etagOf(text), readOnly: BUILT_IN }
}

async function list(instance: Instance): Promise<RulesetInfo[]> {
  return Promise.all(
    placesOf(instance).map(async (place): Promise<RulesetInfo> => {
      const { text, etag } = await read(place)
      const why = place.path === undefined ? BUILT_IN : await readOnlyReason(place.path)
      return {
        name: place.name,
        source: place.source,
        etag,
        writable: why === null,
        ...(why === null ? {} : { why }),
        rules: countRules(text),
        mode: place.mode,
      }
    }),
  )
}

/** Of a file that may just be written, and broken. */
function countRules(text: string): number {
  try {
    const { rules } = JSON.parse(text) as { rules?: unknown }
    return Array.isArray(rules) ? rules.length : 0
  } catch {
    return 0
  }
}

function problemsAlone(instance: Instance, name: string, text: string): readonly TextProblem[] {
  try {
    const checked = checkRuleset({ name, text }, environmentWith(instance.bundle.lists))
    return [...checked.problems, ...checked.failedTests].map((one) => textProblem(one, name))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((one) => textProblem(one, name))
  }
}

/** Its own first, which have lines; then what the config says of it, such as exceptions for rules it had. */
async function problemsInPlace(
  instance: Instance,
  file: ConfigFile,
  place: Place,
  text: string,
): Promise<readonly TextProblem[]> {
  const own = problemsAlone(instance, place.source, text)
  if (own.length > 0) return own
  if (place.path === undefined) return []
  const result = await problemsWith(instance, file, new Map([[place.path, text]]))
  if (!('problems' in result)) return []
  return result.problems.map((problem) => ({ ...problem, file: basename(file.path) }))
}

async function dryRun(
  instance: Instance,
  file: ConfigFile,
  place: Place,
  text: string,
  limit: number,
): Promise<DryRun | readonly TextProblem[]> {
  if (place.path === undefined) return [{ path: '', message: BUILT_IN }]
  const problems = await problemsInPlace(instance, file, place, text)
  if (problems.length > 0) return problems
  const geo = { geo: instance.geo, slots: new GeoSlots() }
  const before = await WafRehearsal.over(instance.bundle, geo)
  const changed = await file.rehearse(new Map([[place.path, text]]))
  const after = await WafRehearsal.over(changed, geo)
  const kept = instance.recorder?.newest(limit) ?? []
  const tally = new Tally()
  for (const [at, request] of kept.entries()) {
    if (at % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve))
    const asked = { ...request, ip: request.client === '' ? undefined : request.client }
    tally.add(request, await before.run(asked), await after.run(asked))
  }
  return tally.result()
}

class Tally {
  readonly #blocked: DryRunRequest[] = []
  readonly #passed: DryRunRequest[] = []
  #requests = 0
  #withoutBody = 0
  #otherRules = 0

  add(request: KeptRequest, before: Rehearsed, after: Rehearsed): void {
    this.#requests++
    if (request.hasBody) this.#withoutBody++
    if (before.block === undefined && after.block !== undefined) {
      this.#blocked.push(judged(request, after))
    } else if (before.block !== undefined && after.block === undefined) {
      this.#passed.push(judged(request, before))
    } else if (rulesOf(before).join() !== rulesOf(after).join()) this.#otherRules++
  }

  result(): DryRun {
    const [blocked, passed] = [this.#blocked.length, this.#passed.length]
    return {
      requests: this.#requests,
      withoutBody: this.#withoutBody,
      newlyBlocked: this.#blocked.slice(-MAX_LISTED),
      newlyPassed: this.#passed.slice(-MAX_LISTED),
      newlyBlockedCount: blocked,
      newlyPassedCount: passed,
      otherRules: this.#otherRules,
      unchanged: this.#requests - blocked - passed - this.#otherRules,
    }
  }
}

function judged({ id, method, url }: KeptRequest, result: Rehearsed): DryRunRequest {
  return {
    id,
    method,
    path: url.replace(/^[a-z]+:\/\/[^/]*/, ''),
    route: result.route ?? null,
    rules: rulesOf(result),
  }
}

function rulesOf({ block, verdicts }: Rehearsed): string[] {
  const rules = verdicts.map(({ rule }) => rule)
  if (block !== undefined && !rules.includes(block.rule)) rules.push(block.rule)
  return rules
}

/** Dry runs of several processes, each over what it has recorded. */
export function mergeDryRuns(runs: readonly DryRun[]): DryRun {
  const sum = (of: (run: DryRun) => number) => runs.reduce((total, run) => total + of(run), 0)
  return {
    requests: sum((run) => run.requests),
    withoutBody: sum((run) => run.withoutBody),
    newlyBlocked: runs.flatMap((run) => run.newlyBlocked).slice(-MAX_LISTED),
    newlyPassed: runs.flatMap((run) => run.newlyPassed).slice(-MAX_LISTED),
    newlyBlockedCount: sum((run) => run.newlyBlockedCount),
    newlyPassedCount: sum((run) => run.newlyPassedCount),
    otherRules: sum((run) => run.otherRules),
    unchanged: sum((run) => run.unchanged),
  }
}

export function rulesView(asker: Asker): RulesView {
  const { first, all } = asker
  return {
    list: async () => (await first({ ask: 'rules-list' })) as RulesetInfo[],
    read: async (name) => ((await first({ ask: 'rules-read', name })) as SourceText) ?? undefined,
    validate: async (text, name) =>
      ((await first({ ask: 'rules-validate', text, name })) as TextProblem[]) ?? undefined,
    dryRun: async (name, text, limit) => {
      const share = Math.max(1, Math.ceil(limit / Math.max(1, asker.size())))
      const answers = await all({ ask: 'rules-dry-run', name, text, limit: share })
      const runs = answers as (DryRun | readonly TextProblem[] | null)[]
      const refused = runs.find((run) => run === NONE || !('requests' in run))
      if (refused === NONE || runs.length === 0) return undefined
      return (refused as readonly TextProblem[] | undefined) ?? mergeDryRuns(runs as DryRun[])
    },
    publish: async (name, text, ifMatch) => {
      const written = (await first({ ask: 'rules-write', name, text, ifMatch })) as Written | null
      return written === NONE ? undefined : takeIntoUse(asker, text, written)
    },
    recorded: async (limit) => {
      const found = (await all({ ask: 'rules-recorded', limit })) as {
        size: number
        capacity: number
        requests: RecordedRequest[]
      }[]
      return {
        size: found.reduce((sum, one) => sum + one.size, 0),
        capacity: found.reduce((sum, one) => sum + one.capacity, 0),
        requests: found
          .flatMap((one) => one.requests)
          .sort((a, b) => a.time - b.time)
          .slice(-limit || Number.POSITIVE_INFINITY),
      }
    },
  }
}
