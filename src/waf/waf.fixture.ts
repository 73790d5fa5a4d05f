/** A WAF over rules written in a test, and requests for it. */
import * as v from 'valibot'
import { type RouteWafConfig, RouteWafSection, WafSection } from '../config/sections/waf.ts'
import { Exchange, HeaderList, type Verdict } from '../exchange.ts'
import { createEnvironment, Subject } from '../expression/expression.ts'
import { parseIp } from '../http/ip.ts'
import { canonicalTarget } from '../http/target.ts'
import { stringToBytes } from './bytes.ts'
import type { WafBlock } from './pass.ts'
import { Waf } from './waf.ts'

export interface RequestParts {
  method?: string
  uri?: string
  headers?: Record<string, string>
  body?: string
  /** Declared length; the body's own when not given, null for chunked. */
  length?: number | null
  id?: string
}

export function exchangeOf(parts: RequestParts = {}): Exchange {
  const target = canonicalTarget(parts.uri ?? '/')
  if (typeof target === 'string') throw new Error(target)
  const { body } = parts
  const bytes = stringToBytes(body ?? '')
  return new Exchange({
    id: parts.id ?? '01JWAF',
    startedAt: 0,
    method: parts.method ?? (body === undefined ? 'GET' : 'POST'),
    scheme: 'https',
    httpVersion: '1.1',
    authority: 'example.com',
    host: 'example.com',
    target,
    headers: new HeaderList(Object.entries({ Host: 'example.com', ...parts.headers }).flat()),
    client: {
      ip: parseIp('192.0.2.1'),
      port: 1,
      peer: undefined,
      viaTrustedProxy: false,
      tls: null,
    },
    body:
      body === undefined
        ? null
        : {
            length: parts.length === undefined ? bytes.length : parts.length,
            prefix: (limit) => ({
              bytes: bytes.subarray(0, limit),
              truncated: bytes.length > limit,
            }),
            open: () => bytes,
            isReplayable: true,
            discard: () => {},
          },
  })
}

export interface Given {
  rules?: unknown[]
  /** Further ruleset files, by name. */
  files?: Record<string, unknown>
  waf?: v.InferInput<typeof WafSection>
  route?: v.InferInput<typeof RouteWafSection>
}

/** @returns the WAF and every problem that was reported while it was compiled */
export function wafOf(given: Given): { waf: Waf; problems: string[] } {
  const problems: string[] = []
  const files = new Map(
    Object.entries({
      'own.json': { ruleset: 'own', rules: given.rules ?? [] },
      ...given.files,
    }).map(([name, json]) => [name, JSON.stringify(json)]),
  )
  const config = v.parse(WafSection, {
    rulesets: [...files.keys()].map((file) => ({ file })),
    ...given.waf,
  })
  const route: RouteWafConfig = v.parse(RouteWafSection, given.route ?? {})
  const waf = new Waf(
    config,
    [route],
    {
      environment: createEnvironment(),
      detectors: { sqli: () => undefined, xss: () => undefined },
      builtIn: () => undefined,
      files,
    },
    (path, message) => problems.push(`${path}: ${message}`),
  )
  return { waf, problems }
}

export interface Inspected {
  block: WafBlock | undefined
  verdicts: readonly Verdict[]
  /** Body bytes that were asked for. */
  read: number
}

export function inspect(waf: Waf, parts: RequestParts): Inspected {
  const exchange = exchangeOf(parts)
  const pass = waf.route(0)?.begin(new Subject(exchange))
  if (pass === undefined) return { block: undefined, verdicts: [], read: 0 }
  let block = pass.head()
  const read = pass.bodyBytes
  if (block === undefined && exchange.body !== null) {
    const prefix = read === 0 ? undefined : exchange.body.prefix(read)
    if (prefix instanceof Promise) throw new Error('the fixture reads synchronously')
    block = pass.body(prefix)
  }
  return { block, verdicts: pass.finish(), read }
}
