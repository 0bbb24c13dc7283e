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
    if (text.length > LONGEST) return make(text)
    const kept = ownText(text)
    const made = make(kept)
    // Emptied at once: somebody who sends ever new texts pays, with his own requests, for that.
    if (known.size >= MOST) known.clear()
    known.set(kept, made)
    return made
  }
}

/** The same text without what it was cut from, such as a response head: V8 keeps that behind a slice. */
function ownText(text: string): string {
  return Object.keys({ [text]: undefined })[0] ?? text
}
