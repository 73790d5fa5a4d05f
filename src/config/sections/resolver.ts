/** The `resolver` section: who resolves the names of origins. */
import * as v from 'valibot'
import { duration } from '../values.ts'

const server = v.pipe(
  v.string(),
  v.regex(
    /^(?:\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?)$/,
    'an address with or without a port is expected, such as "10.0.0.2", "127.0.0.1:8600" or "[fd00::53]:53"',
  ),
)

export const ResolverSection = v.strictObject({
  servers: v.pipe(
    v.optional(
      v.pipe(
        v.array(server),
        v.minLength(1, 'at least one server is expected'),
        v.maxLength(8, 'at most 8 servers are possible'),
      ),
    ),
    v.description(
      'DNS servers to ask, in order. Left out: names are resolved as this machine does it, hosts file and search domains included.',
    ),
  ),
  timeout: v.pipe(
    v.optional(v.pipe(duration, v.minValue(50, 'at least "50ms" is expected')), '2s'),
    v.description('How long each of `servers` may take.'),
  ),
})
export type ResolverConfig = v.InferOutput<typeof ResolverSection>
