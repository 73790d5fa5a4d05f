/**
 * The Worker's entry: a config and the rulesets it names, bundled as texts. Put your own `meridian.json`
 * beside this file, or point the import at it.
 */
import managed from '../../rules/managed.json'
import {
  CounterShard,
  createWorker,
  HealthProber,
  NoticeBoard,
} from '../../src/runtimes/workers/worker.ts'
import config from './meridian.json'

export { CounterShard, HealthProber, NoticeBoard }

// wrangler.toml imports both as Text, which is what they are here.
export default createWorker({
  config: config as unknown as string,
  rulesets: { managed: managed as unknown as string },
})
