/** Constant folding: what is known at load is not asked per request. */
import type { Logic, Step } from './ast.ts'
import type { Constant, Typed } from './typed.ts'
import { BOOL, type Type, type Value } from './types.ts'

export function constant(type: Type, value: Value | undefined): Constant {
  return { kind: 'constant', type, value }
}

export function foldSteps(value: Value | undefined, steps: readonly Step[], type: Type): Constant {
  for (const { at } of steps) {
    if (Array.isArray(value) && typeof at === 'number') value = value[at]
    else if (value instanceof Map && typeof at === 'string') value = value.get(at)
  }
  return constant(type, value)
}

/** Leaves out constant operands of and/or, or answers the constant they decide. */
export function foldLogic(op: Logic['op'], items: readonly Typed[]): Typed | undefined {
  if (op === 'xor') {
    if (!items.every((item) => item.kind === 'constant')) return undefined
    return constant(
      BOOL,
      items.reduce((parity, item) => parity !== (item.value === true), false),
    )
  }
  const deciding = op === 'or'
  const open: Typed[] = []
  for (const item of items) {
    if (item.kind !== 'constant') open.push(item)
    else if ((item.value === true) === deciding) return constant(BOOL, deciding)
  }
  if (open.length === items.length) return undefined
  if (open.length === 0) return constant(BOOL, !deciding)
  if (open.length === 1) return open[0]
  const first = open[0] as Exclude<Typed, Constant>
  return { kind: 'logic', op, items: open, type: first.type, root: first.root }
}
