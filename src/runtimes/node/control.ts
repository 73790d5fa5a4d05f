/**
 * What the control port asks of the processes that serve. In one process the answers come from its own
 * instance, in a cluster from the workers by IPC; views over them are made of the same few calls.
 */
import type { ConfigFile } from './config-file.ts'
import { answerAboutRegions, type RegionQuestion } from './control-regions.ts'
import type { Instance } from './instance.ts'

export type ControlQuestion = RegionQuestion

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

const PREFIXES = ['regions-']

export function isControlQuestion(question: { readonly ask: string }): question is ControlQuestion {
  return PREFIXES.some((prefix) => question.ask.startsWith(prefix))
}

/** Answers one question, in the process that it is about. */
export function answerControl(
  instance: Instance,
  _file: ConfigFile,
  question: ControlQuestion,
): unknown {
  return answerAboutRegions(instance, question)
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
