/** `npm run simulate -- --seed S --hours H`: exit code 1 when a promise was broken. */
import { parseArgs } from 'node:util'
import { simulate, summaryText } from './simulation.ts'

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, hours: { type: 'string', default: '2' } },
})
const seed = Number(values.seed)
const hours = Number(values.hours)
if (!Number.isSafeInteger(seed) || !(hours > 0 && hours <= 1000)) {
  process.stderr.write('--seed takes a whole number, --hours a number from 0 to 1000\n')
  process.exit(2)
}
const summary = await simulate({ seed, hours })
process.stdout.write(summaryText(summary))
if (summary.violations.length > 0) process.exitCode = 1
