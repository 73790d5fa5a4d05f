/**
 * What a condition demands of host, path and method, as constants: so that a router can index routes
 * instead of asking each. A demand is necessary, not sufficient, unless `isComplete`.
 */
import { lowerAscii } from './bytes.ts'
import type { Compiled } from './expression.ts'
import type { Test, Typed } from './typed.ts'

export interface RouteLiterals {
  /** The host is one of `exact` or ends with one of `suffixes`; undefined: any host. */
  readonly host: HostDemand | undefined
  /** The path is one of `exact` or begins with one of the prefixes; undefined: any path. */
  readonly path: PathDemand | undefined
  readonly methods: readonly string[] | undefined
  /** Whether the demands decide by themselves: a request that meets them matches. */
  readonly isComplete: boolean
}

export interface HostDemand {
  readonly exact: readonly string[]
  /** Lower case, such as `.example.com`. */
  readonly suffixes: readonly string[]
}

export interface PathDemand {
  readonly exact: readonly string[]
  readonly prefixes: readonly string[]
  /** Lower case; the path begins so in either case of its ASCII letters. */
  readonly foldedPrefixes: readonly string[]
}

/** One demand of one condition. */
interface Demand {
  readonly on: 'host' | 'path' | 'method'
  readonly exact: readonly string[]
  readonly affixes: readonly string[]
  readonly folded: readonly string[]
  readonly isComplete: boolean
}

const SUBJECTS: Readonly<Record<string, Demand['on']>> = {
  'http.host': 'host',
  'http.request.uri.path': 'path',
  'http.request.method': 'method',
}

export function literalsOf(compiled: Pick<Compiled, 'tree'>): RouteLiterals {
  const { tree } = compiled
  const found: Partial<Record<Demand['on'], Demand>> = {}
  let isComplete = true
  for (const item of tree.kind === 'logic' && tree.op === 'and' ? tree.items : [tree]) {
    const demand = demandOf(item)
    if (demand === undefined || found[demand.on] !== undefined) {
      // The constant true demands nothing and decides.
      isComplete = isComplete && item.kind === 'constant' && item.value === true
      continue
    }
    found[demand.on] = demand
    isComplete = isComplete && demand.isComplete
  }
  const { host, path, method } = found
  return {
    host: host && { exact: host.exact, suffixes: host.affixes },
    path: path && { exact: path.exact, prefixes: path.affixes, foldedPrefixes: path.folded },
    methods: method?.exact,
    isComplete,
  }
}

function demandOf(typed: Typed): Demand | undefined {
  if (typed.kind === 'logic')
    return typed.op === 'or' ? either(typed.items.map(demandOf)) : undefined
  if (typed.kind === 'comparison') {
    const { base, steps } = typed.left
    const on = base.kind === 'field' && steps.length === 0 ? SUBJECTS[base.field.name] : undefined
    return on === undefined ? undefined : testDemand(on, typed.test)
  }
  return typed.kind === 'path' ? affixDemand(typed) : undefined
}

/** Of alternatives that all demand something of the same thing. */
function either(demands: readonly (Demand | undefined)[]): Demand | undefined {
  const [first] = demands
  if (first === undefined) return undefined
  const all: Demand[] = []
  for (const demand of demands) {
    if (demand?.on !== first.on) return undefined
    all.push(demand)
  }
  return {
    on: first.on,
    exact: all.flatMap(({ exact }) => exact),
    affixes: all.flatMap(({ affixes }) => affixes),
    folded: all.flatMap(({ folded }) => folded),
    isComplete: all.every((demand) => demand.isComplete),
  }
}

function testDemand(on: Demand['on'], test: Test): Demand | undefined {
  const demand = { on, exact: [], affixes: [], folded: [], isComplete: true }
  if (test.op === 'eq' && test.of === 'bytes') return { ...demand, exact: [test.value] }
  if (test.op === 'in' && test.of === 'bytes') return { ...demand, exact: test.items }
  if (test.op !== 'wildcard' || test.pieces.length < 2) return undefined
  const { pieces, isStrict } = test
  if (on === 'host') {
    // Hosts are lower case, so folding the pattern is enough.
    const suffix = lowerAscii(pieces[pieces.length - 1] as string)
    if (suffix === '' || (isStrict && suffix !== pieces[pieces.length - 1])) return undefined
    return { ...demand, affixes: [suffix], isComplete: pieces.length === 2 && pieces[0] === '' }
  }
  const prefix = pieces[0] as string
  if (on !== 'path' || prefix === '') return undefined
  const isComplete = pieces.length === 2 && pieces[1] === ''
  const isFolded = !isStrict && /[A-Za-z]/.test(prefix)
  return isFolded
    ? { ...demand, folded: [lowerAscii(prefix)], isComplete }
    : { ...demand, affixes: [prefix], isComplete }
}

/** `starts_with(path, "…")` and `ends_with(host, "…")`. */
function affixDemand({ base, steps }: Extract<Typed, { kind: 'path' }>): Demand | undefined {
  if (base.kind !== 'call' || base.isMapped || steps.length > 0) return undefined
  const [of, affix] = base.args
  if (of?.kind !== 'path' || of.base.kind !== 'field' || of.steps.length > 0) return undefined
  if (affix?.kind !== 'constant' || typeof affix.value !== 'string' || affix.value === '')
    return undefined
  const on = SUBJECTS[of.base.field.name]
  const isAffix =
    (on === 'path' && base.definition.name === 'starts_with') ||
    (on === 'host' && base.definition.name === 'ends_with')
  if (on === undefined || !isAffix) return undefined
  return { on, exact: [], affixes: [affix.value], folded: [], isComplete: true }
}
