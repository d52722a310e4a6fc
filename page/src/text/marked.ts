// Where the words of a search stand in a text.

export interface Piece {
  text: string
  hit: boolean
}

const bare = (text: string) => text.normalize('NFD').replace(/\p{M}/gu, '').toLocaleLowerCase()

/** The text in pieces; begins near the first hit if that is far in. */
export function marked(text: string, search: string, far = 60): Piece[] {
  const words = bare(search).split(/\s+/).filter(Boolean)
  const folded = bare(text)
  // Where accents change the length, nothing is marked rather than the wrong thing.
  if (words.length === 0 || folded.length !== text.length) return [{ text, hit: false }]
  const hits: [number, number][] = []
  for (const word of words) {
    for (let at = folded.indexOf(word); at >= 0; at = folded.indexOf(word, at + word.length)) {
      if (at === 0 || !/[\p{L}\p{N}]/u.test(folded[at - 1] ?? '')) hits.push([at, at + word.length])
    }
  }
  hits.sort((a, b) => a[0] - b[0])
  const pieces: Piece[] = []
  let at = 0
  const first = hits[0]?.[0] ?? 0
  if (first > far) {
    at = text.lastIndexOf(' ', first - far / 2) + 1
    if (at > 0) pieces.push({ text: '…', hit: false })
  }
  for (const [start, end] of hits) {
    if (start < at) continue
    if (start > at) pieces.push({ text: text.slice(at, start), hit: false })
    pieces.push({ text: text.slice(start, end), hit: true })
    at = end
  }
  if (at < text.length) pieces.push({ text: text.slice(at), hit: false })
  return pieces
}

/** The same in what is shown already, piece by piece. */
export function hitsIn(node: Element, search: string): Range[] {
  const ranges: Range[] = []
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT)
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    let at = 0
    for (const piece of marked(text.nodeValue ?? '', search, Infinity)) {
      if (piece.hit) {
        const range = new Range()
        range.setStart(text, at)
        range.setEnd(text, at + piece.text.length)
        ranges.push(range)
      }
      at += piece.text.length
    }
  }
  return ranges
}
