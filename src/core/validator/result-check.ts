/**
 * What an application returns, as the validator hands it on: items 5, 6 and 26 to 29 of
 * `wsgiref.validate`.
 *
 * @module
 */
import type { ApplicationResult } from '../application.ts'
import type { CloseWatch } from './close-watch.ts'
import type { ResponseCheck } from './response-check.ts'
import { hasMethod, kindOf, ValidationError } from './validation-error.ts'

/**
 * Wraps the result of an application.
 *
 * @returns An iterable of the same kind, synchronous or not, which is its own iterator.
 * @throws {ValidationError} when it is not iterable, or a string or bytes, which iterate as what nobody
 *   means to send.
 */
export function checkResult(
  result: unknown,
  response: ResponseCheck,
  watch: CloseWatch
): ApplicationResult {
  if (typeof result === 'string' || ArrayBuffer.isView(result) || result instanceof ArrayBuffer) {
    throw new ValidationError(
      6,
      `the application returned ${kindOf(result)}, wanted an array with that one in it`
    )
  }
  const checked = wrap(result, response, watch)
  watch.begin(checked)
  return checked
}

function wrap(
  result: unknown,
  response: ResponseCheck,
  watch: CloseWatch
): AsyncResult | SyncResult {
  if (hasMethod(result, Symbol.asyncIterator)) {
    const iterator = result[Symbol.asyncIterator]() as AsyncIterator<unknown>
    return new AsyncResult(iterator, new Iteration(result, iterator, response, watch))
  }
  if (hasMethod(result, Symbol.iterator)) {
    const iterator = result[Symbol.iterator]() as Iterator<unknown>
    return new SyncResult(iterator, new Iteration(result, iterator, response, watch))
  }
  throw new ValidationError(
    5,
    `the application returned ${kindOf(result)}, wanted an iterable, if only an empty array`
  )
}

/** What the two kinds of result have in common. */
class Iteration {
  readonly #result: { close?: () => unknown }
  readonly #iterator: { return?(): unknown }
  readonly #response: ResponseCheck
  readonly #watch: CloseWatch
  #ended = false
  #closed: { readonly answer: unknown } | undefined

  constructor(
    result: object,
    iterator: { return?(): unknown },
    response: ResponseCheck,
    watch: CloseWatch
  ) {
    this.#result = result
    this.#iterator = iterator
    this.#response = response
    this.#watch = watch
  }

  checkOpen(): void {
    if (this.#closed === undefined) return
    throw new ValidationError(26, 'the server read the result after its close()')
  }

  /** One step of the application's iterator, checked. */
  take({ done, value }: IteratorResult<unknown>): IteratorResult<Uint8Array, undefined> {
    if (done !== true) return { done: false, value: this.#response.take(value) }
    this.#ended = true
    this.#watch.end()
    this.#response.finish()
    return { done, value: undefined }
  }

  /** Something failed: what is left to do is `close()`. */
  fail(): void {
    this.#watch.end()
  }

  /** The server has had enough; that is no `close()` yet. */
  leave(): unknown {
    this.#watch.end()
    if (this.#ended) return undefined
    this.#ended = true
    return this.#iterator.return?.()
  }

  /** Closes as our own gateway does, once: what has no `close()`, such as a generator, is left. */
  close(): unknown {
    if (this.#closed !== undefined) return this.#closed.answer
    this.#watch.settle()
    // Before the call, which may throw: a second one must not follow.
    this.#closed = { answer: undefined }
    const answer = this.#result.close === undefined ? this.leave() : this.#result.close()
    this.#closed = { answer }
    return answer
  }
}

class SyncResult implements Iterable<Uint8Array> {
  readonly #iterator: Iterator<unknown>
  readonly #iteration: Iteration

  constructor(iterator: Iterator<unknown>, iteration: Iteration) {
    this.#iterator = iterator
    this.#iteration = iteration
  }

  [Symbol.iterator](): this {
    return this
  }

  next(): IteratorResult<Uint8Array, undefined> {
    this.#iteration.checkOpen()
    try {
      return this.#iteration.take(this.#iterator.next())
    } catch (error) {
      this.#iteration.fail()
      throw error
    }
  }

  return(): IteratorResult<Uint8Array, undefined> {
    this.#iteration.leave()
    return { done: true, value: undefined }
  }

  close(): unknown {
    return this.#iteration.close()
  }
}

class AsyncResult implements AsyncIterable<Uint8Array> {
  readonly #iterator: AsyncIterator<unknown>
  readonly #iteration: Iteration

  constructor(iterator: AsyncIterator<unknown>, iteration: Iteration) {
    this.#iterator = iterator
    this.#iteration = iteration
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#iteration.checkOpen()
    try {
      return this.#iteration.take(await this.#iterator.next())
    } catch (error) {
      this.#iteration.fail()
      throw error
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    await this.#iteration.leave()
    return { done: true, value: undefined }
  }

  close(): unknown {
    return this.#iteration.close()
  }
}
