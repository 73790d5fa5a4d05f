/** The control port's hand on the config file. */
import type { ConfigView, IfMatch, SourceText, TextProblem } from '../../admin/publish-view.ts'
import type { ConfigFile } from './config-file.ts'
import type { Asker } from './control.ts'
import type { Instance } from './instance.ts'
import {
  etagOf,
  problemsWith,
  sourceText,
  takeIntoUse,
  type Written,
  writeChecked,
} from './publishing.ts'

/** What the primary asks of a worker about the config. */
export type ConfigQuestion =
  | { readonly ask: 'config-show' | 'config-etag' | 'config-source' }
  | { readonly ask: 'config-validate'; readonly text: string }
  | { readonly ask: 'config-write'; readonly text: string; readonly ifMatch: IfMatch }

export function answerAboutConfig(
  instance: Instance,
  file: ConfigFile,
  question: ConfigQuestion,
): unknown {
  switch (question.ask) {
    case 'config-show':
      return instance.bundle.config
    case 'config-etag':
      return etagOf(instance.bundle.text)
    case 'config-source':
      return sourceText(file.path)
    case 'config-validate':
      return problemsOf(instance, file, question.text)
    case 'config-write': {
      const { text, ifMatch } = question
      return writeChecked(file, file.path, text, ifMatch, () => problemsOf(instance, file, text))
    }
  }
}

async function problemsOf(
  instance: Instance,
  file: ConfigFile,
  text: string,
): Promise<readonly TextProblem[]> {
  const result = await problemsWith(instance, file, new Map([[file.path, text]]))
  return 'problems' in result ? result.problems : []
}

export function configView(asker: Asker): ConfigView {
  const { first } = asker
  return {
    etag: async () => (await first({ ask: 'config-etag' })) as string,
    source: async () => (await first({ ask: 'config-source' })) as SourceText,
    validate: async (text) =>
      (await first({ ask: 'config-validate', text })) as readonly TextProblem[],
    publish: async (text, ifMatch) => {
      const written = (await first({ ask: 'config-write', text, ifMatch })) as Written
      return takeIntoUse(asker, text, written)
    },
  }
}
