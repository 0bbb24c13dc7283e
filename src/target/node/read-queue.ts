/**
 * What arrived on a socket, waiting for a reader.
 *
 * @module
 */

/** What bytes arrive on. */
interface Pausable {
  resume(): unknown
}

/** Turns what a socket pushes into what a reader pulls. */
export class ReadQueue {
  readonly #from: Pausable
  readonly #most: number
  #chunks: Uint8Array[] = []
  #bytes = 0
  #paused = false
  #ended = false
  #failure: Error | undefined
  #reader: PromiseWithResolvers<Uint8Array | undefined> | undefined
  #onDiscard: (() => void) | undefined

  /**
   * @param from Resumed when there is room again.
   * @param most Bytes read ahead of the reader before the socket is paused.
   */
  constructor(from: Pausable, most = 262_144) {
    this.#from = from
    this.#most = most
  }

  /** Takes bytes that arrived; `false` asks the socket to pause. */
  push(bytes: Uint8Array): boolean {
    if (this.#reader !== undefined) {
      this.#reader.resolve(bytes)
      this.#reader = undefined
      return true
    }
    if (this.#onDiscard !== undefined) {
      this.#onDiscard()
      return true
    }
    this.#chunks.push(bytes)
    this.#bytes += bytes.length
    this.#paused = this.#bytes >= this.#most
    return !this.#paused
  }

  /** Nothing more arrives: the peer has closed its side, or the connection broke. */
  end(failure?: Error): void {
    this.#ended = true
    this.#failure ??= failure
    if (this.#failure === undefined) this.#reader?.resolve(undefined)
    else this.#reader?.reject(this.#failure)
    this.#reader = undefined
    this.#onDiscard = undefined
  }

  /** The next bytes, `undefined` at the end; rejects where the connection broke. */
  read(): Promise<Uint8Array | undefined> {
    const bytes = this.#chunks.shift()
    if (bytes !== undefined) {
      this.#bytes -= bytes.length
      if (this.#paused && this.#bytes < this.#most) {
        this.#paused = false
        this.#from.resume()
      }
      return Promise.resolve(bytes)
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#ended) return Promise.resolve(undefined)
    this.#reader = Promise.withResolvers()
    return this.#reader.promise
  }

  /** Has the read under way reject; what it would have read is for the next. */
  interrupt(error: Error): void {
    this.#reader?.reject(error)
    this.#reader = undefined
  }

  /**
   * Throws away what waits and what arrives, all but what is being read.
   *
   * @param onDiscard Called for each piece that arrives.
   */
  discard(onDiscard: () => void): void {
    this.#onDiscard = onDiscard
    this.#chunks = []
    this.#bytes = 0
    if (this.#paused) this.#from.resume()
    this.#paused = false
  }
}
