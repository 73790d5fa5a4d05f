/**
 * Grades a cache with the public suite (npm `http-cache-tests`), which is installed apart from this project:
 *
 *   npm install --ignore-scripts --prefix DIR http-cache-tests
 *   node test/cache/grade.mjs DIR/node_modules/http-cache-tests http://127.0.0.1:PORT [ORIGINPORT]
 *
 * The gateway at that address forwards everything to 127.0.0.1:ORIGINPORT (18000), Host kept or not, with
 * profile rfc9111. Prints a line for each suite, what failed, and the sums.
 */
import { spawn } from 'node:child_process'
import http from 'node:http'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * What version 0.4.5 demands and the suite's present version does not: a broken or repeated Age was to make
 * a response stale (now it is ignored, RFC 9111 §5.1), and an error page of the cache itself counted as a
 * stored response where stale use is forbidden.
 */
const SUPERSEDED = new Set([
  'age-parse-nonnumeric',
  'age-parse-negative',
  'age-parse-float',
  'age-parse-prefix-twoline',
  'age-parse-dup-0',
  'age-parse-dup-0-twoline',
  'age-parse-dup-old',
  'age-parse-parameter',
  'age-parse-numeric-parameter',
  'stale-close-must-revalidate',
  'stale-close-proxy-revalidate',
  'stale-close-no-cache',
  'stale-close-s-maxage=2',
])

const [directory, base, originPort = '18000'] = process.argv.slice(2)
if (directory === undefined || base === undefined) {
  console.error('usage: node test/cache/grade.mjs SUITE_DIRECTORY BASE_URL [ORIGIN_PORT]')
  process.exit(2)
}
const suite = resolve(directory)
const { default: suites } = await import(pathToFileURL(join(suite, 'tests/index.mjs')).href)
const { runTests, getResults } = await import(pathToFileURL(join(suite, 'client/runner.mjs')).href)
const { default: fetch } = await import(
  pathToFileURL(join(suite, '../node-fetch/lib/index.js')).href
)

const origin = spawn(process.execPath, ['server/server.mjs'], {
  cwd: suite,
  stdio: 'ignore',
  env: {
    ...process.env,
    npm_config_protocol: 'http',
    npm_config_port: originPort,
    npm_config_pidfile: '/dev/null',
  },
})

function answers() {
  return new Promise((done) => {
    const request = http.get({ host: '127.0.0.1', port: originPort, path: '/' }, (response) => {
      response.resume()
      done(true)
    })
    request.on('error', () => done(false))
  })
}

try {
  for (let i = 0; i < 100 && !(await answers()); i++) {
    await new Promise((done) => setTimeout(done, 50))
  }
  await runTests(suites, fetch, false, base, 25)
} finally {
  origin.kill()
}

const results = getResults()
const byId = new Map(suites.flatMap((one) => one.tests.map((test) => [test.id, test])))
/** A test counts when it and all that it rests on passed. */
function passed(id) {
  return results[id] === true && (byId.get(id)?.depends_on ?? []).every(passed)
}

const sums = {}
for (const one of suites) {
  const counts = {}
  for (const test of one.tests) {
    if (test.browser_only === true) continue
    const kind = test.kind ?? 'required'
    const isSuperseded = SUPERSEDED.has(test.id)
    for (const into of [counts, sums]) {
      into[kind] ??= { passed: 0, total: 0, superseded: 0 }
      into[kind].total++
      if (passed(test.id)) into[kind].passed++
      else if (isSuperseded) into[kind].superseded++
    }
    if (!passed(test.id) && kind !== 'check') {
      const why = Array.isArray(results[test.id]) ? results[test.id][1] : 'what it rests on failed'
      console.log(`  ${kind} ${test.id}${isSuperseded ? ' (superseded)' : ''}: ${why}`)
    }
  }
  console.log(`${one.id}: ${line(counts)}`)
}
console.log(`all: ${line(sums)}`)

function line(counts) {
  return Object.entries(counts)
    .map(([kind, { passed: good, total, superseded }]) => {
      const old = superseded > 0 ? ` (${superseded} superseded)` : ''
      return `${kind} ${good}/${total}${old}`
    })
    .join(', ')
}
const { required } = sums
process.exitCode = required.passed + required.superseded === required.total ? 0 : 1
