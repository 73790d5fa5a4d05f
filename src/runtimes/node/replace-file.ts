/** A file replaced as a whole: readers see the old text or the new one, never half of either. */
import { constants } from 'node:fs'
import { access, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** Why a file cannot be replaced; null when it can. */
export async function readOnlyReason(path: string): Promise<string | null> {
  try {
    // A link stays one: what it points to is replaced.
    const target = await realpath(path)
    await access(target, constants.W_OK)
    await access(dirname(target), constants.W_OK)
    return null
  } catch (error) {
    return reasonOf(error)
  }
}

export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return 'the user that runs the gateway may not write it, or its folder'
    case 'EROFS':
      return 'it is on a read-only file system'
    case 'ENOENT':
      return 'it is not there'
    case 'ENOSPC':
      return 'the disk is full'
    default:
      return error instanceof Error ? error.message : String(error)
  }
}

/** For files that were not there. */
const OWNER_ONLY = 0o600

/**
 * A file that is there keeps its mode, and a link stays one; a new one is its owner's.
 * @throws when it cannot be written; the file is as it was then
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const { target, mode } = await standing(path)
  const folder = dirname(target)
  const next = join(folder, `.${basename(target)}.${process.pid}.new`)
  try {
    const handle = await open(next, 'w', mode & 0o777)
    try {
      await handle.writeFile(text)
      // The umask has taken bits away.
      await handle.chmod(mode & 0o777)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(next, target)
  } catch (error) {
    await rm(next, { force: true })
    throw error
  }
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

async function standing(path: string): Promise<{ target: string; mode: number }> {
  try {
    const target = await realpath(path)
    return { target, mode: (await stat(target)).mode }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    return { target: path, mode: OWNER_ONLY }
  }
}

export function currentText(path: string): Promise<string> {
  return readFile(path, 'utf8')
}
