/**
 * Work that comes back at an interval, on Node and Deno.
 *
 * @module
 */

/**
 * Calls back at an interval, without keeping the process alive.
 *
 * @returns What ends it.
 */
export function every(intervalMs: number, call: () => void): () => void {
  const timer = setInterval(call, intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}
