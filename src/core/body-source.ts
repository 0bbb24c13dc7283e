/**
 * Bodies as pull sources: what flows inside, between a socket and the Fetch-facing edge.
 *
 * A pull source costs one promise a chunk where a Web stream costs several, and back-pressure needs
 * no code: nobody reads, nothing moves.
 *
 * @module
 */
import { bodyTooLarge } from './body-framing.ts'
import { clientError, GatewayError } from './errors.ts'

/** A body, read chunk by chunk. */
export interface BodySource {
  /**
   * All of it, where it is in memory before the first read: whoever takes this need not read, nor
   * cancel. Most responses are so small, and each layer that waits for their end costs them more than
   * their bytes do.
   */
  readonly bytes?: Uint8Array | undefined
  /** The next chunk, never empty; `undefined` at the end. Rejects when the body cannot be completed. */
  read(): Promise<Uint8Array | undefined>
  /** Gives up on the rest. Idempotent; never rejects; nothing happens after the end. */
  cancel(reason: unknown): Promise<void>
  /**
   * Takes back a chunk that has been used up, to free its memory at once: left to the garbage collector,
   * 1 GiB passing through held 100 MB and took twice the CPU. Whoever keeps chunks, or hands them to code
   * that may, does not call it.
   */
  readonly free?: ((chunk: Uint8Array) => void) | undefined
}

/** A Web stream as a source. Empty chunks are passed over. */
export function streamSource(stream: ReadableStream<Uint8Array>): BodySource {
  const reader = stream.getReader()
  return {
    async read() {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return undefined
        if (value.length > 0) return value
      }
    },
    async cancel(reason) {
      // A stream that has failed already rejects its cancellation; there is nothing left to give up.
      await reader.cancel(reason).catch(() => {})
    },
  }
}

/**
 * A source as a Web stream of bytes that reads nothing ahead. A chunk that is part of a larger piece of
 * memory is copied: who gets it may look at the rest, or transfer the whole.
 */
export function sourceStream(source: BodySource): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream(
    {
      async pull(controller) {
        const chunk = await source.read()
        if (chunk === undefined) controller.close()
        else controller.enqueue(isWhole(chunk) ? chunk : new Uint8Array(chunk))
      },
      cancel: (reason) => source.cancel(reason),
    },
    { highWaterMark: 0 }
  )
}

function isWhole(chunk: Uint8Array): chunk is Uint8Array<ArrayBuffer> {
  return chunk.byteLength === chunk.buffer.byteLength
}

/** Who wants to know what becomes of a body. */
export interface BodyWatch {
  /** Called for each chunk, with its size in bytes. */
  onChunk?(size: number): void
  /** Called once: at the end, with what the body failed with, or when it is given up. */
  onEnd?(error: unknown, isGivenUp: boolean): void
}

/** A source that tells how it goes. */
export function watched(source: BodySource, watch: BodyWatch): BodySource {
  let ended = false
  function end(error?: unknown, isGivenUp = false): void {
    if (ended) return
    ended = true
    watch.onEnd?.(error, isGivenUp)
  }
  return {
    async read() {
      try {
        const chunk = await source.read()
        if (chunk === undefined) end()
        else watch.onChunk?.(chunk.length)
        return chunk
      } catch (error) {
        end(error)
        throw error
      }
    },
    async cancel(reason) {
      end(undefined, true)
      await source.cancel(reason)
    },
    free: source.free,
  }
}

/** No bytes. */
export const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array()

/** Bytes in memory as a source. */
export function bytesSource(bytes: Uint8Array): BodySource {
  let rest: Uint8Array | undefined = bytes.length > 0 ? bytes : undefined
  return {
    bytes,
    async read() {
      const chunk = rest
      rest = undefined
      return chunk
    },
    async cancel() {
      rest = undefined
    },
  }
}

/**
 * Cuts a source at exactly `length` bytes: what is over is never read, and less is an error.
 *
 * @param makeError Makes the error of a source that ends `left` bytes before `length`.
 * @throws {GatewayError} from `read()`: that error, by default `ERR_BODY_TOO_SHORT`.
 */
export function exactly(
  source: BodySource,
  length: number,
  makeError: (left: number, length: number) => GatewayError = bodyTooShort
): BodySource {
  let left = length
  return {
    async read() {
      if (left === 0) return undefined
      const chunk = await source.read()
      if (chunk === undefined) throw makeError(left, length)
      const wanted = chunk.length > left ? chunk.subarray(0, left) : chunk
      left -= wanted.length
      // The end is known without another read, which might wait for a peer that keeps the line open.
      if (left === 0) void source.cancel(undefined)
      return wanted
    },
    cancel: (reason) => source.cancel(reason),
    free: source.free,
  }
}

function bodyTooShort(left: number, length: number): GatewayError {
  return new GatewayError(
    'ERR_BODY_TOO_SHORT',
    `Cannot forward body: it ended ${left} bytes short of its Content-Length ${length}`
  )
}

/**
 * Refuses the chunk that takes a source over `most` bytes, and cancels the source.
 *
 * @throws {GatewayError} from `read()`: `ERR_BODY_TOO_LARGE`. Bytes count as they arrive, whatever a
 *   header said.
 */
export function atMost(source: BodySource, most: number): BodySource {
  let total = 0
  return {
    async read() {
      const chunk = await source.read()
      total += chunk?.length ?? 0
      if (total <= most) return chunk
      const error = bodyTooLarge(total, most)
      void source.cancel(error)
      throw error
    },
    cancel: (reason) => source.cancel(reason),
  }
}

/**
 * Reads a request body to its end into one buffer.
 *
 * @param most Largest size, in bytes.
 * @throws {GatewayError} `ERR_BODY_TOO_LARGE`, or `ERR_CLIENT_CLOSED` when the source fails.
 */
export async function collectRequest(source: BodySource, most: number): Promise<Uint8Array> {
  try {
    return await collect(atMost(source, most))
  } catch (error) {
    throw clientError(error)
  }
}

/** Reads a source to its end into one buffer. */
export async function collect(source: BodySource): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
    total += chunk.length
    chunks.push(chunk)
  }
  return concat(chunks, total)
}

/** Joins chunks of `total` bytes; a single one is returned as it is. */
export function concat(chunks: readonly Uint8Array[], total: number): Uint8Array {
  const [first] = chunks
  if (chunks.length === 1 && first !== undefined) return first
  const joined = new Uint8Array(total)
  let offset = 0
  for (const chunk of chunks) {
    joined.set(chunk, offset)
    offset += chunk.length
  }
  return joined
}
