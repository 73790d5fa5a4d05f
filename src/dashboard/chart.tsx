/** A small time series over uPlot, in the page's colours, with its figures in a legend that can be read. */
import { useEffect, useRef, useState } from 'preact/hooks'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { NOTHING } from './format.ts'

export interface Line {
  readonly name: string
  /** Custom property of the colour. */
  readonly colour: string
  readonly values: readonly (number | null)[]
  readonly dash?: number[]
}

export interface ChartProps {
  readonly label: string
  /** Seconds since the epoch. */
  readonly times: readonly number[]
  readonly lines: readonly Line[]
  /** Lines are on top of each other, filled; the last one lies lowest. */
  readonly stacked?: boolean
  readonly format: (value: number) => string
  /** Upper end of the scale when it is always the same. */
  readonly most?: number
  readonly theme: number
}

const HEIGHT = 168
const SHOWN_SECONDS = 120
/** Of the axis while there is little to show. */
const LEAST_SECONDS = 30

function colourOf(host: HTMLElement, name: string): string {
  host.style.color = `var(${name})`
  const { color } = getComputedStyle(host)
  host.style.color = ''
  return color
}

function optionsOf(
  host: HTMLElement,
  props: ChartProps,
  onCursor: (at: number | null) => void,
): UPlot.Options {
  const grid = { stroke: colourOf(host, '--line'), width: 1 }
  const axis = { stroke: colourOf(host, '--muted'), grid, ticks: { show: false } }
  return {
    width: Math.max(200, host.clientWidth),
    height: HEIGHT,
    padding: [8, 28, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: {
        range: (_, min, max) => [
          Math.max(max - SHOWN_SECONDS, Math.min(min, max - LEAST_SECONDS)),
          max,
        ],
      },
      y: {
        range: (_, __, max) => [0, props.most ?? Math.max(1, (max ?? 0) * 1.15)],
      },
    },
    axes: [
      {
        ...axis,
        size: 26,
        space: 88,
        values: (_, splits) =>
          splits.map((at) =>
            new Date(at * 1000).toLocaleTimeString([], {
              hour: '2-digit',
              minute: '2-digit',
              second: '2-digit',
              hourCycle: 'h23',
            }),
          ),
      },
      {
        ...axis,
        size: 56,
        space: 32,
        values: (_, splits) => splits.map((value) => props.format(value)),
      },
    ],
    series: [
      {},
      ...props.lines.map((line): UPlot.Series => {
        const stroke = colourOf(host, line.colour)
        return {
          label: line.name,
          stroke,
          width: 2,
          points: { show: false },
          ...(line.dash === undefined ? {} : { dash: line.dash }),
          ...(props.stacked === true ? { fill: stroke, width: 1 } : {}),
        }
      }),
    ],
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
  }
}

/** Sums from each line to the last, so that the first one is the total. */
function stack(lines: readonly Line[]): (number | null)[][] {
  const sums: (number | null)[][] = []
  for (let i = lines.length - 1; i >= 0; i--) {
    const below = sums[0]
    const own = lines[i]?.values ?? []
    sums.unshift(own.map((value, at) => (value ?? 0) + (below?.[at] ?? 0)))
  }
  return sums
}

export function Chart(props: ChartProps) {
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot>(undefined)
  const [cursor, setCursor] = useState<number | null>(null)
  const { times, lines, stacked } = props

  // Made anew for new colours only: the values come by setData.
  useEffect(() => {
    const element = host.current
    if (element === null) return
    const made = new UPlot(optionsOf(element, props, setCursor), [[]], element)
    plot.current = made
    const observer = new ResizeObserver(() =>
      made.setSize({ width: Math.max(200, element.clientWidth), height: HEIGHT }),
    )
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
    }
  }, [props.theme])

  useEffect(() => {
    const values = stacked === true ? stack(lines) : lines.map((line) => [...line.values])
    plot.current?.setData([[...times], ...values] as UPlot.AlignedData)
  }, [times, lines, stacked, props.theme])

  const at = cursor !== null && cursor < times.length ? cursor : times.length - 1
  return (
    <div class="chart">
      <dl class="legend">
        {lines.map((line) => {
          const value = line.values[at]
          return (
            <div key={line.name}>
              <dt>
                <svg class="key" viewBox="0 0 16 4" aria-hidden="true">
                  <line
                    x1="0"
                    x2="16"
                    y1="2"
                    y2="2"
                    style={{ stroke: `var(${line.colour})` }}
                    stroke-dasharray={line.dash?.map((one) => one / 2).join(' ')}
                  />
                </svg>
                {line.name}
              </dt>
              <dd>{value === null || value === undefined ? NOTHING : props.format(value)}</dd>
            </div>
          )
        })}
      </dl>
      <div ref={host} role="img" aria-label={props.label} />
    </div>
  )
}
