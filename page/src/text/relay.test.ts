import { expect, it } from 'vitest'
import { readRelay } from './relay'

it('reads what people paste', () => {
  expect(readRelay('relay.example.org')).toEqual({ url: 'https://relay.example.org', host: 'relay.example.org', pinned: false })
  expect(readRelay(' https://relay.example.org:4433/#sha256/abc= ')).toEqual({
    url: 'https://relay.example.org:4433/#sha256/abc=',
    host: 'relay.example.org:4433',
    pinned: true,
  })
  expect(readRelay('waxwing:invite/1/W0w9/alice@example.org#https://relay.example.org/#sha256/abc')?.pinned).toBe(true)
  for (const wrong of ['', 'http://relay.example.org', 'two words', 'javascript:alert(1)']) {
    expect(readRelay(wrong)).toBeUndefined()
  }
})
