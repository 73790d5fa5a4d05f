/** Named lists for the rules language: `ip.src in $offices` (`lists`). */
import * as v from 'valibot'
import { filePath } from '../paths.ts'
import { cidr } from '../values.ts'

const LIST_MAX = 1_000_000

function list<const TType extends string, TItem extends v.GenericSchema<string | number>>(
  type: TType,
  item: TItem,
  what: string,
) {
  return v.strictObject({
    type: v.pipe(v.literal(type), v.description(`The list holds ${what}.`)),
    values: v.pipe(
      v.optional(
        v.pipe(v.array(item), v.maxLength(LIST_MAX, `a list has at most ${LIST_MAX} values`)),
      ),
      v.description('The values. Either `values` or `file` is given.'),
    ),
    file: v.pipe(
      v.optional(filePath),
      v.description(
        'A text file, one value a line, `#` begins a comment; reloaded when it changes.',
      ),
    ),
  })
}

const listName = v.pipe(
  v.string(),
  v.regex(
    /^[a-z0-9_]{1,50}$/,
    'a list name has 1 to 50 lower-case letters, digits and underscores',
  ),
)

/** `lists`: values that expressions refer to as `$name`. */
export const ListsSection = v.pipe(
  v.record(
    listName,
    v.variant('type', [
      list('ip', cidr, 'IP addresses and CIDR blocks'),
      list('number', v.pipe(v.number(), v.integer()), 'whole numbers, such as AS numbers'),
      list('string', v.pipe(v.string(), v.maxLength(1024)), 'strings, compared exactly'),
    ]),
  ),
  v.description('Named lists for expressions, used as `$name`.'),
)
export type ListsConfig = v.InferOutput<typeof ListsSection>
