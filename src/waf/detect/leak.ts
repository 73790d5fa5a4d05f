/**
 * What should not leave: error messages of databases and runtimes, stack traces, source code, private
 * keys and credentials, card numbers, listings. For response bodies.
 */
import { Automaton } from './automaton.ts'
import { isDigit, isWord } from './bytes.ts'
import type { Finding } from './types.ts'

/** The rule that leaks are found by, as verdicts and exceptions name it, and the beginning of its targets. */
export const DATA_LEAK = 'data-leak'
export const LEAK_TARGET = 'leak:'

/** What a leak is of; exceptions name it, such as `leak:card-number`. */
export const LEAK_KINDS = [
  'private-key',
  'system-file',
  'database-error',
  'runtime-error',
  'listing',
  'source-code',
  'credential',
  'card-number',
] as const
export type LeakKind = (typeof LEAK_KINDS)[number]

export interface Leak extends Finding {
  readonly kind: LeakKind
}

/** Kind and score, then literals in lower case. */
const LEAKS: readonly (readonly [LeakKind, number, string])[] = [
  [
    'private-key',
    95,
    '-----begin rsa private key~-----begin private key~-----begin openssh private key~-----begin ec private key~-----begin dsa private key~-----begin encrypted private key~-----begin pgp private key',
  ],
  [
    'system-file',
    94,
    'root:x:0:0:~daemon:x:1:1:~root:*:0:0:~[boot loader]~[operating systems]~; for 16-bit app support~uid=0(root)',
  ],
  [
    'database-error',
    86,
    'you have an error in your sql syntax~warning: mysql_~warning: mysqli_~mysql_fetch_array()~supplied argument is not a valid mysql~unclosed quotation mark after the character string~quoted string not properly terminated~pg_query(): query failed~pg_exec(): query failed~postgresql query failed~unterminated quoted string at or near~sqlite3::sqlexception~sqlite_error~sqlite3.operationalerror~near "syntax error~sqlstate[~ora-00933~ora-00936~ora-01756~ora-00921~ora-00942~ora-01789~microsoft ole db provider for~odbc sql server driver~odbc microsoft access driver~microsoft jet database engine~incorrect syntax near~db2 sql error:~sybase message:~com.mysql.jdbc.exceptions~org.postgresql.util.psqlexception~java.sql.sqlexception~system.data.sqlclient.sqlexception~org.hibernate.exception~unknown column \'~mongoerror:~mongoservererror:~pdoexception',
  ],
  [
    'runtime-error',
    84,
    "<b>fatal error</b>:~<b>warning</b>:  ~<b>parse error</b>:~<b>notice</b>:  ~php fatal error:~php parse error:~stack trace: #0~traceback (most recent call last)~django version:~werkzeug debugger~server error in '/~[httpexception~system.nullreferenceexception~system.web.httpunhandledexception~microsoft vbscript runtime~microsoft vbscript compilation~active server pages error~java.lang.nullpointerexception~java.lang.illegalargumentexception~java.lang.classnotfoundexception~org.apache.jasper.jasperexception~javax.servlet.servletexception~org.springframework.web~ at sun.reflect.~action controller: exception caught~activerecord::~nomethoderror in~at module._compile (~at object.<anonymous> (~node:internal/~goroutine 1 [running]~panic: runtime error~whoops! there was an error~laravel\\framework~symfony\\component~<title>phpinfo()</title>~xdebug-error",
  ],
  [
    'listing',
    84,
    '<title>index of /~[to parent directory]~directory listing for /~<h1>directory listing~<title>directory listing',
  ],
  ['source-code', 88, '<?php ~<?= ~<%@ page ~<%@page~<cfset ~<cfquery '],
  [
    'credential',
    92,
    'aws_secret_access_key~"secretaccesskey"~xoxb-~xoxp-~ghp_~github_pat_~glpat-~sk_live_~rk_live_~-----begin certificate request~"private_key": "~"type": "service_account"~accountkey=~sharedaccesskey=',
  ],
]

interface Compiled {
  readonly automaton: Automaton
  readonly literals: readonly string[]
  readonly scores: readonly number[]
  readonly kinds: readonly LeakKind[]
}

let compiled: Compiled | undefined

function tables(): Compiled {
  if (compiled !== undefined) return compiled
  const literals: string[] = []
  const scores: number[] = []
  const kinds: LeakKind[] = []
  for (const [kind, score, text] of LEAKS) {
    for (const literal of text.split('~')) {
      literals.push(literal.replaceAll('  ', ' '))
      scores.push(score)
      kinds.push(kind)
    }
  }
  compiled = { automaton: new Automaton(literals), literals, scores, kinds }
  return compiled
}

/**
 * Names in prose about these errors are rare in pages; one literal is enough.
 * @param excused kinds that are let off
 */
export function findLeaks(body: string, excused?: ReadonlySet<LeakKind>): Leak[] {
  const { automaton, literals, scores, kinds } = tables()
  let score = 0
  let evidence = ''
  let kind: LeakKind = 'card-number'
  automaton.scan(body, (literal) => {
    const s = scores[literal] as number
    if (s <= score) return
    const k = kinds[literal] as LeakKind
    if (excused?.has(k)) return
    score = s
    evidence = literals[literal] as string
    kind = k
  })
  if (score < 84 && !excused?.has('card-number')) {
    const cards = cardNumbers(body)
    if (cards > 0) {
      score = cards > 2 ? 90 : 84
      evidence = `${cards} card numbers`
      kind = 'card-number'
    }
  }
  return score === 0 ? [] : [{ class: 'leak', score, evidence, decoded: [], place: 'body', kind }]
}

/** Numbers of 15 or 16 digits with the prefix and check digit of a payment card (ISO/IEC 7812). */
export function cardNumbers(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 51 || c > 54 || isWord(text.charCodeAt(i - 1)) || text.charCodeAt(i - 1) === 46)
      continue
    const digits: number[] = []
    let groups = 0
    const wanted = c === 51 ? 15 : 16
    let j = i
    for (; j < text.length && digits.length < wanted; j++) {
      const d = text.charCodeAt(j)
      if (isDigit(d)) digits.push(d - 48)
      else if ((d === 32 || d === 45) && isDigit(text.charCodeAt(j + 1)) && groups < 3) groups++
      else break
    }
    if (digits.length === wanted && !isWord(text.charCodeAt(j)) && luhn(digits)) count++
    i = Math.max(i, j - 1)
  }
  return count
}

function luhn(digits: readonly number[]): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = digits[digits.length - 1 - i] as number
    const doubled = i % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0 && digits.some((d) => d !== digits[0])
}
