/**
 * CPU per request of the WAF: twenty ordinary requests (bench/waf-requests.mjs) through the managed rulesets
 * and through an imported CRS, in process, with the five most costly rules of each; beside peers where they
 * are installed: nginx with libmodsecurity and the same CRS, and Datadog's in-process WAF with its own rules.
 * Only ratios mean anything on a shared machine.
 *
 *   CRS_DIR=/path/to/coreruleset node bench/waf.mjs [--pl 1] [--rounds 60] [--no-costly] [--no-peer]
 *
 * DATADOG_APPSEC names a folder whose node_modules hold @datadog/native-appsec and dd-trace (its rules).
 */
import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { WafSection } from '../dist/config/sections/waf.js'
import { Exchange, HeaderList } from '../dist/exchange.js'
import { createEnvironment, Subject } from '../dist/expression/expression.js'
import { canonicalTarget } from '../dist/http/target.js'
import { scoreSubject } from '../dist/waf/detect/score-subject.js'
import { DETECTORS } from '../dist/waf/detectors.js'
import { Engine } from '../dist/waf/engine/engine.js'
import { logLine } from '../dist/waf/engine/log-line.js'
import { importSeclang } from '../dist/waf/seclang/import.js'
import { Waf } from '../dist/waf/waf.js'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { makeEngine } from '../test/conformance/crs-suite.mjs'
import { loadAppsec } from './waf-appsec.mjs'
import { measurePeer, REPEATS as PEER_REPEATS, ROUNDS } from './waf-peer.mjs'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { REQUESTS } from './waf-requests.mjs'

const { values: flags } = parseArgs({
  options: {
    pl: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '60' },
    costly: { type: 'boolean', default: true },
    peer: { type: 'boolean', default: true },
  },
  allowNegative: true,
})
const rounds = Number(flags.rounds)
const dir = process.env.CRS_DIR
const PEER_ROUNDS = ROUNDS.with
/** Of ModSecurity's own cost, ours is to be one part in so many at most. */
const TARGET = 8

/** Best of many short runs, microseconds for each request: other processes only ever add. */
export function bestOf(requests, run) {
  for (let i = 0; i < 20; i++) for (const request of requests) run(request)
  const best = requests.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round < rounds; round++) {
    for (const [i, request] of requests.entries()) {
      const start = process.hrtime.bigint()
      for (let k = 0; k < 5; k++) run(request)
      const micros = Number(process.hrtime.bigint() - start) / 5000
      best[i] = Math.min(best[i], micros)
    }
  }
  return best
}

function runEngine(engine, request) {
  const tx = engine.begin({
    method: request.method,
    target: request.target,
    protocol: 'HTTP/1.1',
    headers: request.headers,
    remoteAddress: '192.0.2.1',
    id: 'bench',
    startedAt: 0,
  })
  tx.run(1)
  tx.message.setBody(request.body, false)
  tx.refresh()
  tx.run(2)
  tx.run(5)
  const found = tx.matches
  engine.end(tx)
  return found
}

function table(title, best) {
  console.log(`\n${title}`)
  const mean = best.reduce((sum, one) => sum + one, 0) / best.length
  for (const [i, { kind }] of REQUESTS.entries()) {
    console.log(`  ${kind.padEnd(16)} ${best[i].toFixed(1).padStart(7)} us`)
  }
  console.log(`  ${'mean'.padEnd(16)} ${mean.toFixed(1).padStart(7)} us`)
  return mean
}

/** The five with the largest share of a measured total. */
function costly(spent, what) {
  const all = [...spent].sort((a, b) => Number(b[1].nanos - a[1].nanos))
  const total = all.reduce((sum, [, { nanos }]) => sum + Number(nanos), 0)
  console.log(`  most costly, share of ${what}`)
  for (const [id, { nanos, asked }] of all.slice(0, 5)) {
    const share = ((Number(nanos) / total) * 100).toFixed(1)
    const times = Math.round(asked / COSTLY_ROUNDS)
    console.log(`    ${id.padEnd(24)} ${share.padStart(5)} %, asked ${times} times`)
  }
}

const COSTLY_ROUNDS = 100
/** Patterns are compiled when a text first comes that far. */
const WARM_ROUNDS = 50

