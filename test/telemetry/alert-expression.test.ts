/** An alert by expression: over real sockets until its message arrives, and what a config may not say. */
import { expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { until } from '../harness/wait.ts'
import { type TestConfig, world } from '../harness/world.ts'

const ROUTES: TestConfig['routes'] = [
  { id: 'login', match: { path: '/login' }, respond: { status: 401, body: 'no' } },
  { id: 'site', respond: { body: 'site' } },
]
const FAILED_LOGINS = 'http.request.uri.path eq "/login" and http.response.code eq 401'

it('tells of requests that match by what was asked and what was answered', async () => {
  const w = world()
  const posts: string[] = []
  const receiver = await w.origin((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      posts.push(body)
      response.end()
    })
  })
  const g = await w.gateway({
    routes: ROUTES,
    alerts: [
      {
        name: 'logins',
        when: { expression: FAILED_LOGINS, count: 3, over: '6s' },
        url: receiver.url,
        secret: { file: w.put('secret', 'a secret of the receiver') },
      },
    ],
  })
  // What the front refuses is asked about too, and is none of them.
  for (const path of ['/login', '/', '/login', '/%zz', '/other', '/login']) {
    await ask(`${g.url}${path}`)
  }
  const post = await until('the message', () => posts[0])
  expect(JSON.parse(post)).toMatchObject({
    type: 'meridian.alert.firing',
    data: {
      alert: 'logins',
      summary: '50 % of the requests matched, 3 of 6 in 6 s; the limit is 3 requests',
      detail: { requests: 6, limit: 3 },
    },
  })
})

it.each([
  [{ expression: 'http.request.uri.pth eq "/"', count: 1 }, 'alerts[0].when.expression'],
  [{ expression: 'true' }, 'either "share" or "count" is expected with it'],
  [{ expression: 'true', share: 0.1, count: 1 }, 'either "share" or "count"'],
  [{ errorShare: 0.1, count: 1 }, 'alerts[0].when.count'],
  [{ share: 0.1 }, 'it says nothing without "expression"'],
  [{ over: '1m' }, 'errorShare or expression'],
])('does not take %j', async (when, words) => {
  const w = world()
  const alert = {
    name: 'a',
    when,
    url: 'https://alerts.example/hook',
    secret: { file: w.put('secret', 'a secret of the receiver') },
  }
  await expect(w.gateway({ routes: ROUTES, alerts: [alert] })).rejects.toThrow(words)
})
