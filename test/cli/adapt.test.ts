/** `meridian adapt gateway-api`: the config that comes out does what the API's specification says. */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TestConfig, type TestGateway, World } from '../harness/world.ts'
import { folderWith, inProcess } from './cli.fixture.ts'

const SHOP = fileURLToPath(new URL('../fixtures/gateway-api/shop.yaml', import.meta.url))

interface Adapted {
  listen: { addresses: readonly Record<string, unknown>[] }
  pools: Record<string, { origins: { url: string; weight?: number; host?: string }[] }>
  routes: TestConfig['routes']
}

async function adapted(file: string): Promise<Adapted> {
  const { code, out, err } = await inProcess(['adapt', 'gateway-api', file])
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return JSON.parse(out) as Adapted
}

describe('a shop in the Kubernetes Gateway API', () => {
  const world = new World()
  let gateway: TestGateway
  let config: Adapted
  beforeAll(async () => {
    config = await adapted(SHOP)
    const pools: Record<string, { origins: { id: string; url: string; host?: string }[] }> = {}
    for (const [name, { origins }] of Object.entries(config.pools)) {
      const own = []
      for (const { url, host } of origins) {
        const service = new URL(url).hostname.split('.').slice(0, 2).join('.')
        const origin = await world.origin((request, response) => {
          const { host: got, 'x-edge': edge, 'x-debug': debug } = request.headers
          response.end(JSON.stringify({ service, url: request.url, host: got, edge, debug }))
        })
        own.push({
          id: `${name}-${service}`,
          url: origin.url,
          ...(host === undefined ? {} : { host }),
        })
      }
      pools[name] = { origins: own }
    }
    gateway = await world.gateway({ pools, routes: config.routes, trustedProxies: ['127.0.0.1'] })
  })
  afterAll(() => world.close())

  function get(url: string, headers: Record<string, string> = {}, method = 'GET') {
    const { protocol, host, pathname, search } = new URL(url)
    return new Promise<{ status: number; headers: http.IncomingHttpHeaders; body: string }>(
      (resolve, reject) => {
        const request = http.request(
          {
            port: gateway.port,
            path: pathname + search,
            method,
            headers: { host, 'x-forwarded-proto': protocol.slice(0, -1), ...headers },
          },
          (response) => {
            let body = ''
            response.setEncoding('utf8').on('data', (text) => {
              body += text
            })
            response.on('end', () =>
              resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
            )
          },
        )
        request.on('error', reject).end()
      },
    )
  }
  const CANARY = { 'x-canary': 'yes' }

  it.each([
    ['https://www.example.com/cart/total', {}, 'cart-next.shop'],
    ['https://shop.example.com/cart/total', {}, 'cart-next.shop'],
    ['https://www.example.com/cart/total/x', {}, 'cart.checkout'],
    ['https://www.example.com/cart', {}, 'cart.checkout'],
    ['https://www.example.com/cart/', CANARY, 'cart-next.shop'],
    ['https://www.example.com/cart', { 'x-canary': 'no' }, 'cart.checkout'],
    ['https://www.example.com/cartoon', {}, /^web(-next)?\.shop$/],
    ['https://www.example.com/img/12.png?size=large%20%26+wide', {}, 'cart-next.shop'],
    ['https://www.example.com/img/12.png?size=small', {}, /^web/],
    ['https://www.example.com/img/12.png.txt?size=large+%26+wide', {}, /^web/],
    ['https://other.example.com/api/v1', {}, 'api.shop'],
    ['http://other.example.com/api/v1/x', {}, 'api.shop'],
    // Rules of an exact host name come before those of a wildcard, whatever their paths.
    ['https://www.example.com/api/v1/x', {}, /^web/],
  ] as const)('%s %o goes to %s', async (url, headers, service) => {
    const { status, body } = await get(url, headers)
    expect(status).toBe(200)
    const answer = JSON.parse(body) as { service: string }
    if (typeof service === 'string') expect(answer.service).toBe(service)
    else expect(answer.service).toMatch(service)
  })

  it.each([
    ['http://www.example.com/cart?a=b', 301, 'https://www.example.com/cart?a=b'],
    ['https://any.example.com/old/page?a=b', 302, 'https://api.example.com/page?a=b'],
    ['https://any.example.com/old', 302, 'https://api.example.com/'],
    ['https://any.example.com/closed', 500, undefined],
    ['https://any.example.com/elsewhere', 404, undefined],
    ['https://example.org/api/v1', 404, undefined],
  ] as const)('%s gets %d to %s', async (url, status, location) => {
    const answer = await get(url)
    expect([answer.status, answer.headers.location]).toEqual([status, location])
    const isToHttps = status === 301
    expect(answer.headers['x-redirected']).toBe(isToHttps ? 'to-https' : undefined)
  })

  it('what filters change is changed', async () => {
    const { headers, body } = await get('https://any.example.com/api/v1/items?q=1', {
      'x-debug': 'all',
    })
    expect(headers['x-served-by']).toBe('api')
    expect(JSON.parse(body)).toEqual({
      service: 'api.shop',
      url: '/v1/items?q=1',
      host: 'api.internal',
      edge: '1',
    })
  })

  it('listeners, weights and timeouts are carried over', () => {
    expect(config.listen.addresses).toEqual([
      { address: '*', port: 80 },
      {
        address: '*',
        port: 443,
        protocol: 'https',
        tls: {
          certificates: [
            {
              cert: './certs/shop/example-com/tls.crt',
              key: './certs/shop/example-com/tls.key',
              serverNames: ['*.example.com'],
            },
          ],
        },
      },
    ])
    expect(config.pools['shop.web.1']?.origins.map(({ weight }) => weight)).toEqual([1000, 111])
    expect(config.routes.find(({ pools }) => pools?.[0] === 'shop.web.1')?.retry).toEqual({
      deadline: '10s',
      perTry: '1500ms',
    })
  })
})

