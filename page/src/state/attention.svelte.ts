// What reaches a person who looks elsewhere: the title, notifications, a sound.

import type { Conversation, Message } from '../engine'
import { plain } from '../text/markdown'
import { t } from '../words/index.svelte'
import { isQuiet } from '../text/quiet'
import { app, isMuted } from './app.svelte'
import { preferences } from './preferences.svelte'

export function title(unread: number): string {
  return unread > 0 ? `(${unread}) ${t('app')}` : t('app')
}

const ICON = '/mark.svg'
const SIDE = 64
let drawn = 0

/** The icon of the tab has a dot while something is unread. */
export async function favicon(unread: number): Promise<void> {
  const run = ++drawn
  const link = document.querySelector<HTMLLinkElement>('link[rel=icon]')
  if (!link) return
  if (unread === 0) {
    link.href = ICON
    return
  }
  const mark = new Image()
  mark.src = ICON
  await mark.decode().catch(() => undefined)
  if (run !== drawn) return
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = SIDE
  const context = canvas.getContext('2d')
  if (!context) return
  context.drawImage(mark, 0, 0, SIDE, SIDE)
  // A ring of nothing parts the dot from the bird.
  const dot = (radius: number) => {
    context.beginPath()
    context.arc(SIDE - 16, 16, radius, 0, 2 * Math.PI)
    context.fill()
  }
  context.globalCompositeOperation = 'destination-out'
  dot(19)
  context.globalCompositeOperation = 'source-over'
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--dot') || 'red'
  dot(15)
  link.href = canvas.toDataURL()
}

/** Tells about a message, if the person wants that and does not see it anyway. */
export function notify(message: Message, conversation: Conversation | undefined): void {
  const { notifications, notificationText, sound, quietHours, quietFrom, quietUntil } = preferences.current
  const quiet = message.direction === 'out' || message.read || message.quiet || message.request
  if (quiet || !conversation || isMuted(conversation)) return
  if (quietHours && isQuiet(new Date(), quietFrom, quietUntil)) return
  if (document.hasFocus() && app.selected === conversation.id) return
  if (sound) beep()
  if (!notifications || !('Notification' in window) || Notification.permission !== 'granted') return
  const who = notificationText ? app.titleOf(conversation) : t('app')
  const note = new Notification(who, {
    body: notificationText ? plain(message) : t('notify_hidden'),
    tag: conversation.id,
    icon: '/mark.svg',
    silent: true,
  })
  note.onclick = () => {
    window.focus()
    app.select(conversation.id)
    note.close()
  }
}

/** Two short soft tones; nothing is loaded for it. */
function beep(): void {
  const context = new AudioContext()
  for (const [at, pitch] of [
    [0, 660],
    [0.12, 880],
  ] as const) {
    const tone = context.createOscillator()
    const volume = context.createGain()
    tone.frequency.value = pitch
    volume.gain.setValueAtTime(0, context.currentTime + at)
    volume.gain.linearRampToValueAtTime(0.08, context.currentTime + at + 0.02)
    volume.gain.exponentialRampToValueAtTime(0.0001, context.currentTime + at + 0.3)
    tone.connect(volume).connect(context.destination)
    tone.start(context.currentTime + at)
    tone.stop(context.currentTime + at + 0.32)
  }
  setTimeout(() => void context.close(), 800)
}
