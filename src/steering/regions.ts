/**
 * Regions as steering sees them: numbered in the order of the config, coordinates as unit vectors, sets of
 * regions as bit masks of two words.
 */

import { nearestName, type Report } from '../config/errors.ts'
import type { RegionsConfig } from '../config/sections/regions.ts'
import { CLOUD_REGIONS, type CloudRegion, findCloudRegion } from './cloud-regions.ts'

/** A set of regions: bit i of `low` is region i, of `high` region 32 + i. */
export interface RegionMask {
  readonly low: number
  readonly high: number
}

export const NO_REGIONS: RegionMask = Object.freeze({ low: 0, high: 0 })

export function isInMask(low: number, high: number, index: number): boolean {
  return ((index < 32 ? low : high) & (1 << (index & 31))) !== 0
}

export function maskOf(indexes: Iterable<number>): RegionMask {
  let low = 0
  let high = 0
  for (const index of indexes) {
    if (index < 32) low |= 1 << index
    else high |= 1 << (index & 31)
  }
  return { low, high }
}

/** Everything but `index`. */
export function maskWithout(mask: RegionMask, index: number): RegionMask {
  return {
    low: index < 32 ? mask.low & ~(1 << index) : mask.low,
    high: index < 32 ? mask.high : mask.high & ~(1 << (index & 31)),
  }
}

export interface Region {
  readonly index: number
  readonly id: string
  /** Degrees. */
  readonly latitude: number
  readonly longitude: number
  readonly tags: readonly string[]
  readonly pools: readonly string[]
  /** Per cent, -99 to 99; see `biasedCost`. */
  readonly bias: number
  /** 0 to 1. */
  readonly dial: number
  readonly drain: boolean
  /** Requests a second, and under way; Infinity when not limited. */
  readonly maxRequestsPerSecond: number
  readonly maxInflight: number
  /** Share of origins up, 0 to 1, below which clients are shed; for the health board. */
  readonly spillBelow: number
  /** Price for each GB that leaves the region. */
  readonly egressPrice: number
  readonly hostname: string | undefined
}

export class RegionTable {
  readonly regions: readonly Region[]
  readonly size: number
  /** All regions. */
  readonly all: RegionMask
  readonly drained: RegionMask
  /** Whether any region lets in only a part of its traffic by `dial`. */
  readonly hasDial: boolean
  readonly #byId: ReadonlyMap<string, number>
  /** Unit vectors, three numbers a region. */
  readonly #vectors: Float64Array

  constructor(regions: readonly Region[]) {
    this.regions = regions
    this.size = regions.length
    this.all = maskOf(regions.keys())
    this.drained = maskOf(regions.filter((region) => region.drain).map((region) => region.index))
    this.hasDial = regions.some((region) => region.dial < 1)
    this.#byId = new Map(regions.map((region) => [region.id, region.index]))
    this.#vectors = new Float64Array(regions.length * 3)
    for (const region of regions) {
      this.#vectors.set(unitVector(region.latitude, region.longitude), region.index * 3)
    }
  }

  indexOf(id: string): number | undefined {
    return this.#byId.get(id)
  }

  ids(): string[] {
    return this.regions.map((region) => region.id)
  }

  /** @throws RangeError when there is no such region: indexes come from this table. */
  at(index: number): Region {
    const region = this.regions[index]
    if (region === undefined) throw new RangeError(`no region ${index}`)
    return region
  }

  /** Regions with at least one of the tags. */
  withTags(tags: readonly string[]): RegionMask {
    return maskOf(
      this.regions
        .filter((region) => region.tags.some((tag) => tags.includes(tag)))
        .map((region) => region.index),
    )
  }

