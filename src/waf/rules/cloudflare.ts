/** Cloudflare's rulesets, as their API gives them, read as native ones. */

const ACTIONS: Readonly<Record<string, string>> = {
  block: 'block',
  challenge: 'challenge',
  js_challenge: 'challenge',
  managed_challenge: 'challenge',
  log: 'log',
  skip: 'skip',
  allow: 'allow',
}

type Json = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a JSON value looks like a ruleset (or an API answer with one) of Cloudflare's. */
export function isCloudflareRuleset(value: unknown): value is Json {
  if (!isObject(value)) return false
  const inner = isObject(value.result) ? value.result : value
  return Array.isArray(inner.rules) && inner.ruleset === undefined
}

/**
 * @param fail hears of what has no counterpart here, with its place
 */
export function fromCloudflare(
  value: Json,
  name: string,
  fail: (path: string, message: string) => void,
): Json {
  const inner = isObject(value.result) ? value.result : value
  const rules = (inner.rules as readonly unknown[]).flatMap((item, i) => {
    const path = `rules[${i}]`
    if (!isObject(item)) {
      fail(path, 'a rule is expected')
      return []
    }
    const action = ACTIONS[String(item.action)]
    if (action === undefined) {
      fail(`${path}.action`, `the action "${String(item.action)}" has no counterpart in the WAF`)
      return []
    }
    const parameters = isObject(item.action_parameters) ? item.action_parameters : {}
    const response = isObject(parameters.response) ? parameters.response : undefined
    return [
      {
        id: String(item.ref ?? item.id ?? `rule-${i + 1}`),
        description: String(item.description ?? ''),
        expression: String(item.expression ?? ''),
        action,
        enabled: item.enabled !== false,
        ...(response === undefined
          ? {}
          : {
              status: Number(response.status_code ?? 403),
              body: {
                contentType: String(response.content_type ?? 'text/plain'),
                text: String(response.content ?? ''),
              },
            }),
        ...(action === 'skip' ? { skip: skipOf(parameters) } : {}),
      },
    ]
  })
  return { ruleset: name, rules }
}

function skipOf(parameters: Json): Json | undefined {
  if (parameters.ruleset === 'current') return undefined
  const strings = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])
  const ids = isObject(parameters.rules) ? Object.values(parameters.rules).flatMap(strings) : []
  const rulesets = strings(parameters.rulesets)
  const isResponse = strings(parameters.phases).some((phase) => phase.includes('response'))
  return {
    ...(ids.length === 0 ? {} : { ids }),
    ...(rulesets.length === 0 ? {} : { rulesets }),
    ...(Array.isArray(parameters.phases)
      ? { phases: isResponse ? ['request', 'response'] : ['request'] }
      : {}),
  }
}
