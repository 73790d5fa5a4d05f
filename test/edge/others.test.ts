/** The examples for Bun and Deno, where their packages are installed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, inject, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const RUNTIMES = [
  { name: 'bun', args: ['examples/edge/bun.ts'] },
  {
    name: 'deno',
    args: ['run', '-A', '--no-check', '--node-modules-dir=manual', 'examples/edge/deno.ts'],
  },
]

let child: ChildProcess | undefined
let folder = ''
afterEach(async () => {
  child?.kill()
  child = undefined
  if (folder !== '') await rm(folder, { recursive: true, force: true })
})

describe.each(RUNTIMES)('the example for $name', ({ name, args }) => {
  const binary = join(root, 'node_modules', '.bin', name)
  const isInstalled = existsSync(binary)
  // The reason stands in the test's name, where a report shows it.
  const title = isInstalled ? 'serves' : `not run: the package "${name}" is not installed`

  it(title, async () => {
    if (!isInstalled) return
    folder = await mkdtemp(join(tmpdir(), 'meridian-other-'))
    const config = join(folder, 'meridian.json')
    await writeFile(
      config,
      JSON.stringify({
        pools: { app: { origins: [{ url: inject('origins').regions.eu }] } },
        routes: [{ pools: ['app'], cache: {} }],
      }),
    )
    const port = await freePort()
    child = spawn(binary, [...args, config, String(port)], { cwd: root, stdio: 'pipe' })
    const url = `http://127.0.0.1:${port}`
    await until(() => fetch(`${url}/page`).then((response) => response.ok))
    expect(await (await fetch(`${url}/page/1`)).text()).toBe('eu /page/1')
    expect(await (await fetch(`${url}/gzip`)).text()).toBe('squeezed '.repeat(100))
    expect((await fetch(`${url}/page?id=1%27%20union%20select%20null--`)).status).toBe(403)
    const kept = await (await fetch(`${url}/cached/x`)).text()
    expect(await (await fetch(`${url}/cached/x`)).text()).toBe(kept)
    const echo = await fetch(`${url}/echo`, { method: 'POST', body: 'x'.repeat(200_000) })
    expect((await echo.text()).length).toBe(200_000)
  })
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000
  for (;;) {
    if (await isTrue().catch(() => false)) return
    if (Date.now() > end) throw new Error('it did not start in time')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
