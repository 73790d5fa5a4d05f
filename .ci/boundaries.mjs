/**
 * Who may import whom. Reads the import statements of `src/` and fails on any edge that the table below does
 * not allow, on platform modules outside the runtimes and the command, and on import cycles between folders.
 * `node .ci/boundaries.mjs [FOLDER]`; the table is the one in docs/architecture.md.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'

const root = process.argv[2] ?? 'src'

const DOMAINS = [
  'geo',
  'steering',
  'health',
  'upstream',
  'waf',
  'limits',
  'iam',
  'cache',
  'telemetry',
  'routing',
]
const BASE = ['exchange', 'ports', 'http']
const SHARED = [...BASE, 'config', 'expression']
const GATEWAY = ['gateway', 'passage', 'snapshot', 'steps', 'compile']
const CORE = [...SHARED, ...DOMAINS, ...GATEWAY]

/** Layer → what it may import besides itself. */
const MAY = {
  exchange: [],
  ports: ['exchange'],
  http: ['exchange', 'ports'],
  config: [...BASE],
  expression: [...BASE, 'config'],
  ...Object.fromEntries(DOMAINS.map((domain) => [domain, SHARED])),
  ...Object.fromEntries(GATEWAY.map((part) => [part, CORE])),
  admin: CORE,
  index: [...CORE, 'admin', 'runtimes'],
  runtimes: [...CORE, 'admin'],
  cli: [...CORE, 'admin', 'runtimes'],
  dashboard: ['exchange', 'config', 'telemetry', 'cache', 'admin'],
}

/** Packages that touch the platform, and packages that only some layers need. */
const PACKAGES = [
  {
    pattern: /^(node:|undici$|cloudflare:|maxmind$|mmdb-lib$|@hono\/node-server)/,
    layers: ['runtimes', 'cli'],
  },
  { pattern: /^hono(\/|$)/, layers: ['admin', 'runtimes', 'index'] },
  { pattern: /^jose(\/|$)/, layers: ['iam', 'runtimes'] },
  { pattern: /^(openid-client|oauth4webapi)$/, layers: ['runtimes'] },
  { pattern: /^lru-cache$/, layers: ['cache', 'iam', 'limits', 'runtimes'] },
  { pattern: /^(commander|yaml)$/, layers: ['cli'] },
  { pattern: /^(preact|uplot|d3-geo|topojson-client)(\/|$)/, layers: ['dashboard'] },
]

const IMPORT =
  /^\s*(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* sources(path)
    else if (/\.tsx?$/.test(entry.name) && !/\.(test|fixture)\.ts$/.test(entry.name)) yield path
  }
}

/** `src/http/ip.ts` is in layer `http`, `src/ports.ts` in layer `ports`. */
function layerOf(path) {
  const [first] = relative(root, path).split('/')
  return first.replace(/\.tsx?$/, '')
}

const problems = []
let files = 0
let edges = 0
for (const file of sources(root)) {
  files++
  const layer = layerOf(file)
  const allowed = MAY[layer]
  if (allowed === undefined) {
    problems.push(`${file}: there is no layer "${layer}" in the table`)
    continue
  }
  for (const match of readFileSync(file, 'utf8').matchAll(IMPORT)) {
    const specifier = match[1] ?? match[2]
    edges++
    if (specifier.startsWith('.')) {
      const target = normalize(join(dirname(file), specifier))
      if (target.startsWith('..') || !target.startsWith(root)) continue
      const other = layerOf(target)
      if (other !== layer && !allowed.includes(other)) {
        problems.push(`${file}: ${layer} may not import ${other} (${specifier})`)
      }
      // What runs in a browser shares shapes with the gateway, never code.
      if (layer === 'dashboard' && other !== layer && !/^\s*import type\s/.test(match[0])) {
        problems.push(`${file}: dashboard may import only types of ${other} (${specifier})`)
      }
      const [runtime, otherRuntime] = [file, target].map(
        (path) => relative(root, path).split('/')[1],
      )
      if (
        layer === 'runtimes' &&
        other === 'runtimes' &&
        runtime !== otherRuntime &&
        otherRuntime !== 'web'
      ) {
        problems.push(`${file}: the runtime ${runtime} may not import the runtime ${otherRuntime}`)
      }
      continue
    }
    for (const { pattern, layers } of PACKAGES) {
      if (pattern.test(specifier) && !layers.includes(layer)) {
        problems.push(`${file}: ${layer} may not import ${specifier}`)
      }
    }
  }
}
// A check that reads nothing would always pass.
if (files < 50 || edges < 100) problems.push(`only ${files} files with ${edges} imports were read`)
for (const problem of problems) console.error(problem)
console.log(`boundaries: ${files} files, ${edges} imports, ${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)
