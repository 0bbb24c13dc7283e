/**
 * Whether the server has closed a result: item 29 of `wsgiref.validate`.
 *
 * Python sees it when the result is collected. JavaScript may collect late or never, so that there is a
 * second look, which always happens: at the next call of the same application, a result that was read to
 * its end (or failed, or was left by `return()`) must have been closed. A server that does something
 * else first, and has requests that overlap, is reported too early: hence a warning.
 *
 * @see https://peps.python.org/pep-3333/#specification-details
 * @module
 */
import { ValidationError, type Warn } from './validation-error.ts'

/** Workers have none before the compatibility flag `enable_weak_ref`. */
const collected =
  typeof FinalizationRegistry === 'undefined'
    ? undefined
    : new FinalizationRegistry<CloseWatch>((watch) => watch.report('it was garbage collected'))

/** Follows one result without a reference to it, so that it can be collected. */
export class CloseWatch {
  readonly #over: Set<CloseWatch>
  readonly #warn: Warn
  #settled = false

  /** @param over The results of one application that are over and not closed. */
  constructor(over: Set<CloseWatch>, warn: Warn) {
    this.#over = over
    this.#warn = warn
  }

  /** Sees to it that the collection of `result` is noticed. */
  begin(result: object): void {
    collected?.register(result, this, this)
  }

  /** The result has no more to give. */
  end(): void {
    if (!this.#settled) this.#over.add(this)
  }

  /** The result was closed, or reported: nobody hears of it again. */
  settle(): void {
    this.#settled = true
    this.#over.delete(this)
    collected?.unregister(this)
  }

  /** Warns that the result was not closed before something happened. */
  report(what: string): void {
    this.settle()
    this.#warn(new ValidationError(29, `the server did not close() a result before ${what}`))
  }
}
