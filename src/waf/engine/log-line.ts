/** A match in the form of ModSecurity's error log, which log tools and the CRS's own tests read. */
import type { RuleMatch } from './transaction.ts'

const MAX_FIELD = 400

function field(name: string, value: string): string {
  return value === '' ? '' : ` [${name} "${escaped(value)}"]`
}

/** Control bytes, quotes and bytes above ASCII escaped: a logged attack must not forge log lines. */
export function escaped(text: string): string {
  const cut = text.length > MAX_FIELD ? text.slice(0, MAX_FIELD) : text
  return cut.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, (char) => {
    switch (char) {
      case '\n':
        return '\\n'
      case '\r':
        return '\\r'
      case '\t':
        return '\\t'
      case '"':
        return '\\"'
      case '\\':
        return '\\\\'
      default:
        return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
    }
  })
}

export function logLine(match: RuleMatch): string {
  return (
    `${match.isDisruptive ? 'Access denied' : 'Warning'}. Matched at ${match.target}.` +
    field('id', String(match.id)) +
    field('msg', match.message) +
    field('data', match.data) +
    field('severity', match.severity) +
    match.tags.map((tag) => field('tag', tag)).join('')
  )
}
