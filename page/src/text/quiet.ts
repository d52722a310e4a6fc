// The hours in which nobody wants to be disturbed.

function minutes(clock: string): number {
  const [hours = 0, past = 0] = clock.split(':').map(Number)
  return hours * 60 + past
}

/** Whether a moment is between two times of day, `22:00` and `07:00`: over midnight, if the second is earlier. */
export function isQuiet(now: Date, from: string, until: string): boolean {
  const [at, begin, end] = [now.getHours() * 60 + now.getMinutes(), minutes(from), minutes(until)]
  return begin <= end ? at >= begin && at < end : at >= begin || at < end
}
