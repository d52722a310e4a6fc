// What a vote does to a poll, before the engine says so.

import type { Message } from '../engine'

export type Poll = NonNullable<Message['poll']>

/** The places that are chosen once somebody picks the option at `at`: again takes it back. */
export function chosenAfter(poll: Poll, at: number): number[] {
  const own = poll.options.flatMap((option, place) => (option.own ? [place] : []))
  if (own.includes(at)) return own.filter((place) => place !== at)
  return poll.several ? [...own, at].sort((a, b) => a - b) : [at]
}

/** The poll with this vote in it. */
export function voted(poll: Poll, chosen: readonly number[], who: string): Poll {
  const before = poll.options.some((option) => option.own)
  const options = poll.options.map((option, place) => {
    const own = chosen.includes(place)
    const others = option.by?.filter((address) => address !== who) ?? []
    const by = poll.anonymous ? option.by : own ? [...others, who] : others
    return { ...option, own, by, votes: option.votes - Number(option.own ?? false) + Number(own) }
  })
  return { ...poll, options, voters: poll.voters - Number(before) + Number(chosen.length > 0) }
}

/** Why a poll cannot be asked like this; nothing if it can. */
export function faultOf(question: string, options: readonly string[]): 'question' | 'few' | 'same' | undefined {
  const said = options.map((option) => option.trim()).filter(Boolean)
  if (!question.trim()) return 'question'
  if (said.length < 2) return 'few'
  return new Set(said).size < said.length ? 'same' : undefined
}
