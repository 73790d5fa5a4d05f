/** Actions of a rule, read into its JSON form. An action that is not known is an error, never dropped. */
import type { SeclangDefaults, SeclangRule, SeclangSetvar } from '../engine/rule-schema.ts'
import { transformByName } from '../engine/transforms.ts'
import type { ActionText } from './parts.ts'

/** What the actions of one directive say. */
export interface ReadActions {
  id?: number
  phase?: SeclangRule['phase']
  action?: SeclangRule['action']
  status?: number
  location?: string
  log?: boolean
  audit?: boolean
  msg?: string
  logdata?: string
  severity?: string
  version?: string
  revision?: string
  maturity?: string
  accuracy?: string
  skip?: number
  skipAfter?: string
  isChained?: boolean
  capture?: boolean
  multiMatch?: boolean
  tags: string[]
  transforms: string[]
  /** Whether `t:none` was said: inherited transformations are dropped. */
  startsClean: boolean
  setvar: SeclangSetvar[]
  ctl: [string, string][]
  /** Actions that are accepted and mean nothing here, by name. */
  ignored: string[]
}

const PHASE_NAMES: Readonly<Record<string, SeclangRule['phase']>> = {
  '1': 1,
  '2': 2,
  '3': 3,
  '4': 4,
  '5': 5,
  request: 2,
  response: 4,
  logging: 5,
}

const SEVERITIES = ['EMERGENCY', 'ALERT', 'CRITICAL', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG']

/** Persistent collections, audit details and host environment: there is nothing for them to act on. */
const WITHOUT_EFFECT = new Set([
  'initcol',
  'setsid',
  'setuid',
  'setrsc',
  'setenv',
  'expirevar',
  'deprecatevar',
  'sanitisearg',
  'sanitisematched',
  'sanitisematchedbytes',
  'sanitiserequestheader',
  'sanitiseresponseheader',
])

/** @param fail called with a message for what cannot be understood; throws */
export function readActions(
  actions: readonly ActionText[],
  fail: (message: string) => never,
): ReadActions {
  const read: ReadActions = {
    tags: [],
    transforms: [],
    startsClean: false,
    setvar: [],
    ctl: [],
    ignored: [],
  }
  for (const { name, value } of actions) {
    const needed = (): string => value ?? fail(`the action ${name} needs a value`)
    const whole = (): number => {
      const text = needed()
      return /^\d+$/.test(text) ? Number(text) : fail(`the action ${name} needs a whole number`)
    }
    switch (name) {
      case 'id':
        read.id = whole()
        break
      case 'phase':
        read.phase =
          PHASE_NAMES[needed().toLowerCase()] ?? fail(`there is no phase "${value}", only 1 to 5`)
        break
      case 'block':
      case 'deny':
      case 'drop':
      case 'pass':
        read.action = name
        break
      case 'allow':
        read.action = readAllow(value, fail)
        break
      case 'redirect':
        read.action = 'redirect'
        read.location = needed()
        break
      case 'status':
        read.status = whole()
        break
      case 'log':
        read.log = true
        break
      case 'nolog':
        read.log = false
        read.audit = false
        break
      case 'auditlog':
        read.audit = true
        break
      case 'noauditlog':
        read.audit = false
        break
      case 'msg':
        read.msg = needed()
        break
      case 'logdata':
        read.logdata = needed()
        break
      case 'severity':
        read.severity = severityName(needed(), fail)
        break
      case 'ver':
        read.version = needed()
        break
      case 'rev':
        read.revision = needed()
        break
      case 'maturity':
        read.maturity = needed()
        break
      case 'accuracy':
        read.accuracy = needed()
        break
      case 'tag':
        read.tags.push(needed())
        break
      case 'skip':
        read.skip = whole()
        break
      case 'skipafter':
        read.skipAfter = needed()
        break
      case 'chain':
        read.isChained = true
        break
      case 'capture':
        read.capture = true
        break
      case 'multimatch':
        read.multiMatch = true
        break
      case 't':
        if (needed().toLowerCase() === 'none') {
          read.transforms = []
          read.startsClean = true
        } else {
          const transform = transformByName(needed())
          if (transform === undefined) fail(`the transformation t:${value} is not known`)
          read.transforms.push(transform.name)
        }
        break
      case 'setvar':
        read.setvar.push(readSetvar(needed()))
        break
      case 'ctl':
        read.ctl.push(readControl(needed(), fail))
        break
      default:
        if (!WITHOUT_EFFECT.has(name)) fail(`the action ${name} is not known`)
        read.ignored.push(name)
    }
  }
  return read
}

function readAllow(value: string | undefined, fail: (m: string) => never): SeclangRule['action'] {
  if (value === undefined) return 'allow'
  if (value === 'phase') return 'allow:phase'
  return value === 'request' ? 'allow:request' : fail(`allow:${value} is not known`)
}

function severityName(text: string, fail: (m: string) => never): string {
  const name = /^\d$/.test(text) ? SEVERITIES[Number(text)] : text.toUpperCase()
  return name !== undefined && SEVERITIES.includes(name)
    ? name
    : fail(`the severity ${text} is not known`)
}

/** `tx.a=1`, `tx.a=+%{tx.b}`, `tx.a=-1`, `!tx.a`, `tx.a` (which sets 1). */
function readSetvar(text: string): SeclangSetvar {
  if (text.startsWith('!')) return ['delete', text.slice(1), '']
  const equals = text.indexOf('=')
  if (equals < 0) return ['set', text, '1']
  const name = text.slice(0, equals).trim()
  const value = text.slice(equals + 1)
  if (value.startsWith('+')) return ['add', name, value.slice(1)]
  if (/^-(\d|%\{)/.test(value)) return ['subtract', name, value.slice(1)]
  return ['set', name, value]
}

export const CONTROLS: ReadonlyMap<string, string> = new Map(
  [
    'auditEngine',
    'auditLogParts',
    'debugLogLevel',
    'forceRequestBodyVariable',
    'forceResponseBodyVariable',
    'parseXmlIntoArgs',
    'requestBodyAccess',
    'requestBodyLimit',
    'requestBodyProcessor',
    'responseBodyAccess',
    'responseBodyLimit',
    'ruleEngine',
    'ruleRemoveById',
    'ruleRemoveByMsg',
    'ruleRemoveByTag',
    'ruleRemoveTargetById',
    'ruleRemoveTargetByMsg',
    'ruleRemoveTargetByTag',
  ].map((name) => [name.toLowerCase(), name]),
)

function readControl(text: string, fail: (m: string) => never): [string, string] {
  const equals = text.indexOf('=')
  const name = CONTROLS.get(text.slice(0, equals < 0 ? text.length : equals).toLowerCase())
  if (name === undefined || equals < 0) return fail(`ctl:${text} is not known`)
  return [name, text.slice(equals + 1)]
}

/** SecDefaultAction, as far as `block` and logging go. */
export function readDefaults(read: ReadActions): SeclangDefaults {
  const action = read.action
  return {
    action:
      action === undefined ||
      action === 'block' ||
      action === 'allow:phase' ||
      action === 'allow:request'
        ? 'pass'
        : action,
    ...(read.status === undefined ? {} : { status: read.status }),
    ...(read.log === undefined ? {} : { log: read.log }),
    ...(read.audit === undefined ? {} : { audit: read.audit }),
  }
}
