import { expect, it } from 'vitest'
import { marked } from './marked'

const shown = (text: string, search: string) => marked(text, search).map((piece) => (piece.hit ? `[${piece.text}]` : piece.text)).join('')

it('marks the beginnings of words, in any capitals', () => {
  expect(shown('The lake is like a Lake', 'lake')).toBe('The [lake] is like a [Lake]')
  expect(shown('flake', 'lake')).toBe('flake')
  expect(shown('Window seat', 'win se')).toBe('[Win]dow [se]at')
})

it('begins near a hit that is far in', () => {
  const text = `${'word '.repeat(40)}lake`
  expect(shown(text, 'lake')).toMatch(/^….*\[lake\]$/)
  expect(marked(text, 'lake', Infinity).map((piece) => piece.text).join('')).toBe(text)
})
