/** The control port's paths of the regions: where they stand, out of service and back. */
import * as v from 'valibot'
import { nearestName } from '../config/errors.ts'
import { duration } from '../config/values.ts'
import { adminProblem } from './problem.ts'
import type { ControlRegion, Done } from './regions-view.ts'
import { type AdminContext, type AdminRoute, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

/** The longest a drain may be asked for by duration; without one it has no end. */
const LONGEST_MS = 366 * 86_400_000

const DrainRequest = v.pipe(
  v.strictObject({
    for: v.optional(v.pipe(duration, v.minValue(1000), v.maxValue(LONGEST_MS))),
    until: v.optional(
      v.pipe(v.string(), v.isoTimestamp('a time such as "2026-11-24T18:00:00Z" is expected')),
    ),
    reason: v.optional(v.pipe(v.string(), v.maxLength(256))),
  }),
  v.check(
    ({ for: time, until }) => time === undefined || until === undefined,
    'give "for" or "until", not both',
  ),
)

const Region = v.object({
  name: v.string(),
  state: v.picklist(['up', 'down', 'draining', 'drained']),
  drained: v.boolean(),
  drainedBy: v.nullable(v.picklist(['config', 'operator'])),
  since: v.nullable(v.number()),
  until: v.nullable(v.number()),
  by: v.nullable(v.string()),
  reason: v.nullable(v.string()),
  inflight: v.number(),
  pools: v.array(
    v.object({
      name: v.string(),
      origins: v.array(
        v.object({
          id: v.string(),
          url: v.string(),
          healthy: v.boolean(),
          health: v.string(),
          why: v.string(),
        }),
      ),
    }),
  ),
})
const Ordered = v.object({ region: Region, workers: v.number(), of: v.number() })

const missing = ({ regions }: AdminView) =>
  regions === undefined ? 'Regions cannot be drained here.' : undefined

function nameOf(c: AdminContext): string {
  return c.req.param('name') ?? ''
}

async function find(view: AdminView, name: string): Promise<ControlRegion | string> {
  const all = (await view.regions?.list()) ?? []
  const found = all.find((region) => region.name === name)
  if (found !== undefined) return found
  const known = all.map((region) => region.name)
  const nearest = nearestName(name, known)
  const hint =
    nearest === undefined
      ? known.length === 0
        ? 'the config has no regions'
        : `there are ${known.join(', ')}`
      : `did you mean "${nearest}"?`
  return `There is no region "${name}": ${hint}`
}

/** The region as it is now; an order that not every process has heard is no success. */
async function answer(c: AdminContext, view: AdminView, name: string, done: Done) {
  if (done.workers < done.of) {
    const title = `Only ${done.workers} of ${done.of} worker processes have done it; ask again.`
    return adminProblem(c, 503, title)
  }
  return c.json({ region: await find(view, name), ...done })
}

export const REGION_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/regions',
    summary: 'Regions: state, drains, pools and origins.',
    level: 'read',
    answer: { description: 'All regions.', schema: v.object({ regions: v.array(Region) }) },
    missing,
    handle: async (c, _, { view }) => c.json({ regions: (await view.regions?.list()) ?? [] }),
  }),
  defineRoute({
    method: 'post',
    path: '/regions/{name}/drain',
    summary: 'Takes a region out of service: no new request goes there, what is under way ends.',
    level: 'operate',
    action: 'region.drain',
    body: DrainRequest,
    answer: {
      description: 'The region, and in how many processes it is drained.',
      schema: Ordered,
    },
    problems: {
      404: 'There is no such region.',
      409: 'No region would be left; `?force=true` does it all the same.',
      503: 'Not every worker process has done it.',
    },
    query: v.object({ force: v.optional(v.picklist(['true', 'false']), 'false') }),
    missing,
    handle: async (c, { body, query }, { view }) => {
      const name = nameOf(c)
      const region = await find(view, name)
      if (typeof region === 'string') return adminProblem(c, 404, region)
      const now = view.now?.() ?? 0
      const until =
        body.until === undefined
          ? body.for === undefined
            ? null
            : now + body.for
          : Date.parse(body.until)
      if (until !== null && until <= now) {
        return adminProblem(c, 400, 'until: this time is over already')
      }
      const left = ((await view.regions?.list()) ?? []).filter(
        (other) => other.name !== name && other.state === 'up',
      )
      if (left.length === 0 && query.force !== 'true') {
        const title = `No other region is up: requests would be refused. Say force=true to drain "${name}" all the same.`
        return adminProblem(c, 409, title)
      }
      const by = c.get('caller').principal
      const order = { region: name, until, reason: body.reason ?? null, by }
      c.get('note').detail = {
        ...(until === null ? {} : { until: new Date(until).toISOString() }),
        ...(body.reason === undefined ? {} : { reason: body.reason }),
      }
      const done = (await view.regions?.drain(order)) ?? { workers: 0, of: 1 }
      return answer(c, view, name, done)
    },
  }),
  defineRoute({
    method: 'post',
    path: '/regions/{name}/enable',
    summary: 'Puts a drained region back into service.',
    level: 'operate',
    action: 'region.enable',
    answer: { description: 'The region, and in how many processes it is back.', schema: Ordered },
    problems: {
      404: 'There is no such region.',
      409: 'It is the config that drains it.',
      503: 'Not every worker process has done it.',
    },
    missing,
    handle: async (c, _, { view }) => {
      const name = nameOf(c)
      const region = await find(view, name)
      if (typeof region === 'string') return adminProblem(c, 404, region)
      if (region.drainedBy === 'config') {
        const title = `The config drains "${name}": set "drain" of the region to false there.`
        return adminProblem(c, 409, title)
      }
      const by = c.get('caller').principal
      const done = (await view.regions?.enable(name, by)) ?? { workers: 0, of: 1 }
      return answer(c, view, name, done)
    },
  }),
]
