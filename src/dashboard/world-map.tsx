/** The world with the requests of the last seconds: from cells of clients to regions, or to the gateway. */
import { type GeoPermissibleObjects, geoEqualEarth, geoPath } from 'd3-geo'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { feature } from 'topojson-client'
import type { GeometryCollection, Topology } from 'topojson-specification'
import type { LiveFrame, LivePoint, LiveRegion } from '../admin/live-view.ts'
import type { LiveFlow, LiveOutcome } from '../telemetry/live-sample.ts'
import { count } from './format.ts'

const WIDTH = 960
const HEIGHT = 408
/** Turned a little, so that the Bering Strait is the edge and no land is cut. */
const projection = geoEqualEarth()
  .rotate([-11, 0])
  .fitExtent(
    [
      [2, -14],
      [WIDTH - 2, 460],
    ],
    { type: 'Sphere' },
  )
const path = geoPath(projection)

/** Frames whose flows are shown together. */
const SHOWN_FRAMES = 8

/** Drawn in this order: what matters more lies on top. */
export const OUTCOMES: readonly { id: LiveOutcome; name: string; colour: string }[] = [
  { id: 'origin', name: 'Origin', colour: '--origin' },
  { id: 'cache', name: 'Cache', colour: '--cache' },
  { id: 'blocked', name: 'Refused', colour: '--blocked' },
  { id: 'failed', name: 'Failed', colour: '--failed' },
]

interface Arc {
  readonly key: string
  readonly outcome: LiveOutcome
  readonly d: string
  readonly width: number
}

interface Dot {
  readonly key: string
  readonly x: number
  readonly y: number
  readonly r: number
}

function place(point: LivePoint): [number, number] | undefined {
  return projection([point.longitude, point.latitude]) ?? undefined
}

/** A curve that bulges to the north, each outcome a little further, so that they do not hide each other. */
function curve(from: [number, number], to: [number, number], turn: number): string {
  const dx = to[0] - from[0]
  const dy = to[1] - from[1]
  const length = Math.hypot(dx, dy)
  if (length < 6) {
    const r = 7 + turn * 3
    const [x, y] = from
    return `M${x - r},${y}a${r},${r} 0 1 1 ${2 * r},0a${r},${r} 0 1 1 ${-2 * r},0`
  }
  const bulge = Math.min(70, length * 0.2) * (1 + turn * 0.3)
  const side = dx < 0 ? -1 : 1
  const x = (from[0] + to[0]) / 2 + (dy / length) * bulge * side
  const y = (from[1] + to[1]) / 2 - (dx / length) * bulge * side
  return `M${from[0].toFixed(1)},${from[1].toFixed(1)}Q${x.toFixed(1)},${y.toFixed(1)} ${to[0].toFixed(1)},${to[1].toFixed(1)}`
}

export function recentFlows(frames: readonly LiveFrame[]): LiveFlow[] {
  const sums = new Map<string, LiveFlow>()
  for (const frame of frames.slice(-SHOWN_FRAMES)) {
    for (const flow of frame.flows) {
      const key = `${flow.latitude} ${flow.longitude} ${flow.to}`
      const { counts } = sums.get(key) ?? {
        counts: { origin: 0, cache: 0, blocked: 0, failed: 0 },
      }
      sums.set(key, {
        ...flow,
        counts: {
          origin: counts.origin + flow.counts.origin,
          cache: counts.cache + flow.counts.cache,
          blocked: counts.blocked + flow.counts.blocked,
          failed: counts.failed + flow.counts.failed,
        },
      })
    }
  }
  return [...sums.values()]
}

