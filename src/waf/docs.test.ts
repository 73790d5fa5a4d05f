import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../config/load.ts'
import { wafOf } from './waf.fixture.ts'

describe('docs/waf.md', () => {
  const text = readFileSync(new URL('../../docs/waf.md', import.meta.url), 'utf8')
  const blocks = [...text.matchAll(/```(jsonc?)\n([\s\S]*?)```/g)].map(([, kind, body]) => ({
    kind,
    body: body ?? '',
  }))

  it('shows a config that holds', () => {
    const config = JSON.parse((blocks[0]?.body ?? '').replace(/ \/\/.*$/gm, ''))
    config.pools = { app: { origins: [{ url: 'http://h:1' }] } }
    const { waf, routes } = parseConfig(JSON.stringify(config))
    expect(waf.rulesets).toHaveLength(3)
    expect(routes.map((route) => route.waf)).toMatchObject([
      { oversize: 'skip' },
      { simulateShare: 90 },
      undefined,
    ])
  })

  it('shows the defaults of challenges', () => {
    const shown = blocks.find(({ body }) => body.includes('"difficulty"'))?.body ?? ''
    const { waf } = JSON.parse(shown.replace(/ \/\/.*$/gm, ''))
    const { secret } = waf.challenge
    const routes = [{ respond: { body: '' } }]
    const challengeOf = (config: object) => parseConfig(JSON.stringify(config)).waf.challenge
    expect(challengeOf({ waf, routes })).toEqual({ ...challengeOf({ routes }), secret })
  })

  it('shows rules that hold', () => {
    const [native, seclang] = blocks
      .filter(({ kind }) => kind === 'json')
      .map(({ body }) => JSON.parse(body))
    native.rules[0].expression = native.rules[0].expression.replace('$office', '{198.51.100.0/24}')
    const { problems } = wafOf({
      files: { 'native.json': native, 'crs.json': { ruleset: 'crs', rules: [seclang] } },
    })
    expect(problems).toEqual([])
  })
})
