/**
 * Command injection: a command of a Unix or Windows shell where a shell would start one, that is behind
 * `;`, `|`, `&`, a newline, a back quote, `$(` or at the very start. Quotes, backslashes and carets inside
 * a name are taken out first, as a shell does.
 */
import { excerpt, isDigit, isSpace, isWord, skipSpace } from './bytes.ts'

export interface ShellFinding {
  readonly score: number
  readonly evidence: string
}

/** No word of any language's prose, or so rarely that an argument decides. */
const TOOL = 3
/** Short names that prose does not have as words of their own. */
const SHORT = 2
/** English words that are commands too. */
const WORDLIKE = 1

const RANKS = new Map<string, number>()
for (const [rank, words] of [
  [
    TOOL,
    'whoami uname ifconfig ipconfig nslookup netstat wget curl chmod chown chgrp bash zsh ksh csh tcsh ash ncat netcat socat telnet systeminfo tasklist taskkill powershell pwsh cmd nmap tcpdump crontab mkfifo mknod rmdir mkdir passwd useradd usermod adduser sudo iptables route arp traceroute tracert printenv whereis lsof dmesg hostnamectl mysqldump mysql psql sqlite3 certutil bitsadmin wmic schtasks regsvr32 rundll32 mshta cscript wscript icacls xcopy robocopy findstr vssadmin netsh lynx fetch gcc perl python python2 python3 ruby node lua php5 php7 base64 xxd awk gawk sed grep egrep fgrep busybox openssl ssh scp sftp rsync tftp ftp xterm strace gdb nohup setsid stdbuf eval phpinfo nc.exe cmd.exe bash.exe powershell.exe sh.exe /bin/sh net1 getent lsb_release lscpu lsblk uptime vmstat reboot systemctl journalctl kubectl docker',
  ],
  [
    SHORT,
    'id ls ps pwd dir nc sh env cp mv rm df du tar dig php ip df w last ln od nl ss dd vi ed tee xargs less printf',
  ],
  [
    WORDLIKE,
    'cat echo ping sleep type net find head tail more touch kill sort date host top who test set copy move del cut time start wait export source exec read print view watch cal reg query at killall history more vol ver tree finger mail service mount free shutdown halt',
  ],
] as const) {
  for (const word of words.split(' ')) RANKS.set(word, rank)
}

/** Start of a command and what stands before it. */
const NONE: ShellFinding = { score: 0, evidence: '' }
const CERTAIN = 90
/** Told from no sentence even alone. */
const ALONE = new Set(
  'whoami ifconfig ipconfig netstat uname systeminfo tasklist printenv hostnamectl lsof getent'.split(
    ' ',
  ),
)
/** Characters that may separate commands: newlines, `$`, `&`, `;`, `<`, `>`, `` ` ``, `{`, `|`. */
const SEPARATES = new Uint8Array(128)
for (const c of [10, 13, 36, 38, 59, 60, 62, 96, 123, 124]) SEPARATES[c] = 1
/** Separators looked behind in one value; prose and code have few. */
const MAX_STARTS = 256

