/**
 * The peer: nginx with libmodsecurity (Debian: libnginx-mod-http-modsecurity) and the same CRS, one worker on
 * a loopback port. CPU of the worker from the process statistics, less that of the same server with the
 * WAF off. Starts and stops its own processes; answers undefined where the module is not installed.
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
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MODULES = [
  '/usr/lib/nginx/modules/ngx_http_modsecurity_module.so',
  '/usr/share/nginx/modules/ngx_http_modsecurity_module.so',
]
const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx']
const TICKS_PER_SECOND = 100
const ROUNDS = 40

export async function measurePeer(dir, requests) {
  const module = MODULES.find(existsSync)
  const nginx = NGINX.find(existsSync)
  if (module === undefined || nginx === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'meridian-waf-peer-'))
  try {
    const withWaf = await measure(nginx, module, folder, dir, requests, true)
    const without = await measure(nginx, module, folder, dir, requests, false)
    return withWaf - without
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function configure(folder, dir, module, port, isOn) {
  mkdirSync(join(folder, 'tmp'), { recursive: true })
  const rules = readdirSync(join(dir, 'rules')).filter((name) => name.endsWith('.conf'))
  writeFileSync(
    join(folder, 'main.conf'),
    [
      'SecRuleEngine On',
      'SecRequestBodyAccess On',
      'SecResponseBodyAccess Off',
      'SecAuditEngine Off',
      'SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"',
      'SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"',
      `Include ${join(dir, 'crs-setup.conf.example')}`,
      ...rules.sort().map((name) => `Include ${join(dir, 'rules', name)}`),
      '',
    ].join('\n'),
  )
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, 'tmp', kind)};`)
    .join('\n  ')
  const waf = isOn ? `modsecurity on; modsecurity_rules_file ${join(folder, 'main.conf')};` : ''
  writeFileSync(
    join(folder, 'nginx.conf'),
    `load_module ${module};
daemon off;
worker_processes 1;
pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')} crit;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary}
  server { listen 127.0.0.1:${port}; ${waf} keepalive_requests 1000000;
    location / { proxy_pass http://127.0.0.1:${port + 1}; proxy_http_version 1.1; } }
  server { listen 127.0.0.1:${port + 1}; location / { return 200 "ok"; } }
}
`,
  )
}

async function measure(nginx, module, folder, dir, requests, isOn) {
  const port = 20_000 + (process.pid % 10_000) * 2
  configure(folder, dir, module, port, isOn)
  const child = spawn(nginx, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    await untilReady(port, agent)
    const worker = workerOf(child.pid)
    for (const request of requests) await send(port, agent, request)
    let best = Number.POSITIVE_INFINITY
    for (let repeat = 0; repeat < 3; repeat++) {
      const before = cpuTicks(worker)
      for (let round = 0; round < ROUNDS; round++) {
        for (const request of requests) await send(port, agent, request)
      }
      const ticks = cpuTicks(worker) - before
      best = Math.min(best, (ticks / TICKS_PER_SECOND / (ROUNDS * requests.length)) * 1e6)
    }
    return best
  } finally {
    agent.destroy()
    child.kill('SIGTERM')
    await new Promise((resolve) => child.once('exit', resolve))
  }
}

async function untilReady(port, agent) {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      await send(port, agent, { method: 'GET', target: '/', headers: ['Host', 'ready'], body: '' })
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  throw new Error('nginx does not answer')
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

function send(port, agent, { method, target, headers, body }) {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      method,
      path: target,
      headers,
      agent,
      setHost: false,
    }
    const message = httpRequest(options, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode))
    })
    message.once('error', reject)
    message.end(Buffer.from(body, 'latin1'))
  })
}
