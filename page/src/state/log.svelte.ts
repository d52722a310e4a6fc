// A conversation as far as it is loaded: a stretch of its history that grows at both ends and
// never gets longer than `KEPT` entries.
//
// Elsewhere: rows and their places are in `log/`.
// Always: entries are the engine's, except messages on their way to it, whose ids begin `local:`.

import { EngineError, type Entry, type Message, type Notice, type SealedFile, type Transport } from '../engine'
import { isFormatted } from '../text/markdown'
import { t } from '../words/index.svelte'
import { found, type Pending, PendingMessages } from './pending'

const PAGE = 80
const KEPT = 800

export interface Outgoing {
  text: string
  reply_to?: string
  attachments?: SealedFile[]
  link_preview?: Message['link_preview']
  sms?: { understood: boolean; segments: number }
}

export function isLocal(id: string): boolean {
  return id.startsWith('local:')
}

let locals = 0
const pendings = new PendingMessages(sessionStorage)

export class Log {
  entries = $state.raw<Entry[]>([])
  /** Whether there are entries before the first, and after the last. */
  more = $state(true)
  newer = $state(false)
  loaded = $state(false)
  failure = $state<EngineError>()
  /** The oldest message that was unread when the conversation was opened. */
  unreadFrom = $state<string>()
  unreadCount = $state(0)
  /** A message to go to and to mark for a moment. */
  target = $state<{ id: string; at: number; words?: string }>()
  /** Messages that came while the person was further up. */
  arrived = $state(0)
  private busy = false
  /** Messages that the engine may have or not, by their ids here. */
  private unsure = new Map<string, Pending>()
  private readonly quotes = new Map<string, Promise<Message | undefined>>()

  constructor(
    private readonly transport: Transport,
    readonly id: string,
    private readonly own: () => string,
  ) {
    // What was on its way when this page was closed.
    for (const pending of pendings.all(id)) this.unsure.set(`local:${++locals}`, pending)
  }

  async open(unread: number): Promise<void> {
    if (!this.loaded) await this.latest()
    this.unreadCount = unread
    const messages = this.entries.filter((entry) => entry.type === 'message')
    this.unreadFrom = unread > 0 ? messages.filter((m) => m.direction === 'in').at(-unread)?.id : undefined
  }

  async latest(): Promise<void> {
    await this.load(async () => {
      const page = await this.transport.call('history', { of: this.id, limit: PAGE })
      this.entries = [...page.entries, ...this.local()]
      this.settle(page.entries)
      this.more = page.more
      this.newer = false
      this.arrived = 0
      this.loaded = true
    })
  }

  async older(): Promise<void> {
    const before = this.entries.find((entry) => entry.type === 'message')?.id
    if (!this.more || !before || isLocal(before)) return
    await this.load(async () => {
      const page = await this.transport.call('history', { of: this.id, limit: PAGE, before })
      const known = this.keys()
      const fresh = page.entries.filter((entry) => !known.has(keyOf(entry)))
      this.more = page.more && page.entries.length > 0
      const all = [...fresh, ...this.entries]
      if (all.length > KEPT) this.newer = true
      this.entries = all.slice(0, KEPT)
    })
  }

  async later(): Promise<void> {
    const after = this.entries.findLast((entry) => entry.type === 'message' && !isLocal(entry.id))
    if (!this.newer || after?.type !== 'message') return
    await this.load(async () => {
      const page = await this.transport.call('history', { of: this.id, limit: PAGE, after: after.id })
      const known = this.keys()
      const fresh = page.entries.filter((entry) => !known.has(keyOf(entry)))
      this.newer = (page.newer ?? false) && page.entries.length > 0
      const all = [...this.entries, ...fresh]
      if (all.length > KEPT) this.more = true
      this.entries = all.slice(-KEPT)
    })
  }

  /** Says of each message that was on its way whether the engine has it. */
  private settle(history: readonly Entry[]): void {
    const taken = new Set<string>()
    for (const [local, pending] of this.unsure) {
      const id = found(pending, history, taken)
      if (id) taken.add(id)
      pendings.remove(pending.at)
      this.entries = this.entries.filter((entry) => entry.type !== 'message' || entry.id !== local)
      if (id) continue
      const sentence = t('not_taken')
      const message = this.shown(local, pending.outgoing, pending.at)
      this.entries = [
        ...this.entries,
        { type: 'message', ...message, state: 'failed', problem: { code: 'internal', detail: 'server_gone', sentence } },
      ]
    }
    this.unsure = new Map()
  }

  /** Shows a message with what is around it; `words` are marked in it. */
  async goTo(id: string, words?: string): Promise<boolean> {
    if (!this.entries.some((entry) => entry.type === 'message' && entry.id === id)) {
      await this.load(async () => {
        const page = await this.transport.call('history', { of: this.id, limit: PAGE, around: id })
        this.entries = page.entries
        this.more = page.more
        this.newer = page.newer ?? false
        this.loaded = true
      })
    }
    if (!this.entries.some((entry) => entry.type === 'message' && entry.id === id)) return false
    this.target = { id, at: Date.now(), words }
    return true
  }

  private async load(work: () => Promise<void>): Promise<void> {
    if (this.busy) return
    this.busy = true
    try {
      await work()
      this.failure = undefined
    } catch (error) {
      this.failure = EngineError.from(error)
    } finally {
      this.busy = false
    }
  }

  private keys(): Set<string> {
    return new Set(this.entries.map(keyOf))
  }

  private local(): Entry[] {
    return this.entries.filter((entry) => entry.type === 'message' && isLocal(entry.id))
  }

