import { expect, it } from 'vitest'
import type { Entry } from '../engine'
import { FilesOf } from './files.svelte'

/** Two thousand messages; each hundredth has a file. */
function history() {
  const entries = Array.from({ length: 2000 }, (_, n) => {
    const attachments = n % 100 === 0 ? [{ number: 0, name: `${n}`, media_type: 'image/png', size: 1, state: 'here', percent: 100 }] : []
    return { type: 'message', id: `${n}`, text: '', attachments } as unknown as Entry
  })
  const asked: unknown[] = []
  const call = (_method: string, params: { before?: string; limit: number }) => {
    asked.push(params.before)
    const end = params.before === undefined ? entries.length : Number(params.before)
    const start = Math.max(0, end - params.limit)
    return Promise.resolve({ entries: entries.slice(start, end), more: start > 0 })
  }
  return { asked, transport: { call: call as never } }
}

it('reads backwards until there is nothing more', async () => {
  const { asked, transport } = history()
  const files = new FilesOf(transport, 'c')
  await files.read()
  expect(files.list).toHaveLength(20)
  expect(files.list[0]?.file.name).toBe('1900')
  expect(files.more).toBe(false)
  expect(asked).toEqual([undefined, '1500', '1000', '500'])
  await files.read()
  expect(asked).toHaveLength(4)
})

it('drops what was taken back', async () => {
  const { transport } = history()
  const files = new FilesOf(transport, 'c')
  await files.read()
  const message = files.list[0]?.message
  if (message) files.changed({ ...message, taken_back: true, attachments: undefined })
  expect(files.list).toHaveLength(19)
})
