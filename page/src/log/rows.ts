// The rows of a conversation: its entries, grouped by author, with days between them.
//
// Elsewhere: `Log.svelte` shows them; where they are is `layout.ts`.

import type { Entry, Message } from '../engine'
import type { Placed } from './layout'

export type Row = Placed &
  (
    | { kind: 'day'; at: string }
    | { kind: 'unread'; count: number }
    | {
        kind: 'message'
        message: Message
        /** The first and the last of a group by one author. */
        first: boolean
        last: boolean
        /** Its state is told under it. */
        told: boolean
      }
    | { kind: 'event'; entry: Extract<Entry, { type: 'event' }> }
    | { kind: 'gap'; entry: Extract<Entry, { type: 'gap' }> }
    | { kind: 'typing'; addresses: string[] }
  )

const TOGETHER_MS = 5 * 60_000

export interface RowsOf {
  entries: readonly Entry[]
  /** The oldest message that was not read when the conversation was opened. */
  unreadFrom?: string
  unreadCount?: number
  typing?: string[]
  /** Width of the text, to guess heights with. */
  characters?: number
}

export function timeOf(entry: Entry): string {
  return entry.type === 'message' ? entry.sent_at : entry.at
}

function dayOf(at: string): string {
  const date = new Date(at)
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`
}

function together(a: Entry | undefined, b: Entry | undefined): boolean {
  return (
    a?.type === 'message' &&
    b?.type === 'message' &&
    a.from === b.from &&
    a.direction === b.direction &&
    Math.abs(Date.parse(b.sent_at) - Date.parse(a.sent_at)) < TOGETHER_MS &&
    dayOf(a.sent_at) === dayOf(b.sent_at)
  )
}

export function rowsOf({ entries, unreadFrom, unreadCount = 0, typing = [], characters = 60 }: RowsOf): Row[] {
  const rows: Row[] = []
  const keys = new Set<string>()
  const unique = (key: string): string => {
    let free = key
    for (let n = 2; keys.has(free); n++) free = `${key}:${n}`
    keys.add(free)
    return free
  }
  let newestOwn: string | undefined
  for (const entry of entries) {
    if (entry.type === 'message' && entry.direction === 'out' && !entry.taken_back) newestOwn = entry.id
  }
  let day = ''
  entries.forEach((entry, at) => {
    const time = timeOf(entry)
    if (dayOf(time) !== day) {
      day = dayOf(time)
      rows.push({ kind: 'day', key: unique(`day:${day}`), at: time, estimate: 44 })
    }
    if (entry.type !== 'message') {
      const key = unique(`${entry.type}:${time}:${entry.type === 'event' ? entry.event + entry.address : entry.from}`)
      if (entry.type === 'event') rows.push({ kind: 'event', key, entry, estimate: 34 })
      else rows.push({ kind: 'gap', key, entry, estimate: 34 })
      return
    }
    const divided = entry.id === unreadFrom && unreadCount > 0
    if (divided) rows.push({ kind: 'unread', key: unique('unread'), count: unreadCount, estimate: 40 })
    const told = entry.id === newestOwn || entry.state === 'failed'
    const before = entries[at - 1]
    const first = divided || !together(before, entry) || isTold(before, newestOwn)
    const last = !together(entry, entries[at + 1]) || told || nextIs(entries[at + 1], unreadFrom)
    rows.push({
      kind: 'message',
      key: unique(entry.id),
      message: entry,
      first,
      last,
      told,
      estimate: estimate(entry, first, told, characters),
    })
  })
  if (typing.length > 0) rows.push({ kind: 'typing', key: 'typing', addresses: typing, estimate: 50 })
  return rows
}

function isTold(entry: Entry | undefined, newestOwn: string | undefined): boolean {
  return entry?.type === 'message' && (entry.id === newestOwn || entry.state === 'failed')
}

function nextIs(entry: Entry | undefined, id: string | undefined): boolean {
  return entry?.type === 'message' && id !== undefined && entry.id === id
}

function estimate(message: Message, first: boolean, told: boolean, characters: number): number {
  let lines = 0
  for (const line of message.text.split('\n')) lines += Math.max(1, Math.ceil((line.length + 6) / characters))
  if (message.text === '' && message.attachments?.length) lines = 0
  let height = 16 + lines * 22 + (first ? 12 : 3)
  if (message.poll) return 92 + message.poll.options.length * 40 + (first ? 12 : 3) + (told ? 24 : 0)
  if (message.reply_to) height += 58
  if (message.reactions?.length) height += 18
  if (message.link_preview) height += 90
  if (told) height += 24
  const pictures = message.attachments?.filter((file) => file.media_type.startsWith('image/')).length ?? 0
  if (pictures) height += 240
  height += 62 * ((message.attachments?.length ?? 0) - pictures)
  return height
}
