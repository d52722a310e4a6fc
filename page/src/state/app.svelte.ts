// What the whole page knows: the account, its people and conversations, and what is open.
//
// Elsewhere: one conversation's entries are in `log.svelte.ts`.
// Always: what is shown changes at once and is put right by the engine; a failure undoes it.

import Archive from '@lucide/svelte/icons/archive'
import BellOff from '@lucide/svelte/icons/bell-off'
import {
  type Account,
  type Alarm,
  type Contact,
  type Conversation,
  EngineError,
  type Link,
  type Message,
  type Notice,
  type SafetyNumber,
  type Status,
  type Transport,
} from '../engine'
import { t } from '../words/index.svelte'
import { notify } from './attention.svelte'
import { Log } from './log.svelte'
import { preferences } from './preferences.svelte'
import { toasts } from './toasts.svelte'

export type Panel =
  | { kind: 'details' }
  | { kind: 'why' }
  | { kind: 'thread'; message: string }
  | { kind: 'search' }
  | { kind: 'message'; message: string }

/** Alarms about which there is more to say than a button can do. */
export type Advised = 'relay_misbehaves' | 'contact_sees_another_log' | 'address_taken'

export type Sheet =
  | { kind: 'new'; address?: string }
  | { kind: 'group' }
  | { kind: 'join' }
  | { kind: 'compare'; of: string }
  | { kind: 'link' }
  | { kind: 'words' }
  | { kind: 'keys' }
  | { kind: 'poll'; of: string }
  | { kind: 'forward'; message: Message }
  | { kind: 'advice'; code: Advised }

export interface Question {
  title: string
  text: string
  yes: string
  danger?: boolean
  answer(): void
}

export type Place = 'list' | 'requests' | 'archived' | 'starred' | 'search'
export type Filter = 'all' | 'unread' | 'groups' | 'texts'

const LOGS = 6
const TYPING_MS = 10_000
const REFRESH_MS = 300

class App {
  transport = $state.raw<Transport>()
  link = $state.raw<Link>({ state: 'connecting' })
  account = $state.raw<Account>()
  status = $state.raw<Status>()
  conversations = $state.raw<Conversation[]>([])
  contacts = $state.raw<ReadonlyMap<string, Contact>>(new Map())
  /** The name in this account's profile. */
  ownName = $state('')
  ready = $state(false)
  failure = $state.raw<EngineError>()

  selected = $state<string>()
  place = $state<Place>('list')
  filter = $state<Filter>('all')
  panel = $state.raw<Panel>()
  sheet = $state.raw<Sheet>()
  question = $state.raw<Question>()
  palette = $state(false)
  /** What was typed since the palette was asked for, while it was not there yet. */
  typedAhead: string | undefined
  settings = $state<string>()
  /** The first run goes on after the account is there: its words are to be written down. */
  firstRun = $state(false)
  /** On a phone, one column is shown. */
  width = $state(1280)

  typing = $state.raw<ReadonlyMap<string, ReadonlyMap<string, number>>>(new Map())
  transfer = $state.raw<{ what: string; done: number; total: number }>()
  /** The safety number of the open conversation. */
  safety = $state.raw<SafetyNumber>()
  /** Contacts to whom nothing is sent until the person decides. */
  paused = $state.raw<ReadonlySet<string>>(new Set())
  private readonly logs = new Map<string, Log>()
  private readonly listeners = new Set<(notice: Notice) => void>()
  private refreshing: ReturnType<typeof setTimeout> | undefined

  readonly phone = $derived(this.width < 700)
  readonly drawer = $derived(this.width < 1100)
  readonly conversation = $derived(this.conversations.find((one) => one.id === this.selected))
  readonly requests = $derived(this.conversations.filter((one) => one.request))
  readonly listed = $derived(this.conversations.filter((one) => !one.request && !one.archived && passes(one, this.filter)))
  readonly archived = $derived(this.conversations.filter((one) => !one.request && one.archived))
  readonly unread = $derived(
    this.conversations.reduce((sum, one) => sum + (one.request || isMuted(one) ? 0 : one.unread), 0),
  )
  readonly alarms: readonly Alarm[] = $derived(this.status?.alarms ?? [])

