import { expect, it } from 'vitest'
import { isQuiet } from './quiet'

const at = (clock: string) => new Date(`2026-11-30T${clock}:00`)

it('is quiet over midnight', () => {
  expect(['21:59', '22:00', '00:30', '06:59', '07:00', '12:00'].map((clock) => isQuiet(at(clock), '22:00', '07:00'))).toEqual([
    false, true, true, true, false, false,
  ])
})

it('is quiet within a day, and never where both times are one', () => {
  expect([isQuiet(at('13:00'), '12:00', '14:00'), isQuiet(at('14:00'), '12:00', '14:00')]).toEqual([true, false])
  expect(isQuiet(at('12:00'), '12:00', '12:00')).toBe(false)
})
