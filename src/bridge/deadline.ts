/**
 * Timeouts that a peer resets by making progress.
 *
 * @module
 */

/** Longest delay a timer takes, in milliseconds; beyond it, runtimes fire at once. */
const MAX_DELAY_MS = 2_147_483_647

/**
 * A deadline that moves on with every step. One timer serves all steps: it looks at the clock when
 * it fires and sleeps on, where starting and clearing one a chunk would cost more than the chunk.
 */
export class Deadline {
  readonly #timeoutMs: number
  readonly #onExpire: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When the current step began, `undefined` between steps. */
  #since: number | undefined

  /**
   * @param timeoutMs Longest step, in milliseconds; `Infinity` for no limit.
   * @param onExpire Called once, when a step takes longer.
   */
  constructor(timeoutMs: number, onExpire: () => void) {
    this.#timeoutMs = timeoutMs
    this.#onExpire = onExpire
  }

  /** Begins a step, or begins it anew. */
  start(): void {
    this.#since = performance.now()
    if (this.#timer === undefined && this.#timeoutMs !== Infinity) this.#sleep(this.#timeoutMs)
  }

  /** Ends the step: time that passes now does not count. */
  pause(): void {
    this.#since = undefined
  }

  /** Ends the deadline for good and frees its timer. */
  stop(): void {
    this.#since = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #sleep(delayMs: number): void {
    this.#timer = setTimeout(() => this.#wake(), Math.min(Math.max(delayMs, 1), MAX_DELAY_MS))
  }

  #wake(): void {
    this.#timer = undefined
    if (this.#since === undefined) return
    const left = this.#since + this.#timeoutMs - performance.now()
    if (left > 0) this.#sleep(left)
    else this.#onExpire()
  }
}
