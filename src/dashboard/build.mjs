/**
 * Builds the dashboard into `dist/dashboard`: one script, one style sheet, the land as simplified TopoJSON, a
 * page that names them. Names hold a hash of what is in them. Fails when all together are above the budget.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { quantize } from 'topojson-client'
import { presimplify, simplify } from 'topojson-simplify'

/** All files together, gzip. */
const BUDGET_BYTES = 90 * 1024
/** Triangles smaller than this, in square degrees, do not show on the map. */
const LEAST_AREA = 0.6
const GRID = 2000

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url))
const out = path('../../dist/dashboard/')

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })

function hashed(stem, extension, text) {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 8).toUpperCase()
  const name = `${stem}-${digest}.${extension}`
  writeFileSync(`${out}${name}`, text)
  return name
}

function land() {
  const source = createRequire(import.meta.url).resolve('world-atlas/land-110m.json')
  const fine = presimplify(JSON.parse(readFileSync(source, 'utf8')))
  return JSON.stringify(quantize(simplify(fine, LEAST_AREA), GRID))
}

const landName = hashed('land', 'json', land())

const result = await build({
  entryPoints: { app: path('app.tsx') },
  outdir: out,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  jsx: 'automatic',
  jsxImportSource: 'preact',
  entryNames: '[name]-[hash]',
  legalComments: 'none',
  define: { LAND_FILE: JSON.stringify(landName) },
  metafile: true,
  logLevel: 'warning',
})

const names = Object.keys(result.metafile.outputs).map((name) => basename(name))
const script = names.find((name) => name.endsWith('.js'))
const style = names.find((name) => name.endsWith('.css'))
writeFileSync(
  `${out}index.html`,
  readFileSync(path('page.html'), 'utf8')
    .replace('href="app.css"', `href="${style}"`)
    .replace('src="app.js"', `src="${script}"`),
)
writeFileSync(`${out}icon.svg`, readFileSync(path('icon.svg')))

let total = 0
for (const name of readdirSync(out)) {
  total += gzipSync(readFileSync(`${out}${name}`), { level: 9 }).length
}
const used = `dashboard: ${(total / 1024).toFixed(1)} of ${BUDGET_BYTES / 1024} KiB (gzip)`
if (total > BUDGET_BYTES) {
  console.error(`${used}: too large`)
  process.exit(1)
}
console.log(used)
