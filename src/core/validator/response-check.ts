/**
 * What an application has answered so far: whether it has begun, and how much it has sent.
 *
 * @module
 */
import type { StartResponse, Write } from '../start-response.ts'
import { type CheckedStart, checkStart } from './start-check.ts'
import { kindOf, ValidationError, type Warn } from './validation-error.ts'

/** One response, from the call of the application to the end of its body. */
export class ResponseCheck {
  readonly #toHead: boolean
  readonly #startResponse: StartResponse
  readonly #warn: Warn
  #called = false
  #start: CheckedStart | undefined
  #sent = 0

  /**
   * @param method A response to HEAD may announce a content that it does not have.
   * @param startResponse The server's.
   */
  constructor(method: unknown, startResponse: StartResponse, warn: Warn) {
    this.#toHead = method === 'HEAD'
    this.#startResponse = startResponse
    this.#warn = warn
  }

  /** Handed to the application. */
  readonly startResponse = (...args: readonly unknown[]): Write => {
    const start = checkStart(args, this.#warn)
    // Before the server's, whose refusal is not for item 28 to report.
    this.#called = true
    const write = this.#startResponse(...start.args)
    this.#start = start
    return (chunk) => {
      if (!(chunk instanceof Uint8Array)) {
        throw new ValidationError(25, `write() got ${kindOf(chunk)}, wanted a Uint8Array`)
      }
      this.#count(chunk)
      return write(chunk)
    }
  }

  /** Checks what the result yields: items 27 and 28. */
  take(chunk: unknown): Uint8Array {
    if (!(chunk instanceof Uint8Array)) {
      throw new ValidationError(27, `the result yielded ${kindOf(chunk)}, wanted a Uint8Array`)
    }
    if (!this.#called) {
      throw new ValidationError(28, 'the result yielded before startResponse was called')
    }
    this.#count(chunk)
    return chunk
  }

  /** Checks that nothing is missing at the end of the result. */
  finish(): void {
    const length = this.#announced()
    if (length === undefined || this.#sent >= length) return
    throw new ValidationError(
      'werkzeug-length',
      `the body has ${this.#sent} bytes, under its Content-Length of ${length}`
    )
  }

  #count(chunk: Uint8Array): void {
    this.#sent += chunk.length
    const code = this.#start?.code
    if (code === undefined || this.#sent === 0) return
    if (code < 200 || code === 204) {
      throw new ValidationError('werkzeug-204', `a ${code} response has a body`)
    }
    if (code === 304) throw new ValidationError('werkzeug-304', 'a 304 response has a body')
    const length = this.#announced()
    if (length !== undefined && this.#sent > length) {
      throw new ValidationError(
        'werkzeug-length',
        `the body has ${this.#sent} bytes and more, over its Content-Length of ${length}`
      )
    }
  }

  /** How many bytes the body must have, where that is known. */
  #announced(): number | undefined {
    return this.#toHead || this.#start?.code === 304 ? undefined : this.#start?.length
  }
}
