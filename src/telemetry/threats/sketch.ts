/**
 * The keys that weigh most in a stream, in fixed memory: Space-Saving (Metwally, Agrawal, El Abbadi, 2005). A
 * key whose share is above 1/capacity is always among them; a weight is never too low, and too high by at most
 * the `error` beside it.
 */

export interface HeavyKey<Key, Label> {
  readonly key: Key
  readonly label: Label
  readonly weight: number
  /** Of the weight, what may have been another key's. */
  readonly error: number
}

export class HeavyKeys<Key, Label> {
  readonly #capacity: number
  readonly #slots = new Map<Key, number>()
  readonly #keys: Key[] = []
  readonly #labels: Label[] = []
  readonly #weights: Float64Array
  readonly #errors: Float64Array
  /** Slots as a binary heap, the lightest first, and where each slot stands in it. */
  readonly #heap: Int32Array
  readonly #places: Int32Array

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#weights = new Float64Array(capacity)
    this.#errors = new Float64Array(capacity)
    this.#heap = new Int32Array(capacity)
    this.#places = new Int32Array(capacity)
  }

  get size(): number {
    return this.#keys.length
  }

  /** @param label what people call the key; kept from the first time */
  add(key: Key, label: Label, weight: number): void {
    const known = this.#slots.get(key)
    if (known !== undefined) {
      this.#weights[known] = (this.#weights[known] as number) + weight
      this.#sink(this.#places[known] as number)
      return
    }
    const size = this.#keys.length
    if (size < this.#capacity) {
      this.#keys.push(key)
      this.#labels.push(label)
      this.#slots.set(key, size)
      this.#weights[size] = weight
      this.#heap[size] = size
      this.#places[size] = size
      this.#rise(size)
      return
    }
    // The lightest gives way, and its weight may be the newcomer's.
    const slot = this.#heap[0] as number
    this.#slots.delete(this.#keys[slot] as Key)
    this.#slots.set(key, slot)
    this.#keys[slot] = key
    this.#labels[slot] = label
    const inherited = this.#weights[slot] as number
    this.#errors[slot] = inherited
    this.#weights[slot] = inherited + weight
    this.#sink(0)
  }

  /** Makes what has been counted weigh less, so that what is now stands out. */
  fade(factor: number): void {
    for (let slot = 0; slot < this.#keys.length; slot++) {
      this.#weights[slot] = (this.#weights[slot] as number) * factor
      this.#errors[slot] = (this.#errors[slot] as number) * factor
    }
  }

  /** Heaviest first. */
  top(count: number): HeavyKey<Key, Label>[] {
    const order = Array.from(this.#keys.keys())
    order.sort((a, b) => (this.#weights[b] as number) - (this.#weights[a] as number))
    return order.slice(0, count).map((slot) => ({
      key: this.#keys[slot] as Key,
      label: this.#labels[slot] as Label,
      weight: this.#weights[slot] as number,
      error: this.#errors[slot] as number,
    }))
  }

  #weightAt(place: number): number {
    return this.#weights[this.#heap[place] as number] as number
  }

  #swap(a: number, b: number): void {
    const slotA = this.#heap[a] as number
    const slotB = this.#heap[b] as number
    this.#heap[a] = slotB
    this.#heap[b] = slotA
    this.#places[slotA] = b
    this.#places[slotB] = a
  }

  #rise(from: number): void {
    let place = from
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (this.#weightAt(parent) <= this.#weightAt(place)) return
      this.#swap(place, parent)
      place = parent
    }
  }

  #sink(from: number): void {
    let place = from
    const size = this.#keys.length
    for (;;) {
      let least = place
      for (let child = 2 * place + 1; child <= 2 * place + 2 && child < size; child++) {
        if (this.#weightAt(child) < this.#weightAt(least)) least = child
      }
      if (least === place) return
      this.#swap(place, least)
      place = least
    }
  }
}
