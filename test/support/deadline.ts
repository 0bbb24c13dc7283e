/**
 * Waiting, with an end to it.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** How long a test waits for anything that should happen at once, slow machines included. */
export const DEADLINE_MS = 15_000
const POLL_MS = 20

/**
 * Waits for a promise.
 *
 * @param what Names what is waited for in the error.
 * @throws {Error} When it takes longer than {@link DEADLINE_MS}.
 */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Error(`${what}: nothing in ${DEADLINE_MS} ms`)),
    DEADLINE_MS
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Asks again and again until the answer is not `undefined` or `false`.
 *
 * @throws {Error} When that takes longer than {@link DEADLINE_MS}.
 */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>
    if (performance.now() > deadline) throw new Error(`${what}: not in ${DEADLINE_MS} ms`)
    await sleep(POLL_MS)
  }
}

/**
 * Waits for a line in a log, which another process writes and this one reads a little later.
 *
 * @throws {Error} When it does not come; the message holds the log.
 */
export async function logged(server: { log(): string }, pattern: RegExp): Promise<void> {
  try {
    await eventually(`${pattern} in the log`, () => pattern.test(server.log()))
  } catch (error) {
    throw new Error(`${String(error)}\n${server.log()}`, { cause: error })
  }
}
