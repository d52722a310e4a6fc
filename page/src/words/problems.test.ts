import { expect, it, vi } from 'vitest'
import types from '../../../docs/rpc.d.ts?raw'
import type { ProblemReport } from '../engine/types'
import { en } from './en'
import { sentenceOf } from './problems'

vi.stubGlobal('navigator', { languages: ['en-GB'] })

/** What the page cannot cause, or words by itself where it happens. */
const ELSEWHERE = new Set(
  `cursor_invalid scheduled_unknown code_wrong code_expired conversation_unknown group_name_ambiguous group_unknown message_ambiguous no_code_given import_invalid
   report_invalid file_unusable not_a_poll pairing_not_asked recovery_not_begun device_unknown sms_not_understood
   home_not_private home_unwritable store_key_unavailable store_key_wrong store_too_new`.split(/\s+/),
)

it('there are words for every code of the engine', () => {
  const codes = [...new Set([...types.matchAll(/code: "([a-z_]+)"/g)].map((match) => match[1] ?? ''))]
  expect(codes.length).toBeGreaterThan(100)
  expect(codes.filter((code) => !ELSEWHERE.has(code) && !(`problem_${code}` in en))).toEqual([])
  // And none for a code that is gone.
  const known = Object.keys(en).filter((key) => key.startsWith('problem_')).map((key) => key.slice('problem_'.length))
  expect(known.filter((code) => !codes.includes(code))).toEqual([])
})

it('fills in the facts, and keeps the words of what it does not know', () => {
  expect(sentenceOf({ code: 'group_full', limit: 1000, sentence: '' })).toBe('A group can have at most 1000 people.')
  expect(sentenceOf({ code: 'clock_wrong', skew_ms: -7_200_000, sentence: '' })).toContain('2 hours')
  expect(sentenceOf({ code: 'from_the_future', sentence: 'As the engine says.' } as unknown as ProblemReport)).toBe('As the engine says.')
})
