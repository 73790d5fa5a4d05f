/** The detectors of `detect/` as the engine's `@detectSQLi` and `@detectXSS`. */
import { detectSqli } from './detect/sqli.ts'
import type { Detection } from './detect/types.ts'
import { detectXss } from './detect/xss.ts'
import type { Detectors } from './engine/operators.ts'

function evidence(detection: Detection): string | undefined {
  return detection.attack ? detection.evidence : undefined
}

export const DETECTORS: Detectors = {
  sqli: (bytes) => evidence(detectSqli(bytes)),
  xss: (bytes) => evidence(detectXss(bytes)),
}
