/** The request body as expressions see it; taken apart when a field first asks. */
import type { BodyView, PartView } from '../../expression/expression.ts'
import { type BodyLimits, DEFAULT_BODY_LIMITS } from './limits.ts'
import { type MultipartBody, parseMultipart } from './multipart.ts'
import { splitPairs } from './urlencoded.ts'

const NO_FORM: readonly string[] = []
const NO_PARTS: readonly PartView[] = []

export class InspectedBody implements BodyView {
  readonly raw: string
  readonly size: number
  readonly truncated: boolean
  readonly #contentType: string
  readonly #limits: BodyLimits
  #form: readonly string[] | undefined
  #parsed: MultipartBody | undefined
  #parts: readonly PartView[] | undefined

  /**
   * @param raw byte string of what was read
   * @param length whole length when the sender said so, else null
   */
  constructor(
    raw: string,
    truncated: boolean,
    length: number | null,
    contentType: string,
    limits: BodyLimits = DEFAULT_BODY_LIMITS,
  ) {
    this.raw = raw
    this.truncated = truncated
    this.size = length ?? raw.length
    this.#contentType = contentType
    this.#limits = limits
  }

  get mime(): string {
    return sniff(this.raw)
  }

  get form(): readonly string[] {
    if (this.#form === undefined) {
      this.#form = /^application\/x-www-form-urlencoded\b/i.test(this.#contentType)
        ? splitPairs(this.raw, this.#limits.arguments).flatMap(({ name, value }) => [name, value])
        : NO_FORM
    }
    return this.#form
  }

  /** The multipart body with its flags; undefined for other types. */
  get parsedMultipart(): MultipartBody | undefined {
    if (this.#parsed === undefined && /^multipart\/form-data\b/i.test(this.#contentType)) {
      this.#parsed = parseMultipart(this.raw, this.#contentType, this.#limits)
    }
    return this.#parsed
  }

  get multipart(): readonly PartView[] {
    this.#parts ??=
      this.parsedMultipart?.parts.map((part) => ({
        name: part.name,
        filename: part.filename,
        value: part.content,
        contentType: headerOf(part.headers, 'content-type'),
        contentDisposition: headerOf(part.headers, 'content-disposition'),
        contentTransferEncoding: headerOf(part.headers, 'content-transfer-encoding'),
      })) ?? NO_PARTS
    return this.#parts
  }
}

function headerOf(lines: readonly string[], name: string): string | undefined {
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (line.slice(0, colon).trim().toLowerCase() === name) return line.slice(colon + 1).trim()
  }
  return undefined
}

const SIGNATURES: readonly (readonly [string, string])[] = [
  ['%PDF-', 'application/pdf'],
  ['\x89PNG\r\n', 'image/png'],
  ['\xff\xd8\xff', 'image/jpeg'],
  ['GIF8', 'image/gif'],
  ['PK\x03\x04', 'application/zip'],
  ['\x1f\x8b', 'application/gzip'],
  ['MZ', 'application/x-msdownload'],
  ['\x7fELF', 'application/x-elf'],
  ['#!', 'text/x-shellscript'],
  ['<?php', 'application/x-php'],
  ['<?xml', 'application/xml'],
  ['RIFF', 'image/webp'],
]

/** Media type by the first bytes; empty when unknown. */
function sniff(raw: string): string {
  for (const [magic, type] of SIGNATURES) if (raw.startsWith(magic)) return type
  const start = raw.slice(0, 256).trimStart()
  if (/^[{[]/.test(start)) return 'application/json'
  if (/^<!doctype html|^<html/i.test(start)) return 'text/html'
  return ''
}