  get engine(): Transport {
    if (!this.transport) throw new EngineError('internal', 'not connected')
    return this.transport
  }

  async start(transport: Transport): Promise<void> {
    this.transport = transport
    transport.link((link) => (this.link = link))
    transport.notices((notice) => this.handle(notice))
    await this.load()
    const wanted = idInAddress() ?? preferences.current.lastConversation
    if (this.account?.registration === 'registered' && !this.phone) {
      const first = this.conversations.find((one) => one.id === wanted) ?? this.listed[0]
      if (first) this.select(first.id, false)
    } else if (idInAddress()) {
      this.select(idInAddress(), false)
    }
    addEventListener('popstate', () => this.select(idInAddress(), false))
  }

  private async load(): Promise<void> {
    try {
      this.account = await this.engine.call('account')
      if (this.account.registration === 'registered') {
        await Promise.all([this.loadConversations(), this.loadContacts()])
        this.ready = true
        void this.loadStatus()
        this.engine.call('profile', { of: null }).then(
          (profile) => (this.ownName = profile.profile_name),
          () => undefined,
        )
      } else {
        this.ready = true
      }
      this.failure = undefined
    } catch (error) {
      this.failure = EngineError.from(error)
    }
  }

  /** Reads everything again: after a registration, or after the engine could not be reached. */
  async registered(): Promise<void> {
    await this.load()
  }

  private async loadConversations(): Promise<void> {
    const { conversations } = await this.engine.call('conversations')
    // A draft that is being written is newer than the one that the engine has.
    const own = this.conversation
    this.conversations = conversations.map((one) => (own && one.id === own.id ? { ...one, draft: own.draft } : one))
  }

  async loadContacts(): Promise<void> {
    const { contacts } = await this.engine.call('contacts')
    this.contacts = new Map(contacts.map((contact) => [contact.address, contact]))
  }

  async loadStatus(): Promise<void> {
    this.status = await this.engine.call('status').catch(() => this.status)
  }

  /** Reads the list again, soon: many things that happen at once cause one reading. */
  refresh(): void {
    clearTimeout(this.refreshing)
    this.refreshing = setTimeout(() => {
      void Promise.all([this.loadConversations(), this.loadContacts(), this.loadStatus()]).catch(() => undefined)
    }, REFRESH_MS)
  }

