/** The rules language for everything in a config that takes an expression. */
import type { Report } from '../config/errors.ts'
import type { Exchange } from '../exchange.ts'
import {
  compileExpression,
  compileValue,
  type Environment,
  ExpressionError,
  Subject,
} from '../expression/expression.ts'
import { Passage } from '../passage.ts'

export class Expressions {
  readonly environment: Environment
  readonly warnings: string[] = []

  constructor(environment: Environment) {
    this.environment = environment
  }

  /** @returns undefined after a reported problem */
  condition(text: string, path: string, report: Report): ((x: Exchange) => boolean) | undefined {
    try {
      const compiled = compileExpression(text, this.environment)
      this.#warn(path, compiled.warnings)
      return (x) => compiled.test(subjectOf(x))
    } catch (error) {
      reportExpression(error, path, report)
      return undefined
    }
  }

  /** @returns undefined after a reported problem */
  value(text: string, path: string, report: Report): ((x: Exchange) => unknown) | undefined {
    try {
      const compiled = compileValue(text, this.environment)
      this.#warn(path, compiled.warnings)
      return (x) => compiled.read(subjectOf(x))
    } catch (error) {
      reportExpression(error, path, report)
      return undefined
    }
  }

  #warn(path: string, warnings: readonly string[]): void {
    for (const warning of warnings) this.warnings.push(`${path}: ${warning}`)
  }
}

function subjectOf(x: Exchange): Subject {
  return x instanceof Passage ? x.subject : new Subject(x)
}

function reportExpression(error: unknown, path: string, report: Report): void {
  if (!(error instanceof ExpressionError)) throw error
  report(path, error.message, error.hint)
}
