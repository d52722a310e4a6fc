import { describe, expect, it } from 'vitest'
import type { Entry } from '../engine'
import { rowsOf } from './rows'

const message = (id: string, from: string, at: string, more: object = {}): Entry => ({
  type: 'message',
  id,
  conversation: 'c',
  from,
  from_verified: true,
  text: 'hi',
  sent_at: at,
  channel: 'waxwing',
  direction: from === 'me' ? 'out' : 'in',
  read: true,
  ...more,
})

describe('rowsOf', () => {
  it('groups one author within five minutes and puts days between', () => {
    const rows = rowsOf({
      entries: [
        message('1', 'noor', '2026-11-24T10:00:00'),
        message('2', 'noor', '2026-11-24T10:04:00'),
        message('3', 'noor', '2026-11-24T10:10:00'),
        message('4', 'jonas', '2026-11-25T10:10:00'),
      ],
    })
    expect(rows.map((row) => (row.kind === 'message' ? [row.key, row.first, row.last] : row.kind))).toEqual([
      'day',
      ['1', true, false],
      ['2', false, true],
      ['3', true, true],
      'day',
      ['4', true, true],
    ])
  })

  it('tells the state under the newest own message and under failed ones', () => {
    const rows = rowsOf({
      entries: [
        message('1', 'me', '2026-11-24T10:00:00', { state: 'failed' }),
        message('2', 'me', '2026-11-24T10:01:00', { state: 'read' }),
        message('3', 'me', '2026-11-24T10:02:00', { state: 'accepted' }),
      ],
    })
    expect(rows.flatMap((row) => (row.kind === 'message' ? [row.told] : []))).toEqual([true, false, true])
  })

  it('marks where the unread ones begin, and gives every row a key of its own', () => {
    const event: Entry = { type: 'event', conversation: 'c', event: 'rejoined', address: '', at: '2026-11-24T10:00:00' }
    const rows = rowsOf({
      entries: [event, event, message('1', 'noor', '2026-11-24T10:00:00'), message('2', 'noor', '2026-11-24T10:01:00')],
      unreadFrom: '2',
      unreadCount: 1,
      typing: ['noor'],
    })
    expect(rows.map((row) => row.kind)).toEqual(['day', 'event', 'event', 'message', 'unread', 'message', 'typing'])
    expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length)
  })
})
