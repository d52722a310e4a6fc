import { describe, expect, it } from 'vitest'
import { ar } from './ar'
import { de } from './de'
import { en } from './en'
import { type Catalogue, type Key, fill, sentence } from './index.svelte'

const placeholders = (text: string) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]))].sort()
const forms = (entry: Catalogue[Key]) => (typeof entry === 'string' ? [entry] : Object.values(entry))

describe.each([
  ['de', de],
  ['ar', ar],
] as const)('%s', (language, catalogue: Catalogue) => {
  it('says everything, with the same values', () => {
    for (const key of Object.keys(en) as Key[]) {
      const wanted = placeholders(forms(en[key]).join(' '))
      for (const form of forms(catalogue[key])) {
        expect(form, key).not.toBe('')
        const has = placeholders(form)
        // A form for one or two may say the number in words.
        expect(wanted, `${key}: ${form}`).toEqual(expect.arrayContaining(has))
        const needed = wanted.filter((name) => name !== 'n' || typeof en[key] === 'string')
        expect(has, `${key}: ${form}`).toEqual(expect.arrayContaining(needed))
      }
    }
  })

  it('has a form for every number', () => {
    const categories = new Intl.PluralRules(language).resolvedOptions().pluralCategories
    for (const key of Object.keys(en) as Key[]) {
      const entry = catalogue[key]
      if (typeof entry === 'string') continue
      expect(Object.keys(entry), key).toEqual(expect.arrayContaining(categories))
    }
  })
})

it('chooses the form and fills it in', () => {
  expect(fill(sentence(en, 'en', 'gap', { n: 1 }), { n: 1, name: 'Noor' })).toBe('1 message from Noor is missing. Asked again.')
  expect(fill(sentence(en, 'en', 'gap', { n: 2 }), { n: 2, name: 'Noor' })).toBe('2 messages from Noor are missing. Asked again.')
})
