/**
 * The seeded requests of the WAF's parity test, and Node's answers to them: a global setup, since workerd
 * has neither the corpora nor sockets to listen on. Nothing starts before the test asks.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import { ConfigFile } from '../../src/runtimes/node/config-file.ts'
import { startGateway } from '../../src/runtimes/node/start.ts'

const PLACES = ['query', 'path', 'form', 'json', 'multipart', 'xml', 'header', 'cookie'] as const

export interface ParityRequest {
  readonly place: (typeof PLACES)[number]
  readonly isAttack: boolean
  readonly method: string
  /** As a URL has it: what `new URL` makes of it is the same text. */
  readonly target: string
  /** Name, value, name, value; byte strings. */
  readonly headers: readonly string[]
  /** Byte string; empty for none. */
  readonly body: string
}

export interface ParityAnswer {
  readonly status: number
  readonly outcome: string
  /** Each as `rule;action=…`, in their order. */
  readonly rules: string
}

export interface ParityCase {
  readonly request: ParityRequest
  /** As enforced, and with every rule that would have matched. */
  readonly node: readonly [enforced: ParityAnswer, simulated: ParityAnswer]
}

/** All that the test needs. */
export interface ParitySetting {
  readonly config: MeridianConfigInput
  readonly hosts: readonly [enforced: string, simulated: string]
  /** Fields that both sides add. */
  readonly fields: readonly string[]
  readonly cases: readonly ParityCase[]
}

declare module 'vitest' {
  interface ProvidedContext {
    /** URL that answers with a `ParitySetting`. */
    parity: string
  }
}

const COUNT = 500
const SEED = 0x5eed
const ADDRESS = '127.0.0.1'

/** The default ruleset, on two routes; debug headers say what matched. */
const CONFIG: MeridianConfigInput = {
  listen: { addresses: [{ address: ADDRESS, port: 0 }] },
  admin: { enabled: false },
  telemetry: { access: { enabled: false }, debugHeaders: { allowFrom: [ADDRESS] } },
  routes: [
    { match: 'http.host eq "simulate.test"', waf: { mode: 'simulate' }, respond: { body: 'ok' } },
    { respond: { body: 'ok' } },
  ],
}

const HOSTS = ['enforce.test', 'simulate.test'] as const

const FIELDS = ['meridian-debug', 'please', 'cf-connecting-ip', ADDRESS] as const

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

function corpus(kind: 'attacks' | 'benign'): string[] {
  const folder = fileURLToPath(new URL(`../waf/corpus/${kind}/`, import.meta.url))
  return readdirSync(folder)
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
}

const bytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

const ENCODINGS: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text,
  encodeURIComponent,
  (text) => Buffer.from(text).toString('base64'),
  // Full-width forms.
  (text) => text.replace(/[!-~]/g, (c) => String.fromCodePoint((c.codePointAt(0) ?? 0) + 0xfee0)),
  (text) => text.replace(/[^\w ]/g, (c) => `&#${c.codePointAt(0)};`),
  (text) => text.replace(/[AEIOUaeiou]/g, (c) => (c < 'a' ? c.toLowerCase() : c.toUpperCase())),
]

/** As a field value may be: no control bytes but tabs, no white space around it. */
const fieldValue = (text: string): string =>
  bytes([...text].filter((c) => c >= ' ' || c === '\t').join('')).trim()

