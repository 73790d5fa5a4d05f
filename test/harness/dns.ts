/** A DNS server on the loopback interface that says what the test wants (RFC 1035: A, AAAA and SRV). */
import dgram from 'node:dgram'
import { onTestFinished } from 'vitest'

const A = 1
const AAAA = 28
const SRV = 33
const SERVFAIL = 2
const NXDOMAIN = 3

export class DnsServer {
  /** Addresses by name; a name that is not here does not exist. */
  readonly names = new Map<string, string[]>()
  /** Service records by name. */
  readonly services = new Map<
    string,
    { priority: number; weight: number; port: number; target: string }[]
  >()
  /** Seconds. */
  ttl = 1
  /** `silent`: no answer at all. */
  mode: 'answers' | 'fails' | 'silent' = 'answers'
  questions = 0
  readonly #socket = dgram.createSocket('udp4')

  /** Listens until the test is over. */
  static async start(): Promise<DnsServer> {
    const server = new DnsServer()
    const socket = server.#socket
    socket.on('message', (question, { address, port }) => {
      const answer = server.#answer(question)
      if (answer !== undefined) socket.send(answer, port, address)
    })
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
    onTestFinished(() => new Promise((resolve) => socket.close(() => resolve())))
    return server
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`
  }

  #answer(question: Buffer): Buffer | undefined {
    this.questions++
    if (this.mode === 'silent') return undefined
    const labels: string[] = []
    let at = 12
    while (question[at] !== 0) {
      const length = question[at] as number
      labels.push(question.toString('latin1', at + 1, at + 1 + length))
      at += length + 1
    }
    const type = question.readUInt16BE(at + 1)
    const end = at + 5
    const name = labels.join('.').toLowerCase()
    const known = this.names.get(name)
    const services = this.services.get(name)
    const isThere = known !== undefined || services !== undefined
    const code = this.mode === 'fails' ? SERVFAIL : isThere ? 0 : NXDOMAIN
    const all = [
      ...(known ?? []).flatMap((text) => this.#record(text, type)),
      ...(type === SRV ? (services ?? []) : []).map((each) => {
        const data = Buffer.alloc(6)
        data.writeUInt16BE(each.priority, 0)
        data.writeUInt16BE(each.weight, 2)
        data.writeUInt16BE(each.port, 4)
        const target = each.target.split('.').map((label) => {
          return Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])
        })
        return this.#answerOf(SRV, Buffer.concat([data, ...target, Buffer.from([0])]))
      }),
    ]
    const records = code === 0 ? all : []
    const header = Buffer.from(question.subarray(0, 12))
    header.writeUInt16BE(0x8180 | code, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(records.length, 6)
    header.writeUInt32BE(0, 8)
    return Buffer.concat([header, question.subarray(12, end), ...records])
  }

  #record(address: string, type: number): Buffer[] {
    const isV6 = address.includes(':')
    if ((type === A && isV6) || (type === AAAA && !isV6) || (type !== A && type !== AAAA)) return []
    const data = isV6 ? bytesOfV6(address) : Buffer.from(address.split('.').map(Number))
    return [this.#answerOf(type, data)]
  }

  #answerOf(type: number, data: Buffer): Buffer {
    const head = Buffer.alloc(12)
    // The name: as in the question.
    head.writeUInt16BE(0xc00c, 0)
    head.writeUInt16BE(type, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt32BE(this.ttl, 6)
    head.writeUInt16BE(data.length, 10)
    return Buffer.concat([head, data])
  }
}

function bytesOfV6(text: string): Buffer {
  const [before = '', after = ''] = text.split('::')
  const left = before.split(':').filter((part) => part !== '')
  const right = after.split(':').filter((part) => part !== '')
  const groups = [...left, ...Array(8 - left.length - right.length).fill('0'), ...right]
  const bytes = Buffer.alloc(16)
  for (const [i, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i)
  return bytes
}
