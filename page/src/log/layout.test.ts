import { describe, expect, it } from 'vitest'
import { Layout, type Placed } from './layout'

const rows = (from: number, to: number): Placed[] =>
  Array.from({ length: to - from }, (_, at) => ({ key: `m${from + at}`, estimate: 40 + ((from + at) % 7) * 13 }))

describe('Layout', () => {
  it('finds the rows of a window among 100,000', () => {
    const layout = new Layout(rows(0, 100_000), new Map())
    const { start, end } = layout.range(1_000_000, 1_000_800)
    expect(layout.topAt(start)).toBeLessThanOrEqual(1_000_000)
    expect(layout.topAt(start + 1)).toBeGreaterThan(1_000_000)
    expect(layout.topAt(end)).toBeGreaterThan(1_000_800)
    expect(end - start).toBeLessThan(20)
  })

  it('keeps the place when older rows come', () => {
    const before = new Layout(rows(100, 200), new Map())
    const anchor = before.anchor(500)
    const after = new Layout(rows(0, 200), new Map())
    const moved = after.scrollTop(anchor, 800)
    const key = `m${100 + before.at(500)}`
    expect(after.top(key)! - moved).toBe(before.top(key)! - 500)
  })

  it('keeps the place when a picture above gets its height', () => {
    const heights = new Map<string, number>()
    const anchor = new Layout(rows(0, 100), heights).anchor(2000)
    heights.set('m3', 400)
    const before = new Layout(rows(0, 100), new Map())
    const after = new Layout(rows(0, 100), heights)
    expect(after.scrollTop(anchor, 500) - 2000).toBe(400 - (before.topAt(4) - before.topAt(3)))
  })

  it('holds on to the next row when the first one goes', () => {
    const all = rows(0, 100)
    const before = new Layout(all, new Map())
    const at = before.at(1000)
    const anchor = before.anchor(1000)
    const after = new Layout(all.filter((_, index) => index !== at), new Map())
    expect(after.top(`m${at + 1}`)! - after.scrollTop(anchor, 500)).toBe(before.top(`m${at + 1}`)! - 1000)
  })

  it('stays at the end', () => {
    expect(new Layout(rows(0, 10), new Map()).scrollTop('end', 100)).toBe(
      new Layout(rows(0, 10), new Map()).total - 100,
    )
    expect(new Layout([], new Map()).scrollTop('end', 100)).toBe(0)
  })
})
