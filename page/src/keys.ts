// Keys that work everywhere in the page.
//
// Elsewhere: what they are is shown by `sheets/KeyMap.svelte`.

import { app, isMuted } from './state/app.svelte'
import { composers } from './state/composer.svelte'
import { preferences } from './state/preferences.svelte'

export function shortcuts(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing || app.account?.registration !== 'registered') return
  const control = event.ctrlKey || event.metaKey
  const key = event.key.toLowerCase()
  if (handled(event, control, key)) event.preventDefault()
}

function handled(event: KeyboardEvent, control: boolean, key: string): boolean {
  if (control && key === 'k' && !event.shiftKey) {
    app.palette = !app.palette
    app.typedAhead = app.palette ? '' : undefined
    return true
  }
  // It may have been asked for, and not be there yet.
  if (app.palette && key === 'escape') {
    app.palette = false
    return true
  }
  if (app.palette && app.typedAhead !== undefined && event.key.length === 1 && !control && !event.altKey) {
    app.typedAhead += event.key
    return true
  }
  // What is open over the page has keys of its own: Escape closes it.
  if (app.palette || app.sheet || app.question || document.querySelector('dialog[open]')) return false
  if (control && key === 'f') {
    if (event.shiftKey || !app.conversation) app.place = 'search'
    else app.panel = { kind: 'search' }
    return true
  }
  if (control && key === '.') {
    if (app.conversation) app.panel = app.panel?.kind === 'why' ? undefined : { kind: 'why' }
    return true
  }
  if (event.altKey && (key === 'arrowup' || key === 'arrowdown')) {
    app.step(key === 'arrowdown' ? 1 : -1, event.shiftKey)
    return true
  }
  if (key === 'escape') return escape()
  if (control || event.altKey || !preferences.current.singleKeys || isField(event.target)) return false
  return single(key)
}

function escape(): boolean {
  if (app.settings !== undefined) app.settings = undefined
  else if (app.panel) app.panel = undefined
  else if (app.conversation && (composers.of(app.conversation.id).replyTo || composers.of(app.conversation.id).editing)) {
    composers.of(app.conversation.id).leave()
  } else if (app.place !== 'list') app.place = 'list'
  else if (app.phone && app.conversation) app.select(undefined)
  else {
    const row = document.querySelector<HTMLElement>('[role=option][aria-selected=true]') ?? document.querySelector<HTMLElement>('[role=option]')
    row?.focus()
    return row !== null
  }
  return true
}

function isField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.matches('input, textarea, select') || target.isContentEditable)
}

function single(key: string): boolean {
  const one = app.conversation
  switch (key) {
    case 'c':
      app.sheet = { kind: 'new' }
      return true
    case '/':
      app.place = 'search'
      return true
    case '?':
      app.sheet = { kind: 'keys' }
      return true
  }
  if (!one || app.settings !== undefined) return false
  switch (key) {
    case 'p':
      void app.keep(one, { pinned: !one.pinned })
      return true
    case 'm':
      void app.mute(one, isMuted(one) ? 0 : 24)
      return true
    case 'a':
      if (one.archived) void app.keep(one, { archived: false })
      else app.archive(one)
      return true
    case 'u':
      app.markRead(one)
      return true
    case 'e': {
      const last = app.logOf(one.id).newestOwn()
      if (last?.text && !last.poll && one.kind !== 'sms') composers.of(one.id).edit(last)
      return true
    }
    default:
      return false
  }
}