function draw(flows: readonly LiveFlow[], frame: LiveFrame): { arcs: Arc[]; dots: Dot[] } {
  const regions = new Map(frame.regions.map((region) => [region.id, region.at]))
  const dots = new Map<string, { x: number; y: number; requests: number }>()
  const arcs: Arc[] = []
  for (const flow of flows) {
    const from = place(flow)
    if (from === undefined) continue
    const cell = `${flow.latitude} ${flow.longitude}`
    const at = flow.to === '' ? frame.gateway : (regions.get(flow.to) ?? null)
    const to = at === null ? from : (place(at) ?? from)
    OUTCOMES.forEach(({ id }, turn) => {
      const requests = flow.counts[id]
      if (requests === 0) return
      const known = dots.get(cell) ?? { x: from[0], y: from[1], requests: 0 }
      known.requests += requests
      dots.set(cell, known)
      arcs.push({
        key: `${cell} ${flow.to} ${id}`,
        outcome: id,
        d: curve(from, to, turn),
        width: Math.min(5, 1.2 + Math.log2(1 + requests) * 0.5),
      })
    })
  }
  const order = (arc: Arc) => OUTCOMES.findIndex(({ id }) => id === arc.outcome)
  return {
    arcs: arcs.sort((a, b) => order(a) - order(b)),
    dots: [...dots].map(([key, { x, y, requests }]) => ({
      key,
      x,
      y,
      r: Math.min(7, 2.2 + Math.log2(1 + requests) * 0.6),
    })),
  }
}

function useLand(): string {
  const [land, setLand] = useState('')
  useEffect(() => {
    const abort = new AbortController()
    const load = async () => {
      const response = await fetch(LAND_FILE, { signal: abort.signal })
      if (!response.ok) return
      // The build made it of world-atlas, where the object is called so.
      const topology = (await response.json()) as Topology<{ land: GeometryCollection }>
      setLand(path(feature(topology, topology.objects.land) as GeoPermissibleObjects) ?? '')
    }
    load().catch(() => {
      // Without land the map still shows where traffic goes.
    })
    return () => abort.abort()
  }, [])
  return land
}

function regionState(region: LiveRegion): 'drained' | 'up' | 'down' {
  if (region.drained) return 'drained'
  return region.healthy ? 'up' : 'down'
}

function RegionMark({ region }: { region: LiveRegion }) {
  const at = region.at === null ? undefined : place(region.at)
  if (at === undefined) return null
  const state = regionState(region)
  // A name must not leave the map, nor at the larger type of a phone.
  const isRight = at[0] > WIDTH * 0.6
  return (
    <g class={`region ${state}`} transform={`translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})`}>
      <circle r="6" />
      {state === 'down' && <path d="M-3,-3L3,3M-3,3L3,-3" />}
      <text x={isRight ? -11 : 11} y="4" text-anchor={isRight ? 'end' : 'start'}>
        {region.id}
        {state === 'up' ? '' : ` (${state})`}
      </text>
    </g>
  )
}

export function WorldMap({ frames }: { frames: readonly LiveFrame[] }) {
  const land = useLand()
  const frame = frames.at(-1)
  const { arcs, dots } = useMemo(
    () => (frame === undefined ? { arcs: [], dots: [] } : draw(recentFlows(frames), frame)),
    [frames, frame],
  )
  const gateway = frame?.gateway == null ? undefined : place(frame.gateway)
  const summary = (frame?.regions ?? [])
    .map((region) => `${region.id} is ${regionState(region)}`)
    .join(', ')
  return (
    <div class="map">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`World map: requests from ${count(dots.length)} places. ${summary}.`}
      >
        <path class="land" d={land} />
        <g class="arcs">
          {arcs.map((arc) => (
            <path key={arc.key} class={arc.outcome} d={arc.d} stroke-width={arc.width} />
          ))}
        </g>
        <g class="cells">
          {dots.map((dot) => (
            <circle key={dot.key} cx={dot.x} cy={dot.y} r={dot.r} />
          ))}
        </g>
        {(frame?.regions ?? []).map((region) => (
          <RegionMark key={region.id} region={region} />
        ))}
        {gateway !== undefined && (
          <path
            class="gateway"
            transform={`translate(${gateway[0].toFixed(1)} ${gateway[1].toFixed(1)})`}
            d="M0,-11L11,0L0,11L-11,0Z"
          />
        )}
      </svg>
      <ul class="map-key">
        {OUTCOMES.map(({ id, name }) => (
          <li key={id}>
            <svg viewBox="0 0 24 6" class="arcs" aria-hidden="true">
              <path class={id} d="M0,3H24" stroke-width="2.5" />
            </svg>
            {name}
          </li>
        ))}
        {gateway !== undefined && (
          <li>
            <svg viewBox="0 0 16 16" class="mark" aria-hidden="true">
              <path class="gateway" d="M8,1L15,8L8,15L1,8Z" />
            </svg>
            This gateway
          </li>
        )}
      </ul>
    </div>
  )
}
