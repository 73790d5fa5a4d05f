/** A hash of a short body that comes in pieces: for telling whether two are equal, not for secrets. */

export class BodyHash {
  readonly #most: number
  #length = 0
  #a = 0x811c9dc5
  #b = 0x9747b28c

  /** @param most bytes; of a longer body nothing is said */
  constructor(most: number) {
    this.#most = most
  }

  get isTooLong(): boolean {
    return this.#length > this.#most
  }

  add(chunk: Uint8Array): void {
    this.#length += chunk.length
    if (this.isTooLong) return
    let a = this.#a
    let b = this.#b
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number
      a = Math.imul(a ^ byte, 0x01000193)
      b = Math.imul(b ^ byte, 0x85ebca6b) ^ (b >>> 15)
    }
    this.#a = a
    this.#b = b
  }

  /** Length and 64 bits; undefined when it was too long. */
  get text(): string | undefined {
    if (this.isTooLong) return undefined
    return `${this.#length}-${(this.#a >>> 0).toString(16)}-${(this.#b >>> 0).toString(16)}`
  }
}