/** A function that puts its time on an account. */
function timed(spent, id, run) {
  return (...given) => {
    const start = process.hrtime.bigint()
    const answer = run(...given)
    const nanos = process.hrtime.bigint() - start
    const entry = spent.get(id)
    if (entry === undefined) spent.set(id, { nanos, asked: 1 })
    else {
      entry.nanos += nanos
      entry.asked++
    }
    return answer
  }
}

/** Time in each rule's operators; what rules share (decoding, the prefilter) is nobody's. */
function costlySeclang(engine) {
  const spent = new Map()
  for (const rules of Object.values(engine.phases)) {
    for (const rule of rules) {
      for (const { operator } of rule.links) {
        operator.test = timed(spent, String(rule.id), operator.test)
      }
    }
  }
  for (const rounds of [WARM_ROUNDS, COSTLY_ROUNDS]) {
    spent.clear()
    for (let i = 0; i < rounds; i++) for (const request of REQUESTS) runEngine(engine, request)
  }
  costly(spent, 'the time in operators')
}

function exchangeOf(request) {
  const headers = new HeaderList(request.headers)
  const host = headers.get('host')
  return new Exchange({
    id: 'bench',
    startedAt: 0,
    method: request.method,
    scheme: 'https',
    httpVersion: '1.1',
    authority: host,
    host,
    target: canonicalTarget(request.target),
    headers,
    client: { ip: undefined, port: 0, peer: undefined, viaTrustedProxy: false, tls: null },
    body:
      request.body === ''
        ? null
        : {
            length: request.bytes.length,
            prefix: () => ({ bytes: request.bytes, truncated: false }),
            open: () => request.bytes,
            isReplayable: true,
            discard: () => {},
          },
  })
}

function nativeWaf(name, spent) {
  const problems = []
  const score =
    spent === undefined ? scoreSubject : timed(spent, '(scores, for all rules)', scoreSubject)
  const waf = new Waf(
    v.parse(WafSection, { rulesets: [name] }),
    [undefined],
    {
      environment: createEnvironment(),
      detectors: DETECTORS,
      builtIn: () => readFileSync(new URL(`../rules/${name}.json`, import.meta.url), 'utf8'),
      files: new Map(),
      score,
    },
    (path, message) => problems.push(`${path}: ${message}`),
  )
  if (problems.length > 0) throw new Error(problems.join('\n'))
  // The tests of the rules ran as well.
  spent?.clear()
  return waf
}

function runNative(route, request) {
  const exchange = exchangeOf(request)
  const pass = route.begin(new Subject(exchange))
  pass.head()
  const wanted = pass.bodyBytes
  if (exchange.body !== null) pass.body(wanted === 0 ? undefined : exchange.body.prefix(wanted))
  pass.finish()
}

function native(name) {
  const route = nativeWaf(name).route(0)
  const requests = REQUESTS.map((r) => ({ ...r, bytes: Buffer.from(r.body, 'latin1') }))
  const best = bestOf(requests, (request) => runNative(route, request))
  const mean = table(`ruleset ${name}`, best)
  if (flags.costly) {
    const spent = new Map()
    const waf = nativeWaf(name, spent)
    for (const rule of waf.native) {
      const { needsScores, id } = rule
      rule.test = timed(spent, needsScores ? `${id} (on scores)` : id, rule.test)
    }
    const measured = waf.route(0)
    for (const rounds of [WARM_ROUNDS, COSTLY_ROUNDS]) {
      spent.clear()
      for (let i = 0; i < rounds; i++) {
        for (const request of requests) runNative(measured, request)
      }
    }
    costly(spent, 'the time in rules and scores')
  }
  return mean
}

/**
 * Short texts are remembered with what was found in them; here each run brings texts that are new, as if
 * no two requests had anything in common. The truth of a site lies between the two tables.
 */
function unseen(name) {
  const route = nativeWaf(name).route(0)
  const variants = new Map()
  for (const [i, request] of REQUESTS.entries()) {
    // No number twice: requests share fields, and what one brought the other would find known.
    const all = Array.from({ length: VARIANTS }, (_, n) => variantOf(request, i * VARIANTS + n))
    variants.set(request, { at: 0, all })
  }
  const best = bestOf(REQUESTS, (request) => {
    const of = variants.get(request)
    runNative(route, of.all[of.at++ % VARIANTS])
  })
  return table(`ruleset ${name}, texts never seen before`, best)
}

