// Text to pieces that are shown as nodes, never as HTML.
//
// Elsewhere: the engine parses the Markdown of messages (`formatted`). This reads the same few
// marks for what was not sent yet, and finds links and mentions in plain text.
// Always: joined together, the pieces of plain text are the text.

import type { Message, Span } from '../engine'

export interface Piece extends Span {
  mention?: string
}

const MARKS = [
  { open: '`', field: 'code' },
  { open: '**', field: 'strong' },
  { open: '__', field: 'strong' },
  { open: '~~', field: 'struck' },
  { open: '*', field: 'emphasis' },
  { open: '_', field: 'emphasis' },
] as const

/** A piece of what is being written; `mark` is a mark itself. */
export interface LivePiece extends Span {
  mark?: boolean
}

/** What is being written, with its marks: joined together, the pieces are the text. */
export function live(text: string, style: Omit<Span, 'text'> = {}): LivePiece[] {
  const pieces: LivePiece[] = []
  let plain = ''
  const flush = () => {
    if (plain) pieces.push({ ...style, text: plain })
    plain = ''
  }
  for (let at = 0; at < text.length; ) {
    const mark = MARKS.find(({ open }) => text.startsWith(open, at))
    const close = mark ? closing(text, at + mark.open.length, mark.open) : -1
    const wordBefore = /[\p{L}\p{N}]/u.test(text[at - 1] ?? '')
    if (mark && close > 0 && !(mark.open.startsWith('_') && wordBefore)) {
      flush()
      const inner = text.slice(at + mark.open.length, close)
      const styled = { ...style, [mark.field]: true }
      pieces.push({ text: mark.open, mark: true })
      pieces.push(...(mark.field === 'code' ? [{ ...styled, text: inner }] : live(inner, styled)))
      pieces.push({ text: mark.open, mark: true })
      at = close + mark.open.length
    } else {
      const step = mark?.open.length ?? 1
      plain += text.slice(at, at + step)
      at += step
    }
  }
  flush()
  return pieces
}

/** Spans of a text with marks. What does not close is text. */
export function parse(text: string): Span[] {
  return live(text).filter((piece) => !piece.mark)
}

function closing(text: string, from: number, mark: string): number {
  if (text[from] === undefined || /\s/.test(text[from])) return -1
  for (let at = text.indexOf(mark, from); at > 0; ) {
    // Of `***`, one closes the inner mark and two the outer one, or the other way round.
    let run = 1
    while (text[at + run] === mark[0]) run++
    const fits = mark.length === 2 || mark === '`' || run % 2 === 1
    const last = at + Math.max(0, run - mark.length)
    if (fits && at > from && !/\s/.test(text[at - 1] ?? ' ')) return mark === '`' ? at : last
    at = text.indexOf(mark, at + run)
  }
  return -1
}

/** Whether a text has marks that mean something. */
export function isFormatted(text: string): boolean {
  return parse(text).some((span) => span.strong || span.emphasis || span.struck || span.code)
}

const LINK = /\bhttps?:\/\/[^\s<>"]+[^\s<>".,;:!?'’)\]}]/giu
const MENTION = /(?<![\p{L}\p{N}])@([^\s@]+@[^\s@]+\.[\p{L}\p{N}-]+)/gu

/** The address that a link really leads to; `undefined` where nobody should go. */
export function safeLink(link: string): string | undefined {
  try {
    const url = new URL(link)
    return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : undefined
  } catch {
    return undefined
  }
}

/** What to show of a message. */
export function piecesOf(message: Pick<Message, 'text' | 'formatted' | 'mentions'>): Piece[] {
  const spans: Span[] = message.formatted?.length ? message.formatted : [{ text: message.text }]
  return spans.flatMap((span) => (span.code || span.link ? [{ ...span }] : within(span)))
}

function within(span: Span): Piece[] {
  const found: { start: number; end: number; piece: Partial<Piece> }[] = []
  for (const match of span.text.matchAll(LINK)) {
    const link = safeLink(match[0])
    if (link) found.push({ start: match.index, end: match.index + match[0].length, piece: { link } })
  }
  for (const match of span.text.matchAll(MENTION)) {
    const start = match.index
    if (found.some((other) => start >= other.start && start < other.end)) continue
    found.push({ start, end: start + match[0].length, piece: { mention: match[1] } })
  }
  found.sort((a, b) => a.start - b.start)
  const pieces: Piece[] = []
  let at = 0
  for (const { start, end, piece } of found) {
    if (start > at) pieces.push({ ...span, text: span.text.slice(at, start) })
    pieces.push({ ...span, ...piece, text: span.text.slice(start, end) })
    at = end
  }
  if (at < span.text.length) pieces.push({ ...span, text: span.text.slice(at) })
  return pieces
}

/** The text without marks, in one line. */
export function plain(message: Pick<Message, 'text' | 'formatted'>): string {
  const text = message.formatted?.length ? message.formatted.map((span) => span.text).join('') : message.text
  return text.replace(/\s+/g, ' ').trim()
}
