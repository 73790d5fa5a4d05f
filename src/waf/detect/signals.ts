/**
 * Finds the literals of `signal-list.ts` in one pass and weighs them by class.
 */
import { Automaton } from './automaton.ts'
import { isWord } from './bytes.ts'
import { SIGNAL_LINES, SQL_TRIGGERS } from './signal-list.ts'
import { ATTACK_CLASSES, type AttackClass } from './types.ts'

interface Signal {
  readonly literal: string
  readonly class: number
  readonly weight: number
  /** Signals of one line are variants of one thing and count once. */
  readonly line: number
  readonly before: boolean
  readonly after: boolean
  readonly call: boolean
  readonly path: boolean
}

/** What the literals of one value say: a score and the strongest literal per class. */
export class SignalScan {
  /** By class; undefined when no literal was found. */
  scores: Float64Array | undefined
  evidence: string[] = []
  /** Words of SQL that make a full parse worth it. */
  sql = false
}

const FLAGS = /^[<>(p]+$/

function parse(): Signal[] {
  const signals: Signal[] = []
  let line = 0
  ATTACK_CLASSES.forEach((name: AttackClass, index) => {
    for (const text of SIGNAL_LINES[name] ?? []) {
      const [weight = '', second = '', ...rest] = text.split(' ')
      const flags = FLAGS.test(second) ? second : ''
      const literals = (flags === '' ? [second, ...rest] : rest).join(' ').split(' ~ ')
      for (const literal of literals) {
        signals.push({
          literal,
          class: index,
          weight: Number(weight),
          line,
          before: flags.includes('<'),
          after: flags.includes('>'),
          call: flags.includes('('),
          path: flags.includes('p'),
        })
      }
      line++
    }
  })
  return signals
}

interface Compiled {
  readonly automaton: Automaton
  /** Signals by literal index; the rest are SQL triggers. */
  readonly byLiteral: readonly (readonly Signal[])[]
  readonly lines: number
}

let compiled: Compiled | undefined

/** Built on first use: a start that inspects nothing pays nothing. */
function tables(): Compiled {
  if (compiled !== undefined) return compiled
  const index = new Map<string, Signal[]>()
  let lines = 0
  for (const signal of parse()) {
    const list = index.get(signal.literal)
    if (list === undefined) index.set(signal.literal, [signal])
    else list.push(signal)
    lines = Math.max(lines, signal.line + 1)
  }
  for (const trigger of SQL_TRIGGERS) if (!index.has(trigger)) index.set(trigger, [])
  const triggers = new Set(SQL_TRIGGERS)
  const literals = [...index.keys()]
  const byLiteral = literals.map((literal) => {
    const list = index.get(literal) ?? []
    return triggers.has(literal) ? [...list, SQL] : list
  })
  compiled = { automaton: new Automaton(literals), byLiteral, lines }
  return compiled
}

const SQL: Signal = {
  literal: '',
  class: -1,
  weight: 0,
  line: -1,
  before: false,
  after: false,
  call: false,
  path: false,
}

/** How much a path or a name weighs less inside prose and more alone. */
const PROSE_PENALTY = 18
const ALONE_BONUS = 12

/** Best weight per line for the value that is read now; zeroed by `touched` afterwards. */
let best = new Float64Array(0)
const touched: number[] = []

/**
 * @param text      one decoded value
 * @param isProse   whether the value has several words
 */
export function scanSignals(text: string, isProse: boolean): SignalScan {
  const { automaton, byLiteral, lines } = tables()
  const scan = new SignalScan()
  touched.length = 0
  if (best.length < lines) best = new Float64Array(lines)
  const found = (literal: number, end: number): void => {
    for (const signal of byLiteral[literal] as readonly Signal[]) {
      if (signal.class < 0) {
        scan.sql = true
        continue
      }
      if (signal.before && isWord(text.charCodeAt(end - signal.literal.length - 1))) continue
      if (signal.after && isWord(text.charCodeAt(end))) continue
      if (signal.call) {
        if (text.charCodeAt(end) !== 40) continue
        if (text.charCodeAt(end + 1) === 41) continue // "eval() is evil"
      }
      const weight = signal.path
        ? signal.weight + pathWeight(isProse, end === signal.literal.length)
        : signal.weight
      if (weight <= (best[signal.line] as number)) continue
      if (best[signal.line] === 0) touched.push(signal.line)
      best[signal.line] = weight
      combine(scan, signal, weight)
    }
  }
  automaton.scan(text, found)
  for (const line of touched) best[line] = 0
  return scan
}

/** A path in a sentence, at its start, or alone. */
function pathWeight(isProse: boolean, isFirst: boolean): number {
  if (!isProse) return ALONE_BONUS
  return isFirst ? 0 : -PROSE_PENALTY
}

/** Independent evidence adds half of what is left to certainty. */
function combine(scan: SignalScan, signal: Signal, weight: number): void {
  scan.scores ??= new Float64Array(ATTACK_CLASSES.length)
  const before = scan.scores[signal.class] as number
  const high = Math.max(before, weight)
  const low = Math.min(before, weight)
  scan.scores[signal.class] = Math.min(99, high + ((100 - high) * low) / 200)
  if (weight >= before) scan.evidence[signal.class] = signal.literal
}
