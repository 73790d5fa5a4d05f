/**
 * CPU per request of the WAF: twenty ordinary requests (bench/waf-requests.mjs) through an imported CRS and
 * through the default ruleset, in process; with a peer, nginx with libmodsecurity from Debian running the
 * same rules, where it is installed. Only ratios mean anything on a shared machine.
 *
 *   CRS_DIR=/path/to/coreruleset node bench/waf.mjs [--pl 1] [--rounds 60] [--costly]
 */
import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Exchange, HeaderList } from '../dist/exchange.js'
import { createEnvironment, Subject } from '../dist/expression/expression.js'
import { canonicalTarget } from '../dist/http/target.js'
import { DETECTORS } from '../dist/waf/detectors.js'
import { Engine } from '../dist/waf/engine/engine.js'
import { logLine } from '../dist/waf/engine/log-line.js'
import { importSeclang } from '../dist/waf/seclang/import.js'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { makeEngine } from '../test/conformance/crs-suite.mjs'
import { measurePeer } from './waf-peer.mjs'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { REQUESTS } from './waf-requests.mjs'

const { values: flags } = parseArgs({
  options: {
    pl: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '60' },
    costly: { type: 'boolean', default: false },
    peer: { type: 'boolean', default: true },
  },
  allowNegative: true,
})
const rounds = Number(flags.rounds)
const dir = process.env.CRS_DIR

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

/** Time in each rule's operators over the twenty requests; the five most costly. */
function costly(engine) {
  const spent = new Map()
  for (const rules of Object.values(engine.phases)) {
    for (const rule of rules) {
      for (const link of rule.links) {
        const { operator } = link
        const { test } = operator
        operator.test = (node, tx) => {
          const start = process.hrtime.bigint()
          const answer = test(node, tx)
          const entry = spent.get(rule.id) ?? { nanos: 0n, asked: 0 }
          entry.nanos += process.hrtime.bigint() - start
          entry.asked++
          spent.set(rule.id, entry)
          return answer
        }
      }
    }
  }
  for (let i = 0; i < 20; i++) for (const request of REQUESTS) runEngine(engine, request)
  const all = [...spent].sort((a, b) => Number(b[1].nanos - a[1].nanos))
  const total = all.reduce((sum, [, { nanos }]) => sum + Number(nanos), 0)
  console.log('\nmost costly rules (share of the time in operators)')
  for (const [id, { nanos, asked }] of all.slice(0, 5)) {
    console.log(
      `  ${id}  ${((Number(nanos) / total) * 100).toFixed(1)} %, asked ${asked / 20} times`,
    )
  }
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

async function native(name) {
  const { Waf } = await import('../dist/waf/waf.js')
  const { WafSection } = await import('../dist/config/sections/waf.js')
  const { scoreSubject } = await import('../dist/waf/detect/score-subject.js')
  const v = await import('valibot')
  const problems = []
  const waf = new Waf(
    v.parse(WafSection, { rulesets: [name] }),
    [undefined],
    {
      environment: createEnvironment(),
      detectors: DETECTORS,
      builtIn: () => readFileSync(new URL(`../rules/${name}.json`, import.meta.url), 'utf8'),
      files: new Map(),
      score: scoreSubject,
    },
    (path, message) => problems.push(`${path}: ${message}`),
  )
  if (problems.length > 0) throw new Error(problems.join('\n'))
  const route = waf.route(0)
  const requests = REQUESTS.map((r) => ({ ...r, bytes: Buffer.from(r.body, 'latin1') }))
  return bestOf(requests, (request) => {
    const exchange = exchangeOf(request)
    const pass = route.begin(new Subject(exchange))
    pass.head()
    const wanted = pass.bodyBytes
    if (exchange.body !== null) pass.body(wanted === 0 ? undefined : exchange.body.prefix(wanted))
    pass.finish()
  })
}

table('default ruleset (rules/managed.json)', await native('managed'))
table('basic ruleset (rules/basic.json)', await native('basic'))
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
  const mean = table(
    `CRS at paranoia level ${flags.pl}, ${engine.ruleCount} rules after pruning`,
    bestOf(REQUESTS, (request) => runEngine(engine, request)),
  )
  console.log(`  over the threshold: ${blocked.map(({ kind }) => kind).join(', ') || 'none'}`)
  if (flags.costly) costly(makeEngine(modules, dir, { settings }))
  if (flags.peer) {
    const peer = await measurePeer(dir, REQUESTS)
    if (peer === undefined)
      console.log('\npeer: nginx with libmodsecurity is not installed; no ratio')
    else
      console.log(
        `\nnginx + libmodsecurity, same rules: ${peer.toFixed(0)} us; ratio ${(mean / peer).toFixed(3)}`,
      )
  }
}
