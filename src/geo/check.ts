/**
 * Whether a database may answer requests: it is asked about a fixed set of addresses before it is used,
 * and compared with the one it replaces. A file can be well-formed and still be the wrong one (IPv4
 * only, another product, half the world missing).
 */
import type { IpAddress } from '../exchange.ts'
import { ipv4FromWord, ipv6FromWords } from '../http/ip.ts'
import { countryOf } from './countries.ts'
import { type Mmdb, MmdbError, NO_RECORD } from './mmdb.ts'
import { FACTS, readFacts } from './record.ts'

/** First 16 bits of the IPv6 space that the regional registries hand out most of. */
const IPV6_BLOCKS = [
  0x2001, 0x2003, 0x2400, 0x2401, 0x2402, 0x2403, 0x2404, 0x2405, 0x2406, 0x2407, 0x2408, 0x2409,
  0x240e, 0x2600, 0x2601, 0x2602, 0x2603, 0x2604, 0x2605, 0x2606, 0x2607, 0x2800, 0x2801, 0x2803,
  0x2804, 0x2a00, 0x2a01, 0x2a02, 0x2a03, 0x2a04, 0x2a05, 0x2a06, 0x2a07, 0x2a0a, 0x2c0f,
]

/**
 * Public addresses, half IPv4 and half IPv6, the same ones on every call, so that two databases are asked
 * the same questions.
 */
export function canaryAddresses(count: number): IpAddress[] {
  // Numerical Recipes' linear congruential generator; the high bits are good enough to spread addresses.
  let state = 0x9e3779b9
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return ((state >>> 16) * 65_536 + (Math.imul(state, 0x85ebca6b) >>> 16)) >>> 0
  }
  const addresses: IpAddress[] = []
  while (addresses.length < count) {
    if (addresses.length % 2 === 1) {
      const block = IPV6_BLOCKS[next() % IPV6_BLOCKS.length] as number
      addresses.push(ipv6FromWords([block * 65_536 + (next() & 0x0fff), next(), next(), next()]))
      continue
    }
    const word = next()
    const first = word >>> 24
    if (first > 0 && first < 224 && first !== 10 && first !== 127)
      addresses.push(ipv4FromWord(word))
  }
  return addresses
}

/** What a set of databases answered to the canaries. */
export interface Survey {
  readonly asked4: number
  readonly asked6: number
  /** How many of each got a country. */
  readonly known4: number
  readonly known6: number
  /** How many different countries. */
  readonly countries: number
  /** How many records could not be read. */
  readonly damaged: number
}

export function surveyDatabases(
  databases: readonly Mmdb[],
  canaries: readonly IpAddress[],
): Survey {
  const countries = new Set<string>()
  const asked = { 4: 0, 6: 0 }
  const known = { 4: 0, 6: 0 }
  let damaged = 0
  for (const ip of canaries) {
    asked[ip.family]++
    try {
      const code = countryAt(databases, ip)
      if (code === undefined) continue
      known[ip.family]++
      countries.add(code)
    } catch (error) {
      if (!(error instanceof MmdbError)) throw error
      damaged++
    }
  }
  return {
    asked4: asked[4],
    asked6: asked[6],
    known4: known[4],
    known6: known[6],
    countries: countries.size,
    damaged,
  }
}

/** The country of an address, decoded afresh. @throws MmdbError when the record is damaged */
export function countryAt(databases: readonly Mmdb[], ip: IpAddress): string | undefined {
  for (const mmdb of databases) {
    const record = mmdb.find(ip)
    if (record === NO_RECORD) continue
    const code = readFacts(mmdb.decode(record, FACTS)).country
    const country = code === null ? undefined : countryOf(code)
    if (country !== undefined) return country.code
  }
  return undefined
}

export interface CheckOptions {
  /** Accept data without IPv6: every IPv6 client is then unknown. */
  readonly allowIpv4Only: boolean
  /** What the databases in use answered to the same canaries. */
  readonly previous?: Survey | undefined
}

/** Share of IPv4 canaries that any database of the world's countries knows. */
const LEAST_IPV4_COVERAGE = 0.5
const LEAST_IPV6_COVERAGE = 0.05
/** A swap may lose at most this share of the answers. */
const MOST_LOSS = 0.2

/** @returns what speaks against using the databases, one sentence each; empty when nothing does */
export function judgeSurvey(survey: Survey, options: CheckOptions): string[] {
  const problems: string[] = []
  if (survey.damaged > 0) {
    problems.push(`${survey.damaged} of the records asked for cannot be read: the file is damaged`)
  }
  if (survey.known4 < survey.asked4 * LEAST_IPV4_COVERAGE) {
    problems.push(`it knows a country for only ${survey.known4} of ${survey.asked4} IPv4 addresses`)
  }
  if (!options.allowIpv4Only && survey.known6 < survey.asked6 * LEAST_IPV6_COVERAGE) {
    problems.push(
      `it knows a country for only ${survey.known6} of ${survey.asked6} IPv6 addresses: it seems to hold IPv4 only`,
    )
  }
  const previous = options.previous
  if (previous === undefined) return problems
  const before = previous.known4 + previous.known6
  const after = survey.known4 + survey.known6
  if (after < before * (1 - MOST_LOSS)) {
    problems.push(`it answers ${after} of the check's addresses, the one in use ${before}`)
  }
  if (survey.countries < previous.countries * (1 - MOST_LOSS)) {
    problems.push(`it has ${survey.countries} countries, the one in use ${previous.countries}`)
  }
  return problems
}