describe('what cannot be carried over', () => {
  let folder: Awaited<ReturnType<typeof folderWith>>
  const route = (rule: string, more = '') => `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web, namespace: shop }
spec:
  rules:
    - ${rule}
      backendRefs: [{ name: web, port: 80 }]
${more}`
  const FILES = {
    'filter.yaml': route('filters: [{ type: ExtensionRef }]'),
    'both.yaml': route(
      'filters: [{ type: RequestRedirect, requestRedirect: { scheme: https } }, { type: URLRewrite, urlRewrite: { hostname: a } }]',
    ),
    'retry.yaml': route('retry: { attempts: 3 }'),
    'grant.yaml': readFileSync(SHOP, 'utf8').replace('kind: ReferenceGrant', 'kind: Secret'),
    'kind.yaml': route('name: a', '---\nkind: TCPRoute\nmetadata: { name: db }\nspec: {}\n'),
    'broken.yaml': 'kind: [HTTPRoute\n',
    'empty.yaml': '',
    'good.yaml': route('name: a'),
    'regex.yaml': route('matches: [{ path: { type: RegularExpression, value: "/(a" } }]'),
  }
  beforeAll(async () => {
    folder = await folderWith(FILES)
  })
  afterAll(() => folder.remove())
  const run = (name: string, ...flags: string[]) =>
    inProcess(['adapt', 'gateway-api', join(folder.path, name), ...flags])

  it.each([
    ['filter.yaml', /HTTPRoute shop\/web: spec\.rules\[0\]\.filters\[0\]\.type: ExtensionRef has/],
    [
      'retry.yaml',
      /retry\.yaml:6: HTTPRoute shop\/web: spec\.rules\[0\]\.retry: has no counterpart here/,
    ],
    ['grant.yaml', /backendRefs\[0\]\.namespace: no ReferenceGrant in checkout lets an HTTPRoute/],
    ['kind.yaml', /TCPRoute default\/db: the kind TCPRoute has no counterpart/],
    ['broken.yaml', /broken\.yaml:\d+: is not valid YAML/],
    ['empty.yaml', /there is no HTTPRoute/],
    ['missing.yaml', /missing\.yaml cannot be read/],
    ['regex.yaml', /routes\[0\]\.match: regular expression: this group is never closed/],
  ])('%s is an error that says what and where', async (name, message) => {
    const { code, out, err } = await run(name)
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(message)
  })

  it('is left out with a warning when that is asked for', async () => {
    const { code, out, err } = await run('filter.yaml', '--skip-unsupported')
    expect(code).toBe(0)
    expect(err).toContain('ExtensionRef has no counterpart here')
    expect(JSON.parse(out)).toMatchObject({ routes: [{ pools: ['shop.web.1'] }] })
    expect((await run('broken.yaml', '--skip-unsupported')).code).toBe(1)
  })

  it('the file is written where it is wanted, and holds', async () => {
    const file = join(folder.path, 'meridian.json')
    const { code, out } = await run('good.yaml', '--out', file, '--cluster-domain', 'k8s.test')
    expect([code, out]).toEqual([0, `wrote ${file}: 1 routes, 1 pools\n`])
    expect(await readFile(file, 'utf8')).toContain('http://web.shop.svc.k8s.test:80')
    const check = await inProcess(['check', '--config', file])
    expect(check.err).toBe('')
    expect(check.code).toBe(0)
  })
})
