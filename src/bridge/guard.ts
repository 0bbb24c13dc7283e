/**
 * What ends the wait for a backend: the clock, or the client that goes away.
 *
 * @module
 */
import type { ClientSignal } from '../core/client-signal.ts'
import { clientGone, type GatewayError } from '../core/errors.ts'
import { Deadline } from './deadline.ts'

/**
 * Watches over a request at a backend. One timer and one listener serve all steps of it there, from
 * connecting to the last byte.
 */
export class Guard {
  readonly #signal: ClientSignal | undefined
  readonly #deadline = new Deadline(Infinity, (timeoutMs) => this.#end(this.#makeError(timeoutMs)))
  #makeError: (timeoutMs: number) => GatewayError = clientGone
  #giveUp: ((error: GatewayError) => void) | undefined

  /** @param signal Aborted when the client goes away. */
  constructor(signal?: ClientSignal) {
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
  }

  /**
   * Names who is told, from now on and once, that the wait has ended; the guard is stopped then. A
   * client that has gone already is told of at once.
   */
  tell(giveUp: (error: GatewayError) => void): void {
    this.#giveUp = giveUp
    if (this.#signal?.aborted === true) this.#onAbort()
  }

  /** @throws {GatewayError} `ERR_CLIENT_CLOSED` when the client has gone. */
  check(): void {
    if (this.#signal?.aborted === true) throw clientGone()
  }

  /**
   * Begins a step, or begins it anew.
   *
   * @param timeoutMs Longest time that it may take, in milliseconds; `Infinity` for no limit.
   * @param makeError Makes the error of a step that takes longer.
   */
  start(timeoutMs: number, makeError: (timeoutMs: number) => GatewayError): void {
    this.#makeError = makeError
    this.#deadline.start(timeoutMs)
  }

  /** Ends the step: time that passes now does not count. */
  pause(): void {
    this.#deadline.pause()
  }

  /** Ends the watch for good, and frees timer and listener. */
  stop(): void {
    this.#deadline.stop()
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }

  readonly #onAbort = (): void => this.#end(clientGone())

  #end(error: GatewayError): void {
    this.stop()
    this.#giveUp?.(error)
  }
}
