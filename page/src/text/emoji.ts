// Emoji with names to search for. Loaded when somebody opens the picker.

import type { Language } from '../words/index.svelte'

export interface Emoji {
  emoji: string
  name: string
  words: string
  group: number
  skins: string[]
}

/** As `vite.config.ts` packs it: emoji, name, other words, group, skin tones. */
type Packed = [string, string, string, number, string[]]

const loaded = new Map<string, Promise<Emoji[]>>()

export function loadEmoji(language: Language): Promise<Emoji[]> {
  // There are no Arabic names; English ones are better than none.
  const names = language === 'de' ? 'de' : 'en'
  let found = loaded.get(names)
  if (!found) {
    const packed: Promise<{ default: unknown }> = names === 'de' ? import('virtual:emoji/de') : import('virtual:emoji/en')
    found = packed.then(({ default: list }) =>
      (list as Packed[]).map(([emoji, name, words, group, skins]) => ({
        emoji,
        name,
        words: `${name} ${words}`.toLocaleLowerCase(),
        group,
        skins,
      })),
    )
    loaded.set(names, found)
  }
  return found
}

/** With a skin tone, 1 to 5, where the emoji has one. */
export function toned(one: Emoji, tone: number): string {
  return (tone > 0 && one.skins[tone - 1]) || one.emoji
}
