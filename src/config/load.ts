/**
 * From text to a config that can be compiled. Pure: no I/O but the injected reading of secrets.
 *
 * All problems are found in one go: syntax first; then the schema, and on what passes it the
 * references between sections and the secrets.
 */
import { checkConfig } from './check.ts'
import { type Document, formatPath, parseDocument } from './document.ts'
import { ConfigError, type ConfigProblem, type Report } from './errors.ts'
import { filesIn, type ReadFile, type ResolvedList, readFiles, resolveLists } from './files.ts'
import { type Finding, validate } from './issues.ts'
import { ConfigSchema, type MeridianConfig } from './schema.ts'
import { secretsIn } from './secret-uses.ts'
import { type ReadSecret, readSecrets, Secrets } from './secrets.ts'

export interface LoadOptions {
  /** Name of the file, for messages. */
  readonly file?: string | undefined
  /** Reads secrets; without it none is read, and none may be used afterwards. */
  readonly readSecret?: ReadSecret | undefined
  /** Reads the files that the config names; without it none is read, and lists from files are empty. */
  readonly readFile?: ReadFile | undefined
}

/** A config, and what belongs to its text. */
export interface LoadedConfig {
  readonly config: MeridianConfig
  readonly secrets: Secrets
  /** Contents of the files that the config names, by path as written. */
  readonly files: ReadonlyMap<string, string>
  /** `lists` with the values of their files. */
  readonly lists: ReadonlyMap<string, ResolvedList>
  /**
   * Collects problems while the config is compiled; paths (`routes[2].auth.issuer`) get their line and
   * column.
   */
  report(): ProblemCollector
}

export interface ProblemCollector {
  readonly report: Report
  readonly problems: readonly ConfigProblem[]
  /** @throws ConfigError when anything was reported */
  throwIfAny(): void
}

/**
 * Loads a config from its text.
 * @throws ConfigError with every problem found, each with its line and column
 */
export async function loadConfig(text: string, options: LoadOptions = {}): Promise<LoadedConfig> {
  const { config, document } = parse(text, options.file)
  let secrets = new Secrets()
  const findings = referenceFindings(config)
  if (options.readSecret !== undefined) {
    const uses = secretsIn(ConfigSchema, document.value)
    const read = await readSecrets(uses, options.readSecret)
    secrets = read.secrets
    findings.push(...read.findings)
  }
  let files: ReadonlyMap<string, string> = new Map()
  if (options.readFile !== undefined) {
    const read = await readFiles(filesIn(ConfigSchema, document.value), options.readFile)
    files = read.files
    findings.push(...read.findings)
  }
  const resolved = resolveLists(config.lists, files)
  findings.push(...resolved.findings)
  refuseIfAny(findings, document, options.file)
  return {
    config,
    secrets,
    files,
    lists: resolved.lists,
    report: () => new Problems(document, options.file),
  }
}

/**
 * Validates a text without reading secrets; synchronous.
 * @throws ConfigError
 */
export function parseConfig(text: string, file?: string): MeridianConfig {
  const { config, document } = parse(text, file)
  refuseIfAny(referenceFindings(config), document, file)
  return config
}

function parse(
  text: string,
  file: string | undefined,
): { config: MeridianConfig; document: Document } {
  const result = parseDocument(text)
  if ('problems' in result) {
    throw new ConfigError(result.problems.map((problem) => ({ ...problem, file })))
  }
  const { document } = result
  const validated = validate(ConfigSchema, document.value)
  if ('findings' in validated) throw refusal(validated.findings, document, file)
  return { config: validated.value, document }
}

function referenceFindings(config: MeridianConfig): Finding[] {
  const findings: Finding[] = []
  checkConfig(config, (path, message, hint) => findings.push({ path, message, hint }))
  return findings
}

function refuseIfAny(
  findings: readonly Finding[],
  document: Document,
  file: string | undefined,
): void {
  if (findings.length > 0) throw refusal(findings, document, file)
}

function refusal(
  findings: readonly Finding[],
  document: Document,
  file: string | undefined,
): ConfigError {
  const problems = findings.map((one) => ({
    path: formatPath(one.path),
    message: one.message,
    hint: one.hint,
    file,
    ...document.locate(one.path, one.atKey === true ? 'key' : 'value'),
  }))
  return new ConfigError(problems.sort((a, b) => a.line - b.line || a.column - b.column))
}

class Problems implements ProblemCollector {
  readonly problems: ConfigProblem[] = []
  readonly report: Report

  constructor(document: Document, file: string | undefined) {
    this.report = (path, message, hint) => {
      this.problems.push({ path, message, hint, file, ...document.locateText(path) })
    }
  }

  throwIfAny(): void {
    if (this.problems.length > 0) throw new ConfigError(this.problems)
  }
}
