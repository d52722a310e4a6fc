// An engine that is not there: people, messages and pictures for design work and for tests.
//
// Always: only development builds hold it. Nothing here is a person.

import { voted } from '../text/poll'
import { EngineError, type Transport } from './transport'
import type {
  Account,
  Contact,
  Conversation,
  Entry,
  Group,
  Message,
  Method,
  Notice,
  Params,
  Result,
  SealedFile,
  Status,
} from './types'

const OWN = 'mira@example.org'
const hex = (n: number, length: number) => n.toString(16).padStart(length, '0')
let serial = 1
const messageId = () => `01${hex(serial++, 62)}`
const today = new Date()
function at(daysAgo: number, clock: string): string {
  const [h = 0, m = 0] = clock.split(':').map(Number)
  return new Date(today.getFullYear(), today.getMonth(), today.getDate() - daysAgo, h, m).toISOString()
}

const lake = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300"><defs><linearGradient id="g" x1="0" y1="0" x2="0" y2="1"><stop stop-color="#93a5bd"/><stop offset="1" stop-color="#f1b59a"/></linearGradient></defs><path fill="url(#g)" d="M0 0h400v200H0z"/><circle cx="255" cy="95" r="24" fill="#fff2d0"/><path fill="#8796aa" d="m0 140 90-60 50 40 60-55 90 60 60-45 50 40v80H0z"/><path fill="#6b7890" d="m0 160 120-40 90 30 100-35 90 40v45H0z"/><path fill="#c9b4ad" d="M0 200h400v100H0z"/><path stroke="#f6dfae" stroke-width="5" stroke-linecap="round" d="M235 215h50M228 230h60M240 245h42M232 260h56"/><path fill="#24333c" d="m0 205 30-80 30 80zM60 205l22-58 22 58zM340 205l25-70 25 70z"/></svg>`
const berries = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 200"><path fill="#dfe7ee" d="M0 0h300v200H0z"/><path stroke="#4a3428" stroke-width="8" fill="none" d="M0 30q150 40 300-10"/><g fill="#b3301f"><circle cx="90" cy="95" r="13"/><circle cx="110" cy="110" r="13"/><circle cx="75" cy="115" r="13"/><circle cx="150" cy="75" r="13"/><circle cx="170" cy="90" r="13"/><circle cx="220" cy="100" r="13"/><circle cx="205" cy="118" r="13"/></g></svg>`
const cabin = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200"><path fill="#243352" d="M0 0h200v200H0z"/><circle cx="165" cy="35" r="15" fill="#fdf0cf"/><path fill="#1a2634" d="m0 140 25-60 25 60zM150 140l25-65 25 65z"/><path fill="#e9eef3" d="M0 140h200v60H0z"/><path fill="#6b4a35" d="M60 100h80v50H60z"/><path fill="#fff" d="m50 105 50-35 50 35z"/><path fill="#f2b81c" d="M75 115h16v16H75zM108 115h16v16h-16z"/></svg>`
const svg = (source: string) => `data:image/svg+xml,${encodeURIComponent(source)}`

const people: [string, string, string, boolean?][] = [
  ['noor@example.org', 'Noor Haddad', '06', true],
  ['jonas@example.org', 'Jonas Aalto', '08'],
  ['elif@example.org', 'Elif Kaya', '0a'],
  ['tomas@example.org', 'Tomás Ortega', '04', true],
  ['priya@example.org', 'Priya Raman', '01'],
  ['ana@example.org', 'Ana Silva', '02'],
]
const contacts: Contact[] = people.map(([address, name, id, compared]) => ({
  address,
  name,
  verified: true,
  blocked: false,
  compared: compared ?? false,
  account_id: id.padEnd(64, '0'),
  safety_number: '',
}))

function message(conversation: string, from: string, when: string, text: string, more: Partial<Message> = {}): { type: 'message' } & Message {
  const own = from === OWN
  return {
    type: 'message',
    id: messageId(),
    conversation,
    from,
    from_verified: true,
    text,
    sent_at: when,
    channel: 'waxwing',
    direction: own ? 'out' : 'in',
    read: true,
    ...(own ? { state: 'read' as const } : {}),
    ...more,
  }
}

