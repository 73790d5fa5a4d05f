/**
 * `npm run waf:fuzz`: seeded random and mutated requests through the parsers and the whole WAF of the built
 * package. No request may throw or cost more than its budget, and what is serialised must be parsed to the
 * same pairs. A fault names the number of its request: the same seed gives the same request.
 *
 *   [CRS_DIR=/path/to/coreruleset] node test/waf/fuzz.mjs [--count 10000] [--seed 1]
 *
 * Exit status 1 when there is a fault.
 */
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import * as v from 'valibot'
import { RouteWafSection, WafSection } from '../../dist/config/sections/waf.js'
import { Exchange, HeaderList } from '../../dist/exchange.js'
import { createEnvironment, Subject } from '../../dist/expression/expression.js'
import { parseIp } from '../../dist/http/ip.js'
import { canonicalTarget } from '../../dist/http/target.js'
import { nodeDecoder } from '../../dist/runtimes/node/decoder.js'
import { builtInRuleset } from '../../dist/runtimes/node/rulesets.js'
import { cookiePairs } from '../../dist/waf/body/cookies.js'
import { flattenJson } from '../../dist/waf/body/json.js'
import { DEFAULT_BODY_LIMITS } from '../../dist/waf/body/limits.js'
import { parseMultipart } from '../../dist/waf/body/multipart.js'
import { decodedPairs } from '../../dist/waf/body/urlencoded.js'
import { flattenXml } from '../../dist/waf/body/xml.js'
import { scoreSubject } from '../../dist/waf/detect/score-subject.js'
import { DETECTORS } from '../../dist/waf/detectors.js'
import { ResponseWindow } from '../../dist/waf/response-window.js'
import { importSeclang } from '../../dist/waf/seclang/import.js'
import { Waf } from '../../dist/waf/waf.js'
// biome-ignore lint/correctness/useImportExtensions: the declarations are beside it as .d.mts
import { importCrs } from '../conformance/crs-suite.mjs'

const LIMITS = DEFAULT_BODY_LIMITS
/** Far above what the slowest request takes; a backtracking matcher takes minutes. */
const SLOW_MS = 2000
/** The gateway's default; a request of a few KiB that needs more of it than this is a fault. */
const WORK_BUDGET = 1 << 28
const MAX_FAULTS = 20

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'X-ODD']
const WORDS = [
  ...['id', 'q', 'user', 'name', 'file', 'a[b]', 'page', '__proto__', 'constructor', ''],
  ...["' or 1=1 -- ", 'union select 1,2', '<script>alert(1)</script>', '../../etc/passwd'],
  ...[`\${jndi:ldap://x}`, '$(id)', '{{7*7}}', 'javascript:alert(1)', '%252e%252e', '\0', '\r\n'],
  ...[
    'http://169.254.169.254/',
    '&#x3c;',
    '%u003c',
    '\\x3c',
    '/*!50000*/',
    '"onload="',
    '{"$ne":1}',
  ],
  ...[
    '\xc3\xa9',
    '\xff\xfe',
    '\xc0\xaf',
    '日',
    '=cmd|',
    '<?php ',
    '<!DOCTYPE x [',
    '<![CDATA[',
    ']]>',
  ],
]
const TYPES = [
  'application/x-www-form-urlencoded',
  'application/json',
  'multipart/form-data; boundary=b',
  'multipart/form-data; boundary="b b"',
  'multipart/form-data',
  'application/xml',
  'text/xml; charset=utf-16',
  'application/graphql',
  'text/plain; charset=utf-7',
  '',
  ';;;',
]
const NAMES = [
  ...['Accept', 'User-Agent', 'Cookie', 'Referer', 'X-Forwarded-For', 'Authorization', 'Range'],
  ...['Accept-Language', 'Origin', 'Content-Language', 'X-Odd', 'Content-Type', 'If-Match'],
]

const latin1 = (text) => Buffer.from(text, 'utf8').toString('latin1')

