/**
 * Bytes from a backend → the events of one response. Never sees a socket.
 *
 * ```
 * head ──interim (1xx)──▶ head        at most ten
 * head ──no body────────▶ end         HEAD, 204, 205, 304
 * head ─────────────────▶ body ─────▶ end
 * head ──101, asked for─▶ body ─────▶ end     the bytes of the other protocol, to EOF
 * ```
 *
 * The end is Content-Length, else the last chunk, else EOF; an early EOF is an error and never an end.
 *
 * @module
 */
import { GatewayError } from '../core/errors.ts'
import { octetsToNative } from '../core/octets.ts'
import { concat } from '../core/body-source.ts'
import { ChunkedDecoder } from './chunked.ts'
import {
  parseResponseHead,
  protocolError,
  type ResponseFraming,
  type ResponseHead,
} from './response-head.ts'

/** What a {@link ResponseDecoder} finds, in this order: one `head`, any number of `body`, one `end`. */
export type ResponseEvent =
  | ({ readonly type: 'head' } & ResponseHead)
  | { readonly type: 'body'; readonly data: Uint8Array }
  | { readonly type: 'end' }

/** What a decoder must know of the request, and its limits. */
export interface ResponseDecoderOptions {
  /** Request method: HEAD has no body in its answer. */
  method: string
  /**
   * Protocol that the request asks to switch to. A 101 to it is a `head`, and all behind it, to the
   * end of the connection, is `body`.
   *
   * @default none: a 101 is an error
   */
  upgrade?: string | undefined
  /**
   * Largest response head, in bytes; a larger one is an error (nginx: `uwsgi_buffer_size`).
   *
   * @default 65536
   */
  maxHeadBytes?: number | undefined
}

/** Interim responses before the real one; more is a backend gone mad. */
const MAX_INTERIM = 10

const LF = 0x0a
const CR = 0x0d

/** Decodes one response from bytes in any segmentation. */
export class ResponseDecoder {
  readonly #method: string
  readonly #upgrade: string | undefined
  readonly #maxHeadBytes: number
  #state: 'head' | 'body' | 'end' = 'head'
  #framing: ResponseFraming = { type: 'none' }
  #events: ResponseEvent[] = []
  /** How many of them have been handed out. */
  #handedOut = 0
  #failure: GatewayError | undefined
  #received = false
  #interim = 0
  /** Bytes of the head so far, and the scan for the empty line that ends it. */
  #head: Uint8Array[] = []
  #headBytes = 0
  #lineBytes = 0
  #lineFirst = 0
  /** Bytes of body still to come, under Content-Length. */
  #left = 0
  #chunked: ChunkedDecoder | undefined
  #persistent = false
  /** Whether bytes came behind the response. */
  #excess = false

  constructor(options: ResponseDecoderOptions) {
    this.#method = options.method
    this.#upgrade = options.upgrade
    this.#maxHeadBytes = options.maxHeadBytes ?? 65_536
  }

  /** Whether any byte has arrived. */
  get received(): boolean {
    return this.#received
  }

  /** Whether the response is complete; what follows is passed over. */
  get complete(): boolean {
    return this.#state === 'end'
  }

  /**
   * Whether the connection may carry another request: the response is complete, its end was found by
   * its framing, nothing came behind it, and the backend keeps the connection.
   */
  get reusable(): boolean {
    return this.complete && this.#persistent && this.#framing.type !== 'eof' && !this.#excess
  }

