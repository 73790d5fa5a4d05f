/**
 * `npm run conformance:wire`: starts the gateway and runs the raw HTTP/1.1 and HTTP/2 cases of `WIRE_CASES`
 * (a folder with `wire-run.mjs` and its cases) against it. Closes with `P passed, F failed`.
 *
 * Exit code 0 when all HTTP/1.1 cases and at least 83 of 99 HTTP/2 cases (in proportion) pass.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigFile } from '../../dist/runtimes/node/config-file.js'
import { startGateway } from '../../dist/runtimes/node/start.js'

const folder = process.env.WIRE_CASES
if (folder === undefined || folder === '') {
  console.log('skipped: WIRE_CASES is not set; it names the folder of the wire cases')
  process.exit(0)
}

const scratch = mkdtempSync(join(tmpdir(), 'meridian-wire-'))
const originPort = await freePort()
const config = join(scratch, 'meridian.json')
writeFileSync(
  config,
  JSON.stringify({
    listen: {
      addresses: [
        { address: '127.0.0.1', port: 0 },
        { address: '127.0.0.1', port: 0, protocol: 'h2c' },
      ],
    },
    admin: { enabled: false },
    waf: { mode: 'off' },
    telemetry: { access: { enabled: false } },
    pools: {
      origin: { origins: [{ url: `http://127.0.0.1:${originPort}` }] },
    },
    routes: [{ match: { host: 'wire.test' }, pools: ['origin'], retry: { tries: 1 } }],
  }),
)
const file = new ConfigFile(config)
const gateway = await startGateway(file, await file.load())
const [http1 = '', http2 = ''] = gateway.addresses.map((address) =>
  address.replace('http://', '').replace('localhost', '127.0.0.1'),
)
const results = join(scratch, 'results.json')
const args = [
  join(folder, 'wire-run.mjs'),
  http1,
  String(originPort),
  '--h2',
  http2,
  '--json',
  results,
]
const runner = spawn(process.execPath, [...args, ...process.argv.slice(2)], { stdio: 'inherit' })
const code = await new Promise((resolve) => runner.on('exit', resolve))
await gateway.close()

const cases = JSON.parse(readFileSync(join(folder, 'wire-cases.json'), 'utf8')).cases
const protocolOf = new Map(cases.map((one) => [one.id, one.proto]))
const outcome = JSON.parse(readFileSync(results, 'utf8')).results
rmSync(scratch, { recursive: true })
const count = (protocol, pass) =>
  outcome.filter((one) => protocolOf.get(one.id) === protocol && one.pass === pass).length
const failed = count('h1', false)
const passed2 = count('h2', true)
const total2 = passed2 + count('h2', false)
console.log(`HTTP/1.1: ${count('h1', true)} passed, ${failed} failed`)
console.log(`HTTP/2: ${passed2} passed, ${total2 - passed2} failed`)
console.log(
  `${outcome.filter((one) => one.pass).length} passed, ${outcome.filter((one) => !one.pass).length} failed`,
)
process.exit(code === 2 || failed > 0 || passed2 < Math.ceil((total2 * 83) / 99) ? 1 : 0)

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
