// What the person chose for this page. It stays beside the account, not in the browser, because
// the page's address changes with every start.

import type { Transport } from '../engine'
import { type Language, speak, systemLanguage } from '../words/index.svelte'

export interface Preferences {
  theme: 'system' | 'light' | 'dark'
  language: 'system' | Language
  textSize: number
  singleKeys: boolean
  listWidth: number
  recentEmoji: string[]
  skinTone: number
  notifications: boolean
  notificationText: boolean
  sound: boolean
  quietHours: boolean
  quietFrom: string
  quietUntil: string
  delivered: boolean
  read: boolean
  typing: boolean
  lastConversation: string
}

const DEFAULTS: Preferences = {
  theme: 'system',
  language: 'system',
  textSize: 100,
  singleKeys: true,
  listWidth: 328,
  recentEmoji: ['👍', '❤️', '😂', '😮', '😢', '🙏'],
  skinTone: 0,
  notifications: false,
  notificationText: false,
  sound: false,
  quietHours: false,
  quietFrom: '22:00',
  quietUntil: '07:00',
  delivered: true,
  read: true,
  typing: true,
  lastConversation: '',
}

const SAVE_MS = 400

class Store {
  current = $state<Preferences>({ ...DEFAULTS })
  private transport?: Transport
  private timer: ReturnType<typeof setTimeout> | undefined

  async load(transport: Transport | undefined): Promise<void> {
    this.transport = transport
    const kept = (await transport?.preferences().catch(() => ({}))) ?? {}
    for (const key of Object.keys(DEFAULTS) as (keyof Preferences)[]) {
      const value = (kept as Record<string, unknown>)[key]
      // What another version wrote may mean something else by now.
      if (typeof value === typeof DEFAULTS[key] && Array.isArray(value) === Array.isArray(DEFAULTS[key])) {
        Object.assign(this.current, { [key]: value })
      }
    }
    await this.apply()
  }

  set(changes: Partial<Preferences>): void {
    Object.assign(this.current, changes)
    void this.apply()
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.save(), SAVE_MS)
  }

  /** What was just chosen must not be lost when the page is closed. */
  flush(): void {
    if (this.timer !== undefined) this.save()
  }

  private save(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    void this.transport?.keepPreferences({ ...$state.snapshot(this.current) }).catch(() => undefined)
  }

  usedEmoji(emoji: string): void {
    const recent = [emoji, ...this.current.recentEmoji.filter((other) => other !== emoji)]
    this.set({ recentEmoji: recent.slice(0, 24) })
  }

  private async apply(): Promise<void> {
    const { theme, language, textSize } = this.current
    const root = document.documentElement
    if (theme === 'system') delete root.dataset.theme
    else root.dataset.theme = theme
    root.style.fontSize = textSize === 100 ? '' : `${textSize}%`
    await speak(language === 'system' ? systemLanguage() : language)
  }
}

export const preferences = new Store()
