/**
 * Injection into filters: LDAP search filters (RFC 4515) and the operators of document databases.
 */
import { excerpt, isWord } from './bytes.ts'

export interface FilterFinding {
  readonly score: number
  readonly evidence: string
}

const NOTHING: FilterFinding = { score: 0, evidence: '' }

const LDAP_ATTRIBUTES = new Set(
  'uid cn sn ou dc mail objectclass objectcategory userpassword password pass user username samaccountname memberof givenname displayname department title description telephonenumber homedirectory userprincipalname member name o l c st admin role directory printer documents security_level pager securitylevel login email dn security zone'.split(
    ' ',
  ),
)

/** Parts of filters that a value opens or closes: `*)(uid=*`, `(&(a=b)(c=d))`, `)(|(`. */
export function ldapScore(value: string): FilterFinding {
  let score = 0
  let where = 0
  let items = 0
  let known = 0
  let open = value.indexOf('(')
  while (open >= 0) {
    const before = previous(value, open)
    let i = open + 1
    const sign = value.charCodeAt(i)
    const isOperator =
      (sign === 38 || sign === 124 || sign === 33) &&
      (value.charCodeAt(i + 1) === 40 || value.charCodeAt(i + 1) === 41)
    if (isOperator) {
      const s = before === 41 || before === 42 ? 92 : before === 0 || before === 40 ? 78 : 40
      if (s > score) {
        score = s
        where = open
      }
    }
    const from = i
    while (
      i - from < 32 &&
      (isWord(value.charCodeAt(i)) || value.charCodeAt(i) === 45 || value.charCodeAt(i) === 46)
    )
      i++
    const relation = value.charCodeAt(i)
    const isItem =
      i > from &&
      (relation === 61 ||
        ((relation === 126 || relation === 60 || relation === 62 || relation === 58) &&
          value.charCodeAt(i + 1) === 61))
    if (isItem && value.charCodeAt(i + 1) !== 61) {
      items++
      const isKnown = LDAP_ATTRIBUTES.has(value.slice(from, i).toLowerCase())
      if (isKnown) known++
      const any = value.charCodeAt(i + 1) === 42
      let s = isKnown ? (any ? 82 : 56) : any ? 60 : 30
      if (before === 41) s = isKnown || any ? 92 : 70
      else if ((before === 38 || before === 124 || before === 33) && isKnown) s = 82
      if (s > score) {
        score = s
        where = open
      }
    }
    open = value.indexOf('(', open + 1)
  }
  if (items > 1 && known > 0 && score >= 78) score = 92
  // "*)(", "*))", "admin)(&": closes the filter around the value.
  const star = value.indexOf('*)')
  if (star >= 0 && star < 64) {
    const next = value.charCodeAt(star + 2)
    const tail = next === 40 ? 88 : next === 41 || next === 0 ? (star === 0 ? 84 : 60) : 40
    if (tail > score) {
      score = tail
      where = star
    }
  }
  return score === 0 ? NOTHING : { score, evidence: excerpt(value, where) }
}

function previous(value: string, at: number): number {
  let i = at - 1
  while (i >= 0 && at - i < 8 && value.charCodeAt(i) === 32) i--
  return i < 0 ? 0 : value.charCodeAt(i)
}

const MONGO = new Set(
  'ne eq gt gte lt lte in nin or and nor not exists type mod regex options text where all elemmatch size expr jsonschema comment function accumulator lookup match group project unionwith out merge set unset inc push rand slice'.split(
    ' ',
  ),
)

/** `$operator` where a key stands: `{"$ne":`, `$where:`, `[$gt]`, `a[$ne]=`, `'$or': [`. */
export function nosqlScore(value: string): FilterFinding {
  let at = value.indexOf('$')
  let score = 0
  let where = 0
  for (let n = 0; at >= 0 && n < 200; n++) {
    let i = at + 1
    while (i - at < 20 && isWord(value.charCodeAt(i))) i++
    const name = value.slice(at + 1, i).toLowerCase()
    if (MONGO.has(name)) {
      const before = previous(value, at)
      let j = i
      if (value.charCodeAt(j) === 34 || value.charCodeAt(j) === 39) j++
      while (value.charCodeAt(j) === 32) j++
      const next = value.charCodeAt(j)
      const opens =
        before === 123 ||
        before === 91 ||
        before === 44 ||
        before === 0 ||
        before === 34 ||
        before === 39 ||
        before === 46
      let s = 0
      if (next === 58) s = opens ? 92 : 82
      else if (next === 93) s = before === 91 ? 92 : 60
      else if (next === 61 && (before === 0 || before === 46)) s = 66
      else if (Number.isNaN(next) && before === 0) s = 82
      if (s > score) {
        score = s
        where = at
      }
    }
    at = value.indexOf('$', i)
  }
  const script = Math.max(scriptTail(value), shellCall(value))
  if (script > score) return { score: script, evidence: excerpt(value, 0) }
  return score === 0 ? NOTHING : { score, evidence: excerpt(value, where) }
}

const METHODS =
  /^db\.\w{1,40}\.(?:find|findOne|insert|insertOne|insertMany|update|updateOne|updateMany|remove|drop|deleteOne|deleteMany|aggregate|count|distinct|save|mapReduce|createIndex)\(/

/** `db.users.find(`, `return this.a == 'b'`: what the shell or $where would run. */
function shellCall(value: string): number {
  const at = value.indexOf('db.')
  if (at >= 0 && METHODS.test(value.slice(at, at + 80))) return at < 40 ? 88 : 60
  return value.startsWith('return ') && value.slice(0, 200).includes('this.') ? 82 : 0
}

/** `' || 'a'=='a`, `'; return true; var x='`: JavaScript behind a literal, for $where. */
function scriptTail(value: string): number {
  const quote = value.search(/['"]/)
  if (quote < 0 || quote > 64) return 0
  const rest = value.slice(quote + 1, quote + 400)
  if (/^\s*;\s*(?:return|var|while|for|if|do|sleep|db\.|it\s*=|throw|d\s*=)/.test(rest)) return 88
  if (
    /^\s*(?:\|\||&&)\s*(?:this\b|true\b|\d\s*==|['"][^'"]{0,20}['"]\s*==|\(?function|db\.|sleep\()/.test(
      rest,
    )
  )
    return 88
  return 0
}
