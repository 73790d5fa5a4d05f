/**
 * The texts that rules look at. Each becomes one node that keeps the results of its transformations and of
 * its prefilter scan; a transformation that changes nothing leads to the very same node, so that most
 * values are decoded and scanned once however many rules ask.
 */
import type { Transform } from './transforms.ts'

export class TextNode {
  readonly bytes: string
  /** Results by transformation index; undefined until first used. */
  #results: (TextNode | undefined)[] | undefined
  /** Where the scanner's answer for this text begins in the transaction's pool; -1 before the scan. */
  scanned = -1

  constructor(bytes: string) {
    this.bytes = bytes
  }

  apply(transform: Transform): TextNode {
    this.#results ??= []
    const known = this.#results[transform.index]
    if (known !== undefined) return known
    const changed = transform.apply(this.bytes)
    const result = changed === this.bytes ? this : new TextNode(changed)
    this.#results[transform.index] = result
    return result
  }
}

/** A named text, such as `ARGS:q`. */
export interface Value {
  /** As it is logged and as MATCHED_VAR_NAME shows it. */
  readonly name: string
  /** The part after the colon, lower case; empty for a single variable. */
  readonly key: string
  readonly node: TextNode
}

export function makeValue(collection: string, key: string, bytes: string): Value {
  return {
    name: key === '' ? collection : `${collection}:${key}`,
    key: key.toLowerCase(),
    node: new TextNode(bytes),
  }
}