const conversations: Conversation[] = []
const histories = new Map<string, Entry[]>()
function conversation(n: number, one: Partial<Conversation> & Pick<Conversation, 'kind' | 'with'>, entries: (id: string) => Entry[]): string {
  const id = hex(n, 32)
  const history = entries(id)
  histories.set(id, history)
  conversations.push({ id, verified: true, unread: 0, last: history.at(-1), ...one })
  return id
}

const wave = Array.from({ length: 64 }, (_, n) => Math.round(60 + 90 * Math.abs(Math.sin(n * 0.7)) * Math.abs(Math.cos(n * 0.23)) + (n % 7) * 14))
const photo = (number: number, name: string) => ({ number, name, media_type: 'image/jpeg', size: 1_843_200, state: 'here' as const, percent: 100, preview: { width: 1600, height: 1100 } })

const CABIN = conversation(0x05, { kind: 'group', with: 'Kuusamo cabin', pinned: true }, (id) => {
  const lakePhotos = message(id, 'noor@example.org', at(0, '10:12'), 'The lake this morning. Minus nine!', {
    attachments: [photo(0, 'lake.jpg'), photo(1, 'berries.jpg'), photo(2, 'cabin.jpg'), photo(3, 'lake.jpg'), photo(4, 'lake.jpg'), photo(5, 'lake.jpg')],
    reactions: [
      { emoji: '❤️', by: ['tomas@example.org', 'priya@example.org', 'elif@example.org'], own: false },
      { emoji: '😍', by: [OWN, 'jonas@example.org'], own: true },
    ],
  })
  const tickets = message(id, 'noor@example.org', at(4, '16:52'), 'I have the train tickets for all of us, platform 4, be there at two')
  return [
    message(id, 'tomas@example.org', at(4, '16:38'), 'When do we leave?', {
      poll: {
        question: 'When do we leave?',
        voters: 5,
        options: [
          { text: 'Friday, right after work', votes: 3, by: ['noor@example.org', 'jonas@example.org', 'elif@example.org'] },
          { text: 'Saturday morning', votes: 2, own: true, by: [OWN, 'priya@example.org'] },
          { text: 'I come later', votes: 0, by: [] },
        ],
      },
    }),
    message(id, 'tomas@example.org', at(4, '16:40'), 'Who has the tickets in the end?'),
    tickets,
    message(id, 'noor@example.org', at(4, '16:53'), 'No wait. Platform 2. I will check again on the day'),
    message(id, OWN, at(4, '16:55'), 'You are a hero'),
    message(id, 'priya@example.org', at(4, '17:00'), 'Two it is', { reply_to: tickets.id }),
    message(id, 'priya@example.org', at(4, '17:01'), 'What do I owe you?'),
    message(id, 'noor@example.org', at(4, '17:03'), 'One pancake each, in the morning', { reactions: [{ emoji: '🥞', by: people.slice(1).map(([a]) => a), own: false }] }),
    message(id, 'elif@example.org', at(3, '08:12'), 'Packing. How cold is cold?'),
    message(id, 'priya@example.org', at(1, '21:04'), 'And does anyone mind if I bring the dog 🐕'),
    message(id, OWN, at(1, '21:06'), 'The dog is the reason I’m coming'),
    lakePhotos,
    message(id, OWN, at(0, '10:15'), 'Keep the stove going, I’m on the 14:20 train', { reply_to: lakePhotos.id, edited_at: at(0, '10:16'), receipts: { delivered: 5, read: 4, of: 5 } }),
    message(id, 'tomas@example.org', at(0, '10:38'), '@mira@example.org for Sunday: https://trails.example/ring', {
      mentions: [OWN],
      link_preview: { url: 'https://trails.example/ring', title: 'Little Bear’s Ring', description: '12 km, two hanging bridges, one laavu' },
    }),
    { type: 'event', conversation: id, event: 'member_added', address: 'elif@example.org', by: 'priya@example.org', at: at(0, '10:40') },
    message(id, 'elif@example.org', at(0, '10:47'), '', {
      attachments: [{ number: 0, name: 'voice.ogg', media_type: 'audio/ogg', size: 48_000, state: 'here', percent: 100, preview: { duration_ms: 24_000, waveform: wave } }],
    }),
  ]
})
conversation(0x11, { kind: 'direct', with: 'noor@example.org', name: 'Noor Haddad', pinned: true }, (id) => [
  message(id, 'noor@example.org', at(1, '18:18'), 'Did you find the big thermos?'),
  message(id, 'noor@example.org', at(1, '18:20'), 'Otherwise I’ll take mine'),
  message(id, OWN, at(1, '18:22'), 'Found it behind the skis'),
  { type: 'event', conversation: id, event: 'verified', address: 'noor@example.org', at: at(1, '18:40') },
  message(id, 'noor@example.org', at(0, '10:29'), 'Platform 4, not 2. They changed it this morning'),
  message(id, 'noor@example.org', at(0, '10:29'), '', { attachments: [photo(0, 'lake.jpg')] }),
  message(id, OWN, at(0, '10:30'), 'Good that you told me. Window seat?'),
  message(id, 'noor@example.org', at(0, '10:31'), 'Window seat, always. See you at the station, platform 4'),
])
const JONAS = conversation(0x12, { kind: 'direct', with: 'jonas@example.org', name: 'Jonas Aalto', unread: 2 }, (id) => [
  { type: 'event', conversation: id, event: 'verified', address: 'jonas@example.org', at: at(49, '19:00') },
  message(id, 'jonas@example.org', at(49, '19:02'), 'Well, that was easy. Beer?'),
  message(id, OWN, at(49, '19:02'), 'Always 🍻'),
  message(id, OWN, at(1, '20:10'), 'Did you leave the skis at Tomás’s?'),
  message(id, OWN, at(1, '20:11'), 'I can pick them up on the way'),
  message(id, 'jonas@example.org', at(1, '20:14'), 'Yes please. They’re in the shed, the blue bag'),
  { type: 'event', conversation: id, event: 'identity_reset', address: 'jonas@example.org', at: at(0, '09:12') },
  message(id, 'jonas@example.org', at(0, '09:56'), 'Hi, new phone!', { read: false }),
  message(id, 'jonas@example.org', at(0, '09:58'), 'Do you still have the spare key?', { read: false }),
])
conversation(0x13, { kind: 'sms', with: 'sms:+46700000001', nickname: 'Dad', verified: false }, (id) => [
  message(id, OWN, at(3, '21:30'), 'Which flight are you on?', { channel: 'sms', state: 'delivered' }),
  message(id, '+46700000001', at(3, '21:44'), 'The late one, 17:55. Don’t wait with dinner', { channel: 'sms', from_verified: false }),
  message(id, '+46700000001', at(1, '19:02'), 'Landed. Roads are icy so I take it slow. Home by nine', { channel: 'sms', from_verified: false }),
  message(id, OWN, at(1, '19:05'), 'Good. Soup is on the stove', { channel: 'sms', state: 'delivered' }),
  message(id, '+46700000001', at(0, '09:41'), 'Hi it’s Dad. My phone is broken, please answer to my new number. I have to pay a bill today, can you send me the code that you get?', {
    channel: 'sms',
    from_verified: false,
    asks_reply_to: '+46708251358',
    findings: [{ severity: 'danger', kind: 'replies_elsewhere', sentence: 'It says that it is from +46 70 000 00 01, and asks that answers go to +46 70 825 13 58. Whoever wrote it may want to be taken for that number.', originator: '+46700000001', reply_to: '+46708251358' }],
  }),
])
conversation(0x06, { kind: 'group', with: 'Book club', unread: 14, muted_until: '9999-12-31T00:00:00Z' }, (id) => [
  message(id, 'ana@example.org', at(0, '08:12'), 'chapter six broke me a little'),
])
conversation(0x14, { kind: 'direct', with: 'elif@example.org', name: 'Elif Kaya', draft: 'The photos from Saturday are' }, (id) => [
  message(id, 'elif@example.org', at(1, '12:00'), 'Can you send me Saturday?'),
])
conversation(0x15, { kind: 'direct', with: 'tomas@example.org', name: 'Tomás Ortega' }, (id) => [
  message(id, OWN, at(1, '10:50'), 'Are you there already?', { state: 'queued' }),
  message(id, OWN, at(1, '10:52'), 'Shall I bring skis for Kalle?', { state: 'failed', problem: { code: 'recipient_unknown', address: 'kalle@example.org', sentence: 'Nobody here has this address.' } }),
  message(id, OWN, at(1, '10:53'), '', { taken_back: true }),
  message(id, 'tomas@example.org', at(1, '10:53'), '**Tickets:** I have ~~four~~ five. The code is `KX-4471`', {
    edited_at: at(1, '10:54'),
    formatted: [{ text: 'Tickets:', strong: true }, { text: ' I have ' }, { text: 'four', struck: true }, { text: ' five. The code is ' }, { text: 'KX-4471', code: true }],
  }),
  message(id, 'tomas@example.org', at(1, '10:54'), 'The key is under the third stone', { expires_after_s: 604_800, expires_at: new Date(Date.now() + 6 * 86_400_000).toISOString() }),
  message(id, 'tomas@example.org', at(1, '10:55'), '', { attachments: [{ number: 0, name: 'Cabin agreement.pdf', media_type: 'application/pdf', size: 24_000_000, state: 'offered', percent: 0 }] }),
  message(id, 'tomas@example.org', at(1, '10:55'), '', { attachments: [{ number: 0, name: 'Cabin agreement.pdf', media_type: 'application/pdf', size: 24_000_000, state: 'fetching', percent: 42 }] }),
  message(id, 'tomas@example.org', at(1, '10:55'), '', { attachments: [{ number: 0, name: 'Cabin agreement.pdf', media_type: 'application/pdf', size: 24_000_000, state: 'gone', percent: 0 }] }),
  message(id, 'tomas@example.org', at(1, '10:56'), '', { attachments: [{ ...photo(0, 'lake.jpg'), state: 'fetching', percent: 30, preview: { width: 1600, height: 1000, blurhash: 'LEHV6nWB2yk8pyo0adR*.7kCMdnj' } }] }),
  { type: 'gap', conversation: id, from: 'tomas@example.org', missing: 2, at: at(1, '10:57') },
  message(id, OWN, at(1, '10:59'), '😂 no way', { state: 'delivered' }),
])
conversation(0x16, { kind: 'notes', with: OWN }, (id) => [message(id, OWN, at(4, '12:00'), 'Wi-Fi in the cabin: birch-lantern-52', { state: 'accepted' })])
conversation(0x17, { kind: 'direct', with: 'priya@example.org', name: 'Priya Raman' }, () => [])
conversation(0x18, { kind: 'direct', with: 'kalle@example.org', request: true }, (id) => [
  message(id, 'kalle@example.org', at(0, '07:40'), 'Hi Mira, this is Kalle from the book club'),
  message(id, 'kalle@example.org', at(0, '07:41'), 'Ana said you have room for one more in the cabin?'),
  message(id, 'kalle@example.org', at(0, '07:41'), '', { attachments: [{ number: 0, name: 'me.jpg', media_type: 'image/jpeg', size: 1_800_000, state: 'offered', percent: 0 }] }),
])