/** Score of the worst command that a shell would run from this value. */
export function shellScore(value: string): ShellFinding {
  let best = NONE
  const take = (at: number, separator: string) => {
    const score = commandAt(value, at, separator)
    if (score > best.score)
      best = { score, evidence: `${separator} ${excerpt(value, at, at + 40)}` }
  }
  const first = skipSpace(value, 0, Math.min(value.length, 16))
  // Shellshock (CVE-2014-6271): a function definition where a value should be.
  if (value.charCodeAt(first) === 40 && /^\(\)\s*\{/.test(value.slice(first, first + 12)))
    return { score: 97, evidence: excerpt(value, first) }
  take(0, '')
  let starts = 0
  for (let i = 0; i < value.length && starts < MAX_STARTS && best.score < CERTAIN; i++) {
    const c = value.charCodeAt(i)
    if (c > 127 || SEPARATES[c] === 0) continue
    const next = value.charCodeAt(i + 1)
    let at = -1
    let separator = ''
    if (c === 38 && (next === 35 || isReference(value, i))) continue
    if (c === 59 && endsReference(value, i)) continue
    if (c === 59 || c === 10 || c === 13) {
      separator = c === 59 ? ';' : 'newline'
      at = i + 1
    } else if (c === 124 || c === 38) {
      at = next === c ? i + 2 : i + 1
      separator = next === c ? (c === 38 ? '&&' : '||') : c === 38 ? '&' : '|'
    } else if (c === 96) {
      separator = '`'
      at = i + 1
    } else if ((c === 36 || c === 60 || c === 62) && next === 40) {
      separator = c === 36 ? '$(' : '<('
      at = i + 2
    } else if (c === 123 && isWord(next)) {
      separator = '{'
      at = i + 1
    }
    if (at >= 0) {
      starts++
      take(at, separator)
      i = at - 1
    }
  }
  return best
}

function isUpper(c: number): boolean {
  return c >= 65 && c <= 90
}

/** Whether `&` at `at` starts a named character reference. */
function isReference(value: string, at: number): boolean {
  let i = at + 1
  while (i - at < 9 && isWord(value.charCodeAt(i))) i++
  return i > at + 1 && value.charCodeAt(i) === 59
}

/** Whether `;` at `at` ends a character reference. */
function endsReference(value: string, at: number): boolean {
  let i = at - 1
  while (i >= 0 && at - i < 9 && (isWord(value.charCodeAt(i)) || value.charCodeAt(i) === 35)) i--
  return i >= 0 && i < at - 1 && value.charCodeAt(i) === 38
}

/** `/???/c?t`, `/b?n/id`: short wildcard folders, as no glob of a build tool has. */
function isMaskedPath(name: string): boolean {
  const second = name.indexOf('/', 1)
  if (!name.startsWith('/') || second < 3 || second > 6) return false
  const folder = name.slice(1, second)
  return folder !== '**' && (folder.includes('?') || folder.includes('*'))
}

function commandAt(value: string, from: number, separator: string): number {
  let i = skipSpace(value, from)
  // "; sudo -u x cmd", "; env x=1 cmd" are found by the outer word already.
  const start = i
  let name = ''
  let odd = 0
  let quoted = false
  const stop = Math.min(value.length, i + 80)
  for (; i < stop; i++) {
    const c = value.charCodeAt(i)
    if (c === 92 || c === 94 || c === 39 || c === 34) {
      if (i === start && separator === '' && c !== 92) return 0
      odd++
      if (c === 34 || c === 39) quoted = true
      continue
    }
    if (c === 36) {
      const skip = emptyExpansion(value, i)
      if (skip === 0) break
      odd += 2
      i += skip - 1
      continue
    }
    if (!isWord(c) && c !== 47 && c !== 46 && c !== 63 && c !== 42 && c !== 45) break
    name += value[i]
  }
  if (name === '') return 0
  const slash = name.lastIndexOf('/')
  const isPath = slash >= 0
  const base = (isPath ? name.slice(slash + 1) : name).toLowerCase()
  if (isMaskedPath(name)) return 86
  if (base === 'base64' && value.charCodeAt(i) === 44) return 0
  const rank = RANKS.get(base) ?? RANKS.get(base.replace(/[.]exe$|[\d.]+$/, '')) ?? 0
  if (rank === 0) return 0
  // "Python & Perl": commands are written small.
  const isTitle =
    isUpper(name.charCodeAt(0)) && !isUpper(name.charCodeAt(1)) && odd === 0 && name.length > 1
  if (isTitle && separator === '' && rank === WORDLIKE) return 0
  if (isTitle && separator !== '$(' && argumentScore(value, base, i) < 3) return 0
  if (odd > 0 && separator === '' && !quoted && rank > WORDLIKE && i - start > name.length)
    return 84
  if (odd > 0 && (quoted ? odd > 1 : odd > 0) && separator !== '' && i - start - name.length > 0)
    return 90
  if (isPath && (name.startsWith('/bin') || name.startsWith('/usr') || name.startsWith('/sbin')))
    return 90
  return weigh(value, rank, base, i, from, separator, start)
}

/** "Try `ls` in ...": a word and a space before the back quotes, a space and a word behind. */
function isMarkdown(value: string, from: number): boolean {
  if (!isSpace(value.charCodeAt(from - 2)) || !isWord(value.charCodeAt(from - 3))) return false
  const close = value.slice(from, from + 200).indexOf('`')
  return (
    close > 0 &&
    isSpace(value.charCodeAt(from + close + 1)) &&
    isWord(value.charCodeAt(from + close + 2))
  )
}

/** Length of an expansion that a shell drops: $@, $*, $1, ${x}, $u. */
function emptyExpansion(value: string, from: number): number {
  const next = value.charCodeAt(from + 1)
  if (next === 64 || next === 42 || next === 33 || isDigit(next)) return 2
  if (next === 123) {
    const close = value.slice(from, from + 12).indexOf('}')
    return close > 0 && value.slice(from + 2, from + 5).toLowerCase() !== 'ifs' ? close + 1 : 0
  }
  return 0
}

/** What the arguments and the place say of a command that was found. */
function weigh(
  value: string,
  rank: number,
  base: string,
  after: number,
  from: number,
  separator: string,
  start: number,
): number {
  const argument = argumentScore(value, base, after)
  const ends = commandEnds(value, after)
  const substitution = separator === '$(' || separator === '<('
  if (separator === '') {
    if (argument >= 3) return rank === WORDLIKE ? 84 : 88
    if (argument === 2) return rank === TOOL ? 84 : rank === SHORT ? 84 : 70
    if (after >= value.length) return ALONE.has(base) ? 84 : rank === TOOL ? 70 : 20
    return 0
  }
  if (separator === '{') return value.charCodeAt(after) === 44 ? 90 : 0
  const tight = value.charCodeAt(from) === value.charCodeAt(start) && from === start
  const prefix = prefixWords(value, from - separatorLength(separator))
  if (substitution) return rank === WORDLIKE ? (argument > 0 || ends ? 88 : 40) : 92
  if (separator === '`') {
    // Markdown sets commands in back quotes, in the middle of a sentence.
    if (prefix > 1 || (prefix === 1 && isMarkdown(value, from))) return argument >= 3 ? 66 : 45
    return rank === WORDLIKE && argument === 0 && !ends ? 40 : 86
  }
  if (argument >= 3) return prefix > 6 && separator === 'newline' ? 80 : 90
  if (argument === 2) return prefix > 6 ? 60 : separator === 'newline' ? 82 : 86
  if (ends) {
    if (rank === TOOL) return prefix > 3 && !tight ? 60 : 88
    if (rank === SHORT) return prefix > 1 && !(tight && prefix <= 2) ? 40 : 84
    return prefix === 0 || (tight && prefix <= 1) ? 66 : 20
  }
  if (rank === TOOL) return prefix > 3 ? 40 : separator === '&' || separator === 'newline' ? 60 : 82
  if (rank === SHORT && separator !== '&' && prefix <= 1) return tight || prefix === 0 ? 70 : 40
  return argument === 1 && prefix <= 1 ? 60 : 0
}

function separatorLength(separator: string): number {
  return separator === 'newline' ? 1 : separator.length
}

/** Words before the separator, counted up to 8. */
function prefixWords(value: string, to: number): number {
  let words = 0
  let inside = false
  for (let i = 0; i < to && words < 8; i++) {
    const space = isSpace(value.charCodeAt(i))
    if (!space && !inside) words++
    inside = !space
  }
  return words
}

function commandEnds(value: string, from: number): boolean {
  const i = skipSpace(value, from)
  if (i >= value.length) return true
  const c = value.charCodeAt(i)
  return (
    c === 59 ||
    c === 124 ||
    c === 38 ||
    c === 41 ||
    c === 96 ||
    c === 35 ||
    c === 62 ||
    c === 39 ||
    c === 34
  )
}

/** 3: an argument only commands have (flag, path, URL, redirection, variable); 2: likely; 1: some word. */
function argumentScore(value: string, base: string, from: number): 0 | 1 | 2 | 3 {
  let i = skipSpace(value, from)
  const spaced = i > from
  const c = value.charCodeAt(i)
  if (Number.isNaN(c)) return 0
  if (c === 60 || c === 62) {
    const next = value.charCodeAt(skipSpace(value, i + 1))
    return isWord(next) || next === 47 || next === 38 ? 3 : 1
  }
  if (
    c === 36 &&
    (isWord(value.charCodeAt(i + 1)) ||
      value.charCodeAt(i + 1) === 123 ||
      value.charCodeAt(i + 1) === 40)
  )
    return 3
  if (base === 'base64' && c === 44) return 0
  if (c === 44 || !spaced) return c === 44 && isWord(value.charCodeAt(i + 1)) ? 1 : 0
  if (c === 45) return isWord(value.charCodeAt(i + 1)) || value.charCodeAt(i + 1) === 45 ? 3 : 0
  if (c === 47)
    return isSpace(value.charCodeAt(i + 1)) ||
      isWord(value.charCodeAt(i + 1)) ||
      value.charCodeAt(i + 1) === 63 ||
      value.charCodeAt(i + 1) === 42 ||
      i + 1 >= value.length
      ? 3
      : 0
  if (c === 126 || c === 46) return 3
  if (c === 42) return 2
  if (c === 34 || c === 39) return base === 'echo' || base === 'printf' || base === 'eval' ? 2 : 1
  const end = Math.min(value.length, i + 64)
  let word = ''
  let hasDot = false
  let hasPath = false
  for (; i < end; i++) {
    const d = value.charCodeAt(i)
    if (isSpace(d) || d === 59 || d === 124 || d === 38) break
    if (d === 46 && isWord(value.charCodeAt(i + 1))) hasDot = true
    if (d === 47) hasPath = true
    else if (d === 92) {
      const letter = value.charCodeAt(i + 1) | 32
      if (letter !== 117 && letter !== 120) hasPath = true
    }
    word += value[i]
  }
  if (word.includes('://') || hasPath) return 3
  if (hasDot) return 2
  const closed = commandEnds(value, i)
  if (isDigit(word.charCodeAt(0)))
    return base === 'sleep' || base === 'ping' || base === 'kill' ? (closed ? 3 : 1) : 1
  if (/^(?:install|and|or|the|is|a|to|for|in|of|it)$/.test(word)) return 0
  return closed &&
    (RANKS.get(base) === SHORT ||
      base === 'echo' ||
      base === 'cat' ||
      base === 'type' ||
      base === 'rm' ||
      base === 'net')
    ? 2
    : 1
}
