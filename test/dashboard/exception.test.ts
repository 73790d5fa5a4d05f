/** Exceptions that the dashboard makes are ones that the gateway takes, and stop nothing else. */
import { describe, expect, it } from 'vitest'
import { compileForCheck } from '../../src/cli/compile-check.ts'
import { loadConfig } from '../../src/config/load.ts'
import { exceptionOf, targetOf, withException } from '../../src/dashboard/exception.ts'
import { segments } from '../../src/dashboard/health-segments.ts'
import type { GatewayEvent } from '../../src/telemetry/events.ts'

function event(detail: GatewayEvent['detail']): GatewayEvent {
  return { id: 'a-1', sequence: 1, time: 0, kind: 'security', what: 'blocked', detail }
}

const BLOCKED = event({
  host: 'shop.example',
  path: '/say/"hello\\',
  rules: ['sql-injection', 'attack-score'],
  target: 'meridian.waf.score.sqli',
})
const CRS = event({ host: 'a', path: '/x', rules: ['942100'], target: 'ARGS:body' })

const CONFIG = `{
  // where it listens
  "pools": { "app": { "origins": [{ "url": "http://127.0.0.1:3000" }] } },
  "routes": [{ "pools": ["app"] }]
}
`

describe('an exception', () => {
  it.each([
    {
      reach: 'path',
      when: 'http.host eq "shop.example" and http.request.uri.path eq "/say/\\"hello\\\\"',
    },
    {
      reach: 'below',
      when: 'http.host eq "shop.example" and starts_with(http.request.uri.path, "/say/")',
    },
    { reach: 'all', when: undefined },
  ] as const)(
    'for $reach compiles in a config, whose text stays as it is',
    async ({ reach, when }) => {
      const made = exceptionOf(BLOCKED, {
        rules: ['sql-injection'],
        reach,
        onlyTarget: true,
        why: ' a poem ',
      })
      expect(made).toEqual({
        description: 'a poem',
        ...(when === undefined ? {} : { when }),
        ids: ['sql-injection'],
      })
      const once = withException(CONFIG, made)
      const twice = withException(once, { ids: ['attack-score'] })
      expect(twice).toContain('// where it listens')
      const loaded = await loadConfig(twice, {
        file: 'meridian.json',
        readSecret: () => '',
        readFile: () => '',
      })
      expect(loaded.config.waf.exceptions).toEqual([made, { ids: ['attack-score'] }])
      expect(await compileForCheck(loaded)).toEqual([])
    },
  )

  it('has numbers for rules of the CRS, and their target where it is one', () => {
    const choice = { rules: ['942100'], reach: 'all', why: '' } as const
    expect(exceptionOf(CRS, { ...choice, onlyTarget: true })).toEqual({
      ids: [942100],
      target: 'ARGS:body',
    })
    expect(exceptionOf(CRS, { ...choice, onlyTarget: false })).toEqual({ ids: [942100] })
    expect(targetOf(BLOCKED)).toBeUndefined()
    expect(targetOf(event({ rules: ['data-leak'], target: 'leak:card-number' }))).toBe(
      'leak:card-number',
    )
    expect(targetOf(event({ rules: ['942100', 'own'], target: 'ARGS:body' }))).toBeUndefined()
  })
})

describe('the health of an origin over time', () => {
  const NOW = 10_000_000
  const change = (ago: number, what: string, origin = 'a'): GatewayEvent => ({
    id: 'a-1',
    sequence: 1,
    time: NOW - ago,
    kind: 'health',
    what,
    detail: { origin, cause: 'probe' },
  })

  it('is one stretch for each state, from what was before the first change to now', () => {
    const events = [
      change(1000, 'down to up'),
      change(2000, 'x', 'a'),
      change(3000, 'up to down', 'b'),
      change(60_000, 'up to down'),
    ]
    expect(segments(events, 'a', NOW, 'up')).toEqual([
      { from: NOW - 900_000, to: NOW - 60_000, state: 'up', cause: '' },
      { from: NOW - 60_000, to: NOW - 1000, state: 'down', cause: 'probe' },
      { from: NOW - 1000, to: NOW, state: 'up', cause: 'probe' },
    ])
    expect(segments([], 'a', NOW, 'down')).toEqual([
      { from: NOW - 900_000, to: NOW, state: 'down', cause: '' },
    ])
    expect(segments([change(1_000_000, 'up to down')], 'a', NOW, 'down')).toHaveLength(1)
  })
})
