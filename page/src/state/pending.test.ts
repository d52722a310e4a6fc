import { expect, it } from 'vitest'
import type { Entry } from '../engine'
import { found, type Pending, PendingMessages } from './pending'

const AT = Date.parse('2026-11-30T12:00:00Z')
const pending = (text: string, at = AT): Pending => ({ conversation: 'c', at, outgoing: { text } })
const message = (id: string, text: string, at: number, direction: 'in' | 'out' = 'out') =>
  ({ type: 'message', id, text, direction, sent_at: new Date(at).toISOString() }) as Entry

function store() {
  const kept = new Map<string, string>()
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
}

it('finds what the engine took before it ended', () => {
  const history = [message('1', 'Hello', AT - 60_000), message('2', 'Hello', AT + 5, 'in'), message('3', 'Hello', AT + 5)]
  expect(found(pending('Hello'), history)).toBe('3')
  expect(found(pending('Hello'), history, new Set(['3']))).toBeUndefined()
  expect(found(pending('Other'), history)).toBeUndefined()
})

it('takes an older message with the same words for another one', () => {
  expect(found(pending('OK'), [message('1', 'OK', AT - 60_000)])).toBeUndefined()
})

it('keeps messages over a reload, by conversation', () => {
  const kept = store()
  new PendingMessages(kept).add(pending('one', 1))
  new PendingMessages(kept).add({ ...pending('two', 2), conversation: 'd' })
  expect(new PendingMessages(kept).all('c').map((one) => one.outgoing.text)).toEqual(['one'])
  new PendingMessages(kept).remove(1)
  expect(new PendingMessages(kept).all()).toHaveLength(1)
})

it('reads nothing from what is broken', () => {
  const kept = store()
  kept.setItem('waxwing-pending', '{')
  expect(new PendingMessages(kept).all()).toEqual([])
})
