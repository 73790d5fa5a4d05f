/**
 * What the control port asks of the processes that serve. In one process the answers come from its own
 * instance, in a cluster from the workers by IPC; views over them are made of the same few calls.
 */
import type { ConfigFile } from './config-file.ts'
import { answerAboutConfig, type ConfigQuestion } from './control-config.ts'
import { answerAboutRegions, type RegionQuestion } from './control-regions.ts'
import { answerAboutRules, type RulesQuestion } from './control-rules.ts'
import type { Instance } from './instance.ts'
import { answerAboutPublishing, type PublishQuestion } from './publishing.ts'

export type ControlQuestion = RegionQuestion | ConfigQuestion | RulesQuestion | PublishQuestion

/** The processes behind a control port. */
export interface Asker {
  /** One of them, for what all know alike. @throws when none answers */
  first(question: ControlQuestion): Promise<unknown>
  /** Each of them; only those that answered. */
  all(question: ControlQuestion): Promise<unknown[]>
  /** Each of them, one order after another, and those that are started later; the first one notes it. */
  order(question: ControlQuestion): Promise<unknown[]>
  /** How many there are. */
  size(): number
}

const FAMILIES = ['regions', 'config', 'rules', 'publish'] as const
type Family = (typeof FAMILIES)[number]

function familyOf({ ask }: { readonly ask: string }): string {
  return ask.slice(0, ask.indexOf('-'))
}

export function isControlQuestion(question: { readonly ask: string }): question is ControlQuestion {
  return (FAMILIES as readonly string[]).includes(familyOf(question))
}

/** Answers one question, in the process that it is about. What is changed while a reload is under way waits for it. */
export async function answerControl(
  instance: Instance,
  file: ConfigFile,
  question: ControlQuestion,
): Promise<unknown> {
  await instance.settled()
  // The family is the first word of what is asked.
  switch (familyOf(question) as Family) {
    case 'regions':
      return answerAboutRegions(instance, question as RegionQuestion)
    case 'config':
      return answerAboutConfig(instance, file, question as ConfigQuestion)
    case 'rules':
      return answerAboutRules(instance, file, question as RulesQuestion)
    case 'publish':
      return answerAboutPublishing(instance, file, question as PublishQuestion)
  }
}

/** One process on its own. */
export function askInstance(instance: Instance, file: ConfigFile): Asker {
  const ask = async (question: ControlQuestion) => answerControl(instance, file, question)
  return {
    first: ask,
    all: async (question) => [await ask(question)],
    order: async (question) => [await ask({ ...question, isNoted: true } as ControlQuestion)],
    size: () => 1,
  }
}
