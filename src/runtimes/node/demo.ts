/**
 * `meridian demo`: three regional origins, each a process of its own so that one can be killed, and a
 * gateway in front of them with everything on. The config is a file, so that it can be edited while the
 * demo runs.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../../config/errors.ts'
import { ConfigFile } from './config-file.ts'
import {
  CONTROL_TOKEN_FILE,
  DEMO_RULES,
  type DemoOriginAddress,
  demoConfig,
  demoToken,
  RULES_FILE,
} from './demo-config.ts'
import { DEMO_REGIONS } from './demo-origins.ts'
import { startDemoTraffic } from './demo-traffic.ts'
import { startGateway } from './start.ts'

export interface DemoOptions {
  /** Port of the gateway. */
  readonly port: number
  /** Port of the control interface, on 127.0.0.1. */
  readonly adminPort: number
  /** Made-up requests a second; 0 for none. */
  readonly traffic: number
}

const ORIGIN_PROGRAM = fileURLToPath(new URL('./demo-origins.js', import.meta.url))
const START_MS = 10_000

interface OriginProcess extends DemoOriginAddress {
  readonly child: ChildProcess
}

/** Runs until SIGINT or SIGTERM. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const origins: OriginProcess[] = []
  const folder = mkdtempSync(join(tmpdir(), 'meridian-demo-'))
  const cleanUp = () => {
    for (const { child } of origins) child.kill()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    for (const region of DEMO_REGIONS) origins.push(await startOrigin(region))
    const { config, signingKey } = await demoConfig(origins, options)
    const path = join(folder, 'meridian.json')
    const controlToken = randomBytes(18).toString('base64url')
    writeFileSync(join(folder, RULES_FILE), `${JSON.stringify(DEMO_RULES, null, 2)}\n`)
    writeFileSync(join(folder, CONTROL_TOKEN_FILE), controlToken, { mode: 0o600 })
    writeFileSync(path, `${JSON.stringify(config, null, 2)}\n`)
    const file = new ConfigFile(path)
    const gateway = await startGateway(file, await file.load())
    const address = (gateway.addresses[0] ?? '').replace('[::]', 'localhost')
    const stopTraffic = startDemoTraffic(address, options.traffic)
    const stop = () => {
      stopTraffic()
      void gateway.close().then(() => {
        cleanUp()
        process.exit(0)
      })
    }
    process.once('SIGINT', stop)
    process.once('SIGTERM', stop)
    process.on('SIGHUP', () => void gateway.reload())
    process.stdout.write(
      welcome({
        address,
        control: gateway.control ?? '',
        controlToken,
        path,
        origins,
        token: await demoToken(signingKey),
        traffic: options.traffic,
      }),
    )
  } catch (error) {
    cleanUp()
    throw error
  }
}

function startOrigin(region: string): Promise<OriginProcess> {
  return new Promise((resolve, reject) => {
    const child = fork(ORIGIN_PROGRAM, [region, '0'], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    })
    const timer = setTimeout(() => fail('it did not start in time'), START_MS)
    const fail = (why: string) => {
      clearTimeout(timer)
      child.kill()
      reject(
        new ConfigError([{ path: 'demo', message: `the origin ${region} cannot run: ${why}` }]),
      )
    }
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code) => fail(`it ended with ${code}`))
    let text = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const port = /"port":(\d+)/.exec(text)?.[1]
      if (port === undefined) return
      clearTimeout(timer)
      child.removeAllListeners('exit')
      child.stdout?.removeAllListeners('data')
      child.stdout?.resume()
      resolve({ region, url: `http://127.0.0.1:${port}`, child })
    })
  })
}

interface Welcome {
  readonly address: string
  readonly control: string
  readonly controlToken: string
  readonly path: string
  readonly origins: readonly OriginProcess[]
  readonly token: string
  readonly traffic: number
}

function welcome({
  address,
  control,
  controlToken,
  path,
  origins,
  token,
  traffic,
}: Welcome): string {
  const lines = origins.map(
    ({ region, url, child }) => `  ${region.padEnd(16)} ${url}  (process ${child.pid})`,
  )
  const german = origins[0]
  return `
Meridian is running: ${address}
Dashboard:           ${control}/ui/
  its token:         ${controlToken}
Control port:        ${control}  (the same token as Authorization: Bearer …)
Config:              ${path}  (edit it: changes are taken over at once)

${traffic === 0 ? '' : `Visitors:            ${traffic} made-up requests a second, from all over the world\n`}
Origins
${lines.join('\n')}

Try it
  # A German, an American and a Singaporean client: each goes to the nearest region.
  curl ${address}/ -H 'X-Forwarded-For: 91.10.0.1'
  curl ${address}/ -H 'X-Forwarded-For: 8.8.8.8'
  curl ${address}/ -H 'X-Forwarded-For: 118.200.0.1'

  # An attack is blocked.
  curl -i "${address}/?id=1%27%20OR%20%271%27=%271"

  # The second answer comes from the cache: look at Cache-Status and Age.
  curl -i ${address}/cached ; curl -i ${address}/cached

  # A route that wants a token: without it 401, with it 200.
  curl -i ${address}/private
  curl -i ${address}/private -H 'Authorization: Bearer ${token}'

  # More than 20 requests a second from one address: 429.
  curl -s -o /dev/null -w '%{http_code} ' "${address}/limited?[1-60]" ; echo

  # Why did a request go where it went?
  curl "${control}/explain?url=${address}/&ip=91.10.0.1" -H 'Authorization: Bearer ${controlToken}'

  # Kill the German client's region and ask again: the next nearest one answers.
  kill -9 ${german?.child.pid} ; curl ${address}/ -H 'X-Forwarded-For: 91.10.0.1'

Ctrl-C ends it.
`
}
