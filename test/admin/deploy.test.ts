/** The deployment files agree with the gateway: config, ports, probes, timeouts, privileges. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { ADMIN_PATHS } from '../../src/admin/app.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigSchema } from '../../src/config/schema.ts'

const path = (name: string) => fileURLToPath(new URL(`../../deploy/${name}`, import.meta.url))
const read = (name: string) => readFileSync(path(name), 'utf8')

const documents = parseAllDocuments(read('kubernetes/meridian.yaml'))
const objects = documents.map((document) => document.toJS())
const byKind = (kind: string) => objects.find((object) => object.kind === kind)
const { config } = await loadConfig(byKind('ConfigMap').data['meridian.json'])

describe('the Kubernetes manifests', () => {
  const pod = byKind('Deployment').spec.template.spec
  const [container] = pod.containers

  it('are well formed, each kind once', () => {
    expect(documents.flatMap((document) => [...document.errors, ...document.warnings])).toEqual([])
    const kinds = objects.map((object) => object.kind)
    expect(new Set(kinds).size).toBe(kinds.length)
    for (const object of objects) expect(object.metadata.name).toBe('meridian')
  })

  it('probe paths that exist, on the ports of the config', () => {
    const ports = Object.fromEntries(
      container.ports.map((port: { name: string; containerPort: number }) => [
        port.name,
        port.containerPort,
      ]),
    )
    expect(ports).toEqual({
      http: config.listen.addresses[0]!.port,
      control: config.admin.port,
    })
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      expect(ports).toHaveProperty(container[probe].httpGet.port)
      expect(ADMIN_PATHS).toHaveProperty(container[probe].httpGet.path)
    }
    expect(config.admin.address).toBe('0.0.0.0')
  })

  it('mount what the config and the command name', () => {
    const mounts = container.volumeMounts.map((mount: { mountPath: string }) => mount.mountPath)
    const isMounted = (file: string) => mounts.some((mount: string) => file.startsWith(`${mount}/`))
    expect(isMounted(container.args.at(-1))).toBe(true)
    const { token } = config.admin
    expect(token !== undefined && 'file' in token && isMounted(token.file)).toBe(true)
  })

  it('leave time to drain, and notice that it began', () => {
    const { delay, drain } = config.shutdown
    const [, preStop] = /setTimeout\(\(\) => \{\}, (\d+)\)/.exec(
      container.lifecycle.preStop.exec.command.at(-1),
    ) as RegExpExecArray
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(
      Number(preStop) + delay + drain,
    )
    const { periodSeconds, failureThreshold } = container.readinessProbe
    expect(periodSeconds * failureThreshold * 1000).toBeLessThan(delay)
  })

  it('give no privileges', () => {
    expect(pod.securityContext.runAsNonRoot).toBe(true)
    expect(pod.automountServiceAccountToken).toBe(false)
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
  })
})

describe('the Dockerfile', () => {
  it('does not run as root, checks health, and starts the command line', () => {
    const text = read('Dockerfile')
    const final = text.slice(text.lastIndexOf('\nFROM '))
    expect(final).toMatch(/^USER 1000:1000$/m)
    expect(final).toMatch(/^HEALTHCHECK[\s\S]*\/healthz/m)
    const packageJson = JSON.parse(read('../package.json'))
    expect(final).toContain(`ENTRYPOINT ["node", "/app/${packageJson.bin.meridian}"]`)
  })
})

describe('what the image keeps of the optional packages', () => {
  it('is all that the Redis client needs', () => {
    const client = JSON.parse(read('../node_modules/@redis/client/package.json'))
    const kept = /cp -r (node_modules\S.*?) \/kept\//.exec(read('Dockerfile'))?.[1]?.split(' ')
    expect(kept).toEqual(
      ['@redis', ...Object.keys(client.dependencies)].map((name) => `node_modules/${name}`),
    )
  })
})

describe('the systemd unit', () => {
  it('checks the config before it starts, and gives the drain its time', () => {
    const unit = read('systemd/meridian.service')
    const defaults = v.parse(ConfigSchema, { routes: [{ respond: {} }] }).shutdown
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]) * 1000).toBeGreaterThan(
      defaults.delay + defaults.drain,
    )
    expect(unit).toMatch(/^ExecStartPre=\S+node \S+main\.js check --config /m)
    expect(unit).toMatch(/^NoNewPrivileges=yes$/m)
    expect(unit).not.toMatch(/^User=root/m)
  })

  it('has no directive that systemd does not know, where systemd is installed', () => {
    const { error, stdout, stderr } = spawnSync(
      'systemd-analyze',
      ['verify', path('systemd/meridian.service')],
      { encoding: 'utf8' },
    )
    if (error === undefined)
      expect(`${stdout}${stderr}`).not.toMatch(/Unknown|Failed to parse|Invalid/)
    else expect(error).toMatchObject({ code: 'ENOENT' })
  })
})
