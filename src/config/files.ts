/**
 * Files that a config names: certificates, keys, lists. They are read with the config, by a function
 * that the runtime brings, so that a missing one is found at load and not at the first request.
 */
import type * as v from 'valibot'
import { parseCidr } from '../http/cidr.ts'
import type { Segment } from './document.ts'
import type { Finding } from './issues.ts'
import { filePath } from './paths.ts'
import type { ListsConfig } from './sections/lists.ts'
import { isBuiltOn, viewOf, walk } from './walk.ts'

/**
 * Reads one file as text.
 * @param path as written in the config; the runtime resolves it against the config's folder
 * @returns undefined when there is no such file
 * @throws when it cannot be read
 */
export type ReadFile = (path: string) => string | undefined | Promise<string | undefined>

/** A file named in a config. */
export interface FileUse {
  readonly file: string
  readonly path: readonly Segment[]
}

/** All files that a config names, found by its schema. */
export function filesIn(schema: v.GenericSchema, value: unknown): FileUse[] {
  const uses: FileUse[] = []
  const target = viewOf(filePath)
  walk(viewOf(schema), value, (here, at, path) => {
    if (typeof at === 'string' && here.wrapped === undefined && isBuiltOn(here, target)) {
      uses.push({ file: at, path })
    }
  })
  return uses
}

/** Reads every named file once; what cannot be read becomes a finding at its place. */
export async function readFiles(
  uses: readonly FileUse[],
  read: ReadFile,
): Promise<{ files: ReadonlyMap<string, string>; findings: Finding[] }> {
  const files = new Map<string, string>()
  const findings: Finding[] = []
  for (const { file, path } of uses) {
    if (files.has(file)) continue
    try {
      const text = await read(file)
      if (text !== undefined) files.set(file, text)
      else {
        findings.push({
          path,
          message: `the file ${file} is not there`,
          hint: 'paths are relative to the config file',
        })
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown reason'
      findings.push({ path, message: `the file ${file} cannot be read: ${reason}` })
    }
  }
  return { files, findings }
}

/** A list with its values, wherever they came from. */
export interface ResolvedList {
  readonly type: 'ip' | 'number' | 'string'
  readonly values: readonly (string | number)[]
}

/** Joins inline and file lists; a bad line in a file is told with its number. */
export function resolveLists(
  lists: ListsConfig,
  files: ReadonlyMap<string, string>,
): { lists: ReadonlyMap<string, ResolvedList>; findings: Finding[] } {
  const resolved = new Map<string, ResolvedList>()
  const findings: Finding[] = []
  for (const [name, list] of Object.entries(lists)) {
    const text = list.file === undefined ? undefined : files.get(list.file)
    let values: readonly (string | number)[] = list.values ?? []
    if (text !== undefined) {
      values = parseListFile(text, list.type, (line, message) => {
        findings.push({
          path: ['lists', name, 'file'],
          message: `${list.file} line ${line}: ${message}`,
        })
      })
    }
    resolved.set(name, { type: list.type, values })
  }
  return { lists: resolved, findings }
}

/** Most bad lines that are told of one list file. */
const MAX_BAD_LINES = 5

/** One value a line; blank lines and everything after `#` are skipped. */
export function parseListFile(
  text: string,
  type: ResolvedList['type'],
  report: (line: number, message: string) => void,
): (string | number)[] {
  const values: (string | number)[] = []
  let bad = 0
  text.split('\n').forEach((raw, index) => {
    const line = raw.replace(/#.*$/, '').trim()
    if (line === '' || bad >= MAX_BAD_LINES) return
    if (type === 'ip' && parseCidr(line) === undefined) {
      bad++
      report(index + 1, 'an IP address or a CIDR without host bits is expected')
    } else if (type === 'number' && !/^-?\d{1,15}$/.test(line)) {
      bad++
      report(index + 1, 'a whole number is expected')
    } else {
      values.push(type === 'number' ? Number(line) : line)
    }
  })
  return values
}
