/** Keys that the command makes are keys that the gateway takes. */
import { describe, expect, it } from 'vitest'
import { run } from '../../src/cli/program.ts'
import { ApiKeys } from '../../src/iam/api-key.ts'

async function meridian(args: readonly string[], input = '') {
  const said = { code: -1, out: '', err: '' }
  said.code = await run(args, {
    out: (text) => {
      said.out += text
    },
    err: (text) => {
      said.err += text
    },
    env: { PEPPER: 'a pepper' },
    input: () => Promise.resolve(input),
  })
  return said
}

describe.each([undefined, 'a pepper'])('meridian key, pepper %s', (pepper) => {
  const more = pepper === undefined ? [] : ['--pepper', 'PEPPER']

  it('makes a key that the gateway takes, and hashes it the same', async () => {
    const { code, out } = await meridian(['key', 'create', 'partner1', '--json', ...more])
    expect(code).toBe(0)
    const { key, entry } = JSON.parse(out) as {
      key: string
      entry: { id: string; hashes: string[] }
    }
    expect(entry.hashes[0]).toMatch(pepper === undefined ? /^sha256:/ : /^hmac-sha256:/)
    expect(JSON.stringify(entry)).not.toContain(key.slice(-49))
    const keys = new ApiKeys([{ ...entry, scopes: [], roles: [], claims: {} } as never], pepper)
    expect(keys.identify(key, undefined, 0)?.subject).toBe('partner1')
    const hashed = await meridian(['key', 'hash', ...more], `${key}\n`)
    expect(JSON.parse(hashed.out)).toEqual(entry)
    const cut = await meridian(['key', 'hash', ...more], key.slice(0, -1))
    expect(cut).toMatchObject({ code: 1, out: '' })
    expect(cut.err).toContain('no whole API key')
  })

  it('says what is for whom', async () => {
    const first = await meridian(['key', 'create', 'abcd', ...more])
    expect(first.out).toMatch(/mk_abcd_[\w-]{49}\n/)
    expect(first.out).toContain('"hashes":')
    expect((await meridian(['key', 'create', 'abcd', ...more])).out).not.toBe(first.out)
  })
})
