/**
 * `wsgi.input`: the request body as PEP 3333 lets an application read it.
 *
 * The four methods of the PEP and no other. Each returns a promise, since JavaScript cannot block;
 * `for await` over it yields lines.
 *
 * @see https://peps.python.org/pep-3333/#input-and-error-streams
 * @module
 */
import { type BodySource, concat } from './body-source.ts'

const LF = 0x0a

/** The request body as a file-like object. */
export class WsgiInput {
  readonly #source: BodySource
  #chunks: Uint8Array[] = []
  #ended = false

  /** @param source Ends where the body ends, and fails where the body stays short of its length. */
  constructor(source: BodySource) {
    this.#source = source
  }

  /**
   * The next bytes as they arrived, `undefined` at the end: for a gateway that hands them on, since
   * `read()` waits for as many as it was asked for.
   */
  static readChunk(input: WsgiInput): Promise<Uint8Array | undefined> {
    return input.#next()
  }

  /**
   * Reads up to `size` bytes, waiting until that many or the end have arrived.
   *
   * @param size Number of bytes; absent, `null` or negative reads to the end.
   * @returns Fewer than `size` bytes only at the end; empty once there is no more.
   */
  async read(size?: number | null): Promise<Uint8Array> {
    return await this.#take(() => undefined, toLimit(size))
  }

  /**
   * Reads one line, its `\n` included.
   *
   * @param limit Most bytes to return; absent or negative means no limit.
   */
  async readline(limit?: number | null): Promise<Uint8Array> {
    return await this.#take((chunk) => {
      const index = chunk.indexOf(LF)
      return index < 0 ? undefined : index + 1
    }, toLimit(limit))
  }

  /**
   * Reads whole lines until at least `hint` bytes of them have been read.
   *
   * @param hint Bytes; absent, zero or negative reads all lines.
   */
  async readlines(hint?: number | null): Promise<Uint8Array[]> {
    const enough = hint == null || hint <= 0 ? Infinity : hint
    const lines: Uint8Array[] = []
    let total = 0
    for await (const line of this) {
      lines.push(line)
      total += line.length
      if (total >= enough) break
    }
    return lines
  }

  /** Yields the lines that are left. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (let line = await this.readline(); line.length > 0; line = await this.readline()) yield line
  }

  /**
   * Takes bytes off the front: to the end that `findEnd` sees in a chunk, at most `limit`.
   *
   * @param findEnd Offset behind the last byte wanted of a chunk; `undefined` wants the next one too.
   */
  async #take(
    findEnd: (chunk: Uint8Array) => number | undefined,
    limit: number
  ): Promise<Uint8Array> {
    const taken: Uint8Array[] = []
    let total = 0
    while (total < limit) {
      const chunk = await this.#next()
      if (chunk === undefined) break
      const end = findEnd(chunk)
      const size = Math.min(end ?? chunk.length, limit - total)
      taken.push(chunk.subarray(0, size))
      total += size
      if (size < chunk.length) this.#chunks.push(chunk.subarray(size))
      if (end === size) break
    }
    return concat(taken, total)
  }

  async #next(): Promise<Uint8Array | undefined> {
    const buffered = this.#chunks.pop()
    if (buffered !== undefined || this.#ended) return buffered
    const chunk = await this.#source.read()
    this.#ended = chunk === undefined
    return chunk
  }
}

function toLimit(size: number | null | undefined): number {
  return size == null || size < 0 ? Infinity : size
}
