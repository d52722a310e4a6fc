// Places and contact cards: lines of a message that say more than text.

export type Extra =
  | { kind: 'place'; latitude: number; longitude: number }
  | { kind: 'card'; address: string }

const PLACE = /^geo:(-?\d{1,2}(?:\.\d+)?),(-?\d{1,3}(?:\.\d+)?)$/
const CARD = /^waxwing:contact\/([^\s/]{3,254})$/

/** A message's text without these lines, and what they say. */
export function extrasOf(text: string): { text: string; extras: Extra[] } {
  const extras: Extra[] = []
  const lines = text.split('\n').filter((line) => {
    const place = PLACE.exec(line.trim())
    const card = CARD.exec(line.trim())
    const latitude = Number(place?.[1])
    const longitude = Number(place?.[2])
    if (place && Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180) extras.push({ kind: 'place', latitude, longitude })
    else if (card?.[1]) extras.push({ kind: 'card', address: card[1] })
    else return true
    return false
  })
  return extras.length > 0 ? { text: lines.join('\n').trim(), extras } : { text, extras }
}
