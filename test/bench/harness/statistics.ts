/**
 * What is said of a handful of samples: never a mean, which one disturbed round moves.
 *
 * @module
 */

/** The middle of some samples and how far they spread. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/**
 * Describes samples.
 *
 * @throws {RangeError} when there are none.
 */
export function spreadOf(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b)
  return { median: medianOf(sorted), min: at(sorted, 0), max: at(sorted, sorted.length - 1) }
}

/**
 * What we make of a peer's value, round by round: the two samples of one round were taken next to each
 * other, so what disturbed the machine for longer than that is in both.
 */
export function pairwise(
  ours: readonly number[],
  peers: readonly number[],
  combine: (ours: number, peer: number) => number
): Spread {
  const rounds = Math.min(ours.length, peers.length)
  return spreadOf(Array.from({ length: rounds }, (_, i) => combine(at(ours, i), at(peers, i))))
}

function medianOf(sorted: readonly number[]): number {
  const middle = (sorted.length - 1) / 2
  return (at(sorted, Math.floor(middle)) + at(sorted, Math.ceil(middle))) / 2
}

function at(samples: readonly number[], index: number): number {
  const value = samples[index]
  if (value === undefined) throw new RangeError('Cannot describe samples: there are none')
  return value
}
