/**
 * Scores one request: every value of it goes through `classify`, and the worst of each class becomes the
 * score that expressions read as `meridian.waf.score` and its kin.
 */
import type { BodyView, ScoresView, Subject } from '../../expression/expression.ts'
import { classify } from './classify.ts'
import { attackScores, CLEAN_SCORE } from './score.ts'
import { ATTACK_CLASSES, type AttackClass, type Finding, type Place } from './types.ts'

/** Values that are remembered for each place: paths, names, headers and cookies come again and again. */
const MEMO_ENTRIES = 2048
/** Longest value that is remembered, characters. */
const MEMO_LENGTH = 400
/** A power of two. */
const RECENT_ENTRIES = 256

/** What the values of one place were found to be. */
class Memo {
  readonly #place: Place
  readonly #known = new Map<string, readonly Finding[]>()
  /**
   * The last value of each slot, before the map: a value fresh from the parser has no hash yet, and to
   * make one costs several times what it costs to compare it.
   */
  readonly #recent: string[] = new Array<string>(RECENT_ENTRIES).fill('')
  readonly #found: (readonly Finding[] | undefined)[] = new Array(RECENT_ENTRIES).fill(undefined)

  constructor(place: Place) {
    this.#place = place
  }

  of(value: string): readonly Finding[] {
    const { length } = value
    if (length > MEMO_LENGTH) return classify(value, this.#place)
    const mixed = length * 31 + value.charCodeAt(length >> 1) * 7 + value.charCodeAt(length - 1)
    const slot = mixed & (RECENT_ENTRIES - 1)
    const recent = this.#found[slot]
    if (recent !== undefined && this.#recent[slot] === value) return recent
    const found = this.#known.get(value) ?? this.#classified(value)
    this.#recent[slot] = value
    this.#found[slot] = found
    return found
  }

  #classified(value: string): readonly Finding[] {
    const found = classify(value, this.#place)
    if (this.#known.size >= MEMO_ENTRIES) this.#known.clear()
    this.#known.set(value, found)
    return found
  }
}

/** What a value is depends on where it stands, so each place remembers its own. */
const memos = new Map<Place, Memo>()

function memoOf(place: Place): Memo {
  let memo = memos.get(place)
  if (memo === undefined) {
    memo = new Memo(place)
    memos.set(place, memo)
  }
  return memo
}

const HEADERS = memoOf('header')
const USER_AGENTS = memoOf('user-agent')

/** Headers that are looked at elsewhere, or that the front has checked already. */
const SKIPPED = new Set(['cookie', 'host', 'content-length', 'connection'])

/** Findings in the values of one request, in the order path, query, headers, cookies, body. */
export function findingsOf(subject: Subject): Finding[] {
  const all: Finding[] = []
  const look = (value: string, place: Place) => {
    if (value.length > 1) for (const finding of memoOf(place).of(value)) all.push(finding)
  }
  const pairs = (flat: readonly string[], place: Place) => {
    for (const text of flat) look(text, place)
  }
  const { target, headers } = subject.exchange
  const mark = target.raw.indexOf('?')
  look(mark < 0 ? target.raw : target.raw.slice(0, mark), 'path')
  const query = subject.rawQueryText()
  if (query !== '') {
    if (query.includes('=')) pairs(subject.rawQueryArgs().flat, 'query')
    else look(query, 'query')
  }
  const names = headers.names()
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    if (SKIPPED.has(name)) continue
    const memo = name === 'user-agent' ? USER_AGENTS : HEADERS
    const found = memo.of(headers.flat[i * 2 + 1] as string)
    for (let k = 0; k < found.length; k++) all.push(found[k] as Finding)
  }
  if (headers.has('cookie')) pairs(subject.cookies().flat, 'cookie')
  if (subject.body !== undefined) body(subject.body, look, pairs)
  return all
}

function body(
  view: BodyView,
  look: (value: string, place: Place) => void,
  pairs: (flat: readonly string[], place: Place) => void,
): void {
  const { form, multipart, raw } = view
  if (form.length > 0) {
    pairs(form, 'form')
  } else if (multipart.length > 0) {
    for (const part of multipart) {
      look(part.name ?? '', 'form')
      look(part.filename ?? '', 'multipart')
      // The content of a file is no parameter; text without a file name is.
      const isText =
        part.filename === undefined || (part.contentType ?? 'text/').startsWith('text/')
      if (isText && !part.value.includes('\0')) look(part.value, 'multipart')
    }
  } else if (raw !== '' && !isBinary(view)) {
    look(raw, 'body')
  }
}

function isBinary(view: BodyView): boolean {
  const { mime, raw } = view
  if (mime.startsWith('image/') || mime.startsWith('application/pdf') || mime.endsWith('zip'))
    return true
  return raw.slice(0, 512).includes('\0')
}

class Scores implements ScoresView {
  readonly total: number
  readonly classes: readonly string[]
  readonly #byClass: Readonly<Record<string, number>>

  constructor(total: number, byClass: Readonly<Record<AttackClass, number>>) {
    this.total = total
    this.classes = ATTACK_CLASSES
    this.#byClass = byClass
  }

  of(attack: string): number {
    return this.#byClass[attack] ?? CLEAN_SCORE
  }
}

const CLEAN: ScoresView = Object.freeze({
  total: CLEAN_SCORE,
  classes: ATTACK_CLASSES,
  of: () => CLEAN_SCORE,
})

/**
 * Puts the scores on a subject. Call it when the body is there, or known not to come; the work is linear
 * in the size of what is inspected.
 */
export function scoreSubject(subject: Subject): void {
  const findings = findingsOf(subject)
  if (findings.length === 0) {
    subject.scores = CLEAN
    return
  }
  const { total, byClass } = attackScores(findings)
  subject.scores = new Scores(total, byClass)
}
