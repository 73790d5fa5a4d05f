/** Calls of a running gateway's control port. */
import http from 'node:http'
import { CommandError, type Terminal, UsageError } from './terminal.ts'

export interface ControlOptions {
  /** http://127.0.0.1:9090, or the path of a Unix socket. */
  readonly control: string
  readonly tokenEnv?: string | undefined
}

/** The longest answer read. */
const MAX_ANSWER_BYTES = 64 * 1024 ** 2

/**
 * @param body   sent as JSON with POST; GET without it
 * @param method another one than those
 * @throws CommandError when the port does not answer, or refuses; UsageError for a bad option
 */
export async function callControl(
  options: ControlOptions,
  terminal: Terminal,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
  method = body === undefined ? 'GET' : 'POST',
): Promise<unknown> {
  const place = placeOf(options.control)
  const fields: Record<string, string> = { host: 'localhost', ...headers }
  if (options.tokenEnv !== undefined) {
    const token = terminal.env[options.tokenEnv]
    if (token === undefined || token === '') {
      throw new UsageError(`the environment variable ${options.tokenEnv} is not set`)
    }
    fields.authorization = `Bearer ${token}`
  }
  const text = body === undefined ? undefined : JSON.stringify(body)
  // Changes without a body carry it too: the port asks for it.
  if (method !== 'GET') fields['content-type'] = 'application/json'
  if (text !== undefined) fields['content-length'] = String(Buffer.byteLength(text))
  const answer = await send({ ...place, path, method, headers: fields }, text, options.control)
  const value = parsed(answer.text)
  if (answer.status === 200) return value
  const { title } = value as { title?: unknown }
  throw new CommandError(
    typeof title === 'string' ? title : `the control port answered ${answer.status}`,
    answer.status === 401 ? 'name the variable that holds the token with --token-env' : undefined,
  )
}

function placeOf(control: string): http.RequestOptions {
  if (control.startsWith('/') || control.startsWith('.')) return { socketPath: control }
  try {
    const url = new URL(control)
    if (url.protocol === 'http:' && url.username === '' && url.pathname === '/') {
      const hostname = url.hostname.replace(/^\[|\]$/g, '')
      return { hostname, port: url.port === '' ? 80 : Number(url.port) }
    }
  } catch {
    // Said below.
  }
  throw new UsageError(
    '--control takes the URL of a control port, or the path of its socket',
    '--control http://127.0.0.1:9090',
  )
}

function send(
  request: http.RequestOptions,
  body: string | undefined,
  control: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) =>
      reject(
        new CommandError(
          `the control port ${control} does not answer: ${error.message || 'no connection'}`,
          'is the gateway running, and is this its admin address?',
          { cause: error },
        ),
      )
    const call = http.request(request, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > MAX_ANSWER_BYTES) call.destroy(new Error('the answer is too long'))
      })
      response.on('error', failed)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    call.on('error', failed)
    call.end(body)
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CommandError('the answer is no JSON: is this a control port?')
  }
}
