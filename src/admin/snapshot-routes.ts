/** The control port's path of a gateway's state beyond its config: to be taken, and put back. */
import * as v from 'valibot'
import { sha256 } from '../expression/sha256.ts'
import { encodeHex, utf8 } from '../iam/encoding.ts'
import { parsePenaltyKey } from '../limits/penalty-box.ts'
import { adminProblem } from './problem.ts'
import { type AdminRoute, defineRoute } from './route.ts'
import type { RuntimeState } from './state-view.ts'
import type { AdminView } from './view.ts'

const MAX_BYTES = 32 * 1024 * 1024
const MAX_ENTRIES = 100_000

const text = v.pipe(v.string(), v.maxLength(2048))
const time = v.pipe(v.number(), v.minValue(0))
const arm = v.object({ requests: v.number(), errors: v.number(), p95Ms: v.nullable(v.number()) })

function many<const S extends v.GenericSchema>(item: S) {
  return v.pipe(v.array(item), v.maxLength(MAX_ENTRIES))
}

export const RuntimeStateSchema = v.strictObject({
  takenAt: time,
  drains: many(
    v.strictObject({
      region: text,
      since: time,
      until: v.nullable(time),
      by: text,
      reason: v.nullable(text),
    }),
  ),
  penalties: many(
    v.strictObject({
      key: v.pipe(
        text,
        v.check((key) => parsePenaltyKey(key) !== undefined, 'an IP address is expected'),
      ),
      secondsLeft: time,
      terms: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)),
    }),
  ),
  revocations: many(
    v.strictObject({
      kind: v.picklist(['jti', 'sub', 'sid', 'client', 'token', 'issuer']),
      value: text,
      issuer: v.optional(text),
      before: v.optional(time),
      expiresAt: time,
    }),
  ),
  rollouts: many(
    v.strictObject({
      rollout: text,
      percent: v.pipe(v.number(), v.minValue(0), v.maxValue(100)),
      phase: v.picklist(['baking', 'frozen', 'rolled-back', 'done']),
      note: text,
      from: text,
      to: text,
      steps: v.array(v.number()),
      step: v.pipe(v.number(), v.integer(), v.minValue(-1)),
      sinceMs: time,
      bakeMs: time,
      old: arm,
      new: arm,
    }),
  ),
  ejections: many(v.strictObject({ origin: text, until: time })),
})

const Sealed = v.strictObject({
  version: v.literal(1, 'a snapshot of version 1 is expected'),
  /** Of `state`, as JSON without spaces. */
  sha256: v.string(),
  state: v.unknown(),
})

const missing = ({ state }: AdminView) =>
  state === undefined ? 'This gateway has no state to take.' : undefined

function digest(state: unknown): string {
  return encodeHex(sha256(utf8(JSON.stringify(state))))
}

export const SNAPSHOT_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/snapshot',
    summary: 'Drains, rollouts, ejected origins, penalties and revocations, to be put back later.',
    level: 'administer',
    answer: { description: 'The state with its checksum.' },
    missing,
    handle: async (c, _, { view }) => {
      // As it will be read: what is undefined is not there.
      const state = JSON.parse(JSON.stringify(await view.state?.take())) as object
      return c.json({ version: 1, sha256: digest(state), state })
    },
  }),
  defineRoute({
    method: 'put',
    path: '/snapshot',
    summary: 'Puts a state back, in all processes; what the config no longer has is left out.',
    level: 'administer',
    action: 'snapshot.restore',
    body: Sealed,
    maxBody: MAX_BYTES,
    answer: {
      description: 'It is back.',
      schema: v.object({ workers: v.number(), of: v.number() }),
    },
    problems: {
      422: 'It is no snapshot, or one that was changed.',
      503: 'Not every worker process has done it.',
    },
    missing,
    handle: async (c, { body }, { view }) => {
      if (digest(body.state) !== body.sha256) {
        return adminProblem(c, 422, 'The checksum does not fit: the snapshot was changed or cut.')
      }
      const parsed = v.safeParse(RuntimeStateSchema, body.state)
      if (!parsed.success) {
        const [issue] = parsed.issues
        const title = `The snapshot does not hold: ${v.getDotPath(issue) ?? ''}: ${issue.message}`
        return adminProblem(c, 422, title)
      }
      const { takenAt, drains, penalties, revocations, rollouts, ejections } = parsed.output
      c.get('note').detail = {
        takenAt: new Date(takenAt).toISOString(),
        drains: drains.length,
        penalties: penalties.length,
        revocations: revocations.length,
        rollouts: rollouts.length,
        ejections: ejections.length,
      }
      const by = c.get('caller').principal
      // NaN is null in JSON: no request has been timed.
      const done = await view.state?.restore(parsed.output as RuntimeState, by)
      if (done === undefined || done.workers < done.of) {
        const title = `Only ${done?.workers ?? 0} of ${done?.of ?? 1} worker processes have done it; ask again.`
        return adminProblem(c, 503, title)
      }
      return c.json(done)
    },
  }),
]
