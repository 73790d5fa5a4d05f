/**
 * The content codings of one stored body, each made once. They belong to the bytes: responses that a 304
 * freshened share them, and they go when the store lets the response go.
 */

/** What V8 and the runtime add to each coding that is kept, bytes. */
const OVERHEAD = 256

export class BodyCodings {
  readonly #kept = new Map<string, Uint8Array>()
  readonly #underWay = new Map<string, Promise<Uint8Array>>()
  /** What the kept ones cost. */
  bytes = 0

  /**
   * @param make  encodes; asked once for all who want the variant at the same time
   * @param admit whether the store takes the cost upon itself; what it does not take is not kept
   * @returns at once what is kept
   */
  of(
    variant: string,
    make: () => Promise<Uint8Array>,
    admit: (codings: BodyCodings, cost: number) => boolean,
  ): Uint8Array | Promise<Uint8Array> {
    const known = this.#kept.get(variant) ?? this.#underWay.get(variant)
    if (known !== undefined) return known
    const made = make()
      .then((bytes) => {
        if (admit(this, bytes.byteLength + OVERHEAD)) this.#kept.set(variant, bytes)
        return bytes
      })
      .finally(() => this.#underWay.delete(variant))
    this.#underWay.set(variant, made)
    return made
  }

  /** Bytes by variant. */
  sizes(): Record<string, number> {
    return Object.fromEntries(
      [...this.#kept].map(([variant, { byteLength }]) => [variant, byteLength]),
    )
  }
}
