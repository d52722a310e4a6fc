// Names as they are shown: initials, colours, short forms.

import type { Contact, Conversation } from '../engine'

const HUES = [20, 45, 70, 100, 135, 165, 195, 225, 255, 285, 315, 345]

/** The hue of an account or a group, by the first byte of its id. */
export function hueOf(id: string | undefined): number {
  const byte = Number.parseInt((id ?? '').slice(0, 2), 16)
  return HUES[(Number.isNaN(byte) ? 0 : byte) % HUES.length] ?? 20
}

/** Where no account id is known: always the same hue for the same name. */
export function hueOfName(name: string): number {
  let sum = 7
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 65_521
  return HUES[sum % HUES.length] ?? 20
}

export function hueOfConversation(one: Conversation, contacts: ReadonlyMap<string, Contact>): number {
  if (one.kind === 'group') return hueOf(one.id)
  const id = contacts.get(one.with)?.account_id
  return id ? hueOf(id) : hueOfName(one.with)
}

const segmenter = new Intl.Segmenter()

function firstLetter(word: string): string {
  for (const { segment } of segmenter.segment(word)) {
    if (/[\p{L}\p{N}]/u.test(segment)) return segment.toLocaleUpperCase()
  }
  return ''
}

/** ML for Mira Lindqvist, K for kalle@example.org. */
export function initials(name: string, most = 2): string {
  if (name.includes('@')) return firstLetter(name)
  if (/^\+?[\d\s]+$/.test(name)) return '#'
  const words = name.trim().split(/\s+/)
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]]
  const joined = letters.map((word) => firstLetter(word ?? '')).join('')
  if (words.length === 1 && most > 1) {
    return joined || '?'
  }
  return (most === 1 ? firstLetter(words[0] ?? '') : joined) || '?'
}

/** Noor for Noor Haddad; addresses stay whole. */
export function short(name: string): string {
  return name.includes('@') || /^\+?[\d\s]+$/.test(name) ? name : (name.trim().split(/\s+/)[0] ?? name)
}

/** 70 000 00 01 in groups that people read: +46 70 000 00 01. */
export function readableNumber(number: string): string {
  if (!/^\+\d{7,15}$/.test(number)) return number
  const rest = number.slice(3)
  const groups = rest.match(/^(\d{2})(\d{3})(\d{2,3})?(\d{2,})?$/)
  return groups ? [number.slice(0, 3), ...groups.slice(1).filter(Boolean)].join(' ') : number
}
