/**
 * Grades the cache with the public suite, npm `http-cache-tests`, through a gateway over sockets:
 *
 *   npm run conformance:cache [-- --fast] [--workers] [PROFILE…]     profiles: rfc9111, safe
 *
 * --workers asks the Worker, in workerd, instead of the gateway on Node.
 * --fast leaves out the tests that wait for seconds between their requests: half of them, and what CI runs.
 *
 * The suite is looked for in `node_modules`, then in the folder that HTTP_CACHE_TESTS names. What it
 * depends on besides, an old npm for its own scripts, is replaced by an empty package (`overrides` in
 * package.json), or it would stand before the npm that runs ours.
 *
 * Prints a line for each test that failed, a table by suite, and `required P/T, optimal P/T`; fails when a
 * test is lost that is not in the lists below.
 */
import { fork, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const PROFILES = ['rfc9111', 'safe']
/** How many tests run at a time; each waits for seconds between its requests. */
const AT_ONCE = 25

const AGE =
  'a broken or repeated Age no longer makes a response stale: it is ignored (RFC 9111 §5.1)'
const CLOSED = 'an error page of the cache itself is counted as a stored response'
/** What version 0.4.5 demands and the suite's present version does not. */
const SUPERSEDED = {
  'age-parse-nonnumeric': AGE,
  'age-parse-negative': AGE,
  'age-parse-float': AGE,
  'age-parse-prefix-twoline': AGE,
  'age-parse-dup-0': AGE,
  'age-parse-dup-0-twoline': AGE,
  'age-parse-dup-old': AGE,
  'age-parse-parameter': AGE,
  'age-parse-numeric-parameter': AGE,
  'stale-close-must-revalidate': CLOSED,
  'stale-close-proxy-revalidate': CLOSED,
  'stale-close-no-cache': CLOSED,
  'stale-close-s-maxage=2': CLOSED,
}

const CONTRADICTS =
  'the 206 has 5 bytes and says 6: it contradicts itself, and nobody can tell which bytes are missing'
const EVERYWHERE = {
  'conditional-lm-fresh-no-lm':
    'without Last-Modified the Date of the response counts (RFC 9111 §4.3.2), and the test asks with an earlier one',
  'partial-store-partial-reuse-partial': CONTRADICTS,
  'partial-store-partial-reuse-partial-byterange': CONTRADICTS,
  'partial-store-partial-reuse-partial-absent': CONTRADICTS,
  'partial-store-partial-reuse-partial-suffix': CONTRADICTS,
}
const COOKIES = 'a response with Set-Cookie and max-age alone is not for everybody'
/** What each profile gives up, and why. */
const LOST = {
  rfc9111: EVERYWHERE,
  safe: {
    ...EVERYWHERE,
    'headers-store-Set-Cookie': COOKIES,
    '304-etag-update-response-Set-Cookie': COOKIES,
    'other-set-cookie': COOKIES,
  },
}

const LENGTH = 'workerd says by itself how long a body is, or sends it in chunks'
const SEARCH = 'workerd itself answers 501 to a method that it does not know'
/** What workerd does not allow. */
const LOST_ON_WORKERS = {
  'headers-store-Content-Length': LENGTH,
  '304-etag-update-response-Content-Length': LENGTH,
  'headers-store-Transfer-Encoding': 'workerd refuses the made-up coding of the origin',
  'invalidate-M-SEARCH': SEARCH,
  'invalidate-M-SEARCH-cl': SEARCH,
  'invalidate-M-SEARCH-failed': SEARCH,
}

/**
 * Two tests have the origin send more than its Content-Length says. workerd takes what is left over for the
 * beginning of the next response on that connection, so that some other test fails with a 502. For the Worker
 * the origin uses each connection once.
 */
const ONE_REQUEST_A_CONNECTION = `data:text/javascript,${encodeURIComponent(`
  import http from 'node:http'
  const { createServer } = http
  http.createServer = (...options) =>
    createServer(...options).prependListener('request', (_, response) => {
      response.shouldKeepAlive = false
    })
`)}`

const suite = suiteFolder()
if (suite === undefined) {
  console.log(
    'skipped: http-cache-tests is not installed, and HTTP_CACHE_TESTS names no folder of it',
  )
  process.exit(0)
}
const asked = process.argv.slice(2)
const isFast = asked.includes('--fast')
/** In workerd instead of Node. */
const onWorkers = asked.includes('--workers')
const named = asked.filter((argument) => !argument.startsWith('--'))
if (process.env.GRADED_PROFILE !== undefined) await gradeInChild(process.env.GRADED_PROFILE)
else await gradeAll(named)

function suiteFolder() {
  const named = process.env.HTTP_CACHE_TESTS
  const own = fileURLToPath(new URL('../../node_modules/http-cache-tests', import.meta.url))
  const folder = existsSync(own) ? own : named === undefined ? undefined : resolve(named)
  return folder !== undefined && existsSync(join(folder, 'tests/index.mjs')) ? folder : undefined
}

// One profile, in a process of its own: the suite keeps its results in a module ---------------------

async function gradeInChild(profile) {
  const load = (file) => import(pathToFileURL(join(suite, file)).href)
  const { default: all } = await load('tests/index.mjs')
  const suites = isFast ? withoutPauses(all) : all
  const { runTests, getResults } = await load('client/runner.mjs')
  const { default: fetch } = await import(
    pathToFileURL(join(modulesOf(suite), 'node-fetch/lib/index.js')).href
  )
  const originPort = await freePort()
  const preload = onWorkers ? ['--import', ONE_REQUEST_A_CONNECTION] : []
  const origin = spawn(process.execPath, [...preload, 'server/server.mjs'], {
    cwd: suite,
    stdio: 'ignore',
    env: {
      ...process.env,
      npm_config_protocol: 'http',
      npm_config_port: String(originPort),
      npm_config_pidfile: '/dev/null',
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'meridian-cache-suite-'))
  let gateway
  try {
    await until(() => answers(originPort))
    gateway = await startGatewayFor(originPort, profile, folder)
    await runTests(suites, fetch, false, gateway.base, AT_ONCE)
    const tests = suites.flatMap((one) =>
      one.tests.map(({ id, kind, depends_on, browser_only }) => ({
        suite: one.id,
        id,
        kind: kind ?? 'required',
        dependsOn: depends_on ?? [],
        isForBrowsers: browser_only === true,
      })),
    )
    process.send({ tests, results: getResults() })
  } finally {
    origin.kill()
    await gateway?.close()
    rmSync(folder, { recursive: true, force: true })
    process.disconnect()
  }
}

/** The tests that neither pause nor rest on one that does. */
function withoutPauses(suites) {
  const byId = new Map(suites.flatMap(({ tests }) => tests.map((test) => [test.id, test])))
  const isFastOne = (test) =>
    test !== undefined &&
    !test.requests.some((request) => request.pause_after || request.response_pause) &&
    (test.depends_on ?? []).every((id) => isFastOne(byId.get(id)))
  return suites.map((one) => ({ ...one, tests: one.tests.filter(isFastOne) }))
}

/** The config, as JSON: one origin, many errors on purpose, and nobody else could take its place. */
function configFor(originPort, profile) {
  return JSON.stringify({
    listen: { addresses: [{ address: '127.0.0.1', port: 0 }], methods: ['M-SEARCH'] },
    admin: { enabled: false },
    waf: { mode: 'off' },
    shutdown: { drain: '100ms' },
    telemetry: { access: { enabled: false } },
    cache: { profile },
    pools: { suite: { origins: [{ id: 'suite', url: `http://127.0.0.1:${originPort}` }] } },
    routes: [{ id: 'suite', pools: ['suite'], cache: {}, retry: { tries: 1 } }],
  })
}

async function startGatewayFor(originPort, profile, folder) {
  if (onWorkers) return startWorkerFor(originPort, profile)
  const { ConfigFile } = await import('../../dist/runtimes/node/config-file.js')
  const { startGateway } = await import('../../dist/runtimes/node/start.js')
  const file = join(folder, 'meridian.json')
  writeFileSync(file, configFor(originPort, profile))
  const config = new ConfigFile(file, { pollMs: 0 })
  const quiet = { info: () => {}, warn: () => {}, error: (text, more) => console.error(text, more) }
  const gateway = await startGateway(config, await config.load(), { log: quiet })
  return {
    base: `http://127.0.0.1:${gateway.instance.ports[0]}`,
    close: () => gateway.close(),
  }
}

/** The Worker in workerd; loopback stands for the internet. */
async function startWorkerFor(originPort, profile) {
  const { Miniflare } = await import('miniflare')
  const { workerBundle } = await import('../../bench/lib/worker-bundle.mjs')
  const script = await workerBundle({
    stdin: {
      contents: `import { createWorker } from './dist/runtimes/workers/worker.js'
        const quiet = { info() {}, warn() {}, error: console.error }
        export default createWorker({ config: ${JSON.stringify(configFor(originPort, profile))} }, { log: quiet })`,
      resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
    },
    external: ['node:*', 'cloudflare:*'],
  })
  const worker = new Miniflare({
    modules: true,
    script: new TextDecoder().decode(script),
    compatibilityDate: '2026-04-01',
    compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
    bindings: { PLATFORM: 'local' },
    cf: false,
    host: '127.0.0.1',
    port: 0,
  })
  return { base: (await worker.ready).origin, close: () => worker.dispose() }
}

function modulesOf(folder) {
  const inside = join(folder, 'node_modules')
  return existsSync(join(inside, 'node-fetch')) ? inside : dirname(folder)
}

function freePort() {
  return new Promise((done) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => done(port))
    })
  })
}

