/** The OpenID Connect library of the platform, for configs with a login. */
import type { Report } from '../config/errors.ts'
import type { IamConfig } from '../config/sections/iam.ts'
import type { OpenIdLibrary, Platform } from '../ports.ts'

/** @returns undefined when the config has no login, or after a reported problem */
export async function loadOpenId(
  iam: IamConfig,
  platform: Platform,
  report: Report,
): Promise<Awaited<ReturnType<OpenIdLibrary['load']>> | undefined> {
  if (iam.login === undefined) return undefined
  if (platform.openId === undefined) {
    report(
      'iam.login',
      'this gateway was built without OpenID Connect',
      'pass `openId` of meridian-gateway/openid in its options',
    )
    return undefined
  }
  try {
    return await platform.openId.load()
  } catch (error) {
    report('iam.login', error instanceof Error ? error.message : String(error))
    return undefined
  }
}