/** Mulberry32: one number is the whole state. */
class Dice {
  #state
  constructor(seed) {
    this.#state = seed >>> 0
  }
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  below(n) {
    return Math.floor(this.next() * n)
  }
  chance(p) {
    return this.next() < p
  }
  pick(list) {
    return list[this.below(list.length)]
  }
  /** Byte string; short ones are more frequent. */
  bytes(most, low = 0, high = 256) {
    const length = this.below(this.below(most) + 1)
    let text = ''
    for (let i = 0; i < length; i++) text += String.fromCharCode(low + this.below(high - low))
    return text
  }
  text() {
    switch (this.below(4)) {
      case 0:
        return this.bytes(24)
      case 1:
        return this.bytes(16, 97, 123)
      case 2:
        return latin1(this.pick(WORDS))
      default:
        return latin1(this.pick(WORDS)) + this.bytes(8, 32, 127) + latin1(this.pick(WORDS))
    }
  }
  list(most, make) {
    return Array.from({ length: this.below(most + 1) }, make)
  }
}

/** A few bytes changed, cut, repeated or moved. */
function mutated(dice, text) {
  let result = text
  for (let i = dice.below(4); i > 0; i--) {
    const at = dice.below(result.length + 1)
    const to = Math.min(result.length, at + dice.below(16))
    switch (dice.below(5)) {
      case 0:
        result = result.slice(0, at) + dice.bytes(6) + result.slice(to)
        break
      case 1:
        result = result.slice(0, at)
        break
      case 2:
        result = result.slice(0, to) + result.slice(at)
        break
      case 3:
        result = result.slice(0, at) + dice.text() + result.slice(at)
        break
      default:
        result =
          result.slice(0, at) + result.slice(at, to).repeat(dice.below(200)) + result.slice(to)
    }
  }
  return result.slice(0, 16 * 1024)
}

const percent = (code) => `%${code.toString(16).padStart(2, '0')}`
function formEncoded(dice, text) {
  let result = ''
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const isPlain = /[A-Za-z0-9._~-]/.test(text[i])
    if (code === 32 && dice.chance(0.5)) result += '+'
    else result += isPlain && dice.chance(0.9) ? text[i] : percent(code)
  }
  return result
}

