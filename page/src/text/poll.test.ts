import { expect, it } from 'vitest'
import { chosenAfter, faultOf, type Poll, voted } from './poll'

const OWN = 'mira@example.org'
const poll = (more: Partial<Poll> = {}): Poll => ({
  question: 'When?',
  voters: 1,
  options: [
    { text: 'Friday', votes: 1, by: ['noor@example.org'] },
    { text: 'Saturday', votes: 0 },
  ],
  ...more,
})

it('moves the one vote, or takes it back', () => {
  const friday = voted(poll(), chosenAfter(poll(), 0), OWN)
  expect(friday.options.map((option) => option.votes)).toEqual([2, 0])
  expect(friday.voters).toBe(2)
  const saturday = voted(friday, chosenAfter(friday, 1), OWN)
  expect(saturday.options.map((option) => option.votes)).toEqual([1, 1])
  expect(saturday.voters).toBe(2)
  const none = voted(saturday, chosenAfter(saturday, 1), OWN)
  expect(none.options.map((option) => option.by)).toEqual([['noor@example.org'], []])
  expect(none.voters).toBe(1)
})

it('adds votes where several are allowed', () => {
  const several = voted(poll({ several: true }), [1], OWN)
  expect(chosenAfter(several, 0)).toEqual([0, 1])
  expect(chosenAfter(several, 1)).toEqual([])
})

it('names nobody in an anonymous poll', () => {
  const secret = poll({ anonymous: true, options: [{ text: 'Yes', votes: 1 }, { text: 'No', votes: 0 }] })
  expect(voted(secret, [0], OWN).options[0]).toMatchObject({ votes: 2, by: undefined, own: true })
})

it('says why a poll cannot be asked', () => {
  expect(faultOf(' ', ['a', 'b'])).toBe('question')
  expect(faultOf('When?', ['a', ' '])).toBe('few')
  expect(faultOf('When?', ['a', 'a '])).toBe('same')
  expect(faultOf('When?', ['a', 'b', ''])).toBeUndefined()
})
