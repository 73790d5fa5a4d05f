/**
 * Secrets: named in the config, read when it is loaded, kept apart from it, so that no dump, message or
 * page made from a config can show one.
 */

import type { Segment } from './document.ts'
import type { Finding } from './issues.ts'
import type { SecretRef } from './values.ts'

/**
 * Reads one secret. A runtime binds it: environment variables and files on Node, bindings on Workers.
 * @returns the secret, or undefined when there is none by that name
 * @throws when it cannot be read; the message must not hold the secret
 */
export type ReadSecret = (ref: SecretRef) => string | undefined | Promise<string | undefined>

/** The secrets of one loaded config. */
export class Secrets {
  readonly #values: ReadonlyMap<string, string>

  constructor(values: ReadonlyMap<string, string> = new Map()) {
    this.#values = values
  }

  /** @throws RangeError for a reference that was not in the config when it was loaded */
  get(ref: SecretRef): string {
    const value = this.#values.get(nameOf(ref))
    if (value === undefined) throw new RangeError(`secret ${nameOf(ref)} was not loaded`)
    return value
  }
}

/** A reference met in a config. */
export interface SecretUse {
  readonly ref: SecretRef
  readonly path: readonly Segment[]
}

/** Reads every secret; what cannot be read becomes a finding at its place. */
export async function readSecrets(
  uses: readonly SecretUse[],
  read: ReadSecret,
): Promise<{ secrets: Secrets; findings: Finding[] }> {
  const values = new Map<string, string>()
  const findings: Finding[] = []
  for (const { ref, path } of uses) {
    const name = nameOf(ref)
    if (values.has(name)) continue
    try {
      const value = await read(ref)
      if (value === undefined) findings.push({ path, ...missing(ref) })
      else if (value === '') findings.push({ path, message: `the secret ${name} is empty` })
      else values.set(name, value)
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown reason'
      findings.push({ path, message: `the secret ${name} cannot be read: ${reason}` })
    }
  }
  return { secrets: new Secrets(values), findings }
}

function missing(ref: SecretRef): { message: string; hint: string } {
  return 'env' in ref
    ? {
        message: `the environment variable ${ref.env} is not set`,
        hint: `set ${ref.env} where the gateway is started`,
      }
    : {
        message: `the secret file ${ref.file} is not there`,
        hint: 'the path is relative to the config file',
      }
}

function nameOf(ref: SecretRef): string {
  return 'env' in ref ? `env:${ref.env}` : `file:${ref.file}`
}
