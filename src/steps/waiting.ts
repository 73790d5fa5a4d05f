/** Waiting rooms: a visitor passes with a session, or is told its place in the line. */
import type { IpAddress, Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import { cookieValue } from '../limits/key.ts'
import type { Passage } from '../passage.ts'
import type { CompiledRoom } from '../snapshot.ts'

/** How long a ticket's cookie is kept, seconds: a day, after the opening when that is to come. */
const TICKET_SECONDS = 86_400
/** Seconds between two looks of a waiting page. */
const LEAST_REFRESH = 5
const MOST_REFRESH = 30

export function waitingRoom(x: Passage, services: Services): Reply | undefined {
  const { rooms } = x.snapshot
  // A browser sends no cookies with a preflight: it would wait for ever.
  if (rooms.length === 0 || x.method === 'OPTIONS') return undefined
  const now = services.platform.clock.now()
  for (const room of rooms) {
    if (now >= room.closesAt || room.when?.(x) === false) continue
    const held = visit(x, room, now, services)
    if (held !== undefined) return held
  }
  return undefined
}

function visit(
  x: Passage,
  compiled: CompiledRoom,
  now: number,
  services: Services,
): Reply | undefined {
  const { id, room, cookie, opensAt, sessionSeconds } = compiled
  const verdict = room.visit({ name: visitorName(x), cookie: cookieValue(x.headers, cookie) }, now)
  const { metrics } = services.telemetry
  if (verdict.admitted) {
    metrics.roomVisits.add([id, 'admitted'])
    x.addReplyFields(['set-cookie', cookieField(x, cookie, verdict.cookie, sessionSeconds)])
    return undefined
  }
  metrics.roomVisits.add([id, 'waiting'])
  const { position, waitSeconds } = verdict
  if (room.isNews(now)) services.telemetry.note('system', 'waiting-room', { room: id, position })
  x.outcome = 'waiting-room'
  x.why = `Number ${position} in waiting room ${id}, about ${waitSeconds} s to wait.`
  const untilOpening = Math.max(0, Math.ceil((opensAt - now) / 1000))
  x.addReplyFields([
    'set-cookie',
    cookieField(x, cookie, verdict.cookie, untilOpening + TICKET_SECONDS),
  ])
  const wait = Math.max(1, waitSeconds)
  return wantsPage(x)
    ? page(position, wait, untilOpening > 0)
    : problem('waiting-room', x.id, {
        members: { position, waitSeconds: wait },
        headers: ['retry-after', String(wait)],
      })
}

/** Whom a ticket belongs to: the address (IPv6: its /64) and the browser. */
function visitorName(x: Passage): string {
  return `${network(x.client.ip)} ${x.headers.get('user-agent') ?? ''}`
}

function network(ip: IpAddress | undefined): string {
  if (ip === undefined) return ''
  return ip.family === 4 ? ip.text : `${ip.words[0]}:${ip.words[1]}`
}

function cookieField(x: Passage, name: string, value: string, seconds: number): string {
  const secure = x.scheme === 'https' ? '; Secure' : ''
  return `${name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`
}

function wantsPage(x: Passage): boolean {
  return x.method === 'GET' && (x.headers.joined('accept')?.includes('text/html') ?? false)
}

const encoder = new TextEncoder()

/** A page that looks again by itself: no script, nothing to fetch. */
function page(position: number, wait: number, isEarly: boolean): Reply {
  const refresh = Math.min(MOST_REFRESH, Math.max(LEAST_REFRESH, wait))
  const title = isEarly ? 'We open soon' : 'You are in line'
  const order = isEarly
    ? 'Everybody who is here before the opening is let in first, in an order that is drawn by lot.'
    : 'You are let in by turn. Closing this page or coming from elsewhere costs you your place.'
  const body = encoder.encode(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="${refresh}">
<title>${title}</title>
<style>
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1.5rem; color-scheme: light dark; }
  strong { font-size: 2rem; }
</style>
<main>
  <h1>${title}</h1>
  <p>Your place: <strong>${position}</strong></p>
  <p>About ${inWords(wait)} to wait. This page looks again by itself.</p>
  <p>${order}</p>
</main>
</html>
`)
  return {
    status: 503,
    headers: [
      'content-type',
      'text/html; charset=utf-8',
      'cache-control',
      'no-store',
      'content-security-policy',
      "default-src 'none'; style-src 'unsafe-inline'",
      'retry-after',
      String(refresh),
    ],
    body,
  }
}

function inWords(seconds: number): string {
  if (seconds < 60) return seconds === 1 ? '1 second' : `${seconds} seconds`
  const minutes = Math.ceil(seconds / 60)
  if (minutes < 60) return minutes === 1 ? '1 minute' : `${minutes} minutes`
  const hours = Math.ceil(minutes / 60)
  return hours === 1 ? '1 hour' : `${hours} hours`
}
