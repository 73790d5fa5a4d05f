/**
 * What it costs to find a client's place and region, beside the usual way and beside one `app.fetch` of
 * Hono, by CPU time in one run. The answers are compared while the clock runs: a fast wrong answer ends
 * the benchmark. `npm run build && node bench/geo.mjs`
 */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import haversine from 'haversine-distance'
import { Hono } from 'hono'
import { open } from 'maxmind'
import * as v from 'valibot'
import { RegionsSection } from '../dist/config/sections/regions.js'
import { ResidencySection } from '../dist/config/sections/residency.js'
import { SteeringSection } from '../dist/config/sections/steering.js'
import { countryOf } from '../dist/geo/countries.js'
import { Mmdb } from '../dist/geo/mmdb.js'
import { GeoSlots } from '../dist/geo/place.js'
import { MmdbGeoSource } from '../dist/geo/source.js'
import { parseIp } from '../dist/http/ip.js'
import { defaultDatabasePath } from '../dist/runtimes/node/geo-file.js'
import { CLOUD_REGIONS } from '../dist/steering/cloud-regions.js'
import { compileSteering } from '../dist/steering/compile.js'
import { compileRegions } from '../dist/steering/regions.js'
import { compileResidency } from '../dist/steering/residency.js'

const ROUNDS = 5
const CLIENTS = 20_000
const RULES = 10_000

const fail = (path, message) => {
  throw new Error(`${path}: ${message}`)
}
const entries = CLOUD_REGIONS.filter((region) => region.cloud === 'alibaba')
  .slice(0, 30)
  .map((region) => ({ id: region.id, cloud: `alibaba:${region.id}`, pools: ['p'] }))
const regions = compileRegions(v.parse(RegionsSection, entries), fail)
const residency = compileResidency(
  v.parse(ResidencySection, [
    { id: 'gdpr', from: { europeanUnion: true }, allowTags: ['EU'], onUnknown: 'allow' },
  ]),
  regions,
  fail,
)
const steering = compileSteering(
  {
    regions,
    residency,
    steering: v.parse(SteeringSection, {}),
    // Every tenth has steering of its own, and with it decisions of its own.
    routes: Array.from({ length: RULES }, (_, i) => ({
      path: `routes[${i}]`,
      ...(i % 10 === 0 ? { steering: v.parse(SteeringSection, {}) } : {}),
    })),
    predicate: () => () => true,
  },
  fail,
)
const bytes = readFileSync(defaultDatabasePath())
const source = new MmdbGeoSource(new GeoSlots(), [new Mmdb(bytes)])
const reference = await open(defaultDatabasePath(), { cache: { max: 10_000 } })
const app = new Hono()
app.get('/hello', (c) => c.text('hello'))
const request = new Request('http://localhost/hello')

// A generator of its own, so that every run asks for the same clients.
let state = 20_260_601
const random = () => {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) / 2 ** 32
}
const texts = Array.from({ length: CLIENTS }, () =>
  [1 + random() * 222, random() * 256, random() * 256, random() * 256].map(Math.floor).join('.'),
)
const addresses = texts.map((text) => parseIp(text))
const health = regions.all
const steer = { clientHash: 1 }

/** Country by `maxmind`, distances by `haversine-distance`, filtered and sorted: what one would write. */
function usualWay(text) {
  const code = reference.get(text)?.country_code
  const country = code === undefined ? undefined : countryOf(code)
  if (country === undefined) return regions.at(0).id
  return regions.regions
    .filter((region) => !country.isEuropeanUnion || region.tags.includes('EU'))
    .map((region) => ({ id: region.id, metres: haversine(country, region) }))
    .sort((a, b) => a.metres - b.metres)[0].id
}
const expected = texts.map(usualWay)

/** Microseconds of CPU for each call. */
async function measure(calls, run) {
  const before = process.cpuUsage()
  await run(calls)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

const opened = Array.from({ length: 5 }, () => new Mmdb(bytes))
const seen = new Set()
const firstOfEachPlace = addresses
  .map((ip, at) => [source.lookup(ip), at])
  .filter(([place]) => !seen.has(place) && seen.add(place))
  .map(([, at]) => at)

let wrong = 0
const runs = {
  'ours: lookup and decide, warm': {
    calls: 1_000_000,
    run(calls) {
      for (let i = 0; i < calls; i++) {
        const at = i % CLIENTS
        const result = steering
          .plan(i % RULES, '')
          .decide(source.lookup(addresses[at]), steer, health)
        if (result.region !== expected[at]) wrong++
      }
    },
  },
  'ours: text parsed as well': {
    calls: 500_000,
    run(calls) {
      const plan = steering.plan(0, '')
      for (let i = 0; i < calls; i++) {
        const at = i % CLIENTS
        const result = plan.decide(source.lookup(parseIp(texts[at])), steer, health)
        if (result.region !== expected[at]) wrong++
      }
    },
  },
  'ours: first time for each place': {
    calls: opened.length * firstOfEachPlace.length,
    run() {
      opened.forEach((mmdb, route) => {
        const fresh = new MmdbGeoSource(new GeoSlots(), [mmdb])
        const plan = steering.plan(route, '')
        for (const at of firstOfEachPlace) {
          const result = plan.decide(fresh.lookup(addresses[at]), steer, health)
          if (result.region !== expected[at]) wrong++
        }
      })
    },
  },
  'maxmind.get, haversine, filter, sort': {
    calls: 20_000,
    run(calls) {
      for (let i = 0; i < calls; i++)
        if (usualWay(texts[i % CLIENTS]) !== expected[i % CLIENTS]) wrong++
    },
  },
  'maxmind.get alone': {
    calls: 100_000,
    run(calls) {
      for (let i = 0; i < calls; i++) if (reference.get(texts[i % CLIENTS]) === 0) wrong++
    },
  },
  'hono app.fetch': {
    calls: 50_000,
    async run(calls) {
      for (let i = 0; i < calls; i++) if ((await app.fetch(request)).status !== 200) wrong++
    },
  },
}
const names = Object.keys(runs)
const times = new Map(names.map((name) => [name, []]))
const startedAt = performance.now()
for (let round = 0; round < ROUNDS; round++) {
  for (const name of names) {
    const { calls, run } = runs[name]
    times.get(name).push(await measure(calls, run))
  }
}
const median = (name) => times.get(name).sort((a, b) => a - b)[ROUNDS >> 1]
const ours = median(names[0])
console.log(
  `${regions.size} regions, ${RULES} routes, ${CLIENTS} clients, ${seen.size} places; median of ${ROUNDS} rounds`,
)
for (const name of names) {
  const time = median(name)
  console.log(
    `${name.padEnd(40)} ${time.toFixed(3).padStart(9)} µs  ${(time / ours).toFixed(1).padStart(7)}`,
  )
}
const share = median('hono app.fetch') / ours
console.log(
  `warm lookup and decision: 1/${share.toFixed(0)} of an app.fetch (budget 1/20), wrong answers ${wrong}`,
)
console.log(`took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
if (wrong > 0 || share < 20) process.exitCode = 1
