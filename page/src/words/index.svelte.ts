// Every sentence of the page, in the person's language.
//
// Elsewhere: sentences about problems come from the engine, and are shown as they are.
// Always: a key that one language has, all have; the compiler checks it.

import { en } from './en'

export type Plural = { other: string } & Partial<Record<Intl.LDMLPluralRule, string>>
export type Key = keyof typeof en
export type Catalogue = { [K in Key]: (typeof en)[K] extends string ? string : Plural }
export type Arguments = Record<string, string | number>
export type Language = 'en' | 'de' | 'ar'

export const LANGUAGES: Record<Language, string> = { en: 'English', de: 'Deutsch', ar: 'العربية' }
const RIGHT_TO_LEFT: ReadonlySet<Language> = new Set(['ar'])

const state = $state<{ language: Language; catalogue: Catalogue }>({ language: 'en', catalogue: en })

const others: Record<Exclude<Language, 'en'>, () => Promise<Catalogue>> = {
  de: () => import('./de').then((words) => words.de),
  ar: () => import('./ar').then((words) => words.ar),
}

/** The language that the browser asks for, of those that there are. */
export function systemLanguage(wanted: readonly string[] = navigator.languages): Language {
  for (const tag of wanted) {
    const language = tag.split('-')[0] ?? ''
    if (language in LANGUAGES) return language as Language
  }
  return 'en'
}

export async function speak(language: Language): Promise<void> {
  state.catalogue = language === 'en' ? en : await others[language]()
  state.language = language
  document.documentElement.lang = language
  document.documentElement.dir = RIGHT_TO_LEFT.has(language) ? 'rtl' : 'ltr'
}

export function language(): Language {
  return state.language
}

/** For dates and numbers: the browser's variant of the language. Digits are Latin everywhere. */
export function locale(): string {
  const variant = navigator.languages.find((tag) => tag.split('-')[0] === state.language)
  // Without a country, English means day before month and 24 hours, as the rest of the world.
  const tag = variant ?? (state.language === 'en' ? 'en-GB' : state.language)
  return `${tag}-u-nu-latn`
}

let rules: Intl.PluralRules | undefined

/** The sentence for a key. `n` chooses between its plural forms. */
export function t(key: Key, values: Arguments = {}): string {
  return fill(sentence(state.catalogue, state.language, key, values), values)
}

export function sentence(catalogue: Catalogue, language: Language, key: Key, values: Arguments): string {
  const entry = catalogue[key]
  if (typeof entry === 'string') return entry
  if (rules?.resolvedOptions().locale !== language) rules = new Intl.PluralRules(language)
  return entry[rules.select(Number(values.n ?? 0))] ?? entry.other
}

export function fill(sentence: string, values: Arguments): string {
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name]
    return value === undefined ? whole : String(value)
  })
}

/** A sentence in pieces: what stands between `**` in the catalogue is bold. */
export function pieces(key: Key, values: Arguments = {}): { text: string; bold: boolean }[] {
  return sentence(state.catalogue, state.language, key, values)
    .split('**')
    .map((text, at) => ({ text: fill(text, values), bold: at % 2 === 1 }))
    .filter((piece) => piece.text !== '')
}
