export interface Stage {
  /** `rule-test` or, with several stages, `rule-test.stage`. */
  readonly id: string
  readonly input: Record<string, unknown>
  readonly output: Record<string, unknown>
}
export interface StageResult {
  readonly id: string
  readonly reasons: readonly string[]
  readonly logged: readonly number[]
}
export interface EngineModules {
  readonly importSeclang: typeof import('../../src/waf/seclang/import.ts').importSeclang
  readonly Engine: typeof import('../../src/waf/engine/engine.ts').Engine
  readonly logLine: typeof import('../../src/waf/engine/log-line.ts').logLine
  readonly vet: typeof import('../../src/http/front.ts').vet
  readonly problems: typeof import('../../src/http/problem.ts').PROBLEMS
  readonly detectors: import('../../src/waf/engine/operators.ts').Detectors
}
export interface Deviation {
  readonly stage: string
  readonly reason: string
}
export type View = 'raw' | 'fetch'
export function readStages(dir: string): Stage[]
export function importCrs(
  modules: Pick<EngineModules, 'importSeclang'>,
  dir: string,
): ReturnType<typeof import('../../src/waf/seclang/import.ts').importSeclang>
export function makeEngine(
  modules: EngineModules,
  dir: string,
  options?: { settings?: ReadonlyMap<string, string>; ruleset?: unknown },
): import('../../src/waf/engine/engine.ts').Engine
export function runStage(
  modules: EngineModules,
  engine: import('../../src/waf/engine/engine.ts').Engine,
  stage: Stage,
  view?: View,
): StageResult
export const TEST_SETTINGS: ReadonlyMap<string, string>