  listen(listener: (notice: Notice) => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  private handle(notice: Notice): void {
    for (const log of this.logs.values()) log.handle(notice)
    for (const listener of this.listeners) listener(notice)
    switch (notice.type) {
      case 'message':
        this.stoppedTyping(notice.conversation, notice.from)
        this.moved(notice.conversation, (one) => ({
          ...one,
          last: notice,
          unread: one.unread + (notice.direction === 'in' && !notice.read ? 1 : 0),
        }))
        notify(notice, this.conversations.find((one) => one.id === notice.conversation))
        if (notice.conversation === this.selected) this.seen()
        this.refresh()
        break
      case 'message_changed':
      case 'message_state':
        this.changed(notice.conversation, (one) => {
          const last = one.last
          if (last?.type !== 'message' || last.id !== notice.id) return one
          return {
            ...one,
            last:
              notice.type === 'message_state'
                ? { ...last, state: notice.state, problem: notice.problem }
                : { ...notice, type: 'message' },
          }
        })
        if (notice.type === 'message_state' && notice.problem?.code === 'contact_changed') void this.loadSafety()
        break
      case 'typing':
        if (notice.typing) this.isTyping(notice.conversation, notice.address)
        else this.stoppedTyping(notice.conversation, notice.address)
        break
      case 'connection':
        this.status = this.status && { ...this.status, online: notice.connection === 'online' }
        if (!this.status) void this.loadStatus()
        break
      case 'transfer':
        this.transfer = notice.done < notice.total ? notice : undefined
        if (!this.transfer) this.refresh()
        break
      case 'registration':
        this.account = { ...this.account, ...notice, registration: notice.stage }
        break
      case 'event':
        if (notice.event === 'identity_reset' || notice.event === 'verified') void this.loadSafety()
        this.refresh()
        break
      case 'missed':
        void this.load()
        break
      case 'message_deleted':
      case 'gap':
      case 'synced':
      case 'warning':
      case 'lock':
      case 'devices':
        this.refresh()
        break
    }
  }

  // People

  isOwn(address: string): boolean {
    return address === this.account?.address
  }

  /** Nickname, then profile name, then address. */
  nameOf(address: string): string {
    if (this.isOwn(address)) return t('you')
    const contact = this.contacts.get(address)
    return contact?.nickname ?? contact?.name ?? address
  }

  titleOf(conversation: Conversation): string {
    if (conversation.kind === 'notes') return t('notes_to_self')
    if (conversation.kind === 'group') return conversation.with
    // Strangers are shown by their address only: anybody can choose any name.
    if (conversation.request) return conversation.with
    const address = conversation.with.replace(/^sms:/, '')
    return conversation.nickname ?? conversation.name ?? address
  }

  // Conversations

  logOf(id: string): Log {
    let log = this.logs.get(id)
    if (log) {
      this.logs.delete(id)
    } else {
      log = new Log(this.engine, id, () => this.account?.address ?? '')
    }
    this.logs.set(id, log)
    for (const old of this.logs.keys()) {
      if (this.logs.size <= LOGS) break
      this.logs.delete(old)
    }
    return log
  }

  select(id: string | undefined, remember = true): void {
    if (this.selected === id) return
    const left = this.selected && this.logs.get(this.selected)
    if (left) {
      left.unreadFrom = undefined
      left.unreadCount = 0
    }
    this.selected = id
    this.settings = undefined
    this.safety = undefined
    if (this.drawer || (this.panel && this.panel.kind !== 'details' && this.panel.kind !== 'why')) this.panel = undefined
    if (remember) history.pushState(null, '', id ? `#c=${id}` : location.pathname + location.search)
    if (id) {
      preferences.set({ lastConversation: id })
      void this.loadSafety()
    }
  }

  /** Goes up or down in the list. */
  step(by: 1 | -1, unreadOnly = false): void {
    const order = [...this.listed.filter((one) => one.pinned), ...this.listed.filter((one) => !one.pinned)]
    const at = order.findIndex((one) => one.id === this.selected)
    for (let next = at + by; next >= 0 && next < order.length; next += by) {
      const one = order[next]
      if (one && (!unreadOnly || one.unread > 0)) return this.select(one.id)
    }
  }

  /** Shows a message where it stands; `words` are marked in it. */
  async goTo(conversation: string, message: string, words?: string): Promise<void> {
    // On a phone and a small window, what was found covers it.
    if (this.drawer) this.panel = undefined
    this.select(conversation)
    if (!(await this.logOf(conversation).goTo(message, words))) toasts.show({ text: t('quote_gone') })
  }

  /** The person sees the open conversation: everything in it is read. */
  seen(): void {
    const one = this.conversation
    if (!one || one.request || one.unread === 0 || document.hidden || !document.hasFocus()) return
    this.changed(one.id, (one) => ({ ...one, unread: 0 }))
    void this.engine.call('mark_read', { conversation: one.id }).catch(() => undefined)
  }

  async loadSafety(): Promise<void> {
    const one = this.conversation
    if (one?.kind !== 'direct' || one.request) return
    const safety = await this.engine.call('safety_number', { of: one.with }).catch(() => undefined)
    if (this.selected !== one.id) return
    this.setSafety(one.with, safety)
  }

  setSafety(address: string, safety: SafetyNumber | undefined): void {
    if (this.conversation?.with === address) this.safety = safety
    const paused = new Set(this.paused)
    if (safety?.stopped) paused.add(address)
    else paused.delete(address)
    this.paused = paused
    void this.loadContacts().catch(() => undefined)
  }

  /** A conversation was deleted: nothing of it is shown any more. */
  forget(id: string): void {
    this.logs.delete(id)
    this.conversations = this.conversations.filter((one) => one.id !== id)
    this.refresh()
  }

  changed(id: string, how: (one: Conversation) => Conversation): void {
    this.conversations = this.conversations.map((one) => (one.id === id ? how(one) : one))
  }

  private moved(id: string, how: (one: Conversation) => Conversation): void {
    const one = this.conversations.find((one) => one.id === id)
    if (one) this.conversations = [how(one), ...this.conversations.filter((other) => other !== one)]
  }

  /** Changes how a conversation is kept; shown at once, undone if it fails. */
  async keep(one: Conversation, change: Partial<Pick<Conversation, 'pinned' | 'archived'>>): Promise<void> {
    const { pinned, archived } = one
    this.changed(one.id, (one) => ({ ...one, ...change }))
    await this.engine.call('keep_conversation', { of: one.id, ...change }).catch((error: unknown) => {
      this.changed(one.id, (one) => ({ ...one, pinned, archived }))
      this.fail(error)
    })
  }

  archive(one: Conversation): void {
    void this.keep(one, { archived: true })
    toasts.show({
      text: t('toast_archived'),
      icon: Archive,
      action: { label: t('undo'), run: () => void this.keep(one, { archived: false }) },
    })
  }

  /** Mutes for some hours, or for ever; not at all with 0. */
  async mute(one: Conversation, hours: number | 'always'): Promise<void> {
    const before = one.muted_until
    const until = hours === 'always' ? undefined : new Date(Date.now() + hours * 3_600_000).toISOString()
    const muted = hours !== 0
    this.changed(one.id, (one) => ({ ...one, muted_until: muted ? (until ?? '9999-12-31T00:00:00Z') : undefined }))
    const set = (muted: boolean, muted_until?: string) =>
      this.engine.call('keep_conversation', { of: one.id, muted, muted_until }).then(() => this.refresh())
    await set(muted, muted ? until : undefined).catch((error: unknown) => {
      this.changed(one.id, (one) => ({ ...one, muted_until: before }))
      this.fail(error)
    })
    toasts.show({
      text: t(hours === 0 ? 'toast_unmuted' : hours === 1 ? 'toast_muted_hour' : hours === 24 ? 'toast_muted_day' : 'toast_muted'),
      icon: BellOff,
      action: muted ? { label: t('undo'), run: () => void set(false).catch((error: unknown) => this.fail(error)) } : undefined,
    })
  }

  markRead(one: Conversation): void {
    this.changed(one.id, (one) => ({ ...one, unread: 0 }))
    void this.engine.call('mark_read', { conversation: one.id }).catch((error: unknown) => this.fail(error))
  }

  /** Calls, and tells the person if it failed; whether it worked. */
  async attempt(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      this.fail(error)
      return false
    }
  }

