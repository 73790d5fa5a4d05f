/** Where a Chromium is, for the browser tests and the screenshots. */
import { accessSync, constants } from 'node:fs'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** `CHROMIUM_PATH`, or where systems put it; undefined when there is none. */
export function chromiumPath() {
  const named = process.env.CHROMIUM_PATH
  return named === undefined || named === '' ? PLACES.find(isProgram) : named
}

/** Chromium does not start as root with its sandbox, and only pages of this machine are opened. */
export function launchOptions(executablePath) {
  return {
    executablePath,
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    timeout: 60_000,
  }
}
