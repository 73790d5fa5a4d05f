/**
 * A peer in process: Datadog's WAF (libddwaf) with the recommended rules of its own tracer. It is no
 * dependency: both packages are looked for in the project and in the folder that DATADOG_APPSEC names.
 *
 * It is given what its tracer would give it: parsed query, cookies and body. That parsing is not counted,
 * and it looks at the first 4,096 characters of a text; ours parses and looks at everything.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const RULES = 'dd-trace/packages/dd-trace/src/appsec/recommended.json'
const TIMEOUT_US = 100_000

/** @returns something that runs one request, or why there is none */
export function loadAppsec(requests) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const folders = [process.env.DATADOG_APPSEC, root].filter((folder) => folder !== undefined)
  const modules = folders.map((folder) => join(folder, 'node_modules'))
  const home = modules.find((path) => existsSync(join(path, '@datadog', 'native-appsec')))
  if (home === undefined) return { missing: '@datadog/native-appsec is not installed' }
  const rules = modules.map((path) => join(path, RULES)).find(existsSync)
  if (rules === undefined) return { missing: 'dd-trace, which has its rules, is not installed' }
  const { DDWAF } = createRequire(join(home, 'x.js'))('@datadog/native-appsec')
  const waf = new DDWAF(JSON.parse(readFileSync(rules, 'utf8')), 'recommended')
  const inputs = new Map(requests.map((request) => [request, inputOf(request)]))
  const run = (request) => {
    const context = waf.createContext()
    const found = context.run({ persistent: inputs.get(request) }, TIMEOUT_US)
    context.dispose()
    return found.events ?? []
  }
  const attack = { method: 'GET', target: "/?id=1' or 1=1-- -&x=<script>alert(1)</script>" }
  inputs.set(attack, inputOf({ ...attack, headers: ['User-Agent', 'Arachni/v1'], body: '' }))
  if (run(attack).length === 0) return { missing: 'it finds no attack, so it is not fed rightly' }
  const { loaded } = waf.diagnostics.rules
  return { run, ruleCount: loaded.length, version: DDWAF.version() }
}

/** Every value of a name in a list, as frameworks have them. */
function grouped(pairs) {
  const all = {}
  for (const [name, value] of pairs) {
    all[name] ??= []
    all[name].push(value)
  }
  return all
}

function inputOf({ method, target, headers, body }) {
  const fields = {}
  for (let i = 0; i < headers.length; i += 2) fields[headers[i].toLowerCase()] = headers[i + 1]
  const { cookie = '', ...noCookies } = fields
  const mark = target.indexOf('?')
  const query = mark < 0 ? '' : target.slice(mark + 1)
  const input = {
    'server.request.method': method,
    'server.request.uri.raw': target,
    'server.request.query': grouped(new URLSearchParams(query)),
    'server.request.headers.no_cookies': noCookies,
    'server.request.cookies': grouped(
      cookie
        .split('; ')
        .filter((pair) => pair.includes('='))
        .map((pair) => pair.split(/=(.*)/s)),
    ),
  }
  const parsed = bodyOf(fields['content-type'] ?? '', body)
  if (parsed !== undefined) input['server.request.body'] = parsed
  return input
}

function bodyOf(type, body) {
  if (body === '') return undefined
  if (type === 'application/json') return JSON.parse(body)
  if (type === 'application/x-www-form-urlencoded') return grouped(new URLSearchParams(body))
  // multipart/form-data: the fields and contents, by name.
  const parts = body.matchAll(/name="([^"]*)"[^\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([\s\S]*?)\r\n--/g)
  return grouped([...parts].map(([, name, content]) => [name, content]))
}
