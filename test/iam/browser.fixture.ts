/** As much of a browser as a login needs: cookies, redirects, Fetch Metadata; TLS ends in front of the gateway. */
import { type Answer, ask } from '../harness/client.ts'

export const SITE = 'https://app.test'

export interface Page extends Answer {
  /** All addresses on the way, the last one included. */
  readonly visited: readonly string[]
}

export interface VisitOptions {
  readonly method?: string
  readonly headers?: Record<string, string>
  /** Stop before following an address that begins so. */
  readonly stopAt?: string
}

const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
}

export class Browser {
  readonly cookies = new Map<string, string>()
  readonly #gateway: string

  /** @param gateway where `SITE` really is */
  constructor(gateway: string) {
    this.#gateway = gateway
  }

  /** One request to the site, no redirect followed. */
  async send(path: string, options: VisitOptions = {}): Promise<Answer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await ask(this.#gateway + path, {
      method: options.method ?? 'GET',
      headers: {
        host: 'app.test',
        'x-forwarded-proto': 'https',
        'x-forwarded-for': '203.0.113.7',
        ...NAVIGATION,
        ...(cookie !== '' && { cookie }),
        ...options.headers,
      },
    })
    for (const field of answer.all('set-cookie')) this.#keep(field)
    return answer
  }

  #keep(field: string): void {
    const [pair = '', ...attributes] = field.split('; ')
    if (field.length > 4096) throw new Error('a browser would drop this cookie')
    const equals = pair.indexOf('=')
    const name = pair.slice(0, equals)
    if (name.startsWith('__Host-')) {
      const isBound = attributes.includes('Secure') && attributes.includes('Path=/')
      if (!isBound) throw new Error(`a browser would refuse ${field}`)
    }
    if (attributes.includes('Max-Age=0')) this.cookies.delete(name)
    else this.cookies.set(name, pair.slice(equals + 1))
  }

  /** A navigation: redirects are followed, to whomever. */
  async visit(path: string, options: VisitOptions = {}): Promise<Page> {
    const visited: string[] = []
    let address = SITE + path
    for (let i = 0; i < 10; i++) {
      visited.push(address)
      const answer = address.startsWith(`${SITE}/`)
        ? await this.send(address.slice(SITE.length), i === 0 ? options : {})
        : await ask(address, { headers: NAVIGATION })
      const location = answer.get('location')
      if (location === undefined || (options.stopAt && location.startsWith(options.stopAt))) {
        return { ...answer, visited }
      }
      address = new URL(location, address).href
    }
    throw new Error(`too many redirects: ${visited.join(' ')}`)
  }
}
