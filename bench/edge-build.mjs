/**
 * `npm run edge:build`: what would be deployed, without deploying it. Prints the size of the bundle and fails
 * above the budgets; `edge-startup.mjs` does the same for the time that its module takes to load.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { trapsIn } from '../dist/runtimes/workers/config-traps.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const wrangler = join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js')
const KIB = 1024

/**
 * KiB of gzip, of all modules. The design's goal for the code is 150; it carries the WAF's engine and detectors,
 * identity, the cache and the whole config schema, and is more than twice that.
 */
const BUDGETS = { code: 345, all: 355 }

for (const trap of trapsIn(readFileSync(join(root, 'wrangler.toml'), 'utf8'))) {
  console.error(`wrangler.toml: ${trap}`)
  process.exitCode = 1
}

const out = mkdtempSync(join(tmpdir(), 'meridian-edge-'))
try {
  const env = {
    ...process.env,
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    CI: '1',
  }
  const args = ['deploy', '--dry-run', '--outdir', out, ...process.argv.slice(2)]
  const built = spawnSync(process.execPath, [wrangler, ...args], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
  if (built.status !== 0) {
    console.error(built.stdout, built.stderr)
    process.exit(1)
  }
  let code = 0
  let texts = 0
  for (const name of readdirSync(out)) {
    if (name.endsWith('.map') || name === 'README.md') continue
    const size = gzipSync(readFileSync(join(out, name)), { level: 9 }).length
    if (name.endsWith('.js') && !name.startsWith('config-')) code += size
    else if (name.endsWith('.js')) texts += size
  }
  const line = (what, bytes, budget) =>
    console.log(
      `${what.padEnd(24)}${(bytes / KIB).toFixed(1).padStart(8)} KiB gzip, at most ${budget}`,
    )
  line('code', code, BUDGETS.code)
  line('code, config and rules', code + texts, BUDGETS.all)
  if (code > BUDGETS.code * KIB || code + texts > BUDGETS.all * KIB) {
    console.error('the bundle is larger than its budget')
    process.exit(1)
  }
} finally {
  rmSync(out, { recursive: true, force: true })
}
