/** A client that solves a challenge as a browser does, on Web interfaces alone. */

export interface Posed {
  readonly ticket: string
  readonly difficulty: number
}

/** What a challenge's page asks. */
export function posedBy(page: string): Posed {
  const [, ticket = '', difficulty = ''] =
    page.match(/data-ticket="([^"]+)" data-difficulty="(\d+)"/) ?? []
  if (ticket === '') throw new Error(`no challenge in: ${page.slice(0, 200)}`)
  return { ticket, difficulty: Number(difficulty) }
}

/** The answer to post: the ticket and the first number from `from` on that solves it. */
export async function solved({ ticket, difficulty }: Posed, from = 0): Promise<string> {
  for (let number = from; ; number++) {
    const answer = `${ticket}.${number}`
    if ((await zeroBits(answer)) >= difficulty) return answer
  }
}

/** An answer that does not solve it. */
export async function unsolved({ ticket, difficulty }: Posed): Promise<string> {
  for (let number = 0; ; number++) {
    const answer = `${ticket}.${number}`
    if ((await zeroBits(answer)) < difficulty) return answer
  }
}

async function zeroBits(text: string): Promise<number> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Math.clz32(new DataView(digest).getUint32(0))
}

/** Name and value of the cookie that a Set-Cookie field sets. */
export function pairOf(field: string | null | undefined): string {
  return field?.split(';')[0] ?? ''
}
