// The engine of a `waxwing app` process on this machine.
//
// Elsewhere: the other side is `crates/waxwing/src/app`.
// Always: the token from the address is used once and leaves the address at once; what opens
// the session is kept for this tab only, and is sent to our own origin only.

import { EngineError, type Exported, type Link, type Transport, type Upload } from './transport'
import type { MessageId, Method, Notice, Params, ProblemReport, Result, SealedFile } from './types'

const KEPT = 'waxwing-session'
/** Calls that may take long, and must not hold up the others: answers come in order. */
const SLOW: ReadonlySet<string> = new Set(['doctor', 'preview_link', 'evidence', 'report'])
const AGAIN_MS = [100, 250, 500, 1000, 2000]

interface Session {
  bearer: string
  files: string
}

interface Line {
  id?: number
  method?: string
  params?: unknown
  result?: unknown
  error?: { code: number; message: string; data?: ProblemReport }
}

interface Waiting {
  resolve(result: unknown): void
  reject(error: EngineError): void
}

/** Opens the session that the token in the address allows, or the one that this tab has. */
async function openSession(): Promise<Session | undefined> {
  const token = location.hash.slice(1)
  if (/^[A-Za-z0-9_-]{43}$/.test(token)) {
    history.replaceState(null, '', location.pathname)
    const response = await fetch('/session', { method: 'POST', body: token })
    if (response.ok) {
      const session = (await response.json()) as Session
      sessionStorage.setItem(KEPT, JSON.stringify(session))
      return session
    }
  }
  const kept = sessionStorage.getItem(KEPT)
  return kept ? (JSON.parse(kept) as Session) : undefined
}

/** One connection that calls go over; it connects again by itself. */
class Connection {
  private socket?: WebSocket
  private ready = false
  private nextId = 0
  private readonly waiting = new Map<number, Waiting>()
  private queued: string[] = []
  private attempts = 0

  constructor(
    private readonly bearer: string,
    private readonly onNotice: ((notice: Notice) => void) | undefined,
    private readonly onLink: (link: Link) => void,
    private readonly words: (problem: ProblemReport) => string,
  ) {}

  call(method: string, params: unknown): Promise<unknown> {
    if (!this.socket) this.connect()
    const id = ++this.nextId
    const line = JSON.stringify({ jsonrpc: '2.0', id, method, params: params ?? {} })
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      if (this.ready) this.socket?.send(line)
      else this.queued.push(line)
    })
  }

  private connect() {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
    // A browser can set no header here, but it can name a protocol, which is not logged.
    const socket = new WebSocket(`${scheme}://${location.host}/rpc`, ['waxwing', this.bearer])
    this.socket = socket
    let opened = false
    socket.onopen = () => (opened = true)
    socket.onmessage = (event) => this.line(JSON.parse(String(event.data)) as Line)
    socket.onclose = () => {
      this.ready = false
      this.socket = undefined
      const lost = new EngineError('server_gone', '')
      // Calls that were sent may have been carried out; nobody knows.
      const unsent = new Set(this.queued.map((line) => (JSON.parse(line) as Line).id))
      for (const [id, waiting] of this.waiting) {
        if (unsent.has(id)) continue
        this.waiting.delete(id)
        waiting.reject(lost)
      }
      this.onLink({ state: 'lost' })
      if (!opened) void this.checkSession()
      const wait = AGAIN_MS[Math.min(this.attempts++, AGAIN_MS.length - 1)] ?? 2000
      setTimeout(() => this.connect(), wait)
    }
  }

  /** A refused connection may mean that the process has another session by now. */
  private async checkSession() {
    try {
      const response = await fetch('/session', { headers: { authorization: `Bearer ${this.bearer}` } })
      if (response.status === 401) {
        sessionStorage.removeItem(KEPT)
        this.onLink({ state: 'over' })
      }
    } catch {
      // The process is not there; the connection says so.
    }
  }

  private line(line: Line) {
    if (line.method === 'hello') {
      this.ready = true
      this.attempts = 0
      const queued = this.queued
      this.queued = []
      if (this.onNotice) void this.call('subscribe', {}).catch(() => undefined)
      for (const call of queued) this.socket?.send(call)
      this.onLink({ state: 'open' })
    } else if (line.method === 'notice') {
      this.onNotice?.(line.params as Notice)
    } else if (line.id !== undefined) {
      const waiting = this.waiting.get(line.id)
      this.waiting.delete(line.id)
      if (line.error) {
        const { code, message, data } = line.error
        waiting?.reject(new EngineError(data?.code ?? String(code), data ? this.words(data) : message, data))
      } else {
        waiting?.resolve(line.result)
      }
    }
  }
}

