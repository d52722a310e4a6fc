import { describe, expect, it } from 'vitest'
import { isFormatted, live, parse, piecesOf, plain, safeLink } from './markdown'

describe('parse', () => {
  it('reads marks, one in the other', () => {
    expect(parse('**Tickets**: ~~four~~ five, `KX *4*` *so **bold***')).toEqual([
      { text: 'Tickets', strong: true },
      { text: ': ' },
      { text: 'four', struck: true },
      { text: ' five, ' },
      { text: 'KX *4*', code: true },
      { text: ' ' },
      { text: 'so ', emphasis: true },
      { text: 'bold', emphasis: true, strong: true },
    ])
  })

  it('leaves what does not close as it is', () => {
    for (const text of ['2 * 3 * 4', '**open', 'snake_case_name', '~~', '`', '* a']) {
      expect(parse(text).map((span) => span.text).join('')).toBe(text)
      expect(isFormatted(text)).toBe(false)
    }
  })
})

describe('piecesOf', () => {
  it('finds links and mentions, and loses nothing', () => {
    const text = '@mira@example.org for Sunday: https://trails.example/ring?a=1. (http://x.example)'
    const pieces = piecesOf({ text })
    expect(pieces.map((piece) => piece.text).join('')).toBe(text)
    expect(pieces.filter((piece) => piece.link).map((piece) => piece.link)).toEqual([
      'https://trails.example/ring?a=1',
      'http://x.example/',
    ])
    expect(pieces[0]).toEqual({ text: '@mira@example.org', mention: 'mira@example.org' })
  })

  it('makes no link of anything that runs', () => {
    expect(safeLink('javascript:alert(1)')).toBeUndefined()
    expect(safeLink('data:text/html,x')).toBeUndefined()
    expect(piecesOf({ text: '<img src=x onerror=alert(1)>' })).toEqual([{ text: '<img src=x onerror=alert(1)>' }])
  })
})

it('plain gives one line without marks', () => {
  expect(plain({ text: '**a**\n b', formatted: [{ text: 'a', strong: true }, { text: '\n b' }] })).toBe('a b')
})

it('keeps every character of what is being written', () => {
  for (const text of ['', 'plain', '**b** and *i*', '~~x~~ `c**d**`', '**open', '***both***', 'a_b_c __d__']) {
    expect(live(text).map((piece) => piece.text).join('')).toBe(text)
  }
  expect(live('a **b**').map(({ text, strong, mark }) => [text, strong ?? false, mark ?? false])).toEqual([
    ['a ', false, false],
    ['**', false, true],
    ['b', true, false],
    ['**', false, true],
  ])
})