  /**
   * Takes the next bytes of the connection, in order. They are kept, not copied.
   *
   * @throws {GatewayError} `ERR_UPSTREAM_PROTOCOL` when they are not a response; every later call
   *   throws it again.
   */
  push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#received = true
    this.#guard(() => {
      let rest = bytes
      while (rest.length > 0 && this.#state === 'head') rest = this.#takeHead(rest)
      if (rest.length === 0) return
      if (this.#state === 'body') this.#takeBody(rest)
      else this.#excess = true
    })
  }

  /**
   * Says that the backend has closed the connection.
   *
   * @throws {GatewayError} `ERR_UPSTREAM_EMPTY` before the first byte, `ERR_UPSTREAM_TRUNCATED` inside
   *   the response.
   */
  pushEnd(): void {
    this.#guard(() => {
      if (this.#state === 'end') return
      if (!this.#received) {
        throw new GatewayError(
          'ERR_UPSTREAM_EMPTY',
          'The upstream closed the connection without an answer'
        )
      }
      if (this.#state === 'body' && this.#framing.type === 'eof') this.#finish()
      else throw this.#truncated()
    })
  }

  /** The next event, `undefined` when more bytes are needed or the response is over. */
  next(): ResponseEvent | undefined {
    // Not shift(), which moves all the others: a large push may hold a chunk every six bytes.
    const event = this.#events[this.#handedOut]
    if (event !== undefined) this.#handedOut++
    else if (this.#handedOut > 0) {
      this.#events = []
      this.#handedOut = 0
    }
    return event
  }

  #truncated(): GatewayError {
    const where =
      this.#state === 'head'
        ? `inside the head of its response, after ${this.#headBytes} bytes`
        : this.#framing.type === 'length'
          ? `${this.#left} bytes before the end of its response`
          : 'before the last chunk of its response'
    return new GatewayError('ERR_UPSTREAM_TRUNCATED', `The upstream closed the connection ${where}`)
  }

  #guard(step: () => void): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      step()
    } catch (error) {
      if (error instanceof GatewayError) this.#failure = error
      throw error
    }
  }

  /** Collects the head; once its empty line is there, parses it. Returns the bytes behind it. */
  #takeHead(bytes: Uint8Array): Uint8Array {
    const end = this.#findEmptyLine(bytes)
    const part = end < 0 || end === bytes.length ? bytes : bytes.subarray(0, end)
    this.#head.push(part)
    this.#headBytes += part.length
    if (this.#headBytes > this.#maxHeadBytes) {
      throw protocolError(`its head is over ${this.#maxHeadBytes} bytes`)
    }
    if (end < 0) return bytes.subarray(bytes.length)
    const text = octetsToNative(concat(this.#head, this.#headBytes))
    this.#head = []
    this.#headBytes = 0
    this.#startBody(parseResponseHead(text, this.#method))
    return bytes.subarray(end)
  }

  /** Offset behind the empty line that ends the head, or -1. Each byte is looked at once. */
  #findEmptyLine(bytes: Uint8Array): number {
    let from = 0
    while (from < bytes.length) {
      const newline = bytes.indexOf(LF, from)
      const end = newline < 0 ? bytes.length : newline
      if (this.#lineBytes === 0 && end > from) this.#lineFirst = bytes[from] ?? 0
      this.#lineBytes += end - from
      if (newline < 0) return -1
      const empty = this.#lineBytes === 0 || (this.#lineBytes === 1 && this.#lineFirst === CR)
      this.#lineBytes = 0
      from = newline + 1
      if (empty) return from
    }
    return -1
  }

  #startBody(head: ResponseHead): void {
    if (head.status === 101) {
      // Not asked for, it would leave the client with HTTP and the backend with something else.
      if (this.#upgrade === undefined) throw protocolError('it switches protocols unasked')
      if (head.upgrade !== this.#upgrade) throw protocolError('it switches to another protocol')
    } else if (head.status < 200) {
      this.#interim++
      if (this.#interim > MAX_INTERIM) throw protocolError(`over ${MAX_INTERIM} interim responses`)
      return
    }
    const { framing } = head
    this.#framing = framing
    this.#persistent = head.persistent
    this.#state = 'body'
    const { status, reason, headers, persistent, upgrade } = head
    // Spelled out: a spread, where not all heads have the same members, takes V8 1 300 instructions.
    this.#events.push({ type: 'head', status, reason, headers, framing, persistent, upgrade })
    if (framing.type === 'length') this.#left = framing.length
    if (framing.type === 'chunked') this.#chunked = new ChunkedDecoder()
    if (framing.type === 'none' || (framing.type === 'length' && framing.length === 0))
      this.#finish()
  }

  #takeBody(bytes: Uint8Array): void {
    if (this.#framing.type === 'length') {
      this.#excess = bytes.length > this.#left
      const data = this.#excess ? bytes.subarray(0, this.#left) : bytes
      this.#left -= data.length
      this.#emit(data)
      if (this.#left === 0) this.#finish()
    } else if (this.#chunked !== undefined) {
      const taken = this.#chunked.decode(bytes, (data) => this.#emit(data))
      this.#excess = taken < bytes.length
      if (this.#chunked.done) this.#finish()
    } else {
      this.#emit(bytes)
    }
  }

  #emit(data: Uint8Array): void {
    this.#events.push({ type: 'body', data })
  }

  #finish(): void {
    this.#state = 'end'
    this.#events.push({ type: 'end' })
  }
}
