/**
 * The sticky cookie: an opaque token for each region, made once when the config is loaded, so that reading
 * one is a look-up and no cryptography. A token says which region and nothing else: no address, no
 * client, no time. It cannot be made up without the key; one that is copied is worth no more than the
 * choice of a region, and residency and health come before it.
 */

/** Most characters of a token; anything longer is not looked up. */
const TOKEN_LENGTH = 24

export class StickyTokens {
  readonly #tokens: readonly string[]
  readonly #regions: ReadonlyMap<string, number>

  private constructor(tokens: readonly string[], regions: ReadonlyMap<string, number>) {
    this.#tokens = tokens
    this.#regions = regions
  }

  /**
   * @param regionIds in the order of the region table
   * @param secrets the first signs, all are accepted
   * @param epoch change it to make all clients choose anew
   */
  static async create(
    regionIds: readonly string[],
    secrets: readonly string[],
    epoch = '1',
  ): Promise<StickyTokens> {
    const regions = new Map<string, number>()
    const signed: string[][] = []
    for (const secret of secrets) {
      const tokens = await Promise.all(regionIds.map((id) => sign(secret, `${epoch}\n${id}`)))
      tokens.forEach((token, index) => {
        if (!regions.has(token)) regions.set(token, index)
      })
      signed.push(tokens)
    }
    return new StickyTokens(signed[0] ?? [], regions)
  }

  /** The region's index, or -1 for a token that is none of ours. */
  read(token: string): number {
    return token.length === TOKEN_LENGTH ? (this.#regions.get(token) ?? -1) : -1
  }

  write(regionIndex: number): string | undefined {
    return this.#tokens[regionIndex]
  }
}

/** The first 144 bits of HMAC-SHA-256 in base64url: 24 characters. */
async function sign(secret: string, text: string): Promise<string> {
  const encoder = new TextEncoder()
  const key = await crypto.subtle.importKey(
    'raw',
    encoder.encode(secret),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  )
  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(text)))
  const base64 = btoa(String.fromCharCode(...mac.subarray(0, (TOKEN_LENGTH / 4) * 3)))
  return base64.replaceAll('+', '-').replaceAll('/', '_')
}
