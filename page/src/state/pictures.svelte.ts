// Pictures of people and groups, asked for when they come into view.

import { SvelteMap } from 'svelte/reactivity'
import { app } from './app.svelte'

const found = new SvelteMap<string, string>()
const asked = new Set<string>()

/** A picture in base64 as an address for `<img>`; nothing for what is not a picture. */
export function pictureSource(base64: string | undefined): string | undefined {
  if (!base64) return undefined
  const type = base64.startsWith('iVBOR')
    ? 'png'
    : base64.startsWith('/9j/')
      ? 'jpeg'
      : base64.startsWith('UklGR')
        ? 'webp'
        : undefined
  return type && `data:image/${type};base64,${base64}`
}

export function pictureOf(key: string): string | undefined {
  return found.get(key)
}

export function setPicture(key: string, base64: string): void {
  const source = pictureSource(base64)
  if (source) found.set(key, source)
  else found.delete(key)
}

/** Asks for a picture once. */
export function wantPicture(kind: 'person' | 'group' | 'own', key: string): void {
  if (asked.has(key)) return
  asked.add(key)
  const asking =
    kind === 'group'
      ? app.engine.call('group', { of: key }).then((group) => group.picture ?? '')
      : app.engine.call('profile', { of: kind === 'own' ? null : key }).then((profile) => profile.picture)
  // Somebody without a profile has no picture.
  asking.then((picture) => setPicture(key, picture)).catch(() => undefined)
}

/** After a group's picture or a profile changed. */
export function forgetPicture(key: string): void {
  asked.delete(key)
}
