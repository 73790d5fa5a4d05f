/**
 * Writes a syntax tree in one canonical form: word operators, single spaces, parentheses only where they
 * are needed. Parsing the result gives a tree of the same meaning.
 */
import {
  type Call,
  EACH,
  type Index,
  type Literal,
  type Node,
  type Pattern,
  type Right,
} from './ast.ts'

const STRENGTH = { or: 1, xor: 2, and: 3 } as const

export function print(node: Node): string {
  switch (node.kind) {
    case 'logic':
      return node.items
        .map((item) =>
          item.kind === 'logic' && STRENGTH[item.op] <= STRENGTH[node.op]
            ? `(${print(item)})`
            : print(item),
        )
        .join(` ${node.op} `)
    case 'not':
      return node.item.kind === 'logic' ? `not (${print(node.item)})` : `not ${print(node.item)}`
    case 'compare':
      return `${printIndex(node.left)} ${node.op} ${printRight(node.right)}`
    case 'index':
      return printIndex(node)
    case 'literal':
      return printLiteral(node)
  }
}

export function printIndex(index: Index): string {
  let text =
    index.base.kind === 'call'
      ? printCall(index.base)
      : index.base.kind === 'field'
        ? index.base.name
        : String(index.base.value)
  for (const { at } of index.steps) {
    text += at === EACH ? '[*]' : typeof at === 'number' ? `[${at}]` : `[${quote(at)}]`
  }
  return text
}

function printCall(call: Call): string {
  return `${call.name}(${call.args.map(print).join(', ')})`
}

function printRight(right: Right): string {
  switch (right.kind) {
    case 'literal':
      return printLiteral(right)
    case 'pattern':
      return printPattern(right)
    case 'set':
      return `{${right.items.map(printLiteral).join(' ')}}`
    case 'list':
      return `$${right.name}`
  }
}

function printLiteral(literal: Literal): string {
  return literal.form === 'bare' ? literal.text : quote(literal.text)
}

/** A quoted string of these bytes. */
export function quote(bytes: string): string {
  let text = '"'
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes.charCodeAt(i)
    if (code === 34 || code === 92) text += `\\${bytes[i]}`
    else if (code < 32 || code > 126)
      text += `\\x${code.toString(16).padStart(2, '0').toUpperCase()}`
    else text += bytes[i]
  }
  return `${text}"`
}

const MAX_HASHES = 255

function printPattern({ pattern, lexeme }: Pattern): string {
  let hashes = 0
  for (const run of pattern.match(/"#*/g) ?? []) hashes = Math.max(hashes, run.length)
  if (hashes > MAX_HASHES) return lexeme
  const fence = '#'.repeat(hashes)
  return `r${fence}"${pattern}"${fence}`
}
