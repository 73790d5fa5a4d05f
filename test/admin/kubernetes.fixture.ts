/**
 * The part of the Kubernetes API (1.25 and later) that the manifests and the chart use, closed: a field that is
 * misspelt or in the wrong place is not in it. Written after the API reference, for checks without a cluster.
 */
import * as v from 'valibot'

const dnsName = v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/))
const text = v.pipe(v.string(), v.minLength(1))
const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const quantity = v.union([
  v.pipe(v.string(), v.regex(/^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/)),
  v.number(),
])
const port = v.union([v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535)), dnsName])
const labelKey = v.pipe(
  v.string(),
  v.regex(/^([a-z0-9.-]+\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/),
)
const labelValue = v.pipe(v.string(), v.regex(/^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/))
const labels = v.record(labelKey, labelValue)
const annotations = v.record(labelKey, v.string())
const selector = v.strictObject({ matchLabels: labels })
const metadata = v.strictObject({
  name: dnsName,
  labels: v.optional(labels),
  annotations: v.optional(annotations),
})

const probe = v.strictObject({
  httpGet: v.strictObject({ path: v.pipe(v.string(), v.startsWith('/')), port }),
  periodSeconds: v.optional(count),
  timeoutSeconds: v.optional(count),
  failureThreshold: v.optional(count),
})
const resourceList = v.strictObject({
  cpu: v.optional(quantity),
  memory: v.optional(quantity),
  'ephemeral-storage': v.optional(quantity),
})

const container = v.strictObject({
  name: dnsName,
  image: text,
  imagePullPolicy: v.optional(v.picklist(['Always', 'IfNotPresent', 'Never'])),
  args: v.array(v.string()),
  env: v.optional(
    v.array(
      v.strictObject({
        name: text,
        valueFrom: v.strictObject({ secretKeyRef: v.strictObject({ name: text, key: text }) }),
      }),
    ),
  ),
  ports: v.array(v.strictObject({ name: dnsName, containerPort: port })),
  securityContext: v.strictObject({
    allowPrivilegeEscalation: v.literal(false),
    readOnlyRootFilesystem: v.literal(true),
    capabilities: v.strictObject({ drop: v.tuple([v.literal('ALL')]) }),
  }),
  resources: v.strictObject({
    requests: v.optional(resourceList),
    limits: v.optional(resourceList),
  }),
  lifecycle: v.optional(
    v.strictObject({
      preStop: v.strictObject({ exec: v.strictObject({ command: v.array(v.string()) }) }),
    }),
  ),
  startupProbe: probe,
  livenessProbe: probe,
  readinessProbe: probe,
  volumeMounts: v.array(
    v.strictObject({
      name: dnsName,
      mountPath: v.pipe(v.string(), v.startsWith('/')),
      readOnly: v.optional(v.boolean()),
    }),
  ),
})

const volume = v.union([
  v.strictObject({ name: dnsName, configMap: v.strictObject({ name: text }) }),
  v.strictObject({
    name: dnsName,
    secret: v.strictObject({ secretName: text, defaultMode: v.optional(v.number()) }),
  }),
  v.strictObject({
    name: dnsName,
    emptyDir: v.strictObject({ sizeLimit: v.optional(quantity) }),
  }),
])

const pod = v.strictObject({
  automountServiceAccountToken: v.literal(false),
  enableServiceLinks: v.boolean(),
  terminationGracePeriodSeconds: count,
  priorityClassName: v.optional(text),
  imagePullSecrets: v.optional(v.array(v.strictObject({ name: text }))),
  nodeSelector: v.optional(labels),
  tolerations: v.optional(v.array(v.looseObject({}))),
  affinity: v.optional(v.looseObject({})),
  securityContext: v.strictObject({
    runAsNonRoot: v.literal(true),
    runAsUser: v.pipe(v.number(), v.minValue(1)),
    runAsGroup: v.pipe(v.number(), v.minValue(1)),
    fsGroup: v.optional(v.number()),
    seccompProfile: v.strictObject({ type: v.literal('RuntimeDefault') }),
  }),
  topologySpreadConstraints: v.array(
    v.strictObject({
      maxSkew: count,
      topologyKey: text,
      whenUnsatisfiable: v.picklist(['DoNotSchedule', 'ScheduleAnyway']),
      labelSelector: selector,
    }),
  ),
  containers: v.pipe(v.array(container), v.minLength(1)),
  volumes: v.array(volume),
})

const metric = v.variant('type', [
  v.strictObject({
    type: v.literal('Resource'),
    resource: v.strictObject({
      name: v.picklist(['cpu', 'memory']),
      target: v.strictObject({ type: v.literal('Utilization'), averageUtilization: count }),
    }),
  }),
  v.strictObject({
    type: v.literal('Pods'),
    pods: v.strictObject({
      metric: v.strictObject({ name: text }),
      target: v.strictObject({ type: v.literal('AverageValue'), averageValue: quantity }),
    }),
  }),
])

/** One object of a manifest. */
export const ManifestObject = v.variant('kind', [
  v.strictObject({
    apiVersion: v.literal('v1'),
    kind: v.literal('ConfigMap'),
    metadata,
    data: v.record(v.string(), v.string()),
  }),
  v.strictObject({
    apiVersion: v.literal('apps/v1'),
    kind: v.literal('Deployment'),
    metadata,
    spec: v.strictObject({
      replicas: v.optional(count),
      strategy: v.strictObject({
        rollingUpdate: v.strictObject({ maxUnavailable: count, maxSurge: count }),
      }),
      selector,
      template: v.strictObject({
        metadata: v.strictObject({ labels, annotations: v.optional(annotations) }),
        spec: pod,
      }),
    }),
  }),
  v.strictObject({
    apiVersion: v.literal('v1'),
    kind: v.literal('Service'),
    metadata,
    spec: v.strictObject({
      type: v.picklist(['ClusterIP', 'NodePort', 'LoadBalancer']),
      externalTrafficPolicy: v.optional(v.picklist(['Local', 'Cluster'])),
      selector: labels,
      ports: v.array(v.strictObject({ name: dnsName, port, targetPort: port })),
    }),
  }),
  v.strictObject({
    apiVersion: v.literal('policy/v1'),
    kind: v.literal('PodDisruptionBudget'),
    metadata,
    spec: v.strictObject({
      minAvailable: v.union([count, v.pipe(v.string(), v.regex(/^[0-9]{1,3}%$/))]),
      selector,
    }),
  }),
  v.strictObject({
    apiVersion: v.literal('autoscaling/v2'),
    kind: v.literal('HorizontalPodAutoscaler'),
    metadata,
    spec: v.strictObject({
      scaleTargetRef: v.strictObject({
        apiVersion: v.literal('apps/v1'),
        kind: v.literal('Deployment'),
        name: dnsName,
      }),
      minReplicas: count,
      maxReplicas: count,
      metrics: v.array(metric),
      behavior: v.strictObject({
        scaleDown: v.strictObject({ stabilizationWindowSeconds: count }),
      }),
    }),
  }),
  v.strictObject({
    apiVersion: v.literal('networking.k8s.io/v1'),
    kind: v.literal('NetworkPolicy'),
    metadata,
    spec: v.strictObject({
      podSelector: selector,
      policyTypes: v.array(v.picklist(['Ingress', 'Egress'])),
      ingress: v.array(
        v.strictObject({
          ports: v.array(v.strictObject({ port })),
          from: v.optional(
            v.array(
              v.strictObject({
                namespaceSelector: v.optional(selector),
                podSelector: v.optional(selector),
                ipBlock: v.optional(v.strictObject({ cidr: text })),
              }),
            ),
          ),
        }),
      ),
    }),
  }),
])

export type Manifest = v.InferOutput<typeof ManifestObject>
export type ManifestOf<Kind extends Manifest['kind']> = Extract<Manifest, { kind: Kind }>
