/**
 * What the control port asks of the processes that serve. In one process the answers come from its own
 * instance, in a cluster from the workers by IPC; views over them are made of the same few calls.
 */

import type { Caller, Refused } from '../../admin/caller.ts'
import type { AdminView } from '../../admin/view.ts'
import type { ConfigFile } from './config-file.ts'
import { answerAboutConfig, type ConfigQuestion, configView } from './control-config.ts'
import {
  answerAboutDefence,
  type DefenceQuestion,
  limitsView,
  penaltiesView,
  revocationsView,
} from './control-defence.ts'
import { answerAboutRegions, type RegionQuestion, regionsView } from './control-regions.ts'
import { answerAboutRules, type RulesQuestion, rulesView } from './control-rules.ts'
import type { Instance } from './instance.ts'
import type { OrdersFile } from './orders-file.ts'
import { answerAboutPublishing, type PublishQuestion } from './publishing.ts'
import { answerAboutState, type StateQuestion, stateView, takeState } from './runtime-state.ts'

export type ControlQuestion =
  | RegionQuestion
  | ConfigQuestion
  | RulesQuestion
  | PublishQuestion
  | DefenceQuestion
  | StateQuestion

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

const FAMILIES = ['regions', 'config', 'rules', 'publish', 'defence', 'state'] as const
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
    case 'defence':
      return answerAboutDefence(instance, question as DefenceQuestion)
    case 'state':
      return answerAboutState(instance, question as StateQuestion)
  }
}

/** One process on its own. */
export function askInstance(
  instance: Instance,
  file: ConfigFile,
  orders: OrdersFile | undefined,
): Asker {
  const ask = async (question: ControlQuestion) => answerControl(instance, file, question)
  return {
    first: ask,
    all: async (question) => [await ask(question)],
    order: async (question) => {
      const done = await ask({ ...question, isNoted: true } as ControlQuestion)
      orders?.save(takeState(instance))
      await orders?.flushed()
      return [done]
    },
    size: () => 1,
  }
}

/** All that the control port does by asking, over one process or many. */
export function askingViews(asker: Asker): Partial<AdminView> {
  return {
    now: () => Date.now(),
    regions: regionsView(asker),
    configs: configView(asker),
    rules: rulesView(asker),
    limits: limitsView(asker),
    penalties: penaltiesView(asker),
    revocations: revocationsView(asker),
    state: stateView(asker),
    authenticate: async (token) =>
      (await asker.first({ ask: 'defence-authenticate', token })) as Caller | Refused,
  }
}