/** Many messages of mixed lengths, for scrolling. */
function many(count: number): void {
  const words = 'the lake froze over night and somebody left the stove open so we carried wood until it was warm again'.split(' ')
  conversation(0x20, { kind: 'direct', with: 'ana@example.org', name: 'Ana Silva' }, (id) =>
    Array.from({ length: count }, (_, n) => {
      const length = 1 + ((n * 7919) % 53)
      const text = `${n}: ${Array.from({ length }, (_, w) => words[(n + w) % words.length]).join(' ')}`
      return message(id, n % 3 ? 'ana@example.org' : OWN, new Date(Date.now() - (count - n) * 240_000).toISOString(), text, n % 40 === 7 ? { attachments: [photo(0, 'lake.jpg')], text: '' } : {})
    }),
  )
}

const account: Account = {
  registration: 'registered',
  address: OWN,
  account_id: '00'.padEnd(64, 'a'),
  device_id: '91c40be755d2a830'.padEnd(64, '0'),
  relay: 'https://relay.example.org',
  pin: 'sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=',
}
const status: Status = {
  registration: 'registered',
  online: true,
  outbox: 0,
  tokens: 30,
  rejoining: 0,
  welcomes_held: 0,
  missing: 0,
  transferring: false,
  locked: true,
  suite: 'MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519',
  log: { id: '0f', head: 4711, made_at: new Date(Date.now() - 120_000).toISOString() },
  alarms: [],
  problems: [],
}

