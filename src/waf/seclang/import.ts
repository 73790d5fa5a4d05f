/**
 * SecLang files to rule JSON: rules with their chains, defaults, data files, and the updates and removals
 * that other directives make. What is not understood is an error with file and line; what has no meaning
 * in a gateway (audit logs, temporary folders) is listed in the summary.
 */

import { matchesId } from '../engine/controls.ts'
import { operatorName, pmWords } from '../engine/operators.ts'
import type {
  SeclangDefaults,
  SeclangLink,
  SeclangMarker,
  SeclangOperator,
  SeclangRule,
  SeclangRuleset,
} from '../engine/rule-schema.ts'
import { parseTarget } from '../engine/targets.ts'
import { type ReadActions, readActions, readDefaults } from './actions.ts'
import { type Directive, readDirectives, SeclangError } from './lexer.ts'
import { parseOperator, splitActions, splitTargets } from './parts.ts'

export interface SeclangFile {
  /** For messages, and to resolve data files: the path as the user gave it. */
  readonly name: string
  /** Byte string. */
  readonly text: string
}

export interface ImportInput {
  readonly name: string
  /** In the order in which they would be included. */
  readonly files: readonly SeclangFile[]
  /** Text of a data file that a rule in `from` names, as a byte string; undefined when there is none. */
  readonly data: (name: string, from: string) => string | undefined
}

export interface ImportResult {
  readonly ruleset: SeclangRuleset
  /** Directives and actions without effect here, with how often they came. */
  readonly ignored: ReadonlyMap<string, number>
}

/** Configuration of the host server: it has its own in Meridian. */
const IGNORED = new Set(
  [
    'SecArgumentSeparator',
    'SecArgumentsLimit',
    'SecAuditEngine',
    'SecAuditLog',
    'SecAuditLogDirMode',
    'SecAuditLogFileMode',
    'SecAuditLogFormat',
    'SecAuditLogParts',
    'SecAuditLogRelevantStatus',
    'SecAuditLogStorageDir',
    'SecAuditLogType',
    'SecCollectionTimeout',
    'SecConnEngine',
    'SecCookieFormat',
    'SecDataDir',
    'SecDebugLog',
    'SecDebugLogLevel',
    'SecPcreMatchLimit',
    'SecPcreMatchLimitRecursion',
    'SecRequestBodyAccess',
    'SecRequestBodyInMemoryLimit',
    'SecRequestBodyJsonDepthLimit',
    'SecRequestBodyLimit',
    'SecRequestBodyLimitAction',
    'SecRequestBodyNoFilesLimit',
    'SecResponseBodyAccess',
    'SecResponseBodyLimit',
    'SecResponseBodyLimitAction',
    'SecResponseBodyMimeType',
    'SecResponseBodyMimeTypesClear',
    'SecRuleEngine',
    'SecServerSignature',
    'SecStatusEngine',
    'SecTmpDir',
    'SecTmpSaveUploadedFiles',
    'SecUnicodeMapFile',
    'SecUploadDir',
    'SecUploadFileLimit',
    'SecUploadFileMode',
    'SecUploadKeepFiles',
    'SecWebAppId',
  ].map((name) => name.toLowerCase()),
)

/** @throws SeclangError */
export function importSeclang(input: ImportInput): ImportResult {
  return new Importer(input).run()
}

/** A rule while it is read: mutable, since later directives change it. */
interface Draft {
  targets: string[]
  rule: Omit<SeclangRule, 'targets'>
}

class Importer {
  readonly #input: ImportInput
  readonly #entries: (Draft | SeclangMarker)[] = []
  readonly #defaults: Record<string, SeclangDefaults> = {}
  readonly #lists: Record<string, string[]> = {}
  readonly #ignored = new Map<string, number>()
  readonly #places = new Map<number, Directive>()
  #version: string | undefined
  #directive: Directive = { name: '', args: [], file: '', line: 0 }
  /** The rule that waits for its next link, and that link's container. */
  #open: Draft | undefined

  constructor(input: ImportInput) {
    this.#input = input
  }

