// The photos and files of a conversation, the newest first.
//
// The engine has no list of them: its history is read backwards, as far as somebody scrolls.
// A method that lists them would take the place of `more`, and nothing else here.

import { type Attachment, EngineError, type Message, type Transport } from '../engine'

const PAGE = 500
/** Found before the reading pauses, and pages that are read at most for that. */
const ENOUGH = 40
const PAGES = 12

export interface FileOf {
  message: Message
  file: Attachment
}

export class FilesOf {
  list = $state.raw<FileOf[]>([])
  /** Whether there may be more further back. */
  more = $state(true)
  busy = $state(false)
  failure = $state.raw<EngineError>()
  private before: string | undefined

  constructor(
    private readonly transport: Pick<Transport, 'call'>,
    private readonly of: string,
  ) {}

  async read(): Promise<void> {
    if (this.busy || !this.more) return
    this.busy = true
    const wanted = this.list.length + ENOUGH
    try {
      for (let page = 0; page < PAGES && this.more && this.list.length < wanted; page++) {
        const { entries, more } = await this.transport.call('history', { of: this.of, limit: PAGE, before: this.before })
        const messages = entries.filter((entry) => entry.type === 'message')
        const found = messages
          .toReversed()
          .flatMap((message) => (message.taken_back ? [] : (message.attachments ?? []).map((file) => ({ message, file }))))
        this.list = [...this.list, ...found]
        this.before = messages[0]?.id ?? this.before
        this.more = more && messages.length > 0
      }
      this.failure = undefined
    } catch (error) {
      this.failure = EngineError.from(error)
    }
    this.busy = false
  }

  /** A message changed: its files were loaded, or it was taken back. */
  changed(message: Message): void {
    if (!this.list.some((one) => one.message.id === message.id)) return
    this.list = this.list.flatMap((one) => {
      if (one.message.id !== message.id) return [one]
      const file = message.attachments?.find((file) => file.number === one.file.number)
      return file && !message.taken_back ? [{ message, file }] : []
    })
  }
}
