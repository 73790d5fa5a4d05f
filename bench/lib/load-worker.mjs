/** Runs autocannon in a process of its own, so that its CPU time is nobody else's. */
import autocannon from 'autocannon'

process.on('message', async ({ url, seconds, connections, headers }) => {
  const result = await autocannon({ url, duration: seconds, connections, headers, timeout: 10 })
  process.send({
    requests: result['2xx'],
    failures: result.non2xx + result.errors + result.timeouts,
    seconds: result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
  })
})
