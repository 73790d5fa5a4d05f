/**
 * Kubernetes Gateway API resources as they stand in files, read with care: what is not there, or is of another
 * type than the specification says, is reported and left out. Only the fields that the mapping uses are typed.
 */
import { isMap, type LineCounter, LineCounter as Lines, type Node, parseAllDocuments } from 'yaml'

/** One thing that could not be carried over. */
export interface AdaptProblem {
  /** `HTTPRoute shop/cart`. */
  readonly resource: string
  /** `spec.rules[0].filters[1]`; empty for the resource as a whole. */
  readonly path: string
  readonly message: string
  /** 1-based line in the file, when it is known. */
  readonly line: number | undefined
  readonly file: string
}

export interface Resource {
  readonly kind: string
  readonly name: string
  readonly namespace: string
  /** Milliseconds since the epoch; 0 when the file does not say. */
  readonly createdAt: number
  readonly spec: Fields
  /** Reports a problem of the resource as a whole. */
  report(message: string): void
}

type Path = readonly (string | number)[]

/** Access to one mapping of a resource, which knows where it stands. */
export class Fields {
  readonly #value: Readonly<Record<string, unknown>>
  readonly #path: Path
  readonly #source: Source

  constructor(value: Readonly<Record<string, unknown>>, path: Path, source: Source) {
    this.#value = value
    this.#path = path
    this.#source = source
  }

  get keys(): readonly string[] {
    return Object.keys(this.#value)
  }

  /** Reports a problem at a field, or at the mapping itself. */
  report(field: string | undefined, message: string): void {
    this.#source.report(field === undefined ? this.#path : [...this.#path, field], message)
  }

  /** Reports every field that is not among those named: nothing is dropped in silence. */
  expect(...known: readonly string[]): void {
    for (const key of this.keys) {
      if (!known.includes(key)) this.report(key, 'has no counterpart here')
    }
  }

  text(field: string): string | undefined {
    return this.#typed(field, 'string') as string | undefined
  }

  number(field: string): number | undefined {
    return this.#typed(field, 'number') as number | undefined
  }

  fields(field: string): Fields | undefined {
    const value = this.#value[field]
    if (value === undefined || value === null) return undefined
    if (!isRecord(value)) {
      this.report(field, 'is not a mapping')
      return undefined
    }
    return new Fields(value, [...this.#path, field], this.#source)
  }

  /** The items of a list of mappings. */
  list(field: string): readonly Fields[] {
    return this.#items(field).flatMap((item, at) => {
      if (isRecord(item)) return [new Fields(item, [...this.#path, field, at], this.#source)]
      this.#source.report([...this.#path, field, at], 'is not a mapping')
      return []
    })
  }

  texts(field: string): readonly string[] {
    return this.#items(field).flatMap((item, at) => {
      if (typeof item === 'string') return [item]
      this.#source.report([...this.#path, field, at], 'is not a text')
      return []
    })
  }

  #items(field: string): readonly unknown[] {
    const value = this.#value[field]
    if (value === undefined || value === null) return []
    if (Array.isArray(value)) return value
    this.report(field, 'is not a list')
    return []
  }

  #typed(field: string, type: 'string' | 'number'): unknown {
    const value = this.#value[field]
    if (value === undefined || value === null) return undefined
    if (typeof value === type) return value
    this.report(field, type === 'string' ? 'is not a text' : 'is not a number')
    return undefined
  }
}

interface Source {
  report(path: Path, message: string): void
}

/** Reads a file of one or more YAML or JSON documents. Problems go to `problems`. */
export function readResources(
  text: string,
  file: string,
  problems: AdaptProblem[],
): readonly Resource[] {
  const lines = new Lines()
  return parseAllDocuments(text, { lineCounter: lines }).flatMap((document) => {
    const [error] = document.errors
    if (error !== undefined) {
      const message = `is not valid YAML: ${error.message.split('\n')[0]?.replace(/:$/, '')}`
      problems.push({ resource: '', path: '', message, line: error.linePos?.[0].line, file })
      return []
    }
    const value: unknown = document.toJS({ maxAliasCount: 100 })
    if (value === null || value === undefined) return []
    const place = { root: document.contents, lines, file, problems }
    if (isRecord(value) && value.kind === 'List' && Array.isArray(value.items)) {
      return value.items.flatMap((item, at) => resourceOf(item, ['items', at], place))
    }
    return resourceOf(value, [], place)
  })
}

/** A document, and where its problems go. */
interface Place {
  readonly root: Node | null
  readonly lines: LineCounter
  readonly file: string
  readonly problems: AdaptProblem[]
}

function resourceOf(value: unknown, base: Path, place: Place): Resource[] {
  const { root, lines, file, problems } = place
  const metadata = isRecord(value) && isRecord(value.metadata) ? value.metadata : {}
  const kind = isRecord(value) && typeof value.kind === 'string' ? value.kind : ''
  const name = typeof metadata.name === 'string' ? metadata.name : ''
  const namespace = typeof metadata.namespace === 'string' ? metadata.namespace : 'default'
  const resource = kind === '' ? 'a document' : `${kind} ${namespace}/${name}`
  const report = (path: Path, message: string) => {
    const line = lineOf(root, [...base, ...path], lines)
    problems.push({ resource, path: pathText(path), message, line, file })
  }
  if (!isRecord(value) || kind === '' || name === '') {
    report([], 'is no Kubernetes resource: "kind" and "metadata.name" are missing')
    return []
  }
  const created = typeof metadata.creationTimestamp === 'string' ? metadata.creationTimestamp : ''
  const createdAt = Number.isNaN(Date.parse(created)) ? 0 : Date.parse(created)
  const spec = new Fields(isRecord(value.spec) ? value.spec : {}, ['spec'], { report })
  return [{ kind, name, namespace, createdAt, spec, report: (message) => report([], message) }]
}

/** `spec.rules[0]` */
function pathText(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}

/** The line of a path, or of the nearest part above it that is there. */
function lineOf(root: Node | null, path: Path, lines: LineCounter): number | undefined {
  for (let length = path.length; length > 0; length--) {
    if (!isMap(root)) return undefined
    const parent = length === 1 ? root : root.getIn(path.slice(0, length - 1), true)
    const last = path[length - 1]
    if (isMap(parent)) {
      const pair = parent.items.find((item) => String(item.key) === last)
      const start = (pair?.key as Node | undefined)?.range?.[0]
      if (start !== undefined) return lines.linePos(start).line
    }
    const start = (root.getIn(path.slice(0, length), true) as Node | undefined)?.range?.[0]
    if (start !== undefined) return lines.linePos(start).line
  }
  const start = root?.range?.[0]
  return start === undefined ? undefined : lines.linePos(start).line
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
