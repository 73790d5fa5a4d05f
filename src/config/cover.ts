/**
 * Which requests a route's match takes in, as far as that can be told without running it: enough to
 * find a route that an earlier one leaves nothing for.
 */
import type { RouteMatchConfig } from './sections/routes.ts'

/** Hosts, paths and methods a match takes in; a list that holds everything is undefined. */
export interface Cover {
  readonly hosts: readonly string[] | undefined
  readonly paths: readonly string[] | undefined
  readonly methods: readonly string[] | undefined
  /** An expression other than `true`: it takes in some unknown part of what the lists say. */
  readonly expression: string | undefined
}

export function coverOf(match: RouteMatchConfig): Cover {
  if (typeof match === 'string') {
    const text = match.trim()
    const isAlways = text === 'true' || text === '(true)'
    return {
      hosts: undefined,
      paths: undefined,
      methods: undefined,
      expression: isAlways ? undefined : text,
    }
  }
  return {
    hosts: allIf(match.host, (host) => host === '*'),
    paths: allIf(match.path, (path) => path === '/' || /^\/?\*+$/.test(path)),
    methods: match.methods,
    expression: undefined,
  }
}

/** Whether everything that `narrow` takes in is taken in by `wide` too. False when it cannot be told. */
export function covers(wide: Cover, narrow: Cover | undefined): boolean {
  if (narrow === undefined) return false
  if (wide.expression !== undefined) return wide.expression === narrow.expression
  if (narrow.expression !== undefined) {
    return wide.hosts === undefined && wide.paths === undefined && wide.methods === undefined
  }
  return (
    coversAll(wide.hosts, narrow.hosts, hostCovers) &&
    coversAll(wide.paths, narrow.paths, pathCovers) &&
    coversAll(wide.methods, narrow.methods, (a, b) => a === b)
  )
}

/**
 * For each match, in order, the first earlier one that takes all its requests, or -1. Earlier matches are
 * indexed by host, so that a thousand hosts are not compared with each other.
 */
export function coveredBy(matches: readonly RouteMatchConfig[]): number[] {
  const byKey = new Map<string, number[]>()
  const all = matches.map(coverOf)
  return all.map((cover, index) => {
    let first = -1
    for (const key of keysThatMayCover(cover)) {
      const found = byKey.get(key)?.find((at) => covers(all[at] as Cover, cover)) ?? -1
      if (found >= 0 && (first < 0 || found < first)) first = found
    }
    for (const key of ownKeys(cover)) {
      const indexes = byKey.get(key)
      if (indexes === undefined) byKey.set(key, [index])
      else indexes.push(index)
    }
    return first
  })
}

const ANY_HOST = '*'

function ownKeys(cover: Cover): readonly string[] {
  if (cover.expression !== undefined) return [`expression ${cover.expression}`]
  return cover.hosts ?? [ANY_HOST]
}

/** A cover of several hosts covers the first of them, so that one tells where to look. */
function keysThatMayCover(cover: Cover): string[] {
  if (cover.expression !== undefined) return [ANY_HOST, `expression ${cover.expression}`]
  const host = cover.hosts?.[0]
  if (host === undefined) return [ANY_HOST]
  const keys = [ANY_HOST, host]
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    keys.push(`*${host.slice(dot)}`)
  }
  return keys
}

function allIf(
  values: string | readonly string[] | undefined,
  isEverything: (value: string) => boolean,
): readonly string[] | undefined {
  if (values === undefined) return undefined
  const list = typeof values === 'string' ? [values] : values
  return list.some(isEverything) ? undefined : list
}

function coversAll(
  wide: readonly string[] | undefined,
  narrow: readonly string[] | undefined,
  one: (wide: string, narrow: string) => boolean,
): boolean {
  if (wide === undefined) return true
  if (narrow === undefined) return false
  return narrow.every((value) => wide.some((pattern) => one(pattern, value)))
}

function hostCovers(wide: string, narrow: string): boolean {
  if (wide === narrow) return true
  return wide.startsWith('*.') && narrow.endsWith(wide.slice(1))
}

/** Prefix `/api` takes `/api` and all below; a wildcard pattern is compared only with itself. */
function pathCovers(wide: string, narrow: string): boolean {
  if (wide === narrow) return true
  if (wide.includes('*')) return false
  const prefix = wide.endsWith('/') ? wide : `${wide}/`
  return narrow.startsWith(prefix)
}
