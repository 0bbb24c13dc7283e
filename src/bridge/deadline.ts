/**
 * Timeouts that a peer resets by making progress.
 *
 * @module
 */

import type { BodySource } from '../core/body-source.ts'
import type { GatewayError } from '../core/errors.ts'

/** Longest delay a timer takes, in milliseconds; beyond it, runtimes fire at once. */
export const MAX_DELAY_MS = 2_147_483_647

/**
 * A deadline that moves on with every step. One timer serves all steps: it looks at the clock when
 * it fires and sleeps on, where starting and clearing one a chunk would cost more than the chunk.
 */
export class Deadline {
  /** No timer sleeps longer, so that it serves a step of this length behind a longer one too. */
  readonly #sleepMs: number
  #timeoutMs: number
  readonly #onExpire: (timeoutMs: number) => void
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When the timer fires. */
  #wakesAt = Infinity
  /** When the current step began, `undefined` between steps. */
  #since: number | undefined
  #stopped = false

  /**
   * @param timeoutMs Longest step, in milliseconds; `Infinity` for no limit.
   * @param onExpire Called once for a step that takes longer, with how long it might have taken.
   */
  constructor(timeoutMs: number, onExpire: (timeoutMs: number) => void) {
    this.#sleepMs = timeoutMs
    this.#timeoutMs = timeoutMs
    this.#onExpire = onExpire
  }

  /**
   * Begins a step, or begins it anew.
   *
   * @param timeoutMs Longest step from here on, in milliseconds.
   */
  start(timeoutMs: number = this.#timeoutMs): void {
    if (this.#stopped) return
    this.#timeoutMs = timeoutMs
    const now = performance.now()
    this.#since = now
    if (now + timeoutMs < this.#wakesAt) this.#sleep(now, timeoutMs)
  }

  /** Ends the step: time that passes now does not count. */
  pause(): void {
    this.#since = undefined
  }

  /** Ends the deadline for good and frees its timer. */
  stop(): void {
    this.#stopped = true
    this.#since = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #sleep(now: number, forMs: number): void {
    const delayMs = Math.max(Math.min(forMs, this.#sleepMs, MAX_DELAY_MS), 1)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#wake(), delayMs)
    this.#wakesAt = now + delayMs
  }

  #wake(): void {
    this.#timer = undefined
    this.#wakesAt = Infinity
    if (this.#since === undefined) return
    const now = performance.now()
    const left = this.#since + this.#timeoutMs - now
    if (left <= 0) this.#onExpire(this.#timeoutMs)
    else if (left !== Infinity) this.#sleep(now, left)
  }
}

/**
 * Bounds each read of a source.
 *
 * @param timeoutMs Longest read, in milliseconds; `Infinity` for no limit.
 * @param makeError Makes the error that a later read rejects with.
 */
export function inTime(
  source: BodySource,
  timeoutMs: number,
  makeError: () => GatewayError
): BodySource {
  let giveUp: ((error: GatewayError) => void) | undefined
  const deadline = new Deadline(timeoutMs, () => giveUp?.(makeError()))
  return {
    async read() {
      deadline.start()
      try {
        const chunk = await new Promise<Uint8Array | undefined>((resolve, reject) => {
          giveUp = reject
          source.read().then(resolve, reject)
        })
        if (chunk === undefined) deadline.stop()
        else deadline.pause()
        return chunk
      } catch (error) {
        deadline.stop()
        throw error
      }
    },
    async cancel(reason) {
      deadline.stop()
      await source.cancel(reason)
    },
    free: source.free,
  }
}
