/**
 * The CRS regression suite, run in process: a stage is a request in bytes, the engine's log is what the
 * suite's expectations are held against. The client side follows go-ftw (what it adds to a request), the
 * origin follows albedo (POST /reflect answers with what the body describes).
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parse } from 'yaml'

/** What the suite's own set-up asks of the rules. */
export const TEST_SETTINGS = new Map([
  ['blocking_paranoia_level', '4'],
  ['detection_paranoia_level', '4'],
  ['crs_validate_utf8_encoding', '1'],
  ['arg_name_length', '100'],
  ['arg_length', '400'],
  ['total_arg_length', '64000'],
  ['max_num_args', '255'],
  ['max_file_size', '64100'],
  ['combined_file_sizes', '65535'],
])

function* yamlFiles(dir) {
  for (const name of readdirSync(dir).sort()) {
    const path = join(dir, name)
    if (statSync(path).isDirectory()) yield* yamlFiles(path)
    else if (/\.ya?ml$/.test(name)) yield path
  }
}

export function readStages(dir) {
  const stages = []
  for (const path of yamlFiles(join(dir, 'tests/regression/tests'))) {
    const file = parse(readFileSync(path, 'utf8'))
    const rule = file?.rule_id ?? Number.parseInt(basename(path), 10)
    for (const test of file?.tests ?? []) {
      const several = test.stages.length > 1
      for (const [i, stage] of test.stages.entries()) {
        const id = `${rule}-${test.test_id}${several ? `.${i + 1}` : ''}`
        const { input, output } = stage.stage ?? stage
        stages.push({ id, input, output })
      }
    }
  }
  return stages
}

const latin1 = (path) => readFileSync(path, 'latin1')

export function importCrs({ importSeclang }, dir) {
  const rules = readdirSync(join(dir, 'rules'))
    .filter((name) => name.endsWith('.conf'))
    .sort()
  return importSeclang({
    name: 'owasp-crs',
    files: [
      { name: join(dir, 'crs-setup.conf'), text: latin1(join(dir, 'crs-setup.conf.example')) },
      ...rules.map((name) => {
        const path = join(dir, 'rules', name)
        return { name: path, text: latin1(path) }
      }),
    ],
    data: (name, from) => {
      try {
        return latin1(join(dirname(from), name))
      } catch {
        return undefined
      }
    },
  })
}

export function makeEngine(modules, dir, options = {}) {
  const ruleset = options.ruleset ?? importCrs(modules, dir).ruleset
  const problems = []
  const engine = new modules.Engine(
    [ruleset],
    {
      detectors: modules.detectors,
      mode: 'detect',
      settings: options.settings ?? TEST_SETTINGS,
    },
    (path, message) => problems.push(`${path}: ${message}`),
  )
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return engine
}

const bytesOf = (text) => Buffer.from(String(text), 'utf8').toString('latin1')