  run(): ImportResult {
    for (const file of this.#input.files) {
      for (const directive of readDirectives(file.name, file.text)) {
        this.#directive = directive
        this.#read(directive)
      }
      if (this.#open !== undefined) this.#fail('the file ends inside a chain')
    }
    return {
      ruleset: {
        ruleset: this.#input.name,
        ...(this.#version === undefined ? {} : { version: this.#version }),
        defaults: this.#defaults,
        lists: this.#lists,
        rules: this.#entries.map((entry) =>
          'marker' in entry ? entry : { ...entry.rule, targets: entry.targets },
        ),
      },
      ignored: this.#ignored,
    }
  }

  #fail(message: string): never {
    throw new SeclangError(this.#directive.file, this.#directive.line, message)
  }

  #read({ name, args }: Directive): void {
    const lower = name.toLowerCase()
    if (this.#open !== undefined && lower !== 'secrule' && lower !== 'secaction') {
      this.#fail(`a chain must go on with SecRule, not ${name}`)
    }
    switch (lower) {
      case 'secrule':
        this.#rule(args[0] ?? this.#fail('SecRule needs targets'), args[1], args[2])
        break
      case 'secaction':
        this.#rule(undefined, undefined, args[0])
        break
      case 'secmarker':
        this.#entries.push({ marker: args[0] ?? this.#fail('SecMarker needs a name') })
        break
      case 'secdefaultaction':
        this.#default(args[0] ?? '')
        break
      case 'seccomponentsignature':
        this.#version = args[0] ?? ''
        break
      case 'secruleremovebyid':
      case 'secruleremovebytag':
      case 'secruleremovebymsg':
        this.#remove(lower.slice('secruleremoveby'.length), args)
        break
      case 'secruleupdatetargetbyid':
      case 'secruleupdatetargetbytag':
      case 'secruleupdatetargetbymsg':
        this.#updateTargets(lower.slice('secruleupdatetargetby'.length), args)
        break
      case 'secruleupdateactionbyid':
        this.#updateActions(args)
        break
      default:
        if (!IGNORED.has(lower)) this.#fail(`the directive ${name} is not known`)
        this.#ignore(name)
    }
  }

