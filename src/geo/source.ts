/**
 * Where an address is, from databases in memory. A lookup walks the tree to a record and finds the place
 * kept for it; a record is decoded when it is met first.
 */
import { type Geo, type IpAddress, UNKNOWN_GEO } from '../exchange.ts'
import type { GeoSource } from '../ports.ts'
import { type Mmdb, MmdbError, NO_RECORD } from './mmdb.ts'
import type { GeoSlots } from './place.ts'
import { FACTS, readFacts } from './record.ts'

/** One open database and the places met in it so far. */
class Table {
  readonly mmdb: Mmdb
  readonly #places = new Map<number, Geo>()
  readonly #slots: GeoSlots

  constructor(mmdb: Mmdb, slots: GeoSlots) {
    this.mmdb = mmdb
    this.#slots = slots
  }

  find(ip: IpAddress): Geo {
    const record = this.mmdb.find(ip)
    if (record === NO_RECORD) return UNKNOWN_GEO
    return this.#places.get(record) ?? this.#read(record)
  }

  #read(record: number): Geo {
    let place = UNKNOWN_GEO
    try {
      place = this.#slots.place(readFacts(this.mmdb.decode(record, FACTS)), 'mmdb') ?? UNKNOWN_GEO
    } catch (error) {
      // A damaged record makes its addresses unknown; it must not fail their requests.
      if (!(error instanceof MmdbError)) throw error
    }
    this.#places.set(record, place)
    return place
  }
}

/**
 * Answers from one or more databases in order: the first that knows the address does. So a vendor's
 * separate IPv4 and IPv6 files are one source.
 */
export class MmdbGeoSource implements GeoSource {
  readonly #slots: GeoSlots
  #tables: readonly Table[] = []
  #version = 0

  constructor(slots: GeoSlots, databases: readonly Mmdb[] = []) {
    this.#slots = slots
    this.swap(databases)
  }

  get version(): number {
    return this.#version
  }

  get databases(): readonly Mmdb[] {
    return this.#tables.map((table) => table.mmdb)
  }

  /** Answers from other databases from now on; check them first (`checkDatabases`). */
  swap(databases: readonly Mmdb[]): void {
    this.#tables = databases.map((mmdb) => new Table(mmdb, this.#slots))
    this.#version++
  }

  lookup(ip: IpAddress | undefined): Geo {
    if (ip === undefined) return UNKNOWN_GEO
    for (const table of this.#tables) {
      const place = table.find(ip)
      if (place.slot !== 0) return place
    }
    return UNKNOWN_GEO
  }
}

export const NO_GEO_SOURCE: GeoSource = { lookup: () => UNKNOWN_GEO, version: 0 }
