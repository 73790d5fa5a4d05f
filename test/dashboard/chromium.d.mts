import type { LaunchOptions } from 'playwright-core'

export function chromiumPath(): string | undefined
export function launchOptions(executablePath: string): LaunchOptions
