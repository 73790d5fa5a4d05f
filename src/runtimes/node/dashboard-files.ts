/** The dashboard's files out of the distribution, read and compressed once. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { PageFile, PageFiles } from '../../admin/page.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
}

/** Beside this file in the distribution; run from the sources, the page is the one that was built last. */
const FOLDERS = ['../../dashboard/', '../../../dist/dashboard/'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)

/** @returns undefined when the page was not built */
export function dashboardFiles(): PageFiles | undefined {
  const folder = FOLDERS.find((path) => existsSync(`${path}index.html`))
  if (folder === undefined) return undefined
  const files = new Map<string, PageFile>()
  for (const name of readdirSync(folder)) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const plain = new Uint8Array(readFileSync(`${folder}${name}`))
    const digest = createHash('sha256').update(plain).digest('base64url').slice(0, 22)
    files.set(name, {
      type,
      plain,
      gzip: new Uint8Array(gzipSync(plain, { level: 9 })),
      etag: `"${digest}"`,
      isImmutable: /-[A-Z0-9]{8}\.\w+$/.test(name),
    })
  }
  return files
}
