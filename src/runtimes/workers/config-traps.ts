/** What must not stand in a `wrangler.toml`, because it is accepted there and harms. */

/** @returns a sentence for each trap in the text of a wrangler.toml */
export function trapsIn(text: string): string[] {
  const lines = text.split('\n').map((line) => line.replace(/#.*$/, '').trim())
  const has = (pattern: RegExp): boolean => lines.some((line) => pattern.test(line))
  const traps: string[] = []
  if (has(/^\[(env\.[^.\]]+\.)?cache\]/) || has(/^cache\s*=/)) {
    traps.push(
      '[cache] puts Workers Cache in front of the WAF, identity and limits: a hit would skip them',
    )
  }
  if (has(/^\w*(TOKEN|SECRET|PASSWORD|PEPPER)\w*\s*=/i)) {
    traps.push('a secret stands in the file: use `wrangler secret put`')
  }
  if (has(/^\[env\.[^.\]]+\]/) && !has(/^\[\[?env\.[^.\]]+\.durable_objects/)) {
    traps.push('an [env.…] inherits no bindings: repeat them, or counters and checks are gone')
  }
  return traps
}
