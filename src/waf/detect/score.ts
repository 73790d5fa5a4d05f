/**
 * From findings to the published scores: 1 to 99, low is bad, as Cloudflare's attack score.
 */
import { ATTACK_CLASSES, type AttackClass, type Finding } from './types.ts'

/** No finding. */
export const CLEAN_SCORE = 99

/** Scores of one request: the total, and one per class. */
export interface AttackScores {
  readonly total: number
  readonly byClass: Readonly<Record<AttackClass, number>>
  /** The strongest finding, when there is one. */
  readonly worst: Finding | undefined
}

/** 100 (certain) becomes 1, 0 becomes 99. */
export function scoreOf(severity: number): number {
  return Math.max(1, Math.min(CLEAN_SCORE, Math.round(100 - severity)))
}

const CLEAN: Readonly<Record<AttackClass, number>> = Object.freeze(
  Object.fromEntries(ATTACK_CLASSES.map((name) => [name, CLEAN_SCORE])) as Record<
    AttackClass,
    number
  >,
)

export const CLEAN_SCORES: AttackScores = Object.freeze({
  total: CLEAN_SCORE,
  byClass: CLEAN,
  worst: undefined,
})

/** Scores of all findings of one request. Two classes in one request make each other likelier. */
export function attackScores(findings: readonly Finding[]): AttackScores {
  if (findings.length === 0) return CLEAN_SCORES
  const byClass: Record<AttackClass, number> = { ...CLEAN }
  let worst: Finding | undefined
  for (const finding of findings) {
    byClass[finding.class] = Math.min(byClass[finding.class], scoreOf(finding.score))
    if (worst === undefined || finding.score > worst.score) worst = finding
  }
  let second = 0
  for (const name of ATTACK_CLASSES) {
    if (worst !== undefined && name !== worst.class) second = Math.max(second, 100 - byClass[name])
  }
  const top = worst?.score ?? 0
  const total = top + ((100 - top) * Math.max(0, second - 50)) / 200
  return { total: scoreOf(total), byClass, worst }
}
