/**
 * Remembering what short texts come to: header names and hosts are the same few in request after
 * request, and every request would work them out again.
 *
 * @module
 */

/** Most texts remembered, and the longest: clients choose them, so memory must have a bound. */
const MOST = 256
const LONGEST = 128

/** A function that remembers its results. `make` must be pure; what it throws is not remembered. */
export function remember<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return function remembered(text) {
    const found = known.get(text)
    if (found !== undefined) return found
    const made = make(text)
    if (text.length <= LONGEST) {
      // Emptied at once: somebody who sends ever new texts pays, with his own requests, for that.
      if (known.size >= MOST) known.clear()
      known.set(text, made)
    }
    return made
  }
}
