/** The `state` section: what a gateway remembers over a restart. */
import * as v from 'valibot'

export const StateSection = v.strictObject({
  directory: v.pipe(
    v.optional(
      v.pipe(
        v.string(),
        v.minLength(1, 'a folder is expected'),
        v.maxLength(4096, 'a folder is expected'),
      ),
    ),
    v.description(
      'Folder of this gateway’s own, made if it is not there, relative to the config file: how far rollouts are, and drains, bans and revocations by the control port, are kept in it. Left out: a restart forgets them.',
    ),
  ),
})
export type StateConfig = v.InferOutput<typeof StateSection>
