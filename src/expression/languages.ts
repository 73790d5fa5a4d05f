/** Accept-Language, RFC 9110 §12.5.4: tags by descending weight, equal weights in their order. */

const WEIGHT = /^q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/i

/** Tags that the client accepts; `*` and tags of weight 0 are left out. */
export function parseAcceptLanguage(text: string): string[] {
  const found: { tag: string; weight: number }[] = []
  for (const part of text.split(',')) {
    const [range = '', ...parameters] = part.split(';')
    const tag = range.trim()
    let weight = 1
    for (const parameter of parameters) {
      const match = WEIGHT.exec(parameter.trim())
      if (match !== null) weight = Number(match[1])
    }
    if (tag !== '' && tag !== '*' && weight > 0) found.push({ tag, weight })
  }
  return found.sort((a, b) => b.weight - a.weight).map(({ tag }) => tag)
}
