/**
 * A connection to a backend that does what a test says, and bodies that do: what a real server
 * does not do at the same moment every time.
 *
 * @module
 */
import type { Connection, Opening } from '../../src/bridge/connection.ts'
import type { BodySource } from '../../src/core/body-source.ts'
import { octets, text } from '../codec/wire.ts'

/** What a reset looks like to whoever reads or writes. */
export const RESET: Error = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })

/** A promise that never settles. */
export function never<T>(): Promise<T> {
  return Promise.withResolvers<T>().promise
}

/** A connection that is there when a promise says so. */
export function opening(opened: Promise<Connection>): Opening {
  return { opened, close: () => void opened.then((late) => late.close()).catch(() => {}) }
}

/** A connection whose other end is the test. */
export class MemoryConnection implements Connection {
  /** All that was written, one character a byte; failed writes are not in it. */
  written = ''
  closed = false
  /** What each write wants to be told when its bytes have been taken: the test tells it. */
  readonly taken: ((() => void) | undefined)[] = []
  /** Decides what a write comes to; called with its number, from 0. */
  onWrite: (index: number) => Promise<void> = async () => {}
  #writes = 0
  #arriving: (Uint8Array | Error | undefined)[] = []
  #reader: PromiseWithResolvers<Uint8Array | undefined> | undefined

  /** The backend sends this, one character a byte. */
  respond(wire: string): this {
    return this.#arrive(octets(wire))
  }

  /** The backend closes its side. */
  end(): this {
    return this.#arrive(undefined)
  }

  /** The backend resets the connection. */
  reset(): this {
    return this.#arrive(RESET)
  }

  read(): Promise<Uint8Array | undefined> {
    if (this.#reader !== undefined) throw new Error('Cannot read: another read is waiting')
    this.#reader = Promise.withResolvers()
    const { promise } = this.#reader
    this.#settle()
    return promise
  }

  async write(bytes: Uint8Array, onTaken?: () => void): Promise<void> {
    if (this.closed) throw new Error('Cannot write: the connection is closed')
    this.taken.push(onTaken)
    const kept = text(bytes)
    await this.onWrite(this.#writes++)
    this.written += kept
  }

  close(): void {
    this.closed = true
    this.#settle()
  }

  #arrive(item: Uint8Array | Error | undefined): this {
    this.#arriving.push(item)
    this.#settle()
    return this
  }

  #settle(): void {
    const reader = this.#reader
    if (reader === undefined || (this.#arriving.length === 0 && !this.closed)) return
    this.#reader = undefined
    const item = this.#arriving.shift()
    if (item instanceof Error) reader.reject(item)
    else reader.resolve(item)
  }
}

/** The body of a request, and what became of it. */
export class MemoryBody implements BodySource {
  reads = 0
  cancelled = false
  readonly #steps: (string | Error | (() => Promise<string | undefined>))[]

  /** @param steps What each read comes to: a chunk, an error, or what a function does. */
  constructor(...steps: (string | Error | (() => Promise<string | undefined>))[]) {
    this.#steps = steps
  }

  async read(): Promise<Uint8Array | undefined> {
    this.reads++
    const step = this.#steps.shift()
    if (step instanceof Error) throw step
    const chunk = typeof step === 'function' ? await step() : step
    return chunk === undefined ? undefined : octets(chunk)
  }

  async cancel(): Promise<void> {
    this.cancelled = true
  }
}
