#!/usr/bin/env node
/** The `meridian` command. */
import { run } from './program.ts'
import { EXIT } from './terminal.ts'

// A reader that has seen enough (`meridian rules stats | head`) is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

const code = await run(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  env: process.env,
  input: async () => {
    let text = ''
    for await (const piece of process.stdin.setEncoding('utf8')) text += piece
    return text
  },
})
if (code === EXIT.ok) process.exitCode = code
// A start that failed half way may have left a socket or a timer behind.
else process.exit(code)
