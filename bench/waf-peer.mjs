/**
 * The peer: nginx with libmodsecurity (Debian: nginx-light, libnginx-mod-http-modsecurity) and the same CRS,
 * one worker on a loopback port that the system chose. What ModSecurity costs is the CPU time of the worker,
 * utime and stime of its process, less that of the same server without it. Starts and ends its own
 * processes, and gives up after a while.
 */
import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MODULES = [
  '/usr/lib/nginx/modules/ngx_http_modsecurity_module.so',
  '/usr/share/nginx/modules/ngx_http_modsecurity_module.so',
]
const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx']
const UNICODE = [
  '/etc/nginx/modsecurity/unicode.mapping',
  '/etc/nginx/unicode.mapping',
  '/etc/modsecurity/unicode.mapping',
  '/usr/share/modsecurity-crs/unicode.mapping',
]
const TICKS_PER_SECOND = 100
/** Best of so many. */
export const REPEATS = 3
/** Times that all requests are sent in one repeat; the bare server is so quick that its ticks need more. */
export const ROUNDS = { with: 40, without: 250 }
/** For one server, start to end. */
const DEADLINE_MS = 60_000
const ATTACK = '/?id=1%27%20or%201=1--%20-&q=%3Cscript%3Ealert(1)%3C/script%3E'

/**
 * @param paranoia paranoia level of the CRS
 * @returns microseconds of CPU for each request, or why there are none
 */
export async function measurePeer(dir, requests, paranoia) {
  const module = MODULES.find(existsSync)
  const nginx = NGINX.find(existsSync)
  if (nginx === undefined) return { missing: 'nginx is not installed' }
  if (module === undefined) return { missing: "nginx's ModSecurity module is not installed" }
  const folder = mkdtempSync(join(tmpdir(), 'meridian-waf-peer-'))
  try {
    const set = { nginx, module, folder, dir, paranoia, requests }
    const without = await measure(set, false)
    const withWaf = await measure(set, true)
    return { with: withWaf, without, own: withWaf - without }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * All rules run and nothing is blocked, as in our own measurement. One field switches blocking on, for the
 * proof that the rules are there.
 */
function rulesOf({ dir, paranoia }) {
  const rules = readdirSync(join(dir, 'rules')).filter((name) => name.endsWith('.conf'))
  const unicode = UNICODE.find(existsSync)
  const level = ['blocking', 'detection']
    .map((kind) => `setvar:tx.${kind}_paranoia_level=${paranoia}`)
    .join(',')
  return [
    'SecRuleEngine DetectionOnly',
    'SecRequestBodyAccess On',
    'SecResponseBodyAccess Off',
    'SecAuditEngine Off',
    ...(unicode === undefined ? [] : [`SecUnicodeMapFile ${unicode} 20127`]),
    'SecRule REQUEST_HEADERS:X-Bench "@streq block" "id:200002,phase:1,t:none,pass,nolog,ctl:ruleEngine=On"',
    'SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"',
    'SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"',
    `Include ${join(dir, 'crs-setup.conf.example')}`,
    `SecAction "id:200003,phase:1,pass,nolog,t:none,${level}"`,
    ...rules.sort().map((name) => `Include ${join(dir, 'rules', name)}`),
    '',
  ].join('\n')
}

function configure(set, [front, back], isOn) {
  const { folder, module } = set
  mkdirSync(join(folder, 'tmp'), { recursive: true })
  const rules = join(folder, 'main.conf')
  writeFileSync(rules, rulesOf(set))
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, 'tmp', kind)};`)
    .join('\n  ')
  const path = join(folder, 'nginx.conf')
  writeFileSync(
    path,
    `load_module ${module};
daemon off;
worker_processes 1;
pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')} crit;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary}
  client_body_buffer_size 64k;
  keepalive_requests 1000000;
  upstream back { server 127.0.0.1:${back}; keepalive 4; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${front};
    ${isOn ? `modsecurity on; modsecurity_rules_file ${rules};` : ''}
    location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
  server { listen 127.0.0.1:${back}; location / { return 200 "ok"; } }
}
`,
  )
  return path
}

/** Ports that were free a moment ago. */
async function freePorts(count) {
  const servers = []
  for (let i = 0; i < count; i++) {
    const server = createServer()
    await new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    servers.push(server)
  }
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

async function measure(set, isOn) {
  const { nginx, folder, requests } = set
  const ports = await freePorts(2)
  const config = configure(set, ports, isOn)
  const args = ['-p', folder, '-c', config, '-e', join(folder, 'error.log')]
  const child = spawn(nginx, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.once('error', () => {})
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const send = (request) => sendTo(ports[0], agent, request)
  const until = Date.now() + DEADLINE_MS
  try {
    await untilReady(send, child, until)
    if (isOn) await proveBlocking(send)
    const worker = workerOf(child.pid)
    for (const request of requests) await send(request)
    const rounds = isOn ? ROUNDS.with : ROUNDS.without
    let best = Number.POSITIVE_INFINITY
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      const before = cpuTicks(worker)
      for (let round = 0; round < rounds; round++) {
        for (const request of requests) await send(request)
        if (Date.now() > until) throw new Error('nginx takes too long')
      }
      const seconds = (cpuTicks(worker) - before) / TICKS_PER_SECOND
      best = Math.min(best, (seconds / (rounds * requests.length)) * 1e6)
    }
    return best
  } finally {
    agent.destroy()
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
    await ended
    clearTimeout(timer)
  }
}

async function untilReady(send, child, until) {
  while (Date.now() < until && child.exitCode === null) {
    try {
      await send({ method: 'GET', target: '/', headers: ['Host', 'ready'], body: '' })
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  throw new Error('nginx does not answer')
}

async function proveBlocking(send) {
  const headers = ['Host', 'a.test', 'User-Agent', 'curl/8', 'Accept', '*/*', 'X-Bench', 'block']
  const status = await send({ method: 'GET', target: ATTACK, headers, body: '' })
  if (status !== 403) throw new Error(`the peer answers an attack with ${status}, not 403`)
}

function workerOf(master) {
  const children = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim()
  return Number(children.split(' ')[0])
}

function cpuTicks(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return Number(fields[11]) + Number(fields[12])
}

function sendTo(port, agent, { method, target, headers, body }) {
  return new Promise((resolve, reject) => {
    const message = httpRequest(
      { host: '127.0.0.1', port, method, path: target, headers, agent, setHost: false },
      (response) => {
        response.resume()
        response.once('error', reject)
        response.once('end', () => resolve(response.statusCode))
      },
    )
    message.setTimeout(10_000, () => message.destroy(new Error('no answer in ten seconds')))
    message.once('error', reject)
    message.end(Buffer.from(body, 'latin1'))
  })
}
