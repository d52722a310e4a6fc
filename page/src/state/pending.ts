// Messages that were given to the engine, and of which nobody knows yet whether it has them: the
// page was closed, or the engine ended, before the answer came.
//
// Elsewhere: `log.svelte.ts` shows them, and looks for them in the history.
// Always: a message is here before it leaves, until the engine has said that it has it. This tab
// only knows it, and forgets it when it is closed: the draft beside the account outlives that.

import type { Entry } from '../engine'
import type { Outgoing } from './log.svelte'

const KEPT = 'waxwing-pending'
/** The two clocks are one, but the page's time is taken a moment earlier. */
const EARLIER_MS = 2000

export interface Pending {
  conversation: string
  at: number
  outgoing: Outgoing
}

type Kept = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

export class PendingMessages {
  constructor(private readonly store: Kept) {}

  all(conversation?: string): Pending[] {
    try {
      const all = JSON.parse(this.store.getItem(KEPT) ?? '[]') as Pending[]
      return conversation === undefined ? all : all.filter((one) => one.conversation === conversation)
    } catch {
      return []
    }
  }

  add(one: Pending): void {
    this.keep([...this.all(), one])
  }

  remove(at: number): void {
    this.keep(this.all().filter((one) => one.at !== at))
  }

  private keep(all: readonly Pending[]): void {
    try {
      if (all.length > 0) this.store.setItem(KEPT, JSON.stringify(all))
      else this.store.removeItem(KEPT)
    } catch {
      // A message that is too large to be kept here is still sent.
    }
  }
}

/** The message of the history that a pending one became. `taken` are those that others became. */
export function found(pending: Pending, history: readonly Entry[], taken: ReadonlySet<string> = new Set()): string | undefined {
  for (const entry of history) {
    if (entry.type !== 'message' || entry.direction !== 'out' || taken.has(entry.id) || entry.id.startsWith('local:')) continue
    const files = entry.attachments?.length ?? 0
    const same = entry.text === pending.outgoing.text && files === (pending.outgoing.attachments?.length ?? 0)
    if (same && Date.parse(entry.sent_at) >= pending.at - EARLIER_MS) return entry.id
  }
  return undefined
}