function answers(port) {
  return new Promise((done) => {
    const request = http.get({ host: '127.0.0.1', port, path: '/' }, (response) => {
      response.resume()
      done(true)
    })
    request.on('error', () => done(false))
  })
}

async function until(holds) {
  for (let i = 0; i < 200; i++) {
    if (await holds()) return
    await new Promise((done) => setTimeout(done, 50))
  }
  throw new Error('the origin of the suite does not answer')
}

// All profiles, and the table -------------------------------------------------------------------------

async function gradeAll(asked) {
  const profiles = asked.length > 0 ? asked : PROFILES
  const { version } = JSON.parse(readFileSync(join(suite, 'package.json'), 'utf8'))
  console.log(`http-cache-tests ${version}`)
  const tables = new Map()
  let unlisted = 0
  const run = isFast ? Promise.all(profiles.map(runChild)) : undefined
  for (const [at, profile] of profiles.entries()) {
    const graded = grade(run === undefined ? await runChild(profile) : (await run)[at])
    tables.set(profile, graded)
    for (const { id, kind, why, reason } of graded.lost) {
      console.log(`${profile} ${kind} ${id}: ${why}`)
      console.log(`  ${reason ?? 'NOT LISTED'}`)
      if (reason === undefined) unlisted++
    }
  }
  console.log(table(tables))
  for (const [profile, { sums }] of tables) {
    console.log(
      `${profile}: ${Object.entries(sums)
        .map(([k, s]) => `${k} ${text(s)}`)
        .join(', ')}`,
    )
  }
  process.exitCode = unlisted === 0 ? 0 : 1
}

