/** What a runtime must offer to be tested like the others. */
import { inject } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { Explanation } from '../../src/telemetry/explain.ts'
import type { RegionName } from './origins.ts'

export type Runtime = 'node' | 'workers'

export interface Ask extends RequestInit {
  /** Where the platform says that the client is. */
  readonly country?: string | undefined
  readonly ip?: string | undefined
}

/** A gateway that serves. */
export interface Harness {
  readonly runtime: Runtime
  fetch(path: string, ask?: Ask): Promise<Response>
  explain(path: string, ask?: Ask): Promise<Explanation>
  close(): Promise<void>
}

export type MakeHarness = (config: MeridianConfigInput) => Promise<Harness>

const REGION_IDS: Readonly<Record<RegionName, { id: string; tags: string[] }>> = {
  eu: { id: 'eu-central-1', tags: ['EU', 'GDPR'] },
  us: { id: 'us-east-1', tags: ['US'] },
  ap: { id: 'ap-southeast-1', tags: ['SG'] },
}

/** Three regions, clients at the nearest; a test adds what it is about. */
export function suiteConfig(more: Partial<MeridianConfigInput> = {}): MeridianConfigInput {
  const { regions } = inject('origins')
  const pools: NonNullable<MeridianConfigInput['pools']> = {}
  for (const [name, url] of Object.entries(regions)) {
    pools[name] = {
      origins: [{ id: name, url }],
      timeouts: { connect: '2s', firstByte: '10s', idle: '10s' },
    }
  }
  return {
    listen: { addresses: [{ address: '127.0.0.1', port: 0 }] },
    admin: { enabled: false },
    trustedProxies: ['127.0.0.1'],
    geo: {
      providers: ['platform', 'headers'],
      headers: { country: 'x-test-country' },
      gateway: { region: 'eu-central-1' },
    },
    pools,
    regions: Object.entries(REGION_IDS).map(([name, { id, tags }]) => ({
      id,
      cloud: `aws:${id}`,
      tags,
      pools: [name],
    })),
    steering: { policy: 'proximity' },
    waf: { mode: 'off' },
    telemetry: { access: { enabled: false } },
    routes: [{ id: 'site' }],
    ...more,
  }
}

/** Breaks and mends the origins, and counts what they got. */
export const origins = {
  async reset(): Promise<void> {
    await fetch(`${inject('origins').control}/reset`)
  },
  async become(region: RegionName, state: 'up' | 'refusing' | 'failing'): Promise<void> {
    await fetch(`${inject('origins').control}/become?region=${region}&state=${state}`)
  },
  /** Requests for a path, at one region or at all. */
  async hits(path: string, region?: RegionName): Promise<number> {
    const response = await fetch(`${inject('origins').control}/hits`)
    const all = (await response.json()) as Record<string, Record<string, number>>
    let total = 0
    for (const [name, hits] of Object.entries(all)) {
      if (region === undefined || region === name) total += hits[path] ?? 0
    }
    return total
  },
}
