/**
 * What a browser keeps for us: encrypted and authenticated (JWE, RFC 7516; `dir` with A256GCM), so that it can
 * neither read nor change it. Keys are derived from the config's secrets; the first seals, all open.
 */
import { CompactEncrypt, compactDecrypt, errors } from 'jose'
import { hmacSha256, sha256 } from '../../expression/sha256.ts'
import { encodeBase64Url, fromUtf8, utf8 } from '../encoding.ts'
import { type JsonObject, parseJsonObject } from '../strict-json.ts'

/** Longer than anything that is sealed here. */
const MAX_LENGTH = 16 * 1024

interface SealKey {
  readonly id: string
  readonly key: Uint8Array
}

export class Seal {
  readonly #keys: readonly SealKey[]

  /** @param secrets the first seals, all open; at least one */
  constructor(secrets: readonly string[]) {
    this.#keys = secrets.map((secret) => {
      const key = hmacSha256(utf8(secret), utf8('meridian login cookie A256GCM'))
      return { id: encodeBase64Url(sha256(key).subarray(0, 6)), key }
    })
  }

  /** @param type what it is, so that one kind of cookie never passes for another */
  seal(type: string, payload: object): Promise<string> {
    const { id, key } = this.#keys[0] as SealKey
    return new CompactEncrypt(utf8(JSON.stringify(payload)))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: id, typ: type })
      .encrypt(key)
  }

  /** @returns undefined for everything that was not sealed as this type by one of the keys */
  async open(type: string, text: string): Promise<JsonObject | undefined> {
    if (text.length > MAX_LENGTH) return undefined
    try {
      const { plaintext, protectedHeader } = await compactDecrypt(
        text,
        ({ kid }) => this.#keyOf(kid),
        { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] },
      )
      if (protectedHeader.typ !== type) return undefined
      const json = fromUtf8(plaintext)
      return json === undefined ? undefined : parseJsonObject(json, { depth: 16, values: 4096 })
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined
      throw error
    }
  }

  #keyOf(id: string | undefined): Uint8Array {
    const found = this.#keys.find((key) => key.id === id)
    if (found === undefined) throw new errors.JWEInvalid('the key is unknown')
    return found.key
  }
}