  #ignore(what: string): void {
    this.#ignored.set(what, (this.#ignored.get(what) ?? 0) + 1)
  }

  #actions(text: string | undefined): ReadActions {
    const read = readActions(splitActions(text ?? ''), (message) => this.#fail(message))
    for (const name of read.ignored) this.#ignore(name)
    return read
  }

  #default(text: string): void {
    const read = this.#actions(text)
    this.#defaults[String(read.phase ?? 2)] = readDefaults(read)
  }

  #rule(
    targets: string | undefined,
    operator: string | undefined,
    actions: string | undefined,
  ): void {
    const read = this.#actions(actions)
    const list = targets === undefined ? [] : this.#targets(targets)
    const link: SeclangLink = {
      targets: list,
      ...(read.transforms.length === 0 ? {} : { transforms: read.transforms }),
      operator:
        targets === undefined
          ? { name: 'unconditionalMatch' }
          : this.#operator(operator ?? this.#fail('SecRule needs an operator')),
      ...(read.multiMatch ? { multiMatch: true } : {}),
      ...(read.capture ? { capture: true } : {}),
      ...(read.setvar.length === 0 ? {} : { setvar: read.setvar }),
      ...(read.ctl.length === 0 ? {} : { ctl: read.ctl }),
    }
    if (this.#open !== undefined) {
      if (read.id !== undefined) this.#fail('only the first rule of a chain has an id')
      const { rule } = this.#open
      this.#open.rule = {
        ...rule,
        chain: [...(rule.chain ?? []), link],
        ...(read.skipAfter === undefined ? {} : { skipAfter: read.skipAfter }),
      }
      if (read.isChained !== true) this.#open = undefined
      return
    }
    const id = read.id ?? this.#fail('a rule needs an id')
    const before = this.#places.get(id)
    if (before !== undefined) this.#fail(`the id ${id} is used at ${before.file}:${before.line}`)
    this.#places.set(id, this.#directive)
    const { targets: _, ...condition } = link
    const draft: Draft = {
      targets: list,
      rule: {
        id,
        phase: read.phase ?? 2,
        ...condition,
        action: read.action ?? 'block',
        ...described(read),
      },
    }
    this.#entries.push(draft)
    if (read.isChained === true) this.#open = draft
  }

  #targets(text: string): string[] {
    const targets = splitTargets(text)
    for (const target of targets) parseTarget(target, (message) => this.#fail(message))
    return targets
  }

  #operator(text: string): SeclangOperator {
    const parsed = parseOperator(text)
    const name =
      operatorName(parsed.name) ?? this.#fail(`the operator @${parsed.name} is not known`)
    const argument = parsed.argument ?? ''
    if (name === 'pm') {
      return { name, phrases: pmWords(argument), ...(parsed.negated ? { negated: true } : {}) }
    }
    if (name === 'pmFromFile' || name === 'ipMatchFromFile') {
      for (const file of argument.split(/\s+/)) this.#list(file)
    }
    return { ...parsed, name }
  }

  #list(name: string): void {
    if (this.#lists[name] !== undefined) return
    const text = this.#input.data(name, this.#directive.file)
    if (text === undefined) this.#fail(`the data file ${name} is missing`)
    this.#lists[name] = text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
  }

  #drafts(kind: string, text: string): Draft[] {
    const found: Draft[] = []
    for (const entry of this.#entries) {
      if ('marker' in entry) continue
      const { rule } = entry
      const isMeant =
        kind === 'id'
          ? matchesId(rule.id, text)
          : kind === 'msg'
            ? (rule.msg ?? '').includes(text)
            : (rule.tags ?? []).some((tag) => tag.includes(text))
      if (isMeant) found.push(entry)
    }
    if (found.length === 0 && !/-/.test(text))
      this.#fail(`no rule before this line has ${kind} ${text}`)
    return found
  }

  #remove(kind: string, args: readonly string[]): void {
    for (const text of args) {
      for (const draft of this.#drafts(kind, text)) {
        this.#entries.splice(this.#entries.indexOf(draft), 1)
        this.#places.delete(draft.rule.id)
      }
    }
  }

  #updateTargets(kind: string, args: readonly string[]): void {
    const [which, targets, replaced] = args
    if (which === undefined || targets === undefined) this.#fail('a rule and targets are needed')
    const added = this.#targets(targets)
    const dropped = replaced === undefined ? [] : splitTargets(replaced)
    for (const draft of this.#drafts(kind, which)) {
      draft.targets = [...draft.targets.filter((target) => !dropped.includes(target)), ...added]
    }
  }

  #updateActions(args: readonly string[]): void {
    const [which, actions] = args
    if (which === undefined || actions === undefined) this.#fail('a rule and actions are needed')
    const read = this.#actions(actions)
    if (read.id !== undefined || read.phase !== undefined || read.isChained) {
      this.#fail('id, phase and chain of a rule cannot be changed')
    }
    for (const draft of this.#drafts('id', which)) {
      const { rule } = draft
      draft.rule = {
        ...rule,
        ...described(read),
        ...(read.tags.length === 0 ? {} : { tags: [...(rule.tags ?? []), ...read.tags] }),
        ...(read.action === undefined ? {} : { action: read.action }),
        ...(read.setvar.length === 0 ? {} : { setvar: [...(rule.setvar ?? []), ...read.setvar] }),
        ...(read.ctl.length === 0 ? {} : { ctl: [...(rule.ctl ?? []), ...read.ctl] }),
        ...(read.startsClean || read.transforms.length > 0 ? { transforms: read.transforms } : {}),
      }
    }
  }
}

const DESCRIPTIVE = [
  'status',
  'location',
  'log',
  'audit',
  'msg',
  'logdata',
  'severity',
  'version',
  'revision',
  'maturity',
  'accuracy',
  'skip',
  'skipAfter',
] as const

function described(read: ReadActions): Partial<SeclangRule> {
  const entries = DESCRIPTIVE.filter((key) => read[key] !== undefined).map((key) => [
    key,
    read[key],
  ])
  const parts: Partial<SeclangRule> = Object.fromEntries(entries)
  return read.tags.length === 0 ? parts : { ...parts, tags: read.tags }
}
