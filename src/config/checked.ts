/**
 * A config as data, validated where it was built: what an edge runtime starts from without parser and schema,
 * which are most of the code that a config needs.
 */
import { ConfigError, type ConfigProblem } from './errors.ts'
import type { ResolvedList } from './files.ts'
import type { LoadedConfig } from './load.ts'
import type { MeridianConfig } from './schema.ts'
import { type ReadSecret, readSecrets } from './secrets.ts'
import type { SecretRef } from './values.ts'

/** Plain data: as JSON and back it is the same. */
export interface CheckedConfig {
  /** Of the gateway that checked it; another one reads the text again. */
  readonly version: string
  readonly config: MeridianConfig
  /** Secrets that it names, with their places in the text. */
  readonly secrets: readonly PlacedSecret[]
  readonly lists: Readonly<Record<string, ResolvedList>>
}

export interface PlacedSecret {
  readonly ref: SecretRef
  /** As in problems: `iam.issuers[0].secret`. */
  readonly path: string
  readonly line: number
  readonly column: number
}

/**
 * Reads the secrets of a checked config.
 * @param files contents of the files that it names, by path as written
 * @throws ConfigError when one is missing or empty
 */
export async function openChecked(
  { config, secrets: places, lists }: CheckedConfig,
  files: Readonly<Record<string, string>>,
  readSecret: ReadSecret,
): Promise<LoadedConfig> {
  const uses = places.map(({ ref, path }) => ({ ref, path: [path] }))
  const { secrets, findings } = await readSecrets(uses, readSecret)
  if (findings.length > 0) {
    throw new ConfigError(
      findings.map(({ path: [path], message, hint }): ConfigProblem => {
        const place = places.find((each) => each.path === path)
        return { path: String(path), message, hint, line: place?.line, column: place?.column }
      }),
    )
  }
  return {
    config,
    secrets,
    files: new Map(Object.entries(files)),
    lists: new Map(Object.entries(lists)),
    report: () => new PathProblems(),
  }
}

/** Problems by their paths alone: the text is not read. */
class PathProblems {
  readonly problems: ConfigProblem[] = []
  readonly report = (path: string, message: string, hint?: string): void => {
    this.problems.push({ path, message, hint })
  }

  throwIfAny(): void {
    if (this.problems.length > 0) throw new ConfigError(this.problems)
  }
}
