/**
 * The chunked transfer coding, decoded strictly (RFC 9112 §7.1).
 *
 * gunicorn answers in it over uwsgi; nginx hands its framing to the client as body text.
 *
 * @module
 */
import type { GatewayError } from '../core/errors.ts'
import { protocolError } from './response-head.ts'

/** Longest chunk-size line, extensions included, and longest trailer section, in bytes. */
const MAX_LINE_BYTES = 4096
const MAX_TRAILER_BYTES = 65_536

const SIZE_LINE = /^([0-9A-Fa-f]{1,13})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/

/** What is expected next. */
type State = 'size' | 'data' | 'data-end' | 'trailer' | 'done'

/** Decodes one chunked body from bytes in any segmentation. */
export class ChunkedDecoder {
  readonly #makeError: (what: string) => GatewayError
  #state: State = 'size'
  #line = ''
  #left = 0
  #trailerBytes = 0

  /** @param makeError Makes the error for a broken coding; by default, the fault is an upstream's. */
  constructor(makeError: (what: string) => GatewayError = protocolError) {
    this.#makeError = makeError
  }

  /** Whether the last chunk and the trailer section have been read. */
  get done(): boolean {
    return this.#state === 'done'
  }

  /**
   * Decodes the next bytes.
   *
   * @param emit Receives each piece of the body, a view of `bytes`.
   * @returns Number of bytes used; fewer than given only when {@link done}.
   * @throws {GatewayError} when the coding is broken.
   */
  decode(bytes: Uint8Array, emit: (data: Uint8Array) => void): number {
    let offset = 0
    while (offset < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        const data = bytes.subarray(offset, offset + this.#left)
        this.#left -= data.length
        offset += data.length
        if (this.#left === 0) this.#state = 'data-end'
        emit(data)
      } else {
        offset = this.#takeLine(bytes, offset)
      }
    }
    return offset
  }

  /** Collects up to the end of a line; acts on it when it is whole. */
  #takeLine(bytes: Uint8Array, offset: number): number {
    const newline = bytes.indexOf(0x0a, offset)
    const end = newline < 0 ? bytes.length : newline + 1
    if (this.#line.length + end - offset > MAX_LINE_BYTES)
      throw this.#makeError('a chunk line is too long')
    this.#line += String.fromCharCode(...bytes.subarray(offset, end))
    if (newline >= 0) {
      // A bare LF would let two readers disagree on where a line ends.
      if (!this.#line.endsWith('\r\n')) throw this.#makeError('a chunk line ends without CR')
      const line = this.#line.slice(0, -2)
      this.#line = ''
      this.#actOn(line)
    }
    return end
  }

  #actOn(line: string): void {
    if (this.#state === 'size') {
      const match = SIZE_LINE.exec(line)
      if (match === null) throw this.#makeError('a chunk size is malformed')
      this.#left = Number.parseInt(match[1] ?? '', 16)
      this.#state = this.#left === 0 ? 'trailer' : 'data'
    } else if (this.#state === 'data-end') {
      if (line !== '') throw this.#makeError('a chunk is longer than its size')
      this.#state = 'size'
    } else if (line === '') {
      this.#state = 'done'
    } else {
      // Trailers are read past: merged into the head they could replace a field of it (CVE-2013-5704).
      this.#trailerBytes += line.length
      if (this.#trailerBytes > MAX_TRAILER_BYTES) throw this.#makeError('its trailers are too long')
    }
  }
}
