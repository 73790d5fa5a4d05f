/**
 * The Helm chart: what it renders is what the plain manifests say, holds by the API, and its config loads. The
 * tests that render need `helm` (in the PATH, or named by HELM) and say so where there is none.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { CATALOGUE } from '../../src/telemetry/catalogue.ts'
import { folderWith } from '../cli/cli.fixture.ts'
import { type Manifest, ManifestObject, type ManifestOf } from './kubernetes.fixture.ts'

const deploy = fileURLToPath(new URL('../../deploy/', import.meta.url))
const CHART = `${deploy}helm/meridian`
const read = (name: string) => readFileSync(`${CHART}/${name}`, 'utf8')
const HELM = process.env.HELM ?? 'helm'
const hasHelm = spawnSync(HELM, ['version', '--short'], { encoding: 'utf8' }).status === 0
if (!hasHelm) console.warn('helm is not here: what the chart renders is not tested (HELM names it)')

function objectsOf(text: string): Manifest[] {
  return parseAllDocuments(text, { version: '1.1' })
    .map((document) => {
      expect(document.errors).toEqual([])
      return document.toJS()
    })
    .filter((object) => object !== null)
    .map((object) => {
      const result = v.safeParse(ManifestObject, object)
      const issue = result.issues?.[0]
      expect(
        issue === undefined ? '' : `${object.kind} ${v.getDotPath(issue)}: ${issue.message}`,
      ).toBe('')
      return object as Manifest
    })
}

function ofKind<Kind extends Manifest['kind']>(objects: Manifest[], kind: Kind): ManifestOf<Kind> {
  const found = objects.find((object) => object.kind === kind)
  expect(found, kind).toBeDefined()
  return found as ManifestOf<Kind>
}

const MINIMAL = {
  config: {
    trustedProxies: ['10.0.0.0/8'],
    pools: { app: { origins: [{ url: 'http://app.default.svc.cluster.local:80' }] } },
    routes: [{ id: 'app', pools: ['app'] }],
  },
  admin: { existingSecret: 'meridian-admin' },
}

async function helm(verb: readonly string[], values: object) {
  const folder = await folderWith({ 'values.json': JSON.stringify(values) })
  try {
    return spawnSync(HELM, [...verb, CHART, '--values', `${folder.path}/values.json`], {
      encoding: 'utf8',
      env: {
        ...process.env,
        HELM_CACHE_HOME: folder.path,
        HELM_CONFIG_HOME: folder.path,
        HELM_DATA_HOME: folder.path,
      },
    })
  } finally {
    await folder.remove()
  }
}

async function rendered(values: object): Promise<Manifest[]> {
  const { status, stdout, stderr } = await helm(['template', 'meridian'], values)
  expect(stderr).toBe('')
  expect(status).toBe(0)
  return objectsOf(stdout)
}

describe('the chart', () => {
  it('has the version of the package', () => {
    const { version } = JSON.parse(readFileSync(`${deploy}../package.json`, 'utf8'))
    expect(parse(read('Chart.yaml'))).toMatchObject({ version, appVersion: version })
  })

  it('reads no value that is not in values.yaml and its schema', () => {
    const values = parse(read('values.yaml'))
    const schema = JSON.parse(read('values.schema.json'))
    const names = new Set<string>()
    for (const file of readdirSync(`${CHART}/templates`)) {
      for (const [, path] of read(`templates/${file}`).matchAll(/\.Values\.([A-Za-z.]+)/g)) {
        names.add(path as string)
      }
    }
    expect(names.size).toBeGreaterThan(25)
    for (const path of names) {
      let value = values
      let known = schema
      for (const key of path.split('.')) {
        expect(value, path).toHaveProperty(key)
        value = value[key]
        if (known?.properties !== undefined) {
          expect(Object.keys(known.properties), path).toContain(key)
          known = known.properties[key]
        }
      }
    }
    expect(
      Object.keys(schema.properties)
        .filter((key) => key !== 'global')
        .sort(),
    ).toEqual(Object.keys(values).sort())
  })

  it('scales by a metric that is exported', () => {
    expect(read('templates/hpa.yaml')).toContain(`name: ${CATALOGUE.load.name} }`)
  })
})

describe('the plain manifests', () => {
  it('hold by the API', () => {
    expect(objectsOf(readFileSync(`${deploy}kubernetes/meridian.yaml`, 'utf8'))).toHaveLength(5)
  })
})

describe.skipIf(!hasHelm)('what helm renders', () => {
  it('passes its own checks', async () => {
    const { status, stdout } = await helm(['lint', '--strict'], MINIMAL)
    expect([status, stdout]).toEqual([0, expect.stringContaining('0 chart(s) failed')])
  })

  it('is the plain manifests', async () => {
    const plain = objectsOf(readFileSync(`${deploy}kubernetes/meridian.yaml`, 'utf8'))
    const chart = await rendered(MINIMAL)
    expect(chart.map(({ kind }) => kind).sort()).toEqual(plain.map(({ kind }) => kind).sort())
    const own = /^(app\.kubernetes\.io\/(instance|version|managed-by)|helm\.sh\/chart)$/
    const bare = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value), (key, item) => (own.test(key) ? undefined : item))
    for (const object of plain) {
      const other = ofKind(chart, object.kind)
      if (object.kind === 'ConfigMap' && other.kind === 'ConfigMap') {
        const [a, b] = await Promise.all(
          [object, other].map(({ data }) => loadConfig(data['meridian.json'] as string)),
        )
        expect(b?.config).toEqual(a?.config)
      } else if ('spec' in object && 'spec' in other) {
        const mine = bare(object.spec) as Record<string, unknown>
        // Where pods are scaled, their number is the scaler's.
        delete mine.replicas
        expect(bare(withoutPolicy(other.spec)), object.kind).toEqual(withoutPolicy(mine))
      }
    }
  })

  it('has all that the values ask for', async () => {
    const objects = await rendered({
      ...MINIMAL,
      config: {
        ...MINIMAL.config,
        telemetry: { access: { sample: 0.5 } },
        listen: { limits: { body: '2MiB' } },
      },
      image: { repository: 'registry.test/meridian', tag: '1.2.3' },
      redis: { url: 'redis://redis.default.svc:6379', existingSecret: 'redis', secretKey: 'pw' },
      secretEnv: [{ name: 'DEBUG_TOKEN', secret: 'debug', key: 'token' }],
      secretMounts: [{ name: 'tls', secret: 'shop-tls' }],
      drain: { preStopSeconds: 7, delaySeconds: 8, drainSeconds: 60 },
      autoscaling: { metric: 'load', target: 65 },
      networkPolicy: { enabled: true },
      restartOnChange: true,
      podAnnotations: { 'example.test/a': 'b' },
      priorityClassName: 'edge',
      nodeSelector: { 'example.test/pool': 'edge' },
    })
    const { config } = await loadConfig(
      ofKind(objects, 'ConfigMap').data['meridian.json'] as string,
      {
        readSecret: () => 'x',
      },
    )
    expect(config).toMatchObject({
      listen: { addresses: [{ port: 8080 }], limits: { body: 2 * 1024 * 1024 } },
      admin: { address: '0.0.0.0', port: 9090, token: { file: '/run/secrets/meridian/token' } },
      shutdown: { delay: 8000, drain: 60_000 },
      redis: { url: 'redis://redis.default.svc:6379', password: { file: '/run/secrets/redis/pw' } },
      telemetry: { access: { sample: 0.5 } },
    })
    const { template } = ofKind(objects, 'Deployment').spec
    const [container] = template.spec.containers
    expect(template.spec.terminationGracePeriodSeconds).toBe(7 + 8 + 60 + 10)
    expect(template.metadata.annotations).toMatchObject({
      'checksum/config': expect.stringMatching(/^[0-9a-f]{64}$/),
      'example.test/a': 'b',
    })
    expect(container).toMatchObject({
      image: 'registry.test/meridian:1.2.3',
      env: [{ name: 'DEBUG_TOKEN', valueFrom: { secretKeyRef: { name: 'debug', key: 'token' } } }],
      lifecycle: { preStop: { exec: { command: ['node', '-e', 'setTimeout(() => {}, 7000)'] } } },
    })
    const mounts = container?.volumeMounts.map(({ name, mountPath }) => [name, mountPath])
    expect(mounts).toEqual([
      ['config', '/etc/meridian'],
      ['admin', '/run/secrets/meridian'],
      ['redis', '/run/secrets/redis'],
      ['secret-tls', '/run/secrets/tls'],
      ['tmp', '/tmp'],
    ])
    expect(template.spec.volumes.map(({ name }) => name)).toEqual(mounts?.map(([name]) => name))
    expect(ofKind(objects, 'HorizontalPodAutoscaler').spec.metrics).toEqual([
      {
        type: 'Pods',
        pods: {
          metric: { name: 'meridian_load_ratio' },
          target: { type: 'AverageValue', averageValue: '650m' },
        },
      },
    ])
    expect(ofKind(objects, 'NetworkPolicy').spec.ingress).toMatchObject([
      { ports: [{ port: 'http' }] },
      { ports: [{ port: 'control' }], from: [{}] },
    ])
  })

  it('leaves out what is switched off', async () => {
    const objects = await rendered({
      ...MINIMAL,
      replicas: 3,
      autoscaling: { enabled: false },
      podDisruptionBudget: { enabled: false },
      drain: { preStopSeconds: 0 },
      service: { type: 'ClusterIP' },
    })
    expect(objects.map(({ kind }) => kind).sort()).toEqual(['ConfigMap', 'Deployment', 'Service'])
    const { spec } = ofKind(objects, 'Deployment')
    expect(spec.replicas).toBe(3)
    expect(spec.template.spec.containers[0]?.lifecycle).toBeUndefined()
    expect(ofKind(objects, 'Service').spec.externalTrafficPolicy).toBeUndefined()
  })

  it.each([
    {
      name: 'no token',
      values: { config: MINIMAL.config },
      says: 'admin.existingSecret is missing',
    },
    { name: 'no route', values: { admin: MINIMAL.admin }, says: 'config.routes is empty' },
    { name: 'a key that is not there', values: { ...MINIMAL, replica: 3 }, says: 'replica' },
    {
      name: 'a password in the URL',
      values: { ...MINIMAL, redis: { url: 'redis://:secret@redis:6379' } },
      says: 'redis/url',
    },
    {
      name: 'what the chart writes itself',
      values: { ...MINIMAL, config: { ...MINIMAL.config, admin: { port: 1 } } },
      says: 'config/admin',
    },
    {
      name: 'addresses',
      values: { ...MINIMAL, config: { ...MINIMAL.config, listen: { addresses: [{ port: 1 }] } } },
      says: 'config.listen.addresses is written by the chart',
    },
  ])('is an error with $name', async ({ values, says }) => {
    const { status, stderr } = await helm(['template', 'meridian'], values)
    expect(status).not.toBe(0)
    expect(stderr.replace(/[[\]']/g, '')).toContain(says)
  })
})

/** Charts say when an image is pulled; the plain manifests leave it to the cluster. */
function withoutPolicy(spec: unknown): unknown {
  return JSON.parse(JSON.stringify(spec), (key, item) =>
    key === 'imagePullPolicy' ? undefined : item,
  )
}
