// Where the rows of a long list are, when only those near the window exist.
//
// Elsewhere: `Log.svelte` shows them and measures their heights.
// Always: a place is held by a row and a distance from it, never by a number of pixels from the
// top, so that rows above may come, go and change their heights.

export interface Placed {
  readonly key: string
  /** The height until it is measured. */
  readonly estimate: number
}

/** What stays in place: the end of the list, or rows near the top of the window. */
export type Anchor = 'end' | { readonly rows: readonly { key: string; offset: number }[] }

export interface Range {
  readonly start: number
  readonly end: number
}

/** Rows that an anchor remembers, in case the first ones go away. */
const REMEMBERED = 8

export class Layout {
  private readonly tops: Float64Array
  private readonly index = new Map<string, number>()

  constructor(
    private readonly rows: readonly Placed[],
    heights: ReadonlyMap<string, number>,
  ) {
    this.tops = new Float64Array(rows.length + 1)
    let top = 0
    rows.forEach((row, at) => {
      this.tops[at] = top
      this.index.set(row.key, at)
      top += heights.get(row.key) ?? row.estimate
    })
    this.tops[rows.length] = top
  }

  get total(): number {
    return this.tops[this.rows.length] ?? 0
  }

  /** The distance of row `at` from the top; of the end, for the number of rows. */
  topAt(at: number): number {
    return this.tops[Math.max(0, Math.min(at, this.rows.length))] ?? 0
  }

  top(key: string): number | undefined {
    const at = this.index.get(key)
    return at === undefined ? undefined : this.topAt(at)
  }

  indexOf(key: string): number | undefined {
    return this.index.get(key)
  }

  /** The row at this distance from the top. */
  at(distance: number): number {
    let low = 0
    let high = this.rows.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.topAt(middle) <= distance) low = middle
      else high = middle - 1
    }
    return Math.max(0, low)
  }

  /** The rows between two distances from the top. */
  range(from: number, to: number): Range {
    if (this.rows.length === 0) return { start: 0, end: 0 }
    return { start: this.at(from), end: this.at(to) + 1 }
  }

  /** What to hold on to when the window's top is at `scrollTop`. */
  anchor(scrollTop: number): Anchor {
    const first = this.at(scrollTop)
    const rows = this.rows.slice(first, first + REMEMBERED)
    return { rows: rows.map((row, at) => ({ key: row.key, offset: this.topAt(first + at) - scrollTop })) }
  }

  /** Where the window's top must be, so that the anchor stays in its place. */
  scrollTop(anchor: Anchor, windowHeight: number): number {
    const last = Math.max(0, this.total - windowHeight)
    if (anchor === 'end') return last
    for (const { key, offset } of anchor.rows) {
      const top = this.top(key)
      if (top !== undefined) return Math.max(0, Math.min(top - offset, last))
    }
    return last
  }
}