class Loopback implements Transport {
  private readonly listeners = new Set<(notice: Notice) => void>()
  private readonly watchers = new Set<(link: Link) => void>()
  private state: Link = { state: 'connecting' }
  private readonly main: Connection
  private readonly slow: Connection

  constructor(
    private readonly session: Session,
    words: (problem: ProblemReport) => string,
  ) {
    const tell = (notice: Notice) => {
      for (const listener of this.listeners) listener(notice)
    }
    this.main = new Connection(session.bearer, tell, (link) => this.changed(link), words)
    this.slow = new Connection(session.bearer, undefined, () => undefined, words)
  }

  private changed(link: Link) {
    const again = this.state.state === 'lost' && link.state === 'open'
    this.state = link
    for (const watcher of this.watchers) watcher(link)
    if (again) for (const listener of this.listeners) listener({ type: 'missed' })
  }

  async call<M extends Method>(method: M, params?: Params<M>): Promise<Result<M>> {
    const line = SLOW.has(method) ? this.slow : this.main
    return (await line.call(method, params)) as Result<M>
  }

  notices(listener: (notice: Notice) => void) {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  link(listener: (link: Link) => void) {
    this.watchers.add(listener)
    listener(this.state)
    return () => void this.watchers.delete(listener)
  }

  upload(file: File, progress: (part: number) => void): Upload {
    // `fetch` does not say how much of a body is sent; this does.
    const request = new XMLHttpRequest()
    const done = new Promise<SealedFile>((resolve, reject) => {
      request.open('POST', `/files?name=${encodeURIComponent(file.name)}`)
      request.setRequestHeader('authorization', `Bearer ${this.session.bearer}`)
      request.upload.onprogress = (event) => progress(event.total ? event.loaded / event.total : 0)
      request.onload = () => {
        if (request.status === 200) {
          resolve(JSON.parse(request.responseText) as SealedFile)
        } else {
          reject(new EngineError('file_unusable', request.responseText))
        }
      }
      request.onerror = () => reject(new EngineError('server_gone', ''))
      request.onabort = () => reject(new EngineError('cancelled', ''))
      request.send(file)
    })
    return { done, cancel: () => request.abort() }
  }

  download(message: MessageId, number: number, options: { save?: boolean } = {}) {
    // The path holds a secret, since a picture's address is all that a page can give.
    return `/files/${this.session.files}/${message}/${number}${options.save ? '?save' : ''}`
  }

  async exportConversation(of: string, name: string, files: boolean) {
    const response = await this.authorised('/export', { method: 'POST', body: JSON.stringify({ of, name, files }) })
    if (!response.ok) throw new EngineError('file_unusable', await response.text())
    return (await response.json()) as Exported
  }

  async preferences() {
    const response = await this.authorised('/preferences')
    return response.ok ? ((await response.json()) as Record<string, unknown>) : {}
  }

  async keepPreferences(preferences: Record<string, unknown>) {
    // The page may be about to close.
    await this.authorised('/preferences', { method: 'PUT', keepalive: true, body: JSON.stringify(preferences) })
  }

  private async authorised(path: string, init: RequestInit = {}) {
    try {
      return await fetch(path, { ...init, headers: { authorization: `Bearer ${this.session.bearer}` } })
    } catch {
      throw new EngineError('server_gone', '')
    }
  }
}

/** The engine that serves this page; `undefined` without a session. `words` says what went wrong. */
export async function loopback(words: (problem: ProblemReport) => string): Promise<Transport | undefined> {
  const session = await openSession()
  return session && new Loopback(session, words)
}
