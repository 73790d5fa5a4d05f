/** The gateway on Deno: `deno run -A examples/edge/deno.ts meridian.json [PORT]`. */
import { Hono } from 'hono'
import { meridian } from '../../src/index.ts'

/** What this file uses of Deno, which brings its own types. */
declare const Deno: {
  readonly args: string[]
  readonly env: { toObject(): Record<string, string> }
  readTextFile(path: string | URL): Promise<string>
  serve(options: { port: number; hostname: string }, handler: unknown): unknown
}

const [path = 'meridian.json', port = '8080'] = Deno.args
const gateway = meridian(await Deno.readTextFile(path), {
  rulesets: {
    managed: await Deno.readTextFile(new URL('../../rules/managed.json', import.meta.url)),
  },
  env: Deno.env.toObject(),
})
await gateway.ready()

const app = new Hono().use(gateway)
// Deno prints the address itself.
Deno.serve({ port: Number(port), hostname: '127.0.0.1' }, app.fetch)
