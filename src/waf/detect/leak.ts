/**
 * What should not leave: error messages of databases and runtimes, stack traces, source code, private
 * keys and credentials, card numbers, listings. For response bodies.
 */
import { Automaton } from './automaton.ts'
import { isDigit, isWord } from './bytes.ts'
import type { Finding } from './types.ts'

/** Score, then literals in lower case. */
const LEAKS: readonly (readonly [number, string])[] = [
  [
    95,
    '-----begin rsa private key~-----begin private key~-----begin openssh private key~-----begin ec private key~-----begin dsa private key~-----begin encrypted private key~-----begin pgp private key',
  ],
  [
    94,
    'root:x:0:0:~daemon:x:1:1:~root:*:0:0:~[boot loader]~[operating systems]~; for 16-bit app support~uid=0(root)',
  ],
  [
    86,
    'you have an error in your sql syntax~warning: mysql_~warning: mysqli_~mysql_fetch_array()~supplied argument is not a valid mysql~unclosed quotation mark after the character string~quoted string not properly terminated~pg_query(): query failed~pg_exec(): query failed~postgresql query failed~unterminated quoted string at or near~sqlite3::sqlexception~sqlite_error~sqlite3.operationalerror~near "syntax error~sqlstate[~ora-00933~ora-00936~ora-01756~ora-00921~ora-00942~ora-01789~microsoft ole db provider for~odbc sql server driver~odbc microsoft access driver~microsoft jet database engine~incorrect syntax near~db2 sql error:~sybase message:~com.mysql.jdbc.exceptions~org.postgresql.util.psqlexception~java.sql.sqlexception~system.data.sqlclient.sqlexception~org.hibernate.exception~unknown column \'~mongoerror:~mongoservererror:~pdoexception',
  ],
  [
    84,
    "<b>fatal error</b>:~<b>warning</b>:  ~<b>parse error</b>:~<b>notice</b>:  ~php fatal error:~php parse error:~stack trace: #0~traceback (most recent call last)~django version:~werkzeug debugger~server error in '/~[httpexception~system.nullreferenceexception~system.web.httpunhandledexception~microsoft vbscript runtime~microsoft vbscript compilation~active server pages error~java.lang.nullpointerexception~java.lang.illegalargumentexception~java.lang.classnotfoundexception~org.apache.jasper.jasperexception~javax.servlet.servletexception~org.springframework.web~ at sun.reflect.~action controller: exception caught~activerecord::~nomethoderror in~at module._compile (~at object.<anonymous> (~node:internal/~goroutine 1 [running]~panic: runtime error~whoops! there was an error~laravel\\framework~symfony\\component~<title>phpinfo()</title>~xdebug-error",
  ],
  [
    84,
    '<title>index of /~[to parent directory]~directory listing for /~<h1>directory listing~<title>directory listing',
  ],
  [88, '<?php ~<?= ~<%@ page ~<%@page~<cfset ~<cfquery '],
  [
    92,
    'aws_secret_access_key~"secretaccesskey"~xoxb-~xoxp-~ghp_~github_pat_~glpat-~sk_live_~rk_live_~-----begin certificate request~"private_key": "~"type": "service_account"~accountkey=~sharedaccesskey=',
  ],
]

interface Compiled {
  readonly automaton: Automaton
  readonly literals: readonly string[]
  readonly scores: readonly number[]
}

let compiled: Compiled | undefined

function tables(): Compiled {
  if (compiled !== undefined) return compiled
  const literals: string[] = []
  const scores: number[] = []
  for (const [score, text] of LEAKS) {
    for (const literal of text.split('~')) {
      literals.push(literal.replaceAll('  ', ' '))
      scores.push(score)
    }
  }
  compiled = { automaton: new Automaton(literals), literals, scores }
  return compiled
}

/** Names in prose about these errors are rare in pages; one literal is enough. */
export function findLeaks(body: string): Finding[] {
  const { automaton, literals, scores } = tables()
  let score = 0
  let evidence = ''
  automaton.scan(body, (literal) => {
    const s = scores[literal] as number
    if (s > score) {
      score = s
      evidence = literals[literal] as string
    }
  })
  if (score < 84) {
    const cards = cardNumbers(body)
    if (cards > 0) {
      score = cards > 2 ? 90 : 84
      evidence = `${cards} card numbers`
    }
  }
  return score === 0 ? [] : [{ class: 'leak', score, evidence, decoded: [], place: 'body' }]
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
