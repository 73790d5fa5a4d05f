// A Worker's entry of your own, for wrangler to bundle: a config and the rulesets it names, as texts. In
// wrangler.toml it is `main`, without `no_bundle`, and JSON is imported as text:
//   rules = [{ type = "Text", globs = ["**/meridian.json", "**/rules/*.json"], fallthrough = true }]
// `meridian edge build` does the same without an entry, and checks the config beforehand.
import managed from '../../rules/managed.json'
import {
  CounterShard,
  createWorker,
  HealthProber,
  NoticeBoard,
} from '../../src/runtimes/workers/worker.ts'
import config from './meridian.json'

export { CounterShard, HealthProber, NoticeBoard }

// Imported as Text, both are strings.
export default createWorker({
  config: config as unknown as string,
  rulesets: { managed: managed as unknown as string },
})