  /** The message that another one replies to. */
  quote(id: string): Promise<Message | undefined> {
    const here = this.message(id)
    if (here) return Promise.resolve(here)
    let found = this.quotes.get(id)
    if (!found) {
      found = this.transport.call('find_message', { prefix: id }).catch(() => undefined)
      this.quotes.set(id, found)
    }
    return found
  }

  message(id: string): Message | undefined {
    for (const entry of this.entries) if (entry.type === 'message' && entry.id === id) return entry
    return undefined
  }

  newestOwn(): Message | undefined {
    const own = this.entries.findLast(
      (entry) => entry.type === 'message' && entry.direction === 'out' && !entry.taken_back && !isLocal(entry.id),
    )
    return own?.type === 'message' ? own : undefined
  }

  handle(notice: Notice): void {
    switch (notice.type) {
      case 'message':
        if (notice.conversation === this.id) this.add(notice)
        break
      case 'event':
      case 'gap':
        if (notice.conversation === this.id) this.add(notice)
        break
      case 'message_changed':
        this.change(notice.id, () => ({ ...notice, type: 'message' }))
        break
      case 'message_state':
        this.change(notice.id, (message) => ({ ...message, state: notice.state, problem: notice.problem }))
        break
      case 'message_deleted':
        if (notice.conversation === this.id) {
          this.entries = this.entries.filter((entry) => entry.type !== 'message' || entry.id !== notice.id)
        }
        break
      case 'missed':
        if (!this.newer) void this.latest()
        break
    }
  }

  private add(entry: Entry): void {
    if (!this.loaded) return
    if (entry.type === 'gap') {
      // One gap, growing and closing.
      this.entries = this.entries.filter((other) => other.type !== 'gap' || other.from !== entry.from)
      if (entry.missing === 0) return
    }
    if (this.newer) {
      this.arrived += 1
      return
    }
    if (entry.type === 'message' && this.message(entry.id)) {
      this.change(entry.id, () => entry)
      return
    }
    const local = entry.type === 'message' && entry.direction === 'out' ? this.local() : []
    const twin = local.find((other) => other.type === 'message' && entry.type === 'message' && other.text === entry.text)
    const all = twin ? this.entries.map((other) => (other === twin ? entry : other)) : [...this.entries, entry]
    this.entries = all.length > KEPT + PAGE ? all.slice(-KEPT) : all
  }

  private change(id: string, how: (message: Message) => Message): void {
    const at = this.entries.findLastIndex((entry) => entry.type === 'message' && entry.id === id)
    const entry = this.entries[at]
    if (entry?.type !== 'message') return
    this.entries = this.entries.with(at, { ...how(entry), type: 'message' })
  }

  /** Shows a message at once, and gives it to the engine. */
  async send(outgoing: Outgoing): Promise<Message | undefined> {
    const { text, reply_to, attachments, link_preview, sms } = outgoing
    const local = `local:${++locals}`
    const at = Date.now()
    const pending: Pending = { conversation: this.id, at, outgoing }
    pendings.add(pending)
    if (this.newer) await this.latest()
    this.entries = [...this.entries, { type: 'message', ...this.shown(local, outgoing, at) }]
    this.unreadFrom = undefined
    try {
      const sent = sms
        ? await this.transport.call('send_sms', { to: this.id, text, ...sms })
        : await this.transport.call('send', {
            to: this.id,
            text,
            reply_to,
            markdown: isFormatted(text) || undefined,
            attachments,
            link_preview,
          })
      pendings.remove(at)
      const known = this.message(sent.id)
      if (known) {
        this.entries = this.entries.filter((entry) => entry.type !== 'message' || entry.id !== local)
      } else {
        this.change(local, (message) => ({ ...message, id: sent.id, state: sent.state }))
      }
      const { message: whole } = await this.transport.call('message_info', { message: sent.id })
      this.change(sent.id, () => whole)
      return whole
    } catch (error) {
      const { code, message: sentence, problem } = EngineError.from(error)
      if (code === 'server_gone' && this.message(local)) {
        // It may have it: the history tells, once the engine is back.
        this.unsure.set(local, pending)
        return undefined
      }
      pendings.remove(at)
      this.change(local, (message) => ({ ...message, state: 'failed', problem: problem ?? { code: 'internal', detail: code, sentence } }))
      return undefined
    }
  }

  /** Shows a message that was sent by another method than `send`. */
  async sent(id: string): Promise<void> {
    const { message } = await this.transport.call('message_info', { message: id })
    this.add({ type: 'message', ...message })
  }

  private shown(id: string, { text, reply_to, attachments, link_preview, sms }: Outgoing, at: number): Message {
    return {
      id,
      conversation: this.id,
      from: this.own(),
      from_verified: true,
      text,
      sent_at: new Date(at).toISOString(),
      channel: sms ? 'sms' : 'waxwing',
      direction: 'out',
      state: 'queued',
      reply_to,
      read: true,
      link_preview,
      attachments: attachments?.map((file, number) => ({ ...file, number, state: 'sending', percent: 0 })),
    }
  }

  /** Forgets a message that the engine never took. */
  drop(id: string): void {
    if (isLocal(id)) this.entries = this.entries.filter((entry) => entry.type !== 'message' || entry.id !== id)
  }
}

function keyOf(entry: Entry): string {
  switch (entry.type) {
    case 'message':
      return entry.id
    case 'event':
      return `${entry.at} ${entry.event} ${entry.address} ${entry.detail ?? ''}`
    case 'gap':
      return `gap ${entry.from}`
  }
}
