/** `%{TX.score}` in arguments, messages and variables, compiled once to pieces. */
import type { Transaction } from './transaction.ts'

export type Macro = (tx: Transaction) => string

/** Compiles one reference, such as `TX.score` or `MATCHED_VAR`; undefined when it is not known. */
export type ReferenceCompiler = (reference: string) => Macro | undefined

export function hasMacro(text: string): boolean {
  return text.includes('%{')
}

/** The constant itself when there is no macro in it. */
export function compileMacro(
  text: string,
  compileReference: ReferenceCompiler,
  fail: (message: string) => never,
): string | Macro {
  if (!hasMacro(text)) return text
  const pieces: (string | Macro)[] = []
  let at = 0
  for (;;) {
    const open = text.indexOf('%{', at)
    if (open < 0) break
    const close = text.indexOf('}', open)
    if (close < 0) break
    if (open > at) pieces.push(text.slice(at, open))
    const reference = text.slice(open + 2, close)
    pieces.push(compileReference(reference) ?? fail(`the macro %{${reference}} is not known`))
    at = close + 1
  }
  if (at < text.length) pieces.push(text.slice(at))
  const [first] = pieces
  if (pieces.length === 1 && first !== undefined) return first
  return (tx) => {
    let result = ''
    for (const piece of pieces) result += typeof piece === 'string' ? piece : piece(tx)
    return result
  }
}

export function expand(macro: string | Macro, tx: Transaction): string {
  return typeof macro === 'string' ? macro : macro(tx)
}

/** As C's atoi: leading digits with an optional sign, else 0. */
export function toInteger(text: string): number {
  const number = Number.parseInt(text, 10)
  return Number.isNaN(number) ? 0 : number
}
