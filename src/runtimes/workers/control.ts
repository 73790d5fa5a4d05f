/**
 * The control paths of a Worker, behind a token: how it is, why a request goes where it goes, and orders that
 * every isolate hears of.
 */
import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { firstIssue, jsonBody } from '../../admin/body.ts'
import { PurgeOrder } from '../../admin/cache.ts'
import { adminProblem } from '../../admin/problem.ts'
import { canBePurged } from '../../cache/purge/purge-request.ts'
import { PenaltyBox, parsePenaltyKey, penaltyKey } from '../../limits/penalty-box.ts'
import { secretEquals } from '../../telemetry/constant-time.ts'
import { exposition } from '../../telemetry/exposition.ts'
import { explainRequest } from '../web/explain.ts'
import { VERSION } from '../web/version.ts'
import type { CloudflareFacts, EdgeEnv } from './bindings.ts'
import type { Edge } from './edge.ts'
import { cachePolicies, type NoticeSync } from './notice-sync.ts'

const RevocationKinds = v.picklist(['jti', 'sub', 'sid', 'client', 'token', 'issuer'])
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2048))
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0))

const RevocationOrder = v.strictObject({
  kind: RevocationKinds,
  value: text,
  issuer: v.optional(text),
  before: v.optional(seconds),
  expiresAt: seconds,
})
const RestoreOrder = v.strictObject({ kind: RevocationKinds, value: text })

interface Control {
  Bindings: { readonly env: EdgeEnv; readonly edge: Edge }
}

/** The app of the control paths. */
export function controlApp(): Hono<Control> {
  const app = new Hono<Control>().basePath('/.meridian')
  app.use('*', async (c, next) => {
    const given = /^bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    const { EDGE_TOKEN } = c.env.env
    if (given === undefined || EDGE_TOKEN === undefined || !secretEquals(given, EDGE_TOKEN)) {
      return c.json({ title: 'A valid bearer token is required.', status: 401 }, 401, {
        'www-authenticate': 'Bearer realm="meridian"',
      })
    }
    await next()
    return undefined
  })
  app.get('/health', (c) => c.json(statusOf(c.env.edge)))
  app.get('/metrics', (c) => c.text(exposition(c.env.edge.web.telemetry.metrics.snapshot())))
  app.get('/explain', explainAnswer)
  app.post('/cache/purge', purge)
  app.get('/cache/entry', async (c) => {
    const url = c.req.query('url') ?? ''
    if (!canBePurged('url', url)) return adminProblem(c, 400, 'url: an absolute URL is expected')
    const { gateway, snapshot } = c.env.edge.web
    return c.json({ entries: await gateway.services.cache?.entries(url, cachePolicies(snapshot)) })
  })
  app.get('/revocations', async (c) => {
    const { notices } = c.env.edge
    return notices === undefined
      ? boardMissing(c)
      : c.json({ revocations: await notices.revocations() })
  })
  app.post('/revocations', revoke)
  app.delete('/revocations', restore)
  app.get('/penalties', async (c) => {
    const { notices } = c.env.edge
    return notices === undefined ? boardMissing(c) : c.json({ penalties: await listed(notices) })
  })
  app.post('/penalties', shutOut)
  app.delete('/penalties', letOut)
  app.notFound((c) => c.json({ title: 'Nothing is served here.', status: 404 }, 404))
  return app
}

/** As on the control port of a process: `{"urls", "prefixes", "hosts", "tags", "everything", "mode"}`. */
async function purge(c: Context<Control>): Promise<Response> {
  const { notices, web } = c.env.edge
  const parsed = v.safeParse(PurgeOrder, await jsonBody(c))
  if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
  const { dryRun, ...order } = parsed.output
  if (dryRun) {
    const matched = web.gateway.services.cache?.matching(order, cachePolicies(web.snapshot)) ?? 0
    return c.json({ dryRun, matched })
  }
  return notices === undefined
    ? boardMissing(c)
    : c.json({ at: await notices.purge(order, web.snapshot) })
}

async function revoke(c: Context<Control>): Promise<Response> {
  const { notices } = c.env.edge
  const parsed = v.safeParse(RevocationOrder, await jsonBody(c))
  if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
  if (notices === undefined) return boardMissing(c)
  await notices.revoke(parsed.output)
  return c.json(parsed.output, 201)
}

