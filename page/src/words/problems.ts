// What went wrong, in the person's language: the engine gives codes and facts, and the words are ours.
//
// Always: a code that this page does not know keeps the engine's own sentence.

import type { ProblemReport } from '../engine/types'
import { dayAndClock, duration } from '../text/time'
import { en } from './en'
import { type Arguments, type Key, t } from './index.svelte'

const MS = 1000

function facts(problem: ProblemReport): Arguments {
  const values: Arguments = {}
  for (const [name, fact] of Object.entries(problem)) {
    if (typeof fact === 'string' || typeof fact === 'number') values[name] = fact
  }
  switch (problem.code) {
    case 'address_contested':
    case 'account_deleted':
      return { ...values, until: dayAndClock(problem.until) }
    case 'address_locked':
      return { ...values, wait: duration((problem.wait_ms ?? 7 * 86_400_000) / MS) }
    case 'log_stale':
      return { ...values, age: duration(problem.age_ms / MS) }
    case 'clock_wrong':
      return { ...values, skew: duration(Math.abs(problem.skew_ms) / MS) }
    case 'contacts_not_proved':
    case 'heads_not_compared':
      return { ...values, addresses: [...problem.addresses, ...(problem.others > 0 ? [`+${problem.others}`] : [])].join(', ') }
    default:
      return values
  }
}

/** Says what went wrong. */
export function sentenceOf(problem: ProblemReport): string {
  const key = `problem_${problem.code}`
  return key in en ? t(key as Key, facts(problem)) : problem.sentence
}
