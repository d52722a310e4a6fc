// What people paste to say where their relay is.

export interface Relay {
  url: string
  host: string
  pinned: boolean
}

/** `relay.example.org`, `https://…`, `https://…/#sha256/…`, or an invitation link with one. */
export function readRelay(text: string): Relay | undefined {
  let given = text.trim()
  const invitation = /^waxwing:invite\/1\/[^#]*#(.+)$/.exec(given)
  if (invitation?.[1]) given = invitation[1]
  if (!given) return undefined
  if (!/^[a-z]+:\/\//i.test(given)) given = `https://${given}`
  try {
    const url = new URL(given)
    if (url.protocol !== 'https:' || !url.hostname || /\s/.test(given)) return undefined
    return { url: given, host: url.host, pinned: url.hash.startsWith('#sha256/') }
  } catch {
    return undefined
  }
}
