/**
 * The body of a request on the connection of its front, and what comes behind it.
 *
 * @module
 */
import { ChunkedDecoder } from '../codec/chunked.ts'
import type { BodySource } from '../core/body-source.ts'
import { badRequest, clientError } from '../core/errors.ts'
import type { AcceptedConnection } from './accepted-connection.ts'

/** What arrives on a connection behind a packet. */
export class ConnectionSource implements BodySource {
  readonly #connection: AcceptedConnection
  readonly #onDiscard: () => void
  #rest: Uint8Array | undefined
  #discarding = false

  /** @param onDiscard Called for each piece that is thrown away. */
  constructor(connection: AcceptedConnection, onDiscard: () => void) {
    this.#connection = connection
    this.#onDiscard = onDiscard
  }

  /** Puts back what was read too much. */
  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#rest = bytes
  }

  /** @throws {GatewayError} `ERR_CLIENT_CLOSED` when the connection broke. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#discarding) return undefined
    const rest = this.#rest
    this.#rest = undefined
    if (rest !== undefined) return rest
    try {
      return await this.#connection.read()
    } catch (error) {
      throw clientError(error)
    }
  }

  /**
   * Throws away what is left. A front closes its side when its client has gone, so reading goes on:
   * there is no other way to learn that.
   */
  async cancel(): Promise<void> {
    if (this.#discarding) return
    this.#discarding = true
    this.#rest = undefined
    this.#connection.discard(this.#onDiscard)
  }
}

/**
 * Decodes a body that a front hands on as it came: uWSGI's HTTP router announces no length then, where
 * nginx and Apache have decoded it.
 *
 * @throws {GatewayError} from `read()`: `ERR_BAD_REQUEST` when the coding is broken or cut off.
 */
export function dechunked(source: BodySource): BodySource {
  const decoder = new ChunkedDecoder((what) => badRequest(`Cannot read body: ${what}`))
  const pieces: Uint8Array[] = []
  return {
    async read() {
      for (;;) {
        const piece = pieces.shift()
        if (piece !== undefined) return piece
        if (decoder.done) return undefined
        const bytes = await source.read()
        if (bytes === undefined) throw badRequest('Cannot read body: it ended inside a chunk')
        decoder.decode(bytes, (data) => pieces.push(data))
        if (decoder.done) void source.cancel(undefined)
      }
    },
    cancel: (reason) => source.cancel(reason),
  }
}