async function restore(c: Context<Control>): Promise<Response> {
  const { notices } = c.env.edge
  const parsed = v.safeParse(RestoreOrder, {
    kind: c.req.query('kind'),
    value: c.req.query('value'),
  })
  if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
  if (notices === undefined) return boardMissing(c)
  await notices.restore(parsed.output.kind, parsed.output.value)
  return c.body(null, 204)
}

const PenaltyOrder = v.strictObject({
  address: v.pipe(
    text,
    v.check((one) => parsePenaltyKey(one) !== undefined, 'an IP address is expected'),
  ),
  seconds: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(366 * 86_400)),
})

async function listed(notices: NoticeSync) {
  const penalties = await notices.penalties()
  return penalties.map(({ key, time, terms }) => ({
    key,
    secondsLeft: Math.ceil(time / 1000),
    terms,
  }))
}

async function shutOut(c: Context<Control>): Promise<Response> {
  const { notices, web } = c.env.edge
  const parsed = v.safeParse(PenaltyOrder, await jsonBody(c))
  if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
  if (notices === undefined) return boardMissing(c)
  const { penaltyBox } = web.snapshot
  if (!(penaltyBox instanceof PenaltyBox)) {
    return adminProblem(c, 404, 'The config has no "penaltyBox".')
  }
  const { address, seconds } = parsed.output
  const ip = parsePenaltyKey(address)
  const time = seconds * 1000
  if (ip === undefined || !penaltyBox.ban(ip, time)) {
    return adminProblem(
      c,
      409,
      `${address} is exempt: it is in "penaltyBox.exempt" or "trustedProxies" of the config.`,
    )
  }
  const key = penaltyKey(ip)
  await notices.shutOut({ key, time, terms: 0 })
  return c.json({ key, seconds }, 201)
}

async function letOut(c: Context<Control>): Promise<Response> {
  const { notices } = c.env.edge
  const ip = parsePenaltyKey(c.req.query('address') ?? '')
  if (ip === undefined) return adminProblem(c, 400, 'address: an IP address is expected')
  if (notices === undefined) return boardMissing(c)
  await notices.letOut(penaltyKey(ip))
  return c.body(null, 204)
}

/** What only this isolate would do is not done at all: nobody could say which others did not. */
function boardMissing(c: Context<Control>): Response {
  return adminProblem(
    c,
    409,
    'The binding NOTICES is missing: other isolates would not hear of it.',
  )
}

/** `?url=…&method=…&ip=…&header=name:value`, and the place of the client as `country`, `latitude`, … */
async function explainAnswer(c: Context<Control>): Promise<Response> {
  const query = (name: string) => c.req.query(name)
  const place: Record<string, string> = {}
  for (const name of ['country', 'latitude', 'longitude', 'asn'] as const) {
    const value = query(name)
    if (value !== undefined) place[name] = value
  }
  const { cf } = c.req.raw as Request & { cf?: CloudflareFacts }
  const isAsked = Object.keys(place).length > 0
  const result = await explainRequest(c.env.edge.web, {
    method: query('method') ?? 'GET',
    url: query('url') ?? '/',
    ip: query('ip'),
    headers: (c.req.queries('header') ?? []).map((text): [string, string] => {
      const colon = text.indexOf(':')
      return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1).trim()]
    }),
    place: isAsked || c.env.env.PLATFORM === 'local' ? place : cf,
  })
  return typeof result === 'string' ? c.json({ title: result, status: 400 }, 400) : c.json(result)
}

function statusOf(edge: Edge) {
  const { web, updates, health, notices, reserve } = edge
  return {
    version: VERSION,
    config: { version: updates?.version ?? 'bundled', lastError: web.lastError },
    checks: { ageMs: health?.age ?? null },
    notices: { ageMs: notices?.age ?? null },
    reserve: reserve === undefined ? null : reserve.isAway ? 'away' : 'answers',
    origins: web.snapshot.health
      .states()
      .map(({ id, tier, lastProbe }) => ({ id, tier, lastProbe })),
  }
}