function queryEscape(text) {
  return text.replace(/[^A-Za-z0-9\-_.~]/g, (char) => {
    if (char === ' ') return '+'
    return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
}

function queryUnescape(text) {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return ''
  return text
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** A form that is not encoded yet gets encoded, key by key. */
function encodedForm(data) {
  if (queryUnescape(data) !== data) return data
  return data
    .split('&')
    .map((pair) => {
      const equals = pair.indexOf('=')
      if (equals < 0) return queryEscape(pair)
      return `${queryEscape(pair.slice(0, equals))}=${queryEscape(pair.slice(equals + 1))}`
    })
    .join('&')
}

/** Go templates that the suite uses: {{ "text" | repeat 3 }} and the like. */
function expandTemplates(text) {
  return text.replace(
    /\{\{-?\s*(?:"((?:[^"\\]|\\.)*)"\s*\|\s*repeat\s+(\d+)|repeat\s+(\d+)\s+"((?:[^"\\]|\\.)*)")\s*-?\}\}/g,
    (_, a, n, m, b) => (a ?? b).repeat(Number(n ?? m)),
  )
}

/** The request as it would leave the client, taken apart. */
export function buildRequest(input) {
  if (input.encoded_request !== undefined) {
    return parseRaw(Buffer.from(input.encoded_request, 'base64').toString('latin1'))
  }
  const headers = []
  for (const [name, value] of Object.entries(input.headers ?? {})) {
    headers.push(bytesOf(name), bytesOf(value))
  }
  const find = (name) => {
    const at = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name)
    return at < 0 ? undefined : headers[at + 1]
  }
  const method = bytesOf(input.method ?? 'GET')
  let data = input.data === undefined ? undefined : bytesOf(expandTemplates(String(input.data)))
  if (input.autocomplete_headers !== false) {
    if (data !== undefined && data !== '') {
      if (find('content-type') === undefined) {
        headers.push('Content-Type', 'application/x-www-form-urlencoded')
      }
      const type = find('content-type')
      if (/^application\/x-www-form-urlencoded/i.test(type)) data = encodedForm(data)
      if (/^multipart\//i.test(type)) data = data.replace(/\r?\n/g, '\r\n')
    }
    const takesBody = /^(POST|PUT|PATCH|DELETE)$/.test(method)
    if (((data ?? '') !== '' || takesBody) && find('content-length') === undefined) {
      headers.push('Content-Length', String((data ?? '').length))
    }
    if (find('connection') === undefined) headers.push('Connection', 'close')
  }
  return {
    method,
    target: bytesOf(expandTemplates(String(input.uri ?? '/'))),
    protocol: bytesOf(input.version ?? 'HTTP/1.1'),
    headers,
    body: data ?? '',
  }
}

function parseRaw(raw) {
  let at = raw.indexOf('\r\n\r\n')
  let gap = 4
  if (at < 0) {
    at = raw.indexOf('\n\n')
    gap = 2
  }
  const head = at < 0 ? raw : raw.slice(0, at)
  const [line, ...lines] = head.split(/\r?\n/)
  const [method, ...rest] = line.split(' ')
  const protocol = rest.length > 1 ? rest.pop() : ''
  const headers = []
  for (const text of lines) {
    const colon = text.indexOf(':')
    if (colon > 0) headers.push(text.slice(0, colon), text.slice(colon + 1).trim())
  }
  return {
    method,
    target: rest.join(' '),
    protocol,
    headers,
    body: at < 0 ? '' : raw.slice(at + gap),
  }
}

/** What a WHATWG Request shows of it; undefined when there can be no such request. */
function fetchView(request) {
  let url
  const host = headerOf(request.headers, 'host')
  try {
    const target = Buffer.from(request.target, 'latin1').toString('utf8')
    url = new URL(target.startsWith('/') ? `http://${host || 'localhost'}${target}` : target)
    const headers = new Headers()
    for (let i = 0; i < request.headers.length; i += 2) {
      headers.append(request.headers[i], request.headers[i + 1])
    }
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(request.method)) return undefined
    return {
      ...request,
      target: url.pathname + url.search,
      protocol: 'HTTP/1.1',
      headers: [...headers].flat(),
    }
  } catch {
    return undefined
  }
}

function headerOf(headers, name) {
  const at = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name)
  return at < 0 ? undefined : headers[at + 1]
}

/** The origin's answer. */
function reflect(request) {
  const answer = { status: 200, headers: ['Content-Type', 'text/plain'], body: '' }
  if (request.method !== 'POST' || !/^\/reflect\b/.test(request.target)) return answer
  let wanted
  try {
    wanted = JSON.parse(Buffer.from(request.body, 'latin1').toString('utf8'))
  } catch {
    return { ...answer, status: 400 }
  }
  for (const [name, value] of Object.entries(wanted.headers ?? {})) {
    answer.headers.push(name, bytesOf(value))
  }
  if (wanted.status !== undefined) answer.status = Number(wanted.status)
  if (wanted.encodedBody !== undefined) {
    answer.body = Buffer.from(wanted.encodedBody, 'base64').toString('latin1')
  } else if (wanted.body !== undefined) answer.body = bytesOf(wanted.body)
  return answer
}

const LIMITS = { maxFields: 200, maxTargetBytes: 65536, maxBodyBytes: 1 << 24 }
const NOT_IN_FIELD = new Set([0, 10, 13])
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * The status with which the gateway's own front refuses the request before any rule sees it; undefined
 * when it lets it in. The first checks are those of the HTTP parser below it (RFC 9112).
 */
function refusal({ vet, problems }, request) {
  if (!TOKEN.test(request.method) || !/^HTTP\/1\.[01]$/.test(request.protocol)) return 400
  if (hasCode(request.target, (code) => code <= 32 || code === 127)) return 400
  for (const [i, text] of request.headers.entries()) {
    const isBad = i % 2 === 0 ? !TOKEN.test(text) : hasCode(text, (code) => NOT_IN_FIELD.has(code))
    if (isBad) return 400
  }
  const vetted = vet(
    {
      method: request.method,
      target: request.target,
      version: request.protocol.slice(5),
      headers: request.headers,
      secure: false,
    },
    // Which methods are allowed is config; the suite has rules for that.
    { ...LIMITS, methods: new Set([request.method]) },
  )
  return 'refusal' in vetted ? problems[vetted.refusal].status : undefined
}

function hasCode(text, isMeant) {
  for (let i = 0; i < text.length; i++) if (isMeant(text.charCodeAt(i))) return true
  return false
}

/** The body as its framing has it (RFC 9112 §6.3). */
function framedBody(request) {
  const coding = headerOf(request.headers, 'transfer-encoding')
  const length = headerOf(request.headers, 'content-length')
  if (coding !== undefined) return dechunked(request.body)
  if (length === undefined) return ''
  return /^\d+$/.test(length) ? request.body.slice(0, Number(length)) : request.body
}

function dechunked(text) {
  let body = ''
  let at = 0
  for (;;) {
    const end = text.indexOf('\r\n', at)
    const size = Number.parseInt(text.slice(at, end), 16)
    if (end < 0 || Number.isNaN(size)) return body === '' ? text : body
    if (size === 0) return body
    body += text.slice(end + 2, end + 2 + size)
    at = end + 4 + size
  }
}

export function runStage(modules, engine, stage, view = 'raw') {
  const { logLine } = modules
  const built = buildRequest(stage.input)
  const request = view === 'fetch' ? fetchView(built) : built
  const { output } = stage
  if (request === undefined) {
    // The runtime itself refuses it, which is what the stage wants when it expects a 400 or an error.
    const ok = statusesOf(output).includes(400) || output.expect_error === true
    return { id: stage.id, logged: [], reasons: ok ? [] : ['no such Request can exist'] }
  }
  // The HTTP server below a Worker is as strict: what it refuses never becomes a Request.
  const refusedWith = refusal(modules, built)
  const statuses = statusesOf(output)
  if (
    refusedWith !== undefined &&
    statuses.includes(refusedWith) &&
    output.log?.expect_ids === undefined
  ) {
    return { id: stage.id, logged: [], reasons: check(output, [], '', refusedWith) }
  }
  const tx = engine.begin({
    method: request.method,
    target: request.target,
    // A request line without a version is HTTP/0.9 (RFC 1945 §4.1).
    protocol: request.protocol === '' ? 'HTTP/0.9' : request.protocol,
    headers: request.headers,
    remoteAddress: '127.0.0.1',
    id: 'conformance',
    startedAt: 0,
  })
  const { message } = tx
  tx.run(1)
  message.setBody(framedBody(request), false)
  tx.refresh()
  tx.run(2)
  const answer = reflect(request)
  message.setResponse(answer.status, answer.headers)
  tx.refresh()
  tx.run(3)
  message.setResponseBody(answer.body)
  tx.refresh()
  tx.run(4)
  tx.run(5)
  const log = tx.matches.map(logLine).join('\n')
  const logged = [...new Set(tx.matches.map((match) => match.id))]
  engine.end(tx)
  return { id: stage.id, logged, reasons: check(output, logged, log, answer.status) }
}

function statusesOf(output) {
  return output.status === undefined ? [] : [output.status].flat().map(Number)
}

function check(output, logged, log, status) {
  const reasons = []
  const wanted = output.log ?? {}
  const statuses = statusesOf(output)
  if (statuses.length > 0 && !statuses.includes(status)) {
    reasons.push(`status ${status}, not ${statuses.join(' or ')}`)
  }
  for (const id of wanted.expect_ids ?? []) {
    if (!logged.includes(id)) reasons.push(`${id} is not logged`)
  }
  for (const id of wanted.no_expect_ids ?? []) {
    if (logged.includes(id)) reasons.push(`${id} is logged`)
  }
  if (wanted.match_regex !== undefined && !new RegExp(wanted.match_regex.trim()).test(log)) {
    reasons.push(`the log does not match ${wanted.match_regex}`)
  }
  if (wanted.no_match_regex !== undefined && new RegExp(wanted.no_match_regex.trim()).test(log)) {
    reasons.push(`the log matches ${wanted.no_match_regex}`)
  }
  return reasons
}
