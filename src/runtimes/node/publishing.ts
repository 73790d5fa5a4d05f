/**
 * How a file of the config is published: checked with everything it belongs to, written whole, taken into use
 * by every process; when one refuses it after all, the text before it comes back.
 */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { IfMatch, Published, SourceText, TextProblem } from '../../admin/publish-view.ts'
import { ConfigError, type ConfigProblem } from '../../config/errors.ts'
import { GeoSlots } from '../../geo/place.ts'
import type { ConfigBundle, ConfigFile } from './config-file.ts'
import type { Asker } from './control.ts'
import { rehearsal } from './explain.ts'
import type { Instance } from './instance.ts'
import { currentText, readOnlyReason, reasonOf, replaceFile } from './replace-file.ts'

/** What the primary asks of a worker about the files of the config. */
export type PublishQuestion =
  | { readonly ask: 'publish-reload' }
  | { readonly ask: 'publish-restore'; readonly path: string; readonly text: string }

export type Written =
  | { readonly outcome: 'written'; readonly path: string; readonly before: string }
  | Exclude<Published, { readonly outcome: 'published' | 'failed' }>

/** Null: it is in use; a text says why not. */
export type Reloaded = string | null

export function etagOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

export async function sourceText(path: string): Promise<SourceText> {
  const text = await currentText(path)
  return { text, etag: etagOf(text), readOnly: await readOnlyReason(path) }
}

export async function answerAboutPublishing(
  instance: Instance,
  file: ConfigFile,
  question: PublishQuestion,
): Promise<unknown> {
  if (question.ask === 'publish-restore') {
    await replaceFile(question.path, question.text)
    return true
  }
  return reload(instance, file)
}

async function reload(instance: Instance, file: ConfigFile): Promise<Reloaded> {
  try {
    const bundle = await file.load()
    await instance.settled()
    // The watch may have been faster.
    if (bundle.hash === instance.bundle.hash) return null
    return (await instance.reload(bundle)) ? null : (instance.lastError ?? 'it does not compile')
  } catch (error) {
    instance.reloadFailed(error)
    return error instanceof Error ? error.message : String(error)
  }
}

/**
 * What would be wrong with the running gateway's config if some of its files held these texts.
 * @param texts by absolute path
 */
export async function problemsWith(
  instance: Instance,
  file: ConfigFile,
  texts: ReadonlyMap<string, string>,
): Promise<{ readonly bundle: ConfigBundle } | { readonly problems: readonly TextProblem[] }> {
  try {
    const bundle = await file.rehearse(texts)
    await rehearsal(bundle, instance.geo, new GeoSlots(), instance)
    return { bundle }
  } catch (error) {
    if (error instanceof ConfigError) {
      return { problems: error.problems.map((problem) => textProblem(problem, file.path)) }
    }
    const message = error instanceof Error ? error.message : String(error)
    return { problems: [{ path: '', message }] }
  }
}

/** Without the name of the file that was sent. */
export function textProblem(problem: ConfigProblem, sent: string): TextProblem {
  const { path, message, hint, file, line, column } = problem
  const isOther = file !== undefined && basename(file) !== basename(sent)
  return {
    path,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(isOther ? { file } : {}),
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
  }
}

const turns = new WeakMap<ConfigFile, Promise<unknown>>()

/**
 * Compares, checks and writes. One after another, or two callers who saw the same text would both replace it.
 * @param check problems of the text in its place
 */
export function writeChecked(
  file: ConfigFile,
  path: string,
  text: string,
  ifMatch: IfMatch,
  check: () => Promise<readonly TextProblem[]>,
): Promise<Written> {
  const run = async (): Promise<Written> => {
    const { text: before, etag, readOnly } = await sourceText(path)
    if (readOnly !== null) return { outcome: 'unavailable', why: readOnly }
    if (ifMatch !== '*' && !ifMatch.includes(etag)) return { outcome: 'stale', etag }
    const problems = await check()
    if (problems.length > 0) return { outcome: 'invalid', problems }
    try {
      await replaceFile(path, text)
    } catch (error) {
      return { outcome: 'unavailable', why: reasonOf(error) }
    }
    return { outcome: 'written', path, before }
  }
  const done = (turns.get(file) ?? Promise.resolve()).then(run)
  turns.set(
    file,
    done.catch(() => {}),
  )
  return done
}

/** Takes what was written into use everywhere, or puts back what was there. */
export async function takeIntoUse(
  asker: Asker,
  text: string,
  written: Written,
): Promise<Published> {
  if (written.outcome !== 'written') return written
  const { path, before } = written
  const reloaded = (await asker.all({ ask: 'publish-reload' })) as Reloaded[]
  const refusals = reloaded.filter((one) => one !== null)
  const of = asker.size()
  if (refusals.length === 0 && reloaded.length === of) {
    return { outcome: 'published', etag: etagOf(text), workers: reloaded.length, of }
  }
  await asker.first({ ask: 'publish-restore', path, text: before })
  await asker.all({ ask: 'publish-reload' })
  const why = refusals[0] ?? `only ${reloaded.length} of ${of} worker processes answered`
  return { outcome: 'failed', why }
}
