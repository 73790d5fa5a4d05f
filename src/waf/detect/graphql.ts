/** Abuse of GraphQL: depth, aliases, batches and introspection, counted without a full parser. */

export interface GraphqlFinding {
  readonly score: number
  readonly evidence: string
}

const MAX_DEPTH = 12
const MAX_ALIASES = 20
const MAX_DIRECTIVES = 20
const MAX_BATCH = 10

/** @param value a GraphQL document, or a JSON body that holds one */
export function graphqlScore(value: string): GraphqlFinding {
  let queries = 0
  for (let at = value.indexOf('"query"'); at >= 0; at = value.indexOf('"query"', at + 1)) queries++
  if (queries > MAX_BATCH) return { score: 86, evidence: `batch of ${queries}` }
  if (!looksLikeDocument(value)) return { score: 0, evidence: '' }
  let depth = 0
  let deepest = 0
  let aliases = 0
  let directives = 0
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i)
    if (c === 123) {
      depth++
      if (depth > deepest) deepest = depth
    } else if (c === 125) depth--
    else if (c === 64) directives++
    else if (c === 58 && depth > 0) {
      const next =
        value.charCodeAt(i + 1) === 32 ? value.charCodeAt(i + 2) : value.charCodeAt(i + 1)
      if ((next | 32) >= 97 && (next | 32) <= 122) aliases++
    }
  }
  if (deepest > MAX_DEPTH) return { score: 86, evidence: `depth ${deepest}` }
  if (aliases > MAX_ALIASES) return { score: 84, evidence: `${aliases} aliases` }
  if (directives > MAX_DIRECTIVES) return { score: 84, evidence: `${directives} directives` }
  return { score: 0, evidence: '' }
}

function looksLikeDocument(value: string): boolean {
  return (
    /^[\s{["]*(?:query|mutation|subscription|fragment)\b/.test(value.slice(0, 64)) ||
    /^\s*\{\s*\w+\s*[{(:]/.test(value.slice(0, 64))
  )
}