class Fake implements Transport {
  private readonly listeners = new Set<(notice: Notice) => void>()
  private stopped = false

  constructor(private readonly options: URLSearchParams) {
    const count = Number(options.get('many') ?? 0)
    if (count > 0) many(count)
    if (options.has('new')) Object.assign(account, { registration: 'none', address: undefined })
    if (options.has('alarm')) {
      status.alarms = [{ code: 'relay_misbehaves', what: 'unsigned_device' as never, sentence: 'It offered devices for carol@example.org that Carol never signed. Nothing was sent, and your messages stay encrypted.', first_at: at(0, '09:00'), last_at: at(0, '09:00') }]
    }
    if (options.has('offline')) status.online = false
    this.stopped = options.has('changed')
    const incoming = Number(options.get('incoming') ?? 0)
    for (let n = 1; n <= incoming; n++) {
      setTimeout(() => {
        const id = hex(0x11, 32)
        const made = message(id, 'noor@example.org', new Date().toISOString(), `${n}: ${'and so on '.repeat(n % 9)}`, { read: false })
        histories.get(id)?.push(made)
        this.tell(made)
      }, n * 150)
    }
    if (options.has('typing')) {
      const type = () => this.tell({ type: 'typing', conversation: CABIN, address: 'priya@example.org', typing: true })
      setTimeout(type, 300)
      setInterval(type, 8000)
    }
  }

