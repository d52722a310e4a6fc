// How the page reaches the engine: the only way there is.
//
// Elsewhere: `loopback.ts` reaches a `waxwing app` process, `fake.ts` pretends to be one.
// Always: a call that fails throws an `EngineError`; nothing else is thrown.

import type { MessageId, Method, Notice, Params, ProblemReport, Result, SealedFile } from './types'

/** Whether the engine answers. */
export type Link =
  | { state: 'connecting' }
  | { state: 'open' }
  | { state: 'lost' }
  /** The session is over: only `waxwing app` opens another one. */
  | { state: 'over' }

export interface Upload {
  done: Promise<SealedFile>
  cancel(): void
}

/** What an export wrote, and where. */
export interface Exported {
  folder: string
  entries: number
  files: number
  files_missing: number
}

export interface Transport {
  call<M extends Method>(method: M, params?: Params<M>): Promise<Result<M>>
  /** Listens to what happens; returns how to stop. */
  notices(listener: (notice: Notice) => void): () => void
  /** Listens to the state of the connection, beginning with what it is now. */
  link(listener: (link: Link) => void): () => void
  /** Seals a file, to be attached; `progress` gets the part that is done, from 0 to 1. */
  upload(file: File, progress: (part: number) => void): Upload
  /** Where an attachment that is here can be read, in ranges too. */
  download(message: MessageId, number: number, options?: { save?: boolean }): string
  /** Writes a conversation into a new folder, not encrypted; `name` is in the folder's name. */
  exportConversation(of: string, name: string, files: boolean): Promise<Exported>
  /** What the person chose for this page; kept beside the account. */
  preferences(): Promise<Record<string, unknown>>
  keepPreferences(preferences: Record<string, unknown>): Promise<void>
}

export class EngineError extends Error {
  readonly code: string
  readonly problem?: ProblemReport

  constructor(code: string, sentence: string, problem?: ProblemReport) {
    super(sentence)
    this.name = 'EngineError'
    this.code = code
    this.problem = problem
  }

  static from(error: unknown): EngineError {
    return error instanceof EngineError ? error : new EngineError('internal', String(error))
  }
}
