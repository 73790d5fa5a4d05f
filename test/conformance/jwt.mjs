/**
 * Project Wycheproof's JWS and JWK vectors against our verification. They are read in place:
 * WYCHEPROOF_DIR names the folder. `npm run build && node test/conformance/jwt.mjs`
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv, env, exit, stdout } from 'node:process'
import { pathToFileURL } from 'node:url'

/** Where we decide otherwise, and why; by file and test number. */
const DEVIATIONS = {
  json_web_signature: {
    ...each([259, 264, 268, 272, 320, 325], 'refused', 'an empty payload can hold no claims'),
    ...each([346, 347], 'refused', 'the key says PS256, the token PS384: the key decides'),
    ...each([350, 351], 'refused', 'the key says ES521, which is no algorithm'),
    ...each([372, 373], 'refused', 'characters outside base64url (RFC 7515 §2)'),
    ...each([367, 370], 'accepted', 'byte for byte the same as test 357, which is valid'),
  },
}

const ALGORITHMS = ['RS', 'PS', 'ES', 'HS'].flatMap((family) =>
  [256, 384, 512].map((bits) => family + bits),
)

function each(tests, outcome, reason) {
  return Object.fromEntries(tests.map((test) => [test, { outcome, reason }]))
}

/**
 * @param dir folder with the three files
 * @param iam `verifyJws`, `examineKeys`, `KeySet`, `secretKey`, `decodeBase64Url` of src/iam
 */
export async function run(dir, iam) {
  const found = { passed: 0, falseAccepts: [], falseRejects: [], notApplicable: 0, deviations: 0 }
  for (const name of ['json_web_signature', 'json_web_key', 'json_web_crypto']) {
    const { testGroups } = JSON.parse(readFileSync(join(dir, `${name}_test.json`), 'utf8'))
    for (const group of testGroups) {
      const keys = keysOf(group, iam)
      for (const test of group.tests) {
        if (test.jws === undefined) {
          found.notApplicable++
          continue
        }
        const deviation = DEVIATIONS[name]?.[test.tcId]
        if (deviation !== undefined) found.deviations++
        const expected = deviation?.outcome ?? (test.result === 'valid' ? 'accepted' : 'refused')
        const text = typeof test.jws === 'string' ? test.jws : JSON.stringify(test.jws)
        const refusal = await iam.verifyJws(text, keys, ALGORITHMS)
        const outcome = refusal === undefined ? 'accepted' : 'refused'
        const title = `${name} ${test.tcId} ${group.comment}: ${test.comment} (${refusal})`
        if (outcome === expected) found.passed++
        else if (outcome === 'accepted') found.falseAccepts.push(title)
        else found.falseRejects.push(title)
      }
    }
  }
  return found
}

/** Public keys, or shared secrets: an issuer never has both. */
function keysOf(group, iam) {
  const source = group.public ?? group.private
  const jwks = source.keys ?? [source]
  const secrets = jwks.filter((jwk) => jwk.kty === 'oct')
  if (secrets.length === 0) return iam.examineKeys(jwks).set
  if (secrets.length < jwks.length) return new iam.KeySet([])
  const keys = []
  for (const { k, use, alg, kid } of secrets) {
    const bytes = iam.decodeBase64Url(k)
    // As in a config: a secret that is not well formed makes the whole issuer unusable.
    if (bytes === undefined) return new iam.KeySet([])
    if ((use ?? 'sig') !== 'sig') continue
    const key = iam.secretKey(bytes, [alg], kid)
    if (typeof key !== 'string') keys.push(key)
  }
  return new iam.KeySet(keys)
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  const dir = env.WYCHEPROOF_DIR
  if (dir === undefined) {
    stdout.write('skipped: WYCHEPROOF_DIR is not set\n')
    exit(0)
  }
  const built = (path) => import(new URL(`../../dist/iam/${path}.js`, import.meta.url).href)
  const iam = {
    ...(await built('verify')),
    ...(await built('key-set')),
    ...(await built('encoding')),
  }
  const found = await run(dir, iam)
  for (const title of found.falseAccepts) stdout.write(`false accept: ${title}\n`)
  for (const title of found.falseRejects) stdout.write(`false reject: ${title}\n`)
  const failed = found.falseAccepts.length + found.falseRejects.length
  stdout.write(
    `${found.deviations} deviations pinned, ${found.notApplicable} not JWS\n${found.passed} passed, ${failed} failed\n`,
  )
  exit(failed === 0 ? 0 : 1)
}
