/** `meridian penalty` and `meridian revocation` against the control port of a gateway that serves. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { type TestConfig, world } from '../harness/world.ts'
import { inProcess } from './cli.fixture.ts'

const TOKEN = 'a-token-of-some-length'
const READ = 'another-token-of-some-length'
const ISSUER = 'https://issuer.example'

/** A gateway, and the command line that asks it. */
async function gateway(config: TestConfig) {
  const w = world()
  const g = await w.gateway({
    ...config,
    admin: {
      token: { file: w.put('token', TOKEN) },
      readToken: { file: w.put('read-token', READ) },
    },
    trustedProxies: ['127.0.0.1'],
  })
  const meridian = (args: readonly string[], input = '', env = 'TOKEN') =>
    inProcess(
      [...args, '--control', g.running.control as string, '--token-env', env],
      { TOKEN, READ, WRONG: 'wrong' },
      input,
    )
  return { g, meridian }
}

it('shuts clients out, lists them, and lets them in again', async () => {
  const { g, meridian } = await gateway({
    penaltyBox: { exempt: ['198.51.100.0/24'] },
    routes: [{ id: 'site', respond: { body: 'site' } }],
  })
  const from = async (ip: string) =>
    (await ask(g.url, { headers: { 'x-forwarded-for': ip } })).status

  expect(await meridian(['penalty', 'list'])).toEqual({
    code: 0,
    out: 'nobody is in the penalty box\n',
    err: '',
  })
  const added = await meridian(['penalty', 'add', '203.0.113.7', '--for', '2h', '--reason', 'why'])
  expect(added).toEqual({
    code: 0,
    out: '203.0.113.7 is shut out for 2h in 1 process\n',
    err: '',
  })
  const six = await meridian(['penalty', 'add', '2001:db8:1:2:3::4', '--json'])
  expect(JSON.parse(six.out)).toEqual({ key: '2001:db8:1:2::/64', workers: 1, of: 1 })
  expect([await from('203.0.113.7'), await from('203.0.113.8')]).toEqual([429, 200])
  expect([await from('2001:db8:1:2::9'), await from('2001:db8:1:3::9')]).toEqual([429, 200])

  expect((await meridian(['penalty', 'list'])).out).toMatch(
    /^CLIENT +LEFT +TERMS\n203\.0\.113\.7 +(7200|7199) s +0\n2001:db8:1:2::\/64 +(3600|3599) s +0\n$/,
  )
  const listed = JSON.parse((await meridian(['penalty', 'list', '--json'])).out) as {
    key: string
  }[]
  expect(listed.map(({ key }) => key)).toEqual(['203.0.113.7', '2001:db8:1:2::/64'])
  // A token that may only look sees addresses cut, and changes nothing.
  expect((await meridian(['penalty', 'list'], '', 'READ')).out).not.toContain('203.0.113.7')
  const refused = await meridian(['penalty', 'lift', '203.0.113.7'], '', 'READ')
  expect([refused.code, refused.err]).toEqual([1, 'meridian: This token may only look.\n'])

  // By its key as listed.
  expect((await meridian(['penalty', 'lift', '2001:db8:1:2::/64'])).code).toBe(0)
  expect(await meridian(['penalty', 'lift', '203.0.113.7'])).toEqual({
    code: 0,
    out: '203.0.113.7 is let in again by 1 process\n',
    err: '',
  })
  expect([await from('203.0.113.7'), await from('2001:db8:1:2::9')]).toEqual([200, 200])

  const again = await meridian(['penalty', 'lift', '203.0.113.7'])
  expect([again.code, again.err]).toEqual([1, 'meridian: 203.0.113.7 is not in the penalty box.\n'])
  const exempt = await meridian(['penalty', 'add', '198.51.100.9'])
  expect([exempt.code, exempt.err.includes('is exempt')]).toEqual([1, true])
  const span = await meridian(['penalty', 'add', '203.0.113.7', '--for', 'long'])
  expect([span.code, span.err.includes('for: ')]).toEqual([1, true])
  const wrong = await meridian(['penalty', 'list'], '', 'WRONG')
  expect(wrong.code).toBe(1)
  expect(wrong.err).toContain('hint: name the variable that holds the token with --token-env')
})

it('revokes tokens and subjects, lists them, and takes it back', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
  const token = (subject: string, id: string) =>
    new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
      .setIssuer(ISSUER)
      .setAudience('site')
      .setSubject(subject)
      .setJti(id)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey)
  const { g, meridian } = await gateway({
    iam: { issuers: [{ id: 'i', issuer: ISSUER, jwks: { keys: [jwk] } }] },
    routes: [
      { id: 'own', auth: { methods: ['jwt'], audience: ['site'] }, respond: { body: 'own' } },
    ],
  })
  const alice = await token('alice', 'a1')
  const bob = await token('bob', 'b1')
  const withToken = async (bearer: string) =>
    (await ask(g.url, { headers: { authorization: `Bearer ${bearer}` } })).status

  expect((await meridian(['revocation', 'list'])).out).toBe('nothing is revoked\n')
  expect([await withToken(alice), await withToken(bob)]).toEqual([200, 200])
  const expires = new Date(Date.now() + 7_200_000).toISOString().replace(/\.\d+Z$/, 'Z')
  const added = await meridian([
    ...['revocation', 'add', 'sub', 'alice', '--issuer', ISSUER],
    ...['--before', '2099-01-01T00:00:00Z', '--expires', expires],
  ])
  const id = /^revoked in 1 process \((\S+)\)\n$/.exec(added.out)?.[1] as string
  expect([added.code, added.err, typeof id]).toEqual([0, '', 'string'])
  expect([await withToken(alice), await withToken(bob)]).toEqual([401, 200])
  const { out } = await meridian(['revocation', 'list'])
  expect(out.split('\n')[1]?.split(/ {2,}/)).toEqual([
    ...[id, 'sub', 'alice', ISSUER, '2099-01-01T00:00:00Z', expires],
  ])

  // Of the token itself only the hash goes into the list, and none into the arguments.
  const whole = await meridian(['revocation', 'add', 'token', '--json'], `${bob}\n`)
  expect(whole.code).toBe(0)
  expect(await withToken(bob)).toBe(401)
  const listed = (await meridian(['revocation', 'list', '--json'])).out
  expect(JSON.parse(listed)).toHaveLength(2)
  expect(listed).not.toContain(bob)

  expect((await meridian(['revocation', 'remove', id])).out).toBe(
    `${id} is taken back in 1 process\n`,
  )
  expect([await withToken(alice), await withToken(bob)]).toEqual([200, 401])
  const gone = await meridian(['revocation', 'remove', id])
  expect([gone.code, gone.err]).toEqual([1, `meridian: There is no revocation "${id}".\n`])
  const past = await meridian([
    'revocation',
    'add',
    'sub',
    'a',
    '--expires',
    '2020-01-01T00:00:00Z',
  ])
  expect([past.code, past.err]).toEqual([1, 'meridian: expiresAt: this time is over already\n'])
  const box = await meridian(['penalty', 'list'])
  expect([box.code, box.err]).toEqual([1, 'meridian: The config has no "penaltyBox".\n'])
})
