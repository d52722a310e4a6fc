import { expect, it } from 'vitest'
import { extrasOf } from './extras'

it('finds places and cards, and nothing that only looks like them', () => {
  expect(extrasOf('Here:\ngeo:66.3714,29.3122')).toEqual({ text: 'Here:', extras: [{ kind: 'place', latitude: 66.3714, longitude: 29.3122 }] })
  expect(extrasOf('waxwing:contact/kalle@example.org')).toEqual({ text: '', extras: [{ kind: 'card', address: 'kalle@example.org' }] })
  for (const text of ['geo:99,0', 'see geo:1,2 there', 'waxwing:contact/', 'geo:1']) {
    expect(extrasOf(text)).toEqual({ text, extras: [] })
  }
})
