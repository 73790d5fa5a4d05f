/**
 * A process of its own, of low priority, that tends a folder once and ends: compaction is work for a
 * processor, which requests are not to wait for. Its parent sends the settings and gets the report.
 */
import { constants, setPriority } from 'node:os'
import { operationsLog } from '../operations-log.ts'
import { type TendReport, type TendSettings, tend } from './tend.ts'

export type TenderAnswer = { readonly report: TendReport } | { readonly error: string }

if (process.send !== undefined) {
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
  // Without the parent nobody takes the report; what is half done is finished by the next pass.
  process.once('disconnect', () => process.exit(0))
  process.once('message', (settings: TendSettings) => {
    void answer(settings).then((value) => process.send?.(value, () => process.disconnect()))
  })
}

async function answer(settings: TendSettings): Promise<TenderAnswer> {
  try {
    return { report: await tend(settings, operationsLog) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}