  private tell(notice: Notice) {
    for (const listener of this.listeners) listener(notice)
  }

  async call<M extends Method>(method: M, params?: Params<M>): Promise<Result<M>> {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return this.answer(method, (params ?? {}) as never) as Result<M>
  }

  // eslint-disable-next-line
  private answer(method: Method, params: Record<string, never>): unknown {
    const p = params as Record<string, unknown>
    const find = (id: unknown): Message | undefined => {
      for (const entries of histories.values()) for (const entry of entries) if (entry.type === 'message' && entry.id === id) return entry
      return undefined
    }
    const changed = (id: unknown, how: (message: Message) => Partial<Message>) => {
      const found = find(id)
      if (!found) throw new EngineError('message_unknown', 'There is no such message.')
      Object.assign(found, how(found))
      this.tell({ ...found, type: 'message_changed' })
      return { id: messageId(), conversation: found.conversation, state: 'queued' }
    }
    switch (method) {
      case 'account':
        return { ...account }
      case 'status':
        return { ...status }
      case 'conversations':
        return { conversations: conversations.map((one) => ({ ...one, last: one.request ? undefined : histories.get(one.id)?.at(-1) })) }
      case 'contacts':
        return { contacts }
      case 'history': {
        const entries = histories.get(String(p.of)) ?? []
        const limit = Number(p.limit ?? 50)
        const index = (id: unknown) => entries.findIndex((entry) => entry.type === 'message' && entry.id === id)
        let from = Math.max(0, entries.length - limit)
        let to = entries.length
        if (p.before) {
          to = index(p.before)
          from = Math.max(0, to - limit)
        } else if (p.after) {
          from = index(p.after) + 1
          to = Math.min(entries.length, from + limit)
        } else if (p.around) {
          from = Math.max(0, index(p.around) - limit / 2)
          to = Math.min(entries.length, from + limit)
        }
        return { entries: entries.slice(from, to), more: from > 0, newer: to < entries.length }
      }
      case 'send':
      case 'send_sms': {
        const one = conversations.find((one) => one.id === p.to || one.with === p.to)
        const files = (p.attachments ?? []) as SealedFile[]
        const made = message(one?.id ?? CABIN, OWN, new Date().toISOString(), String(p.text), {
          state: 'queued',
          channel: method === 'send_sms' ? 'sms' : 'waxwing',
          reply_to: p.reply_to as string | undefined,
          attachments: files.map((file, number) => ({ ...file, number, state: 'here', percent: 100 })),
        })
        histories.get(made.conversation)?.push(made)
        for (const [state, wait] of [['accepted', 400], ['delivered', 900], ['read', 2000]] as const) {
          setTimeout(() => {
            made.state = state
            this.tell({ type: 'message_state', id: made.id, conversation: made.conversation, state })
          }, wait)
        }
        return { id: made.id, conversation: made.conversation, state: 'queued' }
      }
      case 'message_info': {
        const found = find(p.message)
        return { message: found, receipts: [{ address: 'noor@example.org', delivered_at: at(0, '10:16'), read_at: at(0, '10:18') }, { address: 'priya@example.org', delivered_at: at(0, '10:16') }], versions: [{ text: 'Keep the stove going', at: at(0, '10:15') }, { text: found?.text, at: at(0, '10:16') }] }
      }
      case 'find_message': {
        const found = find(p.prefix)
        if (!found) throw new EngineError('message_unknown', 'There is no such message.')
        return found
      }
      case 'react':
        return changed(p.message, (found) => {
          const others = (found.reactions ?? []).map((reaction) => ({ ...reaction, own: false, by: reaction.by.filter((who) => who !== OWN) })).filter((reaction) => reaction.by.length > 0)
          if (!p.emoji) return { reactions: others }
          const same = others.find((reaction) => reaction.emoji === p.emoji)
          if (same) Object.assign(same, { own: true, by: [...same.by, OWN] })
          else others.push({ emoji: String(p.emoji), by: [OWN], own: true })
          return { reactions: others }
        })
      case 'vote':
        return changed(p.message, (found) => ({ poll: found.poll && voted(found.poll, (p.options ?? []) as number[], OWN) }))
      case 'close_poll':
        return changed(p.message, (found) => ({ poll: found.poll && { ...found.poll, closed_at: new Date().toISOString() } }))
      case 'send_poll': {
        const options = (p.options as string[]).map((text) => ({ text, votes: 0, by: [] }))
        const made = message(String(p.to), OWN, new Date().toISOString(), String(p.question), {
          state: 'accepted',
          poll: { question: String(p.question), options, voters: 0, several: p.several === true, anonymous: p.anonymous === true },
        })
        histories.get(made.conversation)?.push(made)
        return { id: made.id, conversation: made.conversation, state: 'queued' }
      }
      case 'edit':
        return changed(p.message, () => ({ text: String(p.text), formatted: undefined, edited_at: new Date().toISOString() }))
      case 'take_back':
        return changed(p.message, () => ({ text: '', taken_back: true, attachments: undefined }))
      case 'star':
        return changed(p.message, () => ({ starred: p.starred === true }))
      case 'keep_conversation': {
        const one = conversations.find((one) => one.id === p.of)
        if (one) {
          if (p.muted === false) p.muted_until = undefined
          else if (p.muted === true && !p.muted_until) p.muted_until = '9999-12-31T00:00:00Z'
          Object.assign(one, p, { of: undefined })
        }
        return {}
      }
      case 'mark_read': {
        const one = conversations.find((one) => one.id === p.conversation)
        if (one) one.unread = 0
        return {}
      }
      case 'accept_request': {
        const one = conversations.find((one) => one.id === p.of)
        if (one) one.request = undefined
        return {}
      }
      case 'decline_request':
        conversations.splice(conversations.findIndex((one) => one.id === p.of), 1)
        return {}
      case 'group': {
        const one = conversations.find((one) => one.id === p.of)
        const group: Group = {
          conversation: String(p.of),
          name: one?.with ?? '',
          members: [
            { address: OWN, account_id: account.account_id ?? '', admin: true, own: true, verified: true, compared: false },
            ...contacts.slice(0, 5).map((contact, n) => ({ ...contact, compared: contact.compared ?? false, admin: n === 0 || n === 4, own: false })),
          ],
          everybody_adds: true,
          expires_after_s: 0,
          gone: false,
          coming: [],
          asking: p.of === CABIN ? ['kalle@example.org'] : [],
          changing: false,
        }
        return group
      }
      case 'profile':
        return { profile_name: p.of ? '' : 'Mira Lindqvist', picture: '' }
      case 'safety_number':
      case 'verify': {
        if (method === 'verify') {
          this.stopped = p.decision === 'reject'
          const contact = contacts.find((contact) => contact.address === p.of)
          if (contact) contact.compared = p.decision === 'accept'
        }
        const contact = contacts.find((contact) => contact.address === p.of)
        return { address: p.of, account_id: contact?.account_id ?? '', safety_number: '30462 88175 04921 66830 19574 20318 75046 91283 34419 58602 17735 40296', qr_text: 'waxwing:safety/1/0f0f0f0f/5a5a5a5a', compared: contact?.compared ?? false, stopped: this.stopped && p.of === 'jonas@example.org' }
      }
      case 'search': {
        const words = String(p.text ?? '').toLocaleLowerCase().split(/\s+/).filter(Boolean)
        const found = [...histories.values()].flat().filter((entry) => entry.type === 'message').filter((entry) => words.every((word) => entry.text.toLocaleLowerCase().includes(word)) && (!p.from || entry.from === p.from) && (!p.of || entry.conversation === p.of))
        return { found: found.reverse().slice(0, Number(p.limit ?? 100)) }
      }
      case 'starred':
        return { found: [...histories.values()].flat().filter((entry) => entry.type === 'message' && entry.starred) }
      case 'thread': {
        const root = find(p.message)
        return { found: [...histories.values()].flat().filter((entry) => entry.type === 'message' && (entry.id === root?.id || entry.reply_to === root?.id)) }
      }
      case 'quote_sms':
        return { to: p.to, segments: Math.max(1, Math.ceil(String(p.text).length / 160)), encoding: 'gsm7', characters_left: 100, price: '0.08 EUR', total: '0.08 EUR', offered: true, understood: false }
      case 'devices':
        return {
          devices: [
            { id: 'a', short: '91c4 0be7 55d2 a830', name: 'Mira’s laptop', this: true, added_at: '2026-03-03T09:00:00Z', added_by: 'recovery_key' },
            { id: 'b', short: '3a4f 5e6d 7c8b 9a0f', name: 'Mira’s phone', this: false, added_at: '2026-06-09T09:00:00Z', added_by: 'a' },
            { id: 'c', short: '77aa 5e6d 7c8b 9a0f', name: 'Kitchen tablet', this: false, added_at: at(0, '09:30'), added_by: 'b' },
          ],
        }
      case 'auditors':
        return { auditors: [{ id: 'waxwing-auditor-5a', name: 'Eva', head: 4711, at: at(0, '10:44') }], required: 1 }
      case 'doctor':
        return { healthy: true, checks: [{ check: 'tls', result: 'ok', sentence: 'TLS 1.3 with X25519MLKEM768 (post-quantum).' }, { check: 'pin', result: 'ok', sentence: 'The relay has the pinned key.' }, { check: 'clock', result: 'warning', sentence: 'This device’s clock is 3 minutes behind the relay’s.' }] }
      case 'preview_link':
        return { url: p.url, title: 'Little Bear’s Ring', description: '12 km, two hanging bridges, one laavu' }
      case 'invite':
        return { id: '0f1e2d3c', link: 'waxwing:invite/1/W0w9Lh8A8eLTxLWml4h5ag/mira@example.org#https://relay.example.org/#sha256/abc' }
      case 'version':
        return { version: '0.1.0' }
      case 'register':
        account.address = String(p.address)
        setTimeout(() => this.tell({ type: 'registration', stage: 'code_sent', address: String(p.address), expires_at: new Date(Date.now() + 552_000).toISOString() }), 400)
        return {}
      case 'submit_code':
        setTimeout(() => {
          if (p.code === '48273100') {
            Object.assign(account, { registration: 'registered', recovery_words: 'anchor meadow sable frost orbit lantern copper willow tunnel crisp harbor violin ember quarry saddle maple drift beacon thimble nectar gravel swift parcel dune', recovery_qr: 'waxwing:recovery/1/abc' })
            this.tell({ type: 'registration', stage: 'registered', address: account.address ?? '', recovery_words: account.recovery_words, account_id: account.account_id })
          } else {
            this.tell({ type: 'registration', stage: 'code_sent', address: account.address ?? '', problem: { code: 'code_wrong', sentence: 'The code is wrong.', tries_left: 4 } })
          }
        }, 300)
        return {}
      case 'forget_recovery_words':
        delete account.recovery_words
        return {}
      case 'link_device':
        setTimeout(() => this.tell({ type: 'pairing', stage: 'code', code: '482193-7K3MQ-9TXPA', qr: 'waxwing:link/1/482193-7K3MQ-9TXPA/abc/def', device: '3a4f 5e6d 7c8b 9a0f' }), 300)
        return {}
      case 'approve_device':
        setTimeout(() => this.tell({ type: 'pairing', stage: 'confirm', device: '3a4f 5e6d 7c8b 9a0f', name: 'Kitchen tablet' }), 300)
        return {}
      case 'confirm_device':
        setTimeout(() => this.tell({ type: 'pairing', stage: 'admitted', device: '3a4f 5e6d 7c8b 9a0f' }), 300)
        return {}
      case 'create_group':
        return { conversation: conversation(0x40 + serial, { kind: 'group', with: String(p.name) }, () => []) }
      default:
        return {}
    }
  }

