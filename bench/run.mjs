/**
 * `npm run bench`: Meridian beside its peers, in one run on one machine. Each server is a process of its
 * own, autocannon another; rounds are interleaved, so that a busy moment hits everybody. What counts is
 * the CPU time of the server for each request, and the ratio to the first of the group; absolute figures
 * say more about the machine.
 *
 *   --quick            few short rounds
 *   --json             figures as JSON on stdout
 *   --only=TEXT        contenders whose name contains TEXT, and the first of each group
 *   --group=TEXT       groups whose title contains TEXT
 *   --connections=N    connections of the load generator (32)
 *   --profile          also where the gateway's CPU time went (which costs some: compare no ratios)
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { GROUPS } from './lib/contenders.mjs'
import { HEADERS, startLoad } from './lib/load.mjs'
import { ownFolder } from './lib/meridian.mjs'
import { hottest } from './lib/profile.mjs'
import { summarise, table } from './lib/report.mjs'
import { canMeasureCpu, cpuSeconds, startPeer } from './lib/server-process.mjs'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    group: { type: 'string' },
    connections: { type: 'string', default: '32' },
    profile: { type: 'boolean', default: false },
  },
})
const connections = Number(options.connections)
const rounds = options.quick ? 3 : 7
const seconds = options.quick ? 2 : 5
const say = options.json ? () => {} : (text) => process.stderr.write(`${text}\n`)

/** One answer, looked at: a server that answers fast but wrongly must not win. */
async function verify(contender, path) {
  const get = () => fetch(contender.server.url + path, { headers: HEADERS })
  await (await get()).arrayBuffer()
  const answer = await get()
  const body = await answer.arrayBuffer()
  if (answer.status !== 200 || body.byteLength !== 1024) {
    throw new Error(`answers ${answer.status} with ${body.byteLength} bytes`)
  }
  if (contender.hit && !/\bhit\b/.test(answer.headers.get('cache-status') ?? '')) {
    throw new Error(`no cache hit: cache-status is ${answer.headers.get('cache-status')}`)
  }
}

async function round(contender, path, load, duration) {
  const { server } = contender
  const before = canMeasureCpu ? cpuSeconds(server.pid) : undefined
  const result = await load.run(server.url + path, duration, connections)
  if (before !== undefined) result.cpuSeconds = cpuSeconds(server.pid) - before
  return result
}

async function runGroup(group, world, load) {
  const contenders = group.contenders
    .filter(({ name }, i) => i === 0 || options.only === undefined || name.includes(options.only))
    .map((contender) => ({ ...contender, rounds: [] }))
  try {
    for (const contender of contenders) {
      try {
        contender.server = await contender.start(contender.name, world)
        await verify(contender, group.path)
        await round(contender, group.path, load, Math.max(1, seconds / 2))
      } catch (error) {
        contender.error = error.message
      }
    }
    for (let i = 1; i <= rounds; i++) {
      say(`${group.title}: round ${i} of ${rounds}`)
      for (const contender of contenders) {
        if (contender.error !== undefined) continue
        contender.rounds.push(await round(contender, group.path, load, seconds))
      }
    }
  } finally {
    for (const { server } of contenders) await server?.stop()
  }
  return contenders.map((contender) => summarise(contender, contenders[0]))
}

function printProfiles(summaries) {
  for (const { name, error } of summaries) {
    const own = ownFolder(name, folder)
    if (error !== undefined || !existsSync(own)) continue
    console.log(`\nSelf time of ${name}\n${hottest(own).join('\n')}`)
  }
}

const folder = mkdtempSync(join(tmpdir(), 'meridian-bench-'))
const load = startLoad()
const origin = await startPeer('origin')
try {
  const world = { origin: origin.url, folder, profiled: options.profile }
  const results = []
  for (const group of GROUPS) {
    if (options.group !== undefined && !group.title.includes(options.group)) continue
    const summaries = await runGroup(group, world, load)
    results.push({ title: group.title, contenders: summaries })
    if (!options.json) console.log(table(group.title, summaries))
    if (options.profile) printProfiles(summaries)
  }
  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length }
  if (options.json) console.log(JSON.stringify({ machine, rounds, seconds, connections, results }))
  else
    console.log(`\nNode ${machine.node}, ${machine.cores} cores; ${rounds} rounds of ${seconds} s.`)
  const incomplete = results.some(({ contenders }) =>
    contenders.some((one) => one.error !== undefined || one.failures > 0),
  )
  if (incomplete) process.exitCode = 1
} finally {
  load.stop()
  await origin.stop()
  rmSync(folder, { recursive: true, force: true })
}
