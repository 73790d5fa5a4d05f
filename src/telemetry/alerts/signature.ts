/** Signatures of Standard Webhooks (https://www.standardwebhooks.com), symmetric scheme `v1`. */

const encoder = new TextEncoder()

/** @returns the fields of a message */
export async function sign(
  secret: Uint8Array,
  id: string,
  seconds: number,
  body: string,
): Promise<Record<string, string>> {
  const key = await crypto.subtle.importKey(
    'raw',
    // The library's type wants a buffer that is not shared; ours never is.
    secret as Uint8Array<ArrayBuffer>,
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  )
  const content = encoder.encode(`${id}.${seconds}.${body}`)
  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, content))
  const signature = btoa(String.fromCharCode(...mac))
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': `v1,${signature}`,
  }
}
