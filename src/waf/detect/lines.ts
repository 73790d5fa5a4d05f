/**
 * Injection of lines: header fields and whole responses behind a line break (CRLF injection), mail header
 * fields, and commands of SMTP and IMAP.
 */
import { excerpt, isWord, skipSpace } from './bytes.ts'

export interface LineFinding {
  crlf: number
  mail: number
  evidence: string
}

const HTTP_FIELDS = new Set(
  'set-cookie location content-length content-type transfer-encoding host refresh x-xss-protection access-control-allow-origin cache-control connection status link x-forwarded-for x-forwarded-host authorization cookie referer user-agent content-encoding last-modified etag www-authenticate strict-transport-security'.split(
    ' ',
  ),
)
/** Fields that a sender adds to a mail he should not control. */
const MAIL_STRONG = new Set(
  'bcc cc mime-version content-transfer-encoding x-mailer reply-to return-path'.split(' '),
)
const MAIL_WEAK = new Set('to from subject date'.split(' '))

const SMTP =
  /^(?:RCPT TO|MAIL FROM|EHLO|HELO|VRFY|EXPN|AUTH (?:LOGIN|PLAIN)|STARTTLS|DATA$|QUIT$|RSET$|NOOP$|HELP$)/i
const IMAP =
  /^(?:[A-Z]{1,2}\d{1,5}|\*|\.) (?:CAPABILITY|FETCH|LOGIN|LOGOUT|SELECT|EXAMINE|LIST|LSUB|SEARCH|STORE|COPY|UID|NOOP|CREATE|DELETE|RENAME|SUBSCRIBE|STATUS|APPEND|CHECK|CLOSE|EXPUNGE|IDLE|AUTHENTICATE|UNSUBSCRIBE)\b/i

/** Lines looked at; a text has many, an injection few. */
const MAX_LINES = 400

/**
 * @param isName  whether the value stands where no line break belongs (path, header, cookie, user agent)
 */
export function scanLines(value: string, isName: boolean): LineFinding {
  const found: LineFinding = { crlf: 0, mail: 0, evidence: '' }
  const hasReturn = value.includes('\r')
  const firstLine = nextBreak(value, 0, hasReturn)
  mailCommand(value, 0, firstLine, found, true)
  const isAddress =
    firstLine < 80 &&
    value.slice(0, firstLine).includes('@') &&
    !value.slice(0, firstLine).includes(' ')
  if (isAddress) {
    const rest = value.slice(firstLine, firstLine + 120).trim()
    if (rest !== '' && !rest.includes('@')) raise(found, 'mail', 84, value, firstLine)
  }
  let at = firstLine
  for (let n = 0; at < value.length && n < MAX_LINES; n++) {
    while (at < value.length && isBreak(value.charCodeAt(at))) at++
    const end = nextBreak(value, at, hasReturn)
    const start = skipSpace(value, at, end)
    header(value, start, end, firstLine, isName, found)
    mailCommand(value, start, end, found, false)
    at = end
  }
  return found
}

function isBreak(c: number): boolean {
  return c === 13 || c === 10
}

function nextBreak(value: string, from: number, hasReturn: boolean): number {
  if (!hasReturn) {
    const feed = value.indexOf('\n', from)
    return feed < 0 ? value.length : feed
  }
  for (let i = from; i < value.length; i++) if (isBreak(value.charCodeAt(i))) return i
  return value.length
}

function raise(
  found: LineFinding,
  kind: 'crlf' | 'mail',
  score: number,
  value: string,
  at: number,
): void {
  if (score > found[kind]) {
    found[kind] = score
    found.evidence = excerpt(value, at)
  }
}

function header(
  value: string,
  from: number,
  end: number,
  firstLine: number,
  isName: boolean,
  found: LineFinding,
): void {
  let i = from
  while (i < end && i - from < 40 && (isWord(value.charCodeAt(i)) || value.charCodeAt(i) === 45))
    i++
  if (i > from && value.charCodeAt(i) === 58) {
    const name = value.slice(from, i).toLowerCase()
    // A form's text area may hold a mail with its header; a short value before the break may not.
    const short = firstLine <= 80
    if (HTTP_FIELDS.has(name) || (short && name.startsWith('x-')))
      raise(found, 'crlf', isName || short ? 90 : 60, value, from)
    else if (isName) raise(found, 'crlf', 84, value, from)
    if (MAIL_STRONG.has(name)) raise(found, 'mail', short ? 88 : 60, value, from)
    else if (MAIL_WEAK.has(name) || name === 'content-type') {
      const first = value.slice(0, Math.min(firstLine, 120))
      const isAddress = first.includes('@') && !first.includes(' ')
      raise(found, 'mail', isAddress ? 88 : isName ? 80 : 45, value, from)
    }
  }
  const line = value.slice(from, Math.min(end, from + 64))
  if (/^HTTP\/\d/.test(line)) raise(found, 'crlf', 92, value, from)
  else if (/^(?:GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH|TRACE|CONNECT) \S+ HTTP\/\d/.test(line))
    raise(found, 'crlf', 90, value, from)
  else if (isName && line.length > 0) raise(found, 'crlf', /^<\w/.test(line) ? 88 : 70, value, from)
}

function mailCommand(
  value: string,
  from: number,
  end: number,
  found: LineFinding,
  isFirst: boolean,
): void {
  let start = from
  // "x" V100 ...: the closing quote of the command around the value.
  while (start < end && (value.charCodeAt(start) === 34 || value.charCodeAt(start) === 39)) start++
  const c = value.charCodeAt(start)
  if (!(isWord(c) || c === 42 || c === 46)) return
  const line = value.slice(start, Math.min(end, start + 80)).trimEnd()
  if (IMAP.test(line)) raise(found, 'mail', 90, value, start)
  else if (SMTP.test(line))
    raise(
      found,
      'mail',
      isFirst && !/^(?:RCPT TO|MAIL FROM)/i.test(line)
        ? 30
        : /^(?:RCPT|MAIL)/i.test(line)
          ? 90
          : 82,
      value,
      start,
    )
}