/** More than are remembered at any place, over all requests. */
const VARIANTS = 400

function variantOf({ method, target, headers, body }, n) {
  const renamed = (text) => text.replace(/=([^&;]*)/g, `=$1${n}`)
  const mark = target.indexOf('?')
  const path = `${mark < 0 ? target : target.slice(0, mark)}${n}`
  const isForm = /^[^{-]/.test(body)
  const raw = isForm ? renamed(body) : body.replace(/}$/, `,"n":${n}}`)
  return {
    method,
    target: mark < 0 ? path : path + renamed(target.slice(mark)),
    headers: headers.map((text, i) => {
      const name = i % 2 === 0 ? '' : headers[i - 1].toLowerCase()
      if (name === '' || name.startsWith('content-') || name === 'host') return text
      return name === 'cookie' ? renamed(text) : `${text}${n}`
    }),
    body: raw,
    bytes: Buffer.from(raw, 'latin1'),
  }
}

/** CPU time of this process for each request, taken as the peer's is: best of three, all rounds on average. */
function cpuPerRequest(engine) {
  let best = Number.POSITIVE_INFINITY
  for (let repeat = 0; repeat < PEER_REPEATS; repeat++) {
    const before = process.cpuUsage()
    for (let round = 0; round < PEER_ROUNDS; round++) {
      for (const request of REQUESTS) runEngine(engine, request)
    }
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / (PEER_ROUNDS * REQUESTS.length))
  }
  return best
}

/** Beside nginx with libmodsecurity, the same rules. */
async function besideModSecurity(engine) {
  const peer = await measurePeer(dir, REQUESTS, flags.pl)
  console.log('\nnginx + libmodsecurity, the same rules')
  if (peer.missing !== undefined) {
    console.log(`  skipped: ${peer.missing}`)
    return
  }
  const line = (what, text) => console.log(`  ${what.padEnd(36)} ${text}`)
  const micros = (value) => `${value.toFixed(0).padStart(7)} us`
  line('worker with ModSecurity', micros(peer.with))
  line('worker without it', micros(peer.without))
  line("ModSecurity's own", micros(peer.own))
  const ours = cpuPerRequest(engine)
  line('ours, CPU likewise', micros(ours))
  line('ratio', `1/${(peer.own / ours).toFixed(1)}, at most 1/${TARGET}`)
}

function besideAppsec(mean) {
  const appsec = loadAppsec(REQUESTS)
  if (appsec.missing !== undefined) {
    console.log(`\nDatadog's WAF\n  skipped: ${appsec.missing}`)
    return
  }
  const { ruleCount, version, run } = appsec
  const its = table(
    `libddwaf ${version}, its ${ruleCount} recommended rules`,
    bestOf(REQUESTS, run),
  )
  console.log(`  ruleset managed, texts never seen before, takes ${(mean / its).toFixed(2)} of it`)
}

native('managed')
const managed = unseen('managed')
native('basic')
if (flags.peer) besideAppsec(managed)
if (dir === undefined || !existsSync(dir)) {
  console.log('\nCRS: skipped, CRS_DIR names no folder of the OWASP Core Rule Set')
} else {
  const modules = { importSeclang, Engine, logLine, detectors: DETECTORS }
  const settings = new Map([
    ['blocking_paranoia_level', flags.pl],
    ['detection_paranoia_level', flags.pl],
  ])
  const engine = makeEngine(modules, dir, { settings })
  const blocked = REQUESTS.filter((request) =>
    runEngine(engine, request).some((match) => match.id === 949110),
  )
  table(
    `CRS at paranoia level ${flags.pl}, ${engine.ruleCount} rules after pruning`,
    bestOf(REQUESTS, (request) => runEngine(engine, request)),
  )
  console.log(`  over the threshold: ${blocked.map(({ kind }) => kind).join(', ') || 'none'}`)
  if (flags.costly) costlySeclang(makeEngine(modules, dir, { settings }))
  if (flags.peer) await besideModSecurity(engine)
}