/** Each kind of body: its type, its text, and the pairs that a parser must give; undefined for none. */
const BODIES = {
  form(dice) {
    const pairs = dice.list(8, () => ({ name: dice.text(), value: dice.text() }))
    const text = pairs.map((p) => `${formEncoded(dice, p.name)}=${formEncoded(dice, p.value)}`)
    const body = text.join('&')
    return {
      type: TYPES[0],
      body,
      expected: pairs,
      parse: (t) => decodedPairs(t, LIMITS.arguments),
    }
  },
  json(dice) {
    const expected = []
    const body = jsonText(dice, 'json', 0, expected)
    return {
      type: TYPES[1],
      body,
      expected,
      parse(text) {
        const { pairs, error, errorAt } = flattenJson(text, LIMITS)
        if (errorAt > text.length) throw new Error('an error behind the end of the text')
        return error === undefined ? pairs : error
      },
    }
  },
  multipart(dice) {
    const boundary = `b${dice.below(1e9).toString(36)}-`
    const type = `multipart/form-data; boundary=${boundary}`
    const expected = dice.list(5, () => ({
      name: dice.text().replace(/[\r\n]/g, ''),
      filename: dice.chance(0.3) ? dice.text().replace(/[\r\n]/g, '') : undefined,
      content: dice.bytes(60),
    }))
    const quoted = (text) => `"${text.replace(/["\\]/g, '\\$&')}"`
    const parts = expected.map(({ name, filename, content }) => {
      const file = filename === undefined ? '' : `; filename=${quoted(filename)}`
      return `--${boundary}\r\nContent-Disposition: form-data; name=${quoted(name)}${file}\r\n\r\n${content}\r\n`
    })
    const parse = (text) => {
      const { parts: found, flags, error } = parseMultipart(text, type, LIMITS)
      if (error !== undefined || flags.size > 0) return [error, ...flags].join()
      return found.map(({ name, filename, content }) => ({ name, filename, content }))
    }
    return { type, body: `${parts.join('')}--${boundary}--\r\n`, expected, parse }
  },
  xml(dice) {
    const expected = []
    let text = ''
    // What XML cannot hold at all is not asked of the parser.
    const plain = () => dice.bytes(12, 32, 127)
    const escaped = (s) =>
      s.replace(/[<>&"']/g, (c) => (dice.chance(0.5) ? `&#${c.charCodeAt(0)};` : ENTITIES[c]))
    const element = (depth) => {
      const value = plain()
      expected.push({ name: 'a', value })
      let inner = ''
      for (let i = dice.below(depth > 4 ? 1 : 3); i > 0; i--) {
        const piece = plain()
        text += piece
        inner += escaped(piece) + element(depth + 1)
      }
      return `<e a="${escaped(value)}">${inner}</e>`
    }
    const body = `<?xml version="1.0"?>${element(0)}`
    return {
      type: TYPES[5],
      body,
      expected: { text, attributes: expected },
      parse(bytes) {
        const { text: found, attributes, error } = flattenXml(bytes, LIMITS)
        return error ?? { text: found, attributes }
      },
    }
  },
  graphql(dice) {
    const depth = dice.below(40)
    const query = `query { ${'a { '.repeat(depth)}b(id: ${JSON.stringify(dice.text())})${' }'.repeat(depth)} }`
    return dice.chance(0.5)
      ? { type: 'application/graphql', body: query }
      : { type: TYPES[1], body: latin1(JSON.stringify({ query, variables: { a: dice.text() } })) }
  },
  garbage: (dice) => ({ type: dice.pick(TYPES), body: dice.bytes(4000) }),
}
const KINDS = Object.values(BODIES)
const ENTITIES = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;', "'": '&apos;' }

function jsonText(dice, name, depth, expected) {
  const space = () => dice.pick(['', '', '', ' ', '\n\t'])
  const kind = dice.below(depth > 4 ? 5 : 7)
  switch (kind) {
    case 0:
    case 1: {
      const value = dice.text()
      expected.push({ name, value: utf8Of(value) })
      return jsonString(dice, value)
    }
    case 2: {
      const value = dice.pick(['0', '-1', '1e400', '1.50', '12345678901234567890'])
      expected.push({ name, value })
      return value
    }
    case 3:
    case 4: {
      const value = dice.pick(['true', 'false', 'null'])
      expected.push({ name, value: value === 'null' ? '' : value })
      return value
    }
    case 5: {
      const items = dice.list(4, () => undefined)
      const texts = items.map(
        (_, i) => space() + jsonText(dice, `${name}.${i}`, depth + 1, expected),
      )
      expected.push({ name, value: String(items.length) })
      return `[${texts.join(',')}${space()}]`
    }
    default: {
      const texts = dice.list(4, () => {
        const key = dice.text()
        const start = `${space()}${jsonString(dice, key)}${space()}:${space()}`
        return start + jsonText(dice, `${name}.${utf8Of(key)}`, depth + 1, expected)
      })
      return `{${texts.join(',')}${space()}}`
    }
  }
}

/** Each char a code point, written as UTF-8 or as an escape. */
const utf8Of = (text) => Buffer.from(text, 'utf8').toString('latin1')
function jsonString(dice, text) {
  let result = '"'
  for (const char of text) {
    const code = char.charCodeAt(0)
    const mustEscape = code < 32 || char === '"' || char === '\\'
    result +=
      mustEscape || dice.chance(0.1) ? `\\u${code.toString(16).padStart(4, '0')}` : utf8Of(char)
  }
  return `${result}"`
}

function compressed(dice, body) {
  const bytes = Buffer.from(body, 'latin1')
  const options = [
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', (b) => brotliCompressSync(b, { params: { 1: 1 } })],
  ]
  const [coding, pack] = dice.pick(options)
  return { coding, body: pack(bytes).toString('latin1') }
}

function makeRequest(dice) {
  const segments = dice.list(5, () =>
    dice.chance(0.5) ? encodeURI(dice.pick(WORDS)) : dice.bytes(8, 33, 127),
  )
  let target = `/${segments.join('/')}`
  const query = BODIES.form(dice).body
  if (dice.chance(0.7)) target += `?${dice.chance(0.7) ? query : mutated(dice, query)}`
  if (dice.chance(0.2)) target = `/${mutated(dice, target)}`
  const headers = ['Host', 'example.com']
  for (let i = dice.below(8); i > 0; i--) headers.push(dice.pick(NAMES), dice.text())
  if (dice.chance(0.3))
    headers.push('Cookie', dice.list(4, () => `${dice.text()}=${dice.text()}`).join('; '))
  const request = { method: dice.pick(METHODS), target, headers, body: undefined, check: undefined }
  if (dice.chance(0.25)) return request
  const made = dice.pick(KINDS)(dice)
  request.check = made.parse === undefined ? undefined : made
  let body = dice.chance(0.4) ? mutated(dice, made.body) : made.body
  if (dice.chance(0.1)) headers.push('Content-Type', dice.pick(TYPES))
  if (made.type !== '') headers.push('Content-Type', made.type)
  if (dice.chance(0.15)) {
    const packed = compressed(dice, body)
    headers.push('Content-Encoding', dice.chance(0.9) ? packed.coding : dice.text())
    body = dice.chance(0.2) ? mutated(dice, packed.body) : packed.body
  }
  request.body = body
  return request
}

function makeWaf(crs) {
  const problems = []
  const files = new Map()
  const rulesets = ['managed', 'basic']
  if (crs !== undefined) {
    files.set('./crs.json', JSON.stringify(importCrs({ importSeclang }, crs).ruleset))
    rulesets.push({ file: './crs.json' })
  }
  const config = v.parse(WafSection, {
    rulesets,
    bodies: { invalid: 'block', inspect: '32KiB' },
    responses: { body: true },
    crs: { paranoiaLevel: 2 },
    workBudget: WORK_BUDGET,
  })
  const waf = new Waf(
    config,
    // Without acting every rule is asked; with it, requests end in the middle.
    [v.parse(RouteWafSection, { mode: 'simulate' }), v.parse(RouteWafSection, {})],
    {
      environment: createEnvironment(),
      detectors: DETECTORS,
      builtIn: builtInRuleset,
      files,
      score: scoreSubject,
    },
    (path, message) => problems.push(`${path}: ${message}`),
  )
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return waf
}

const IP = parseIp('192.0.2.1')

async function runRequest(waf, dice, request, number, result) {
  const target = canonicalTarget(request.target)
  if (typeof target === 'string') {
    result.refused++
    return
  }
  const bytes = Buffer.from(request.body ?? '', 'latin1')
  const exchange = new Exchange({
    id: `fuzz-${number}`,
    startedAt: 0,
    method: request.method,
    scheme: 'https',
    httpVersion: '1.1',
    authority: 'example.com',
    host: 'example.com',
    target,
    headers: new HeaderList(request.headers),
    client: { ip: IP, port: 1, peer: undefined, viaTrustedProxy: false, tls: null },
    body:
      request.body === undefined
        ? null
        : {
            length: dice.chance(0.5) ? bytes.length : null,
            prefix: (limit) => ({
              bytes: bytes.subarray(0, limit),
              truncated: bytes.length > limit,
            }),
            open: () => bytes,
            isReplayable: true,
            discard: () => {},
          },
  })
  const pass = waf.route(dice.below(2)).begin(new Subject(exchange))
  let block = pass.head()
  if (block === undefined && exchange.body !== null) {
    const wanted = pass.bodyBytes
    const prefix = wanted === 0 ? undefined : exchange.body.prefix(wanted)
    const { coding } = pass
    const decoded =
      prefix === undefined || coding === ''
        ? undefined
        : await nodeDecoder.decode(coding, prefix.bytes, wanted)
    block = pass.body(prefix, decoded)
  }
  if (block === undefined && dice.chance(0.3)) {
    const headers = new HeaderList([
      'content-type',
      'text/html',
      'x-a',
      dice.text().replace(/[\r\n]/g, ''),
    ])
    block = pass.response(dice.pick([200, 404, 500]), headers)
    const window = block === undefined ? pass.responseBody(200, headers) : undefined
    if (window !== undefined) {
      for (const chunk of chunks(dice, Buffer.from(dice.bytes(3000), 'latin1'))) {
        if (block === undefined) block = window.push(chunk).block
      }
      if (block === undefined) block = window.end().block
    }
  }
  const { transaction } = pass
  if (transaction !== undefined) {
    result.mostWork = Math.max(result.mostWork, WORK_BUDGET - transaction.workLeft)
    if (transaction.isExhausted) result.exhausted++
  }
  if (pass.finish().length > 0) result.matched++
  if (block !== undefined) result.blocked++
}

function chunks(dice, bytes) {
  const pieces = []
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + dice.below(dice.chance(0.5) ? 4 : 600)
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

/** Serialise, parse, compare. @returns what is wrong */
function roundTripFault(dice, request) {
  const { check } = request
  if (check !== undefined) {
    const found = JSON.stringify(check.parse(check.body))
    const expected = JSON.stringify(check.expected)
    if (found !== expected) return `${check.type} is read as ${found}, and is ${expected}`
    // Anything may come in; it must end in pairs or in an error, never in a throw.
    check.parse(mutated(dice, check.body))
  }
  const cookies = dice.list(4, () => ({
    name: dice.bytes(8, 97, 123) || 'n',
    value: dice.bytes(20, 33, 127).replaceAll(';', ''),
  }))
  const field = cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const read = JSON.stringify(cookiePairs(field, LIMITS.arguments))
  if (read !== JSON.stringify(cookies)) return `the cookies ${field} are read as ${read}`
  return windowFault(dice)
}

/** A window gives every byte back, and shows a phrase whole wherever chunks and windows end. */
function windowFault(dice) {
  const phrase = 'a phrase to find'
  const body = `${dice.bytes(900)}${phrase}${dice.bytes(900)}`
  let hasSeen = false
  const window = new ResponseWindow(1 << 20, 1 + dice.below(800), (text) => {
    hasSeen ||= text.includes(phrase)
    return undefined
  })
  const out = []
  for (const chunk of chunks(dice, Buffer.from(body, 'latin1')))
    out.push(...window.push(chunk).released)
  out.push(...window.end().released)
  if (Buffer.concat(out).toString('latin1') !== body) return 'a window changed the body'
  return hasSeen ? undefined : 'a window missed a phrase'
}

export async function fuzz({ count, seed, crs, onProgress }) {
  const waf = makeWaf(crs)
  const result = {
    ...{ done: 0, refused: 0, blocked: 0, matched: 0, roundTrips: 0, exhausted: 0 },
    ...{ mostWork: 0, slowestMs: 0, faults: [] },
  }
  for (let at = 0; at < count && result.faults.length < MAX_FAULTS; at++) {
    // A state of its own for each request, so that one can be repeated without those before it.
    const dice = new Dice(Math.imul(seed, 0x9e3779b1) + Math.imul(at, 0x85ebca6b))
    const request = makeRequest(dice)
    const fault = (what) =>
      result.faults.push({ at, what, request: JSON.stringify({ ...request, check: undefined }) })
    const before = process.cpuUsage()
    const { exhausted } = result
    try {
      await runRequest(waf, dice, request, at, result)
      const used = process.cpuUsage(before)
      const ms = (used.user + used.system) / 1000
      result.slowestMs = Math.max(result.slowestMs, ms)
      if (ms > SLOW_MS) fault(`it took ${Math.round(ms)} ms of the processor`)
      if (result.exhausted > exhausted) fault('it took the whole work budget')
      const wrong = roundTripFault(dice, request)
      if (wrong === undefined) result.roundTrips++
      else fault(wrong)
    } catch (thrown) {
      fault(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown))
    }
    result.done++
    if (result.done % 10_000 === 0) onProgress?.(result)
  }
  return result
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values: flags } = parseArgs({
    options: {
      count: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
    },
  })
  const started = Date.now()
  const seconds = () => Math.round((Date.now() - started) / 1000)
  const result = await fuzz({
    count: Number(flags.count),
    seed: Number(flags.seed),
    crs: process.env.CRS_DIR || undefined,
    onProgress: ({ done, faults }) =>
      process.stderr.write(`${done} requests, ${faults.length} faults, ${seconds()} s\n`),
  })
  process.stdout.write(`${JSON.stringify({ ...result, seconds: seconds() }, null, 2)}\n`)
  process.exitCode = result.faults.length > 0 ? 1 : 0
}
