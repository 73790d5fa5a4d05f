/**
 * XML (1.0) through saxes: no external entities, no DTD (a DOCTYPE is flagged and its entities stay
 * unknown), depth and counts limited. Text and attribute values come out as UTF-8 byte strings.
 */
import { SaxesParser } from 'saxes'
import { bytesToUtf8, utf8ToBytes } from '../bytes.ts'
import type { BodyLimits, Pair } from './limits.ts'

export interface FlatXml {
  /** All text content in document order. */
  readonly text: string
  readonly attributes: readonly Pair[]
  readonly hasDoctype: boolean
  readonly error: string | undefined
}

class XmlLimit extends Error {}

/** Why a body is no XML that rules can vouch for. @param isTruncated it may end anywhere */
export function xmlInvalidity(
  body: string,
  isTruncated: boolean,
  limits: BodyLimits,
): string | undefined {
  const { error, hasDoctype } = flattenXml(body, limits, !isTruncated)
  if (hasDoctype) return 'its XML has a document type'
  return error === undefined ? undefined : `it is not the XML that its type says: ${error}`
}

/** @param isWhole false for a beginning, whose open elements are no error */
export function flattenXml(body: string, limits: BodyLimits, isWhole = true): FlatXml {
  const texts: string[] = []
  const attributes: Pair[] = []
  let hasDoctype = false
  let error: string | undefined
  let depth = 0
  const parser = new SaxesParser({ xmlns: false })
  // saxes goes on after an error; the first one is the cause.
  parser.on('error', (e) => {
    error ??= e.message
  })
  parser.on('doctype', () => {
    hasDoctype = true
  })
  parser.on('text', (text) => texts.push(text))
  parser.on('cdata', (text) => texts.push(text))
  parser.on('opentag', (tag) => {
    if (++depth > limits.depth) throw new XmlLimit(`deeper than ${limits.depth}`)
    for (const name in tag.attributes) {
      if (attributes.length >= limits.arguments) {
        throw new XmlLimit(`more than ${limits.arguments} attributes`)
      }
      attributes.push({
        name: utf8ToBytes(name),
        value: utf8ToBytes(String(tag.attributes[name])),
      })
    }
  })
  parser.on('closetag', () => {
    depth--
  })
  try {
    parser.write(bytesToUtf8(body))
    if (isWhole) parser.close()
  } catch (thrown) {
    if (!(thrown instanceof Error)) throw thrown
    error ??= thrown.message
  }
  return { text: utf8ToBytes(texts.join('')), attributes, hasDoctype, error }
}
