import { describe, expect, it } from 'vitest'
import { decodeBase64Url } from '../../src/iam/encoding.ts'
import { examineKeys, KeySet, secretKey } from '../../src/iam/key-set.ts'
import { verifyJws } from '../../src/iam/verify.ts'

interface Found {
  readonly passed: number
  readonly falseAccepts: readonly string[]
  readonly falseRejects: readonly string[]
}
type Run = (dir: string, iam: object) => Promise<Found>

const dir = process.env.WYCHEPROOF_DIR
if (dir === undefined) console.log('WYCHEPROOF_DIR is not set: the JWS vectors are not run')

describe.runIf(dir !== undefined)('Wycheproof', () => {
  it('JWS and JWK vectors: no false accept, no false reject', async () => {
    // A script for Node, without types; its interface is above.
    const harness: { run: Run } = await import(new URL('./jwt.mjs', import.meta.url).href)
    const iam = { verifyJws, examineKeys, KeySet, secretKey, decodeBase64Url }
    const found = await harness.run(dir as string, iam)
    expect(found.falseAccepts).toEqual([])
    expect(found.falseRejects).toEqual([])
    expect(found.passed).toBe(476)
  })
})