  /**
   * Square of the straight line through the earth from a point, in earth radii: rises with the distance,
   * and is cheaper. NaN when the point is not known.
   */
  squaredChord(from: readonly [number, number, number], index: number): number {
    const at = index * 3
    const dx = from[0] - (this.#vectors[at] as number)
    const dy = from[1] - (this.#vectors[at + 1] as number)
    const dz = from[2] - (this.#vectors[at + 2] as number)
    return dx * dx + dy * dy + dz * dz
  }

  /** Kilometres from a point, as the crow flies on a sphere; NaN when the point is not known. */
  distanceKm(from: readonly [number, number, number], index: number): number {
    // By the chord: near the point itself the dot product of unit vectors has no digits left.
    const half = Math.sqrt(this.squaredChord(from, index)) / 2
    return EARTH_DIAMETER_KM * Math.asin(Math.min(1, half))
  }
}

/** Mean diameter, IUGG: 2 (2a + b) / 3. */
const EARTH_DIAMETER_KM = 2 * 6371.0088
const RADIANS = Math.PI / 180

/** The point on the unit sphere; three times NaN when a coordinate is NaN. */
export function unitVector(latitude: number, longitude: number): [number, number, number] {
  const across = Math.cos(latitude * RADIANS)
  return [
    across * Math.cos(longitude * RADIANS),
    across * Math.sin(longitude * RADIANS),
    Math.sin(latitude * RADIANS),
  ]
}

/** Compiles the `regions` section; every mistake goes to `report`. */
export function compileRegions(config: RegionsConfig, report: Report): RegionTable {
  const seen = new Set<string>()
  const regions = config.map((entry, index): Region => {
    const path = `regions[${index}]`
    if (seen.has(entry.id)) report(`${path}.id`, `there are two regions with the id "${entry.id}"`)
    seen.add(entry.id)
    const known = cloudOf(entry, path, report)
    return {
      index,
      id: entry.id,
      latitude: entry.latitude ?? known?.latitude ?? Number.NaN,
      longitude: entry.longitude ?? known?.longitude ?? Number.NaN,
      tags: entry.tags ?? known?.tags ?? [],
      pools: entry.pools,
      bias: entry.bias,
      dial: entry.dial / 100,
      drain: entry.drain,
      maxRequestsPerSecond: entry.capacity?.requestsPerSecond ?? Number.POSITIVE_INFINITY,
      maxInflight: entry.capacity?.inflight ?? Number.POSITIVE_INFINITY,
      spillBelow: entry.spillBelow / 100,
      egressPrice: entry.egressPrice,
      hostname: entry.hostname,
    }
  })
  return new RegionTable(regions)
}

function cloudOf(
  entry: RegionsConfig[number],
  path: string,
  report: Report,
): CloudRegion | undefined {
  const found = findCloudRegion(entry.cloud ?? entry.id)
  if (typeof found === 'object') return found
  // With coordinates and tags of its own, a region may bear any name.
  const needsTable = entry.latitude === undefined || entry.tags === undefined
  if (found === 'ambiguous' && needsTable) {
    const clouds = CLOUD_REGIONS.filter((region) => region.id === entry.id)
    report(
      `${path}.id`,
      `clouds use "${entry.id}" for different places`,
      `say which: ${clouds.map((region) => `"cloud": "${region.cloud}:${region.id}"`).join(' or ')}`,
    )
  } else if (found === undefined && entry.cloud !== undefined) {
    report(`${path}.cloud`, `no cloud region "${entry.cloud}" is known`, suggestion(entry.cloud))
  } else if (found === undefined && entry.latitude === undefined) {
    report(
      `${path}`,
      `"${entry.id}" is no known cloud region and has no coordinates`,
      suggestion(entry.id) ?? 'give "latitude" and "longitude"',
    )
  }
  return undefined
}

function suggestion(name: string): string | undefined {
  const ids = CLOUD_REGIONS.map((region) =>
    name.includes(':') ? `${region.cloud}:${region.id}` : region.id,
  )
  const nearest = nearestName(name, ids)
  return nearest === undefined ? undefined : `did you mean "${nearest}"?`
}
