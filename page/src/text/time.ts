// Times and sizes, as the person's language writes them.

import { locale, t } from '../words/index.svelte'

const formats = new Map<string, Intl.DateTimeFormat>()

function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = locale() + JSON.stringify(options)
  let found = formats.get(key)
  if (!found) formats.set(key, (found = new Intl.DateTimeFormat(locale(), options)))
  return found
}

function daysAgo(date: Date, now: Date): number {
  const midnight = (d: Date) => Date.UTC(d.getFullYear(), d.getMonth(), d.getDate())
  return Math.round((midnight(now) - midnight(date)) / 86_400_000)
}

/** 10:47 */
export function clock(at: string): string {
  return format({ hour: '2-digit', minute: '2-digit' }).format(new Date(at))
}

/** Today, Yesterday, Friday, 12 October; `inside` a sentence, today and yesterday. */
export function day(at: string, now = new Date(), inside = false): string {
  const date = new Date(at)
  const ago = daysAgo(date, now)
  if (ago === 0) return t(inside ? 'today_inside' : 'today')
  if (ago === 1) return t(inside ? 'yesterday_inside' : 'yesterday')
  if (ago > 1 && ago < 7) return format({ weekday: 'long' }).format(date)
  const sameYear = date.getFullYear() === now.getFullYear()
  return format({ day: 'numeric', month: 'long', ...(sameYear ? {} : { year: 'numeric' }) }).format(date)
}

/** November, November 2025 */
export function month(at: string, now = new Date()): string {
  const date = new Date(at)
  const sameYear = date.getFullYear() === now.getFullYear()
  return format({ month: 'long', ...(sameYear ? {} : { year: 'numeric' }) }).format(date)
}

/** 10:47, Yesterday, Friday, 12 Oct */
export function listTime(at: string, now = new Date()): string {
  const date = new Date(at)
  const ago = daysAgo(date, now)
  if (ago <= 0) return clock(at)
  if (ago < 7) return day(at, now)
  const sameYear = date.getFullYear() === now.getFullYear()
  return format({ day: 'numeric', month: 'short', ...(sameYear ? {} : { year: '2-digit' }) }).format(date)
}

/** today at 09:30 */
export function dayAndClock(at: string): string {
  return t('day_at', { day: day(at, new Date(), true), time: clock(at) })
}

/** 0:24 */
export function playing(ms: number): string {
  const s = Math.round(ms / 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`
}

/** 1 week, 6 days, 3 hours */
export function duration(seconds: number): string {
  const units: [number, string][] = [
    [604_800, 'week'],
    [86_400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
    [1, 'second'],
  ]
  const [size, unit] = units.find(([size]) => seconds >= size && seconds % size === 0) ?? units.find(([size]) => seconds >= size) ?? [1, 'second']
  return new Intl.NumberFormat(locale(), { style: 'unit', unit, unitDisplay: 'long' }).format(Math.floor(seconds / size))
}

/** 6 d */
export function shortDuration(seconds: number): string {
  const [size, unit] = seconds >= 86_400 ? [86_400, 'day'] : seconds >= 3600 ? [3600, 'hour'] : seconds >= 60 ? [60, 'minute'] : [1, 'second']
  return new Intl.NumberFormat(locale(), { style: 'unit', unit: String(unit), unitDisplay: 'narrow' }).format(
    Math.max(0, Math.ceil(seconds / Number(size))),
  )
}

/** 24 MB */
export function size(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const
  let unit = 0
  let n = bytes
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000
    unit++
  }
  const digits = unit > 1 && n < 10 ? 1 : 0
  return new Intl.NumberFormat(locale(), {
    style: 'unit',
    unit: units[unit] ?? 'byte',
    unitDisplay: unit === 0 ? 'long' : 'short',
    maximumFractionDigits: digits,
  }).format(n)
}

export function number(n: number): string {
  return new Intl.NumberFormat(locale()).format(n)
}
