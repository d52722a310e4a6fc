// One line about a conversation or a message.

import type { Attachment, Conversation, Entry, Message } from '../engine'
import { app } from '../state/app.svelte'
import { pieces, t } from '../words/index.svelte'
import { extrasOf } from './extras'
import { plain } from './markdown'
import { short } from './names'
import { duration, playing } from './time'

export function isPicture(file: Pick<Attachment, 'media_type'>): boolean {
  return /^image\/(jpeg|png|gif|webp)$/.test(file.media_type)
}

export function isVoice(file: Pick<Attachment, 'media_type'>): boolean {
  return /^audio\/(ogg|opus)$/.test(file.media_type)
}

export function isVideo(file: Pick<Attachment, 'media_type'>): boolean {
  return /^video\/(mp4|webm)$/.test(file.media_type)
}

export function attachmentsText(files: readonly Pick<Attachment, 'media_type' | 'name' | 'preview'>[]): string {
  const first = files[0]
  if (!first) return ''
  if (files.every(isPicture)) return files.length === 1 ? t('photo') : t('photos_n', { n: files.length })
  if (isVoice(first)) {
    const ms = first.preview?.duration_ms
    return ms ? t('voice_of', { time: playing(ms) }) : t('voice_message')
  }
  if (isVideo(first)) return t('video')
  return first.name
}

/** What a message says, in one line. */
export function textOf(message: Message): string {
  if (message.taken_back) {
    return message.direction === 'out'
      ? t('taken_back_you')
      : t('taken_back_by', { name: short(app.nameOf(message.from)) })
  }
  if (message.poll) return t('poll_snippet', { text: message.poll.question })
  const { text: said, extras } = extrasOf(message.text)
  const text = extras.length > 0 ? said : plain(message)
  if (text) return text
  if (extras[0]) return extras[0].kind === 'place' ? t('place') : t('contact_card', { name: app.nameOf(extras[0].address) })
  return message.attachments?.length ? attachmentsText(message.attachments) : t('newer_needed')
}

export interface Snippet {
  label?: string
  text: string
  strong?: boolean
}

export function snippetOf(one: Conversation): Snippet {
  const typing = [...(app.typing.get(one.id)?.keys() ?? [])]
  if (typing.length > 1) return { text: t('are_typing') }
  if (typing[0]) return { text: t('is_typing', { name: short(app.nameOf(typing[0])) }) }
  if (one.draft && one.id !== app.selected) return { label: t('draft'), text: one.draft }
  const last = one.last
  if (last?.type === 'message' && last.state === 'failed') return { text: t('not_sent', { text: textOf(last) }) }
  if (one.kind === 'direct' && app.paused.has(one.with)) return { text: t('sending_paused') }
  if (one.request) return { text: t('message_request') }
  if (!last) return { text: t('no_messages_yet') }
  return { text: entryText(last, one), strong: one.unread > 0 }
}

function entryText(entry: Entry, one: Conversation): string {
  if (entry.type === 'event') return eventPieces(entry).map((piece) => piece.text).join('')
  if (entry.type === 'gap') return t(entry.missing ? 'gap' : 'gap_closed', { n: entry.missing, name: short(app.nameOf(entry.from)) })
  const text = textOf(entry)
  if (entry.taken_back) return text
  if (entry.direction === 'out') return one.kind === 'notes' ? text : t('snippet_you', { text })
  if (one.kind === 'sms') return t('snippet_text', { text })
  if (one.kind === 'group') return t('snippet_from', { name: short(app.nameOf(entry.from)), text })
  return text
}

/** An event as a sentence, its names bold. */
export function eventPieces(entry: Extract<Entry, { type: 'event' }>): { text: string; bold: boolean }[] {
  const who = ['identity_reset', 'address_not_theirs', 'looks_like_another', 'not_added'].includes(entry.event)
    ? entry.address
    : short(app.nameOf(entry.address))
  const by = entry.by ? short(app.nameOf(entry.by)) : ''
  const detail = entry.detail ?? ''
  switch (entry.event) {
    case 'member_added':
      return by ? pieces('ev_member_added', { who, by }) : pieces('ev_member_joined', { who })
    case 'member_removed':
      return by ? pieces('ev_member_removed', { who, by }) : pieces('ev_member_gone', { who })
    case 'timer_changed':
      return Number(detail) > 0
        ? pieces('ev_timer_changed', { who: who || t('you'), detail: duration(Number(detail)) })
        : pieces('ev_timer_off', { who: who || t('you') })
    case 'adding_changed':
      return pieces(detail === 'everybody' ? 'ev_adding_everybody' : 'ev_adding_admins')
    case 'not_taken_in':
      return pieces(detail === 'declined' ? 'ev_declined' : 'ev_over')
    default:
      return pieces(`ev_${entry.event}`, { who, by, detail })
  }
}
