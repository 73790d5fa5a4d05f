/**
 * The texts that rules look at. Each becomes one node that keeps the results of its transformations and of
 * its prefilter scan; a transformation that changes nothing leads to the very same node, so that most
 * values are decoded and scanned once however many rules ask.
 */
import type { Transform } from './transforms.ts'

export class TextNode {
  readonly bytes: string
  /** Bits of transformations that are known to change nothing. */
  #unchanged = 0
  /** Other results: transformation index, node, index, node. */
  #results: (number | TextNode)[] | undefined
  /** Where the scanner's answer for this text begins in the transaction's pool; -1 before the scan. */
  scanned = -1

  constructor(bytes: string) {
    this.bytes = bytes
  }

  /** Whether each of the transformations is known to change nothing; see `bitsOf`. */
  isKeptBy(bits: number): boolean {
    return (this.#unchanged & bits) === bits
  }

  apply(transform: Transform): TextNode {
    const { index, bit } = transform
    if ((this.#unchanged & bit) !== 0) return this
    const known = this.#results
    if (known !== undefined) {
      for (let i = 0; i < known.length; i += 2) {
        if (known[i] === index) return known[i + 1] as TextNode
      }
    }
    const changed = transform.apply(this.bytes)
    const isSame = changed === this.bytes
    if (isSame && bit !== 0) {
      this.#unchanged |= bit
      return this
    }
    const result = isSame ? this : new TextNode(changed)
    if (known === undefined) this.#results = [index, result]
    else known.push(index, result)
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
