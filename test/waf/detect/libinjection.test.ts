/**
 * The verdicts of libinjection's own vectors, read in place from LIBINJECTION_TESTS. Of the SQL vectors
 * only whether a fingerprint is expected matters. The HTML vectors state tokens, no verdicts: those that
 * name an element or a declaration that runs something are attacks, the others are not.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { detectSqli } from '../../../src/waf/detect/sqli.ts'
import { detectXss } from '../../../src/waf/detect/xss.ts'

const folder = process.env.LIBINJECTION_TESTS

function vectors(kind: string): { file: string; input: string; expected: string }[] {
  const dir = folder as string
  const inner = readdirSync(dir).includes('tests') ? join(dir, 'tests') : dir
  return readdirSync(inner)
    .filter((file) => file.startsWith(`test-${kind}-`))
    .map((file) => {
      const [, body = ''] = readFileSync(join(inner, file), 'latin1').split('--INPUT--\n')
      const [input = '', expected = ''] = body.split('--EXPECTED--')
      return { file, input: input.trim(), expected: expected.trim() }
    })
}

if (folder === undefined) {
  it('needs LIBINJECTION_TESTS (not set here, nothing to compare with)', () => {
    expect(folder).toBeUndefined()
  })
} else {
  it('calls exactly the SQL vectors attacks that have a fingerprint', () => {
    const cases = vectors('sqli')
    expect(cases.length).toBeGreaterThanOrEqual(50)
    const wrong = cases.filter((c) => detectSqli(c.input).attack !== (c.expected !== ''))
    expect(wrong).toEqual([])
  })

  it('calls the HTML vectors attacks that hold active markup, and no others', () => {
    const cases = vectors('html5')
    expect(cases.length).toBeGreaterThanOrEqual(60)
    const active = /<script|<\?import|<!entity/i
    const wrong = cases.filter((c) => detectXss(c.input).attack !== active.test(c.input))
    expect(wrong).toEqual([])
  })
}
