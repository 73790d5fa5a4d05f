/**
 * The part of the public cache suite that never waits, over sockets and in both profiles. The rest, with its
 * pauses of seconds: `npm run conformance:cache`.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const script = fileURLToPath(new URL('cache.mjs', import.meta.url))
const suite = new URL('../../node_modules/http-cache-tests/package.json', import.meta.url)

it.skipIf(!existsSync(suite))(
  'loses no test of http-cache-tests but those that are listed with a reason',
  async () => {
    const { code, text } = await run('--fast')
    expect(code, text).toBe(0)
    expect(text).toContain('rfc9111: required 63/63, optimal 57/61')
    expect(text).toContain('safe: required 63/63, optimal 56/61')
  },
  90_000,
)

function run(...args: string[]): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, ...args])
    let text = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
    }
    child.on('close', (code) => resolve({ code, text }))
  })
}