  fail(error: unknown): void {
    const { message, code } = EngineError.from(error)
    toasts.show({ text: message || (code === 'server_gone' ? t('engine_gone') : code) })
  }

  ask(question: Question): void {
    this.question = question
  }

  // Typing

  private isTyping(conversation: string, address: string): void {
    const until = Date.now() + TYPING_MS
    this.setTyping(conversation, (people) => people.set(address, until))
    setTimeout(() => {
      if (this.typing.get(conversation)?.get(address) === until) this.stoppedTyping(conversation, address)
    }, TYPING_MS)
  }

  private stoppedTyping(conversation: string, address: string): void {
    if (this.typing.get(conversation)?.has(address)) this.setTyping(conversation, (people) => people.delete(address))
  }

  private setTyping(conversation: string, change: (people: Map<string, number>) => void): void {
    const people = new Map(this.typing.get(conversation))
    change(people)
    this.typing = new Map(this.typing).set(conversation, people)
  }

  async dismissAlarms(): Promise<void> {
    if (await this.attempt(() => this.engine.call('dismiss_alarms'))) await this.loadStatus()
  }
}

export function isMuted(one: Conversation): boolean {
  return one.muted_until !== undefined && Date.parse(one.muted_until) > Date.now()
}

function passes(one: Conversation, filter: Filter): boolean {
  switch (filter) {
    case 'all':
      return true
    case 'unread':
      return one.unread > 0
    case 'groups':
      return one.kind === 'group'
    case 'texts':
      return one.kind === 'sms'
  }
}

function idInAddress(): string | undefined {
  return /^#c=([0-9a-f]{32})$/.exec(location.hash)?.[1]
}

export const app = new App()