function runChild(profile) {
  return new Promise((done, failed) => {
    const child = fork(fileURLToPath(import.meta.url), asked, {
      execArgv: ['--no-warnings'],
      env: { ...process.env, GRADED_PROFILE: profile },
    })
    let outcome
    child.on('message', (message) => {
      outcome = message
    })
    child.on('exit', (code) => {
      if (outcome === undefined) failed(new Error(`profile ${profile}: ended with ${code}`))
      else done({ profile, ...outcome })
    })
  })
}

function grade({ profile, tests, results }) {
  const byId = new Map(tests.map((test) => [test.id, test]))
  /** A test counts when it and all that it rests on passed. */
  const passed = (id) => results[id] === true && (byId.get(id)?.dependsOn ?? []).every(passed)
  const suites = new Map()
  const sums = {}
  const lost = []
  for (const { suite: name, id, kind, isForBrowsers } of tests) {
    if (isForBrowsers) continue
    if (!suites.has(name)) suites.set(name, {})
    const reason =
      SUPERSEDED[id] ?? LOST[profile]?.[id] ?? (onWorkers ? LOST_ON_WORKERS[id] : undefined)
    for (const into of [suites.get(name), sums]) {
      into[kind] ??= { passed: 0, total: 0, superseded: 0 }
      into[kind].total++
      if (passed(id)) into[kind].passed++
      else if (id in SUPERSEDED) into[kind].superseded++
    }
    if (passed(id) || kind === 'check') continue
    const result = results[id]
    lost.push({
      id,
      kind,
      reason,
      why: Array.isArray(result) ? result[1] : 'what it rests on failed',
    })
  }
  return { suites, sums, lost }
}

function table(tables) {
  const [first] = tables.values()
  const head = ['suite', ...[...tables.keys()].map((name) => `${name}: required, optimal, check`)]
  const rows = [...first.suites.keys()].map((name) => [
    name,
    ...[...tables.values()].map(({ suites }) =>
      ['required', 'optimal', 'check'].map((kind) => text(suites.get(name)[kind])).join(', '),
    ),
  ])
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at].length)))
  return [head, ...rows]
    .map((row) => row.map((cell, at) => cell.padEnd(widths[at])).join('  '))
    .join('\n')
}

function text(count) {
  if (count === undefined) return '–'
  const { passed, total, superseded } = count
  return superseded > 0 ? `${passed}+${superseded}/${total}` : `${passed}/${total}`
}
