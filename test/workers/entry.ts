/** The Worker of the tests: the Durable Objects, and a gateway that answers one page. */
import {
  CounterShard,
  createWorker,
  HealthProber,
  NoticeBoard,
} from '../../src/runtimes/workers/worker.ts'

export { CounterShard, HealthProber, NoticeBoard }

export default createWorker({
  config: JSON.stringify({ waf: { mode: 'off' }, routes: [{ respond: { body: 'bundled' } }] }),
})
