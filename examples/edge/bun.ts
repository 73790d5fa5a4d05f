/** The gateway on Bun: `bun examples/edge/bun.ts meridian.json [PORT]`. */
import { Hono } from 'hono'
import { meridian } from '../../src/index.ts'

/** What this file uses of Bun, which brings its own types. */
declare const Bun: {
  file(path: string): { text(): Promise<string> }
  serve(options: { port: number; hostname: string; fetch: unknown }): { port: number }
}

const [path = 'meridian.json', port = '8080'] = process.argv.slice(2)
const text = (file: string) => Bun.file(file).text()
const gateway = meridian(await text(path), {
  rulesets: {
    managed: await text(new URL('../../rules/managed.json', import.meta.url).pathname),
  },
  env: process.env,
})
await gateway.ready()

const app = new Hono().use(gateway)
const server = Bun.serve({ port: Number(port), hostname: '127.0.0.1', fetch: app.fetch })
process.stdout.write(`http://127.0.0.1:${server.port}\n`)
