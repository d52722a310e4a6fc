// What is being written in each conversation: text, what it replies to or edits, files.
//
// Always: the draft goes to the engine half a second after the last key, and is never lost when
// one goes to another conversation.

import { EngineError, type LinkPreview, type Message, type SealedFile, type Upload } from '../engine'
import { t } from '../words/index.svelte'
import { app } from './app.svelte'
import { PendingMessages } from './pending'
import { preferences } from './preferences.svelte'

const DRAFT_MS = 500
const TYPING_EVERY_MS = 4000
const MOST_BYTES = 4 * 2 ** 30

export interface Tray {
  id: number
  name: string
  size: number
  picture?: string
  part: number
  sealed?: SealedFile
  failure?: string
  upload?: Upload
}

let ids = 0

/** Drafts of this tab that the engine may not have had the time to take. */
const UNSAVED = 'waxwing-drafts'

function takeUnsaved(id: string): string | undefined {
  try {
    const { [id]: text, ...others } = JSON.parse(sessionStorage.getItem(UNSAVED) ?? '{}') as Record<string, string>
    if (text !== undefined) sessionStorage.setItem(UNSAVED, JSON.stringify(others))
    return text
  } catch {
    return undefined
  }
}

function wasOnItsWay(id: string, draft: string): boolean {
  return draft !== '' && new PendingMessages(sessionStorage).all(id).some((one) => one.outgoing.text === draft.trim())
}

export class Composer {
  text = $state('')
  replyTo = $state.raw<Message>()
  editing = $state.raw<Message>()
  tray = $state<Tray[]>([])
  preview = $state.raw<LinkPreview>()
  /** Asks the field to take the focus. */
  wanted = $state(0)
  private draftTimer: ReturnType<typeof setTimeout> | undefined
  private kept = ''
  private typedAt = 0
  /** Messages on their way: until they are taken, the draft is theirs. */
  private sending = 0

  constructor(private readonly id: string) {
    this.kept = app.conversations.find((one) => one.id === id)?.draft ?? ''
    // What was on its way when the page was closed is shown in the conversation, not here as well.
    this.text = wasOnItsWay(id, this.kept) ? '' : (takeUnsaved(id) ?? this.kept)
  }

  // Not `$derived`: those belong to the component that first asked for this composer, and end with it.
  get sealing(): boolean {
    return this.tray.some((file) => !file.sealed && !file.failure)
  }

  get empty(): boolean {
    return this.text.trim() === '' && this.tray.length === 0
  }

  typed(text: string): void {
    this.text = text
    if (this.editing) return
    clearTimeout(this.draftTimer)
    this.draftTimer = setTimeout(() => this.keepDraft(), DRAFT_MS)
    const one = app.conversation
    const tells = preferences.current.typing && one && (one.kind === 'direct' || one.kind === 'group')
    if (tells && text && Date.now() - this.typedAt > TYPING_EVERY_MS) {
      this.typedAt = Date.now()
      void app.engine.call('set_typing', { of: this.id, typing: true }).catch(() => undefined)
    }
  }

  /** The draft, if the engine has another one. */
  get unsaved(): string | undefined {
    const draft = this.editing ? '' : this.text
    return draft === this.kept || this.sending > 0 ? undefined : draft
  }

  keepDraft(): void {
    clearTimeout(this.draftTimer)
    const draft = this.editing ? '' : this.text
    if (draft === this.kept || (draft === '' && this.sending > 0)) return
    this.kept = draft
    app.changed(this.id, (one) => ({ ...one, draft: draft || undefined }))
    void app.engine.call('keep_conversation', { of: this.id, draft }).catch(() => undefined)
  }

  reply(message: Message): void {
    this.editing = undefined
    this.replyTo = message
    this.wanted += 1
  }

  edit(message: Message): void {
    this.keepDraft()
    this.replyTo = undefined
    this.editing = message
    this.text = message.text
    this.wanted += 1
  }

  /** Puts a text back that could not be sent. */
  restore(text: string): void {
    this.typed(text)
    this.wanted += 1
  }

  leave(): void {
    if (this.editing) {
      this.editing = undefined
      this.text = this.kept
    }
    this.replyTo = undefined
  }

  add(files: Iterable<File>): void {
    for (const file of files) {
      const item: Tray = { id: ++ids, name: file.name, size: file.size, part: 0 }
      if (/^image\/(jpeg|png|gif|webp)$/.test(file.type)) item.picture = URL.createObjectURL(file)
      if (file.size > MOST_BYTES) item.failure = t('file_too_large')
      this.tray.push(item)
      const kept = this.tray.at(-1)
      if (kept && !kept.failure) this.seal(kept, file)
    }
    this.wanted += 1
  }

  private seal(item: Tray, file: File): void {
    item.upload = app.engine.upload(file, (part) => (item.part = part))
    item.upload.done.then(
      (sealed) => {
        item.part = 1
        item.sealed = sealed
      },
      (error: unknown) => (item.failure = EngineError.from(error).message || t('engine_gone')),
    )
  }

  remove(item: Tray): void {
    if (!item.sealed) item.upload?.cancel()
    if (item.picture) URL.revokeObjectURL(item.picture)
    this.tray = this.tray.filter((other) => other.id !== item.id)
  }

  async send(sms?: { understood: boolean; segments: number }): Promise<void> {
    const text = this.text.trim()
    if (this.editing) {
      const message = this.editing
      this.leave()
      if (text && text !== message.text) {
        await app.attempt(() => app.engine.call('edit', { message: message.id, text }))
      }
      return
    }
    if (this.empty || this.sealing) return
    const attachments = this.tray.flatMap((file) => (file.sealed ? [$state.snapshot(file.sealed)] : []))
    const reply_to = this.replyTo?.id
    const link_preview = this.preview && text.includes(this.preview.url) ? this.preview : undefined
    for (const file of this.tray) if (file.picture) URL.revokeObjectURL(file.picture)
    this.tray = []
    this.text = ''
    this.replyTo = undefined
    this.preview = undefined
    this.typedAt = 0
    clearTimeout(this.draftTimer)
    // The draft stays beside the account until the engine has the message: it outlives this page.
    const sent = app.logOf(this.id).send({ text, reply_to, attachments: attachments.length ? attachments : undefined, link_preview, sms })
    app.changed(this.id, (one) => ({ ...one, draft: undefined }))
    app.refresh()
    this.sending += 1
    const taken = await sent
    this.sending -= 1
    if (taken && this.text === '') this.keepDraft()
  }

  /** Sends a recording. */
  async sendVoice(file: File): Promise<void> {
    const sealed = await app.engine.upload(file, () => undefined).done
    const reply_to = this.replyTo?.id
    this.replyTo = undefined
    await app.logOf(this.id).send({ text: '', reply_to, attachments: [sealed] })
    app.refresh()
  }
}

class Composers {
  private readonly all = new Map<string, Composer>()

  of(id: string): Composer {
    let composer = this.all.get(id)
    if (!composer) this.all.set(id, (composer = new Composer(id)))
    return composer
  }

  keepDrafts(): void {
    for (const composer of this.all.values()) composer.keepDraft()
  }

  /** The page is about to close: what is sent now may not arrive, what is kept in the tab does. */
  closing(): void {
    const unsaved = [...this.all].flatMap(([id, composer]) => (composer.unsaved === undefined ? [] : [[id, composer.unsaved] as const]))
    if (unsaved.length > 0) sessionStorage.setItem(UNSAVED, JSON.stringify(Object.fromEntries(unsaved)))
    this.keepDrafts()
  }
}

export const composers = new Composers()
