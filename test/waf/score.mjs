/**
 * `npm run waf:score`: how many attacks the default scores would block and how many ordinary texts they
 * would pass, by class, placement and encoding, over the corpora of `test/waf/corpus`.
 *
 *   node test/waf/score.mjs [--verbose] [--half odd|even] [--module FILE]
 *
 * Exit status 1 when fewer than 90 % of attacks are blocked or fewer than 98 % of ordinary texts pass.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const argument = (name) => {
  const at = process.argv.indexOf(name)
  return at < 0 ? undefined : process.argv[at + 1]
}
const verbose = process.argv.includes('--verbose')
const half = argument('--half')
const file = argument('--module')
const { classify, attackScores } = file
  ? await import(pathToFileURL(file).href)
  : {
      ...(await import('../../dist/waf/detect/classify.js')),
      ...(await import('../../dist/waf/detect/score.js')),
    }

/** As in rules/managed.json. */
const BLOCK_BELOW = 20

const bytes = (text) => Buffer.from(text, 'utf8').toString('latin1')
const percentAll = (text) =>
  [...Buffer.from(text, 'utf8')].map((b) => `%${b.toString(16).padStart(2, '0')}`).join('')

const ENCODINGS = {
  plain: (text) => bytes(text),
  url: (text) => encodeURIComponent(text),
  'double-url': (text) => encodeURIComponent(encodeURIComponent(text)),
  'percent-all': percentAll,
  unicode: (text) =>
    bytes(text).replace(/[^\w ]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`),
  html: (text) => bytes(text).replace(/[^\w ]/g, (c) => `&#${c.charCodeAt(0)};`),
  base64: (text) => Buffer.from(text, 'utf8').toString('base64'),
  'base64-flat': (text) => Buffer.from(text, 'utf8').toString('base64').replaceAll('=', ''),
}

/** Placements, and the encodings that are looked at in them. */
const PLACES = {
  query: ['plain', 'url', 'double-url', 'percent-all', 'base64', 'base64-flat'],
  form: ['plain', 'url', 'base64', 'html'],
  path: ['plain', 'url', 'base64-flat'],
  json: ['plain', 'unicode', 'base64'],
  xml: ['plain', 'html'],
  header: ['plain', 'url', 'base64'],
  cookie: ['plain', 'url', 'base64'],
  'user-agent': ['plain'],
  multipart: ['plain', 'base64'],
  body: ['plain'],
}

const lines = (path) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
const corpus = (kind) => {
  const folder = join(here, 'corpus', kind)
  return readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({
      name: name.slice(0, -4),
      texts: lines(join(folder, name)).filter(
        (_, i) => half === undefined || (i % 2 === 0) === (half === 'even'),
      ),
    }))
}

function verdict(text, place) {
  const value = place === 'path' ? `/${text}` : text
  const findings = classify(value, place)
  const scores = attackScores(findings)
  return { blocked: scores.total < BLOCK_BELOW, scores }
}

function table(kind, good) {
  const totals = { right: 0, all: 0 }
  const rows = []
  for (const { name, texts } of corpus(kind)) {
    const row = { name, n: texts.length }
    for (const [place, encodings] of Object.entries(PLACES)) {
      if (name === 'scanner' && place !== 'user-agent') continue
      if (name === 'user-agents' && place !== 'user-agent' && place !== 'header') continue
      let right = 0
      let all = 0
      for (const text of texts) {
        for (const encoding of encodings) {
          if (name === 'scanner' && encoding !== 'plain') continue
          // Control characters do not survive in a path or a header as such.
          const found = verdict(ENCODINGS[encoding](text), place)
          all++
          if (good(found)) right++
          else if (verbose) {
            const w = found.scores.worst
            console.log(
              `  ${kind} ${name} ${place} ${encoding}: ${text.slice(0, 110)}${w ? `  -> ${w.class} ${w.score} ${w.evidence.slice(0, 70)} [${w.decoded}]` : ''}`,
            )
          }
        }
      }
      row[place] = `${((100 * right) / all).toFixed(1)}`
      totals.right += right
      totals.all += all
    }
    rows.push(row)
  }
  const columns = ['n', ...Object.keys(PLACES)]
  console.log(`\n${kind} (% ${kind === 'attacks' ? 'blocked' : 'passed'})`)
  console.log(['class'.padEnd(12), ...columns.map((c) => c.padStart(10))].join(''))
  for (const row of rows) {
    console.log(
      [row.name.padEnd(12), ...columns.map((c) => String(row[c] ?? '-').padStart(10))].join(''),
    )
  }
  return totals
}

const attacks = table('attacks', (v) => v.blocked)
const benign = table('benign', (v) => !v.blocked)
const rate = (t) => (100 * t.right) / t.all
console.log('\n              blocked   passed')
console.log(
  `attacks      ${String(attacks.right).padStart(8)} ${String(attacks.all - attacks.right).padStart(8)}   ${rate(attacks).toFixed(2)} % blocked`,
)
console.log(
  `ordinary     ${String(benign.all - benign.right).padStart(8)} ${String(benign.right).padStart(8)}   ${rate(benign).toFixed(2)} % passed`,
)
if (rate(attacks) < 90 || rate(benign) < 98) process.exitCode = 1
