/**
 * No-Vary-Search (draft-ietf-httpbis-no-vary-search): a response says which query parameters made no
 * difference to it, and serves other queries of its path as well. Looked at only after a miss.
 */
import { parseDictionary } from '../http/structured.ts'
import { parameterName } from './query.ts'

export interface SearchRule {
  readonly ignoresOrder: boolean
  /** Every name but those in `names`, or only those in `names`. */
  readonly ignoresAll: boolean
  readonly names: ReadonlySet<string>
}

/** @returns undefined when the field is absent, invalid or changes nothing: the whole query counts */
export function parseNoVarySearch(value: string | undefined): SearchRule | undefined {
  if (value === undefined) return undefined
  const dictionary = parseDictionary(value)
  if (dictionary === undefined) return undefined
  const order = dictionary.get('key-order')
  const params = dictionary.get('params')
  const except = dictionary.get('except')
  if (order !== undefined && order.kind !== 'boolean') return undefined
  if (params !== undefined && params.kind !== 'boolean' && params.kind !== 'list') return undefined
  const ignoresAll = params?.kind === 'boolean' && params.value
  if (except !== undefined && (except.kind !== 'list' || !ignoresAll)) return undefined
  const names = new Set<string>()
  const listed =
    params?.kind === 'list' ? params.value : except?.kind === 'list' ? except.value : []
  for (const item of listed) {
    if (item.kind !== 'string') return undefined
    names.add(item.value)
  }
  const ignoresOrder = order?.value === true
  return ignoresOrder || ignoresAll || names.size > 0
    ? { ignoresOrder, ignoresAll, names }
    : undefined
}

/** The query without what makes no difference. */
export function significantQuery(query: string, rule: SearchRule): string {
  if (query === '') return ''
  const kept: { name: string; parameter: string }[] = []
  for (const parameter of query.split('&')) {
    const name = parameterName(parameter)
    const isIgnored = name !== undefined && rule.names.has(name) !== rule.ignoresAll
    if (!isIgnored) kept.push({ name: name ?? parameter, parameter })
  }
  if (rule.ignoresOrder) kept.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  return kept.map((item) => item.parameter).join('&')
}

/** Which stored key answers a query that was never asked for in these words. */
export class SearchVariance {
  readonly #rules = new Map<string, SearchRule>()
  readonly #keys = new Map<string, string>()
  readonly #capacity: number

  constructor(capacity = 8192) {
    this.#capacity = capacity
  }

  /**
   * @param key  of the stored response
   * @param url  its part of the key
   * @param rule what its response said
   */
  note(key: string, url: string, rule: SearchRule): void {
    bounded(this.#rules, pathOf(url), rule, this.#capacity)
    bounded(this.#keys, alias(key, url, rule), key, this.#capacity)
  }

  find(key: string, url: string): string | undefined {
    if (this.#rules.size === 0) return undefined
    const rule = this.#rules.get(pathOf(url))
    return rule === undefined ? undefined : this.#keys.get(alias(key, url, rule))
  }
}

function pathOf(url: string): string {
  const mark = url.indexOf('?')
  return mark < 0 ? url : url.slice(0, mark)
}

function alias(key: string, url: string, rule: SearchRule): string {
  const at = key.indexOf(url)
  const path = pathOf(url)
  const query = url.slice(path.length + 1)
  return `${key.slice(0, at)}${path}?${significantQuery(query, rule)}${key.slice(at + url.length)}`
}

function bounded<T>(map: Map<string, T>, key: string, value: T, capacity: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= capacity) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    break
  }
}
