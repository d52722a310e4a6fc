// The engine that this page speaks to.

import { loopback } from './loopback'
import type { Transport } from './transport'
import type { ProblemReport } from './types'

export * from './transport'
export type * from './types'

declare const __FAKE__: boolean

export async function connect(words: (problem: ProblemReport) => string): Promise<Transport | undefined> {
  if (__FAKE__ && new URLSearchParams(location.search).has('fake')) {
    const { fake } = await import('./fake')
    return fake(new URLSearchParams(location.search))
  }
  return loopback(words)
}
