/** Which requests leave a line in the access log, by expression. */
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/errors.ts'
import { ask } from '../harness/client.ts'
import { World, world } from '../harness/world.ts'

describe('telemetry.access.rules', () => {
  it('leave out what is not worth a line, and never an error or a refusal', async () => {
    const w = world()
    const origin = await w.origin((request, response) => {
      response.statusCode =
        request.url === '/healthz?broken' ? 500 : request.url === '/old' ? 404 : 200
      response.setHeader('content-type', request.url === '/logo' ? 'image/png' : 'text/plain')
      response.end('x')
    })
    const gateway = await w.gateway({
      pools: { app: { origins: [{ url: origin.url }] } },
      routes: [{ pools: ['app'] }],
      waf: { rulesets: ['managed'] },
      telemetry: {
        access: {
          fields: ['path', 'status', 'weight'],
          rules: [
            { when: 'http.request.uri.path eq "/healthz"', sample: 0 },
            { when: 'http.response.code eq 404', sample: 1 },
            {
              when: 'any(http.response.headers["content-type"][*] eq "image/png")',
              sample: 0,
            },
          ],
        },
      },
    })
    for (const path of [
      '/healthz',
      '/healthz?broken',
      '/logo',
      '/old',
      "/healthz?q=1'%20or%20'1'='1",
      '/a',
    ]) {
      await ask(gateway.url + path)
    }
    const lines = await gateway.records(4)
    expect(lines).toEqual([
      { path: '/healthz', status: 500 },
      { path: '/old', status: 404 },
      { path: '/healthz', status: 403 },
      { path: '/a', status: 200 },
    ])
    expect(await gateway.metric('meridian_access_log_sampled_out_total')).toBe(2)
    expect(await gateway.metric('meridian_access_log_lines_total')).toBe(4)
  })

  it.each([
    [
      { rules: [{ when: 'http.hst eq "a"', sample: 0 }] },
      'telemetry.access.rules[0].when',
      /http\.host/,
    ],
    [{ rules: [{ when: 'ssl', sample: 2 }] }, 'telemetry.access.rules[0].sample', /1/],
    [{ fields: ['staus'] }, 'telemetry.access.fields[0]', /field of the access log/],
    [{ format: 'combined', fields: ['status'] }, 'telemetry.access.fields', /"json" lines only/],
  ])('%j is refused at %s', async (access, path, message) => {
    const w = new World()
    try {
      const error = await w
        .gateway({
          routes: [{ respond: {} }],
          telemetry: { access: access as never },
        })
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
      expect(error).toBeInstanceOf(ConfigError)
      const [problem] = (error as ConfigError).problems
      expect(problem?.path).toBe(path)
      expect(`${problem?.message} ${problem?.hint}`).toMatch(message)
    } finally {
      await w.close()
    }
  })
})
