/** The control port's hand on the rollouts of one process, and on those of all worker processes. */
import { mergeRollouts, type RolloutOrder, type RolloutView } from '../../admin/rollout-view.ts'
import type { RolloutPosition, RolloutStatus } from '../../steering/rollouts.ts'
import { adoptRollouts, rolloutCommand, rolloutStatus } from '../../steps/rollout-control.ts'
import type { Instance } from './instance.ts'

/** What the primary asks of a worker about its rollouts. */
export type RolloutQuestion =
  | { readonly ask: 'rollout-status' }
  | {
      readonly ask: 'rollout-command'
      readonly order: RolloutOrder
      readonly from: RolloutPosition
      /** Who ordered it; only in the process that notes it. */
      readonly by?: string
    }
  | { readonly ask: 'rollout-adopt'; readonly all: readonly RolloutStatus[] }

export function answerAboutRollouts(instance: Instance, question: RolloutQuestion): unknown {
  const { snapshot } = instance
  const { services } = instance.gateway
  switch (question.ask) {
    case 'rollout-status':
      return rolloutStatus(services, snapshot)
    case 'rollout-command': {
      const { order, from, by } = question
      return rolloutCommand(services, snapshot, order.rollout, order.command, from, by)
    }
    case 'rollout-adopt':
      adoptRollouts(services, snapshot, question.all)
      return true
  }
}

export function isAboutRollouts(question: { readonly ask: string }): question is RolloutQuestion {
  return question.ask.startsWith('rollout-')
}

/**
 * The rollouts of every process that `askAll` reaches.
 * @param askAll answers of all; `by` is given to the first one alone
 */
export function rolloutView(
  askAll: (question: RolloutQuestion, by?: string) => Promise<unknown[]>,
): RolloutView {
  return {
    status: async () =>
      mergeRollouts((await askAll({ ask: 'rollout-status' })) as RolloutStatus[][]),
    command: async (order, { step, percent, phase, sinceMs, note }, by) => {
      const from = { step, percent, phase, sinceMs, note }
      return (await askAll({ ask: 'rollout-command', order, from }, by)).length
    },
  }
}

/** The rollouts of one process. */
export function instanceRolloutView(instance: Instance): RolloutView {
  return rolloutView(async (question, by) => {
    const asked =
      by !== undefined && question.ask === 'rollout-command' ? { ...question, by } : question
    return [answerAboutRollouts(instance, asked)]
  })
}