  notices(listener: (notice: Notice) => void) {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  link(listener: (link: { state: 'open' | 'lost' }) => void) {
    listener({ state: this.options.has('lost') ? 'lost' : 'open' })
    return () => undefined
  }

  upload(file: File, progress: (part: number) => void) {
    const done = new Promise<SealedFile>((resolve) => {
      let part = 0
      const timer = setInterval(() => {
        progress((part += 0.2))
        if (part < 1) return
        clearInterval(timer)
        resolve({ blob: messageId(), key: '', sha256: '', size: file.size, name: file.name, media_type: file.type })
      }, 60)
    })
    return { done, cancel: () => undefined }
  }

  download(message: string, number: number) {
    const file = [...histories.values()].flat().find((entry) => entry.type === 'message' && entry.id === message)
    const name = file?.type === 'message' ? file.attachments?.[number]?.name : ''
    return svg(name === 'berries.jpg' ? berries : name === 'cabin.jpg' ? cabin : lake)
  }

  async exportConversation(_of: string, name: string, files: boolean) {
    return { folder: `/home/mira/Downloads/Waxwing ${name}`, entries: 42, files: files ? 7 : 0, files_missing: 1 }
  }

  async preferences() {
    return JSON.parse(sessionStorage.getItem('fake-preferences') ?? '{}') as Record<string, unknown>
  }

  async keepPreferences(preferences: Record<string, unknown>) {
    sessionStorage.setItem('fake-preferences', JSON.stringify(preferences))
  }
}

export function fake(options: URLSearchParams): Transport {
  void JONAS
  return new Fake(options)
}
