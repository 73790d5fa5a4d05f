/** A gateway that serves: where, and how it follows its config file. */
import type { ListenAddressConfig } from '../../config/sections/listen.ts'
import type { ConfigBundle, ConfigFile } from './config-file.ts'
import type { Instance } from './instance.ts'

/** A gateway that serves. */
export interface RunningGateway {
  /** Where clients connect, as URLs. */
  readonly addresses: readonly string[]
  /** The control port, as a URL, when there is one. */
  readonly control?: string | undefined
  /** Drains and stops. */
  close(): Promise<void>
}

/** Takes over every change of the config file that reads and compiles. */
export function followFile(file: ConfigFile, instance: Instance): () => void {
  return file.watch((change) => {
    if ('bundle' in change) void takeOver(change.bundle, instance)
    else instance.reloadFailed(change.error)
  })
}

/** What the control port has published is in use already when the watch sees it. */
async function takeOver(bundle: ConfigBundle, instance: Instance): Promise<void> {
  await instance.settled()
  if (bundle.hash === instance.bundle.hash && instance.lastError === null) return
  await instance.reload(bundle)
}

export async function reloadNow(file: ConfigFile, instance: Instance): Promise<boolean> {
  try {
    return await instance.reload(await file.load())
  } catch (error) {
    instance.reloadFailed(error)
    return false
  }
}

/** For people: where to connect. */
export function addressesOf(
  addresses: readonly ListenAddressConfig[],
  ports: readonly number[],
): string[] {
  return addresses.map(({ address, protocol }, index) => {
    const host = address === '*' ? 'localhost' : address.includes(':') ? `[${address}]` : address
    return `${protocol === 'https' ? 'https' : 'http'}://${host}:${ports[index] ?? 0}`
  })
}