function requestsOf(seed: number): ParityRequest[] {
  const random = generator(seed)
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
  const texts = { attacks: corpus('attacks'), benign: corpus('benign') }
  const next = (i: number): ParityRequest => {
    const place = PLACES[i % PLACES.length] as ParityRequest['place']
    const isAttack = random() < 0.5
    const text = pick(ENCODINGS)(pick(isAttack ? texts.attacks : texts.benign))
    const name = pick(['q', 'id', 'user', 'comment', 'items[0]', 'next'])
    const headers = ['user-agent', 'Mozilla/5.0 (X11; Linux x86_64)', 'accept', '*/*']
    const common = { place, isAttack }
    const send = (type: string, body: string): ParityRequest => {
      const method = pick(['POST', 'PUT', 'PATCH'])
      const target = pick(['/', '/login', '/v1/orders?page=2'])
      const raw = bytes(body)
      const all = [...headers, 'content-type', type, 'content-length', String(raw.length)]
      return { ...common, method, target, headers: all, body: raw }
    }
    const get = (target: string): ParityRequest => {
      // What the platform's own parser leaves of the URL; the parser is not what is compared.
      const { pathname, search } = new URL(`http://gateway.test${target}`)
      return { ...common, method: 'GET', target: pathname + search, headers, body: '' }
    }
    switch (place) {
      case 'query':
        return get(`/find?page=1&${name}=${pick([encodeURIComponent, encodeURI])(text)}`)
      case 'path':
        return get(`/files/${pick([encodeURIComponent, encodeURI])(text)}`)
      case 'form':
        return send(
          'application/x-www-form-urlencoded',
          new URLSearchParams({ page: '1', [name]: text }).toString(),
        )
      case 'json':
        return send(
          'application/json; charset=utf-8',
          JSON.stringify({ [name]: [text, 1, null], deep: { er: { name: text } } }),
        )
      case 'multipart':
        return send(
          'multipart/form-data; boundary=xyz',
          `--xyz\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${text}\r\n` +
            `--xyz\r\ncontent-disposition: form-data; name="f"; filename="a.txt"\r\n` +
            `content-type: text/plain\r\n\r\n${text}\r\n--xyz--\r\n`,
        )
      case 'xml': {
        const escaped = text.replace(/[<&"]/g, (c) => `&#${c.charCodeAt(0)};`)
        return send('text/xml', `<order note="${escaped}"><item>${escaped}</item>${text}</order>`)
      }
      case 'header':
        headers.push(pick(['referer', 'x-custom', 'accept-language']), fieldValue(text))
        return get('/')
      case 'cookie':
        headers.push('cookie', `theme=dark; pref=${fieldValue(text).replaceAll(';', '%3B')}`)
        return get('/account')
    }
  }
  return Array.from({ length: COUNT }, (_, i) => next(i))
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 })

function ask(port: number, host: string, request: ParityRequest): Promise<ParityAnswer> {
  const { method, target, headers, body } = request
  return new Promise((resolve, reject) => {
    const message = httpRequest({
      host: ADDRESS,
      port,
      method,
      path: target,
      headers: ['host', host, ...FIELDS, ...headers] as never,
      agent,
    })
    message.on('error', reject)
    message.on('response', (response) => {
      const field = (name: string) => String(response.headers[name] ?? '')
      response.resume()
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          outcome: field('meridian-outcome'),
          rules: field('meridian-rules'),
        }),
      )
    })
    message.end(Buffer.from(body, 'latin1'))
  })
}

/** Puts the requests through a gateway on Node, over its socket. */
async function settingOnNode(): Promise<ParitySetting> {
  const folder = mkdtempSync(join(tmpdir(), 'meridian-parity-'))
  const quiet = { info: () => {}, warn: () => {}, error: () => {} }
  try {
    const path = join(folder, 'meridian.json')
    writeFileSync(path, JSON.stringify(CONFIG))
    const file = new ConfigFile(path)
    const running = await startGateway(file, await file.load(), { log: quiet })
    const port = running.instance.ports[0] as number
    try {
      const cases: ParityCase[] = []
      for (const request of requestsOf(SEED)) {
        const [enforced, simulated] = HOSTS
        const node = [
          await ask(port, enforced, request),
          await ask(port, simulated, request),
        ] as const
        cases.push({ request, node })
      }
      return { config: CONFIG, hosts: HOSTS, fields: FIELDS, cases }
    } finally {
      agent.destroy()
      await running.close()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Vitest's global setup. */
export async function setup(project: TestProject): Promise<() => void> {
  let setting: Promise<ParitySetting> | undefined
  const server = createServer((_, response) => {
    setting ??= settingOnNode()
    setting.then(
      (all) => response.end(JSON.stringify(all)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, ADDRESS, resolve))
  project.provide('parity', `http://localhost:${(server.address() as AddressInfo).port}`)
  return () => {
    server.close()
    server.closeAllConnections()
  }
}
