/** The project's pages, and what can be read out of them. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

export interface Page {
  /** Path from the root of the repository. */
  readonly path: string
  readonly text: string
}

export interface Block {
  readonly page: string
  /** Of the opening fence, from 1. */
  readonly line: number
  readonly language: string
  /** The comment on the line before the fence, such as `config`. */
  readonly mark: string | undefined
  readonly text: string
}

const markdownIn = (folder: string) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))

export const page = (path: string): Page => ({
  path,
  text: readFileSync(join(ROOT, path), 'utf8'),
})

export const PAGES: readonly Page[] = ['.', 'docs', 'geo', 'rules'].flatMap(markdownIn).map(page)

export function blocks({ path, text }: Page): Block[] {
  const found: Block[] = []
  const lines = text.split('\n')
  for (let i = 0; i < lines.length; i++) {
    const language = /^```(\w*)$/.exec(lines[i]!)?.[1]
    if (language === undefined) continue
    const mark = /^<!-- (\w+) -->$/.exec(lines[i - 1] ?? '')?.[1]
    const from = i + 1
    while (lines[++i] !== '```') if (i >= lines.length) throw new Error(`${path}: open fence`)
    found.push({ page: path, line: from, language, mark, text: lines.slice(from, i).join('\n') })
  }
  return found
}

const withoutBlocks = (text: string) => text.replace(/^```[\s\S]*?^```$/gm, '')

/** Relative links with what stands after `#`, as paths from the root. */
export function links({ path, text }: Page): { target: string; anchor: string | undefined }[] {
  return [...withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1]!)
    .filter((href) => !/^[a-z]+:/.test(href))
    .map((href) => {
      const [file, anchor] = href.split('#') as [string, string?]
      return { target: file === '' ? path : join(dirname(path), file), anchor }
    })
}

/** Anchors as GitHub makes them of headings. */
export function anchors({ text }: Page): Set<string> {
  const seen = new Map<string, number>()
  const found = new Set<string>()
  for (const match of withoutBlocks(text).matchAll(/^#+ (.+)$/gm)) {
    const slug = match[1]!
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-')
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    found.add(count === 0 ? slug : `${slug}-${count}`)
  }
  return found
}

/** Rows of the table whose header row begins like this, as cells. */
export function table({ path, text }: Page, header: string): string[][] {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.startsWith(header))
  if (start < 0) throw new Error(`${path}: no table ${header}`)
  const rows: string[][] = []
  for (let i = start + 2; lines[i]?.startsWith('|'); i++) {
    rows.push(
      lines[i]!.slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
  }
  return rows
}

/** What stands in code font in a cell. */
export const names = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!)
