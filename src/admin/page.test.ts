import { describe, expect, it } from 'vitest'
import type { PageFile, PageFiles } from './page.ts'
import { adminWorld } from './world.fixture.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const file = (type: string, text: string, isImmutable = false): PageFile => ({
  type,
  plain: bytes(text),
  gzip: bytes(`gzip of ${text}`),
  etag: `"${text.length}"`,
  isImmutable,
})
const FILES: PageFiles = new Map([
  ['index.html', file('text/html; charset=utf-8', '<!doctype html>')],
  ['app-0A1B2C3D.js', file('text/javascript; charset=utf-8', 'run()', true)],
])
const STRANGER = { authorization: '' }

function world(page: PageFiles | undefined = FILES) {
  const refused: string[] = []
  const { call } = adminWorld({ page, onRefused: (_reason, _peer, path) => refused.push(path) })
  return {
    refused,
    get: (path: string, headers: Record<string, string> = {}, method = 'GET') =>
      call(method, path, undefined, { ...STRANGER, ...headers }),
  }
}

describe('the dashboard’s files', () => {
  it('need no token; everything else does', async () => {
    const { get, refused } = world()
    const page = await get('/ui/')
    expect(page.status).toBe(200)
    expect(await page.text()).toBe('<!doctype html>')
    expect((await get('/ui/app-0A1B2C3D.js')).headers.get('content-type')).toContain('javascript')
    const redirect = await get('/ui')
    expect([redirect.status, redirect.headers.get('location')]).toEqual([308, 'ui/'])
    expect(await (await get('/ui/gate.json')).json()).toEqual({ asksForToken: true })
    expect(refused).toEqual([])
    for (const path of ['/status', '/live', '/', '/uix', '/ui%2f..%2fstatus', '/config']) {
      expect([path, (await get(path)).status]).toEqual([path, 401])
    }
  })

  it('run nothing inline and load nothing from elsewhere', async () => {
    const { get } = world()
    const policy = (await get('/ui/')).headers.get('content-security-policy') ?? ''
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'none'",
    ]) {
      expect(policy.split('; ')).toContain(part)
    }
    for (const [name, value] of [
      ['x-content-type-options', 'nosniff'],
      ['referrer-policy', 'no-referrer'],
      ['cross-origin-resource-policy', 'same-origin'],
    ] as const) {
      expect((await get('/ui/')).headers.get(name)).toBe(value)
    }
  })

  it('are kept by browsers as long as their name says, and compressed for those that take it', async () => {
    const { get } = world()
    const page = await get('/ui/')
    expect(page.headers.get('cache-control')).toBe('no-cache')
    const script = await get('/ui/app-0A1B2C3D.js', { 'accept-encoding': 'br, gzip' })
    expect(script.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(script.headers.get('content-encoding')).toBe('gzip')
    expect(await script.text()).toBe('gzip of run()')
    const plain = await get('/ui/app-0A1B2C3D.js', { 'accept-encoding': 'gzip;q=0, br' })
    expect(plain.headers.get('content-encoding')).toBeNull()
    const same = await get('/ui/', { 'if-none-match': page.headers.get('etag') ?? '' })
    expect([same.status, await same.text()]).toEqual([304, ''])
    expect((await get('/ui/gate.json')).headers.get('cache-control')).toBe('no-store')
  })

  it('may be linked to from anywhere; data may not be asked for from another site', async () => {
    const { get } = world()
    const site = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }
    expect((await get('/ui/', site)).status).toBe(200)
    expect((await get('/status', site)).status).toBe(403)
    expect((await get('/ui/', { host: 'evil.example' })).status).toBe(421)
    expect((await get('/ui/', { ...site }, 'POST')).status).toBe(403)
  })

  it.each([
    ['/ui/nothing', 404],
    ['/ui/..%2f..%2fetc%2fpasswd', 404],
    ['/ui/constructor', 404],
    ['/ui/deeper/index.html', 404],
  ])('%s is not there', async (path, status) => {
    const answer = await world().get(path)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  it('are read only, and say so when they are not part of the installation', async () => {
    const { get } = world()
    const answer = await get('/ui/', {}, 'DELETE')
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    expect((await get('/ui/', {}, 'HEAD')).status).toBe(200)
    const { call } = adminWorld()
    const missing = await call('GET', '/ui/')
    expect(missing.status).toBe(404)
    expect(await missing.json()).toMatchObject({
      title: 'The dashboard is not part of this installation.',
    })
  })
})
