/**
 * A request body that can be sent again, or whose length must be known before it is sent: what has
 * been read of it is kept, in memory and beyond that in a temporary file.
 *
 * @module
 */
import type { BodySource } from '../core/body-source.ts'
import { FILE_READ_BYTES, type OpenTempFile, type SpoolLimits, type TempFile } from './spool.ts'

/** A request body as the attempts to forward it share it. */
export interface RequestBody {
  /** Bytes of it that have been read so far. */
  readonly length: number
  /** Whether {@link start} gives the whole body, though some of it may have been read. */
  readonly isWhole: boolean
  /** The body from its first byte. Only the latest one may be read. */
  start(): BodySource
  /** Gives up on what has not been read, and frees what is kept. */
  close(reason: unknown): void
}

/** A body that is read once. */
export function plainBody(source: BodySource): RequestBody {
  let length = 0
  let untouched = true
  const once: BodySource = {
    async read() {
      untouched = false
      const chunk = await source.read()
      length += chunk?.length ?? 0
      return chunk
    },
    async cancel(reason) {
      untouched = false
      await source.cancel(reason)
    },
    free: source.free,
  }
  return {
    get length() {
      return length
    },
    get isWhole() {
      return untouched
    },
    start: () => once,
    close: (reason) => void source.cancel(reason),
  }
}

/** How much of a body is kept, and where. */
export interface StoreLimits extends SpoolLimits {
  /** Most bytes in memory where no file can be made: Deno may not, and Workers cannot. */
  readonly maxBufferedBodyBytes: number
}

/** A body that is kept while it is read. */
export class StoredBody implements RequestBody {
  readonly #source: BodySource
  readonly #limits: StoreLimits
  #openTempFile: OpenTempFile | undefined
  readonly #chunks: Uint8Array[] = []
  #memoryBytes = 0
  #file: TempFile | undefined
  #fileBytes = 0
  /** The read of the source that is under way, which a new attempt shares. */
  #reading: Promise<void> | undefined
  #ended = false
  #closed = false
  /** A chunk that nothing keeps, for the reader at the end. */
  #unkept: Uint8Array | undefined
  #isWhole = true
  #latest: symbol | undefined
  /** Why the temporary file takes no more: a full disk, say. */
  fileFailure: unknown

  constructor(source: BodySource, limits: StoreLimits) {
    this.#source = source
    this.#limits = limits
    this.#openTempFile = limits.openTempFile
  }

  get length(): number {
    return this.#memoryBytes + this.#fileBytes
  }

  get isWhole(): boolean {
    return this.#isWhole && !this.#closed
  }

  /**
   * Reads the body to its end, so that `length` is its length.
   *
   * @returns Whether all of it could be kept.
   */
  async fill(): Promise<boolean> {
    while (!this.#ended && this.#isWhole) await this.#advance()
    return this.#isWhole
  }

  start(): BodySource {
    const self = Symbol('start')
    this.#latest = self
    let index = 0
    let fileOffset = 0
    const read = async (): Promise<Uint8Array | undefined> => {
      while (this.#latest === self && !this.#closed) {
        const chunk = this.#chunks[index]
        if (chunk !== undefined) {
          index++
          return chunk
        }
        if (fileOffset < this.#fileBytes) {
          const size = Math.min(FILE_READ_BYTES, this.#fileBytes - fileOffset)
          const bytes = await this.#file?.read(fileOffset, size)
          if (bytes === undefined || bytes.length === 0)
            throw new Error('the temporary file was cut')
          fileOffset += bytes.length
          return bytes
        }
        const unkept = this.#unkept
        this.#unkept = undefined
        if (unkept !== undefined) return unkept
        if (this.#ended) return undefined
        await this.#advance()
      }
      return undefined
    }
    // An attempt that gives up leaves the body to the next one.
    return { read, cancel: async () => {} }
  }

  close(reason: unknown): void {
    this.#closed = true
    this.#chunks.length = 0
    this.#unkept = undefined
    this.#file?.close()
    void this.#source.cancel(reason)
  }

  #advance(): Promise<void> {
    this.#reading ??= this.#readOne().finally(() => (this.#reading = undefined))
    return this.#reading
  }

  async #readOne(): Promise<void> {
    const chunk = await this.#source.read()
    if (chunk === undefined) this.#ended = true
    else if (!this.#closed && !(await this.#keep(chunk))) {
      this.#isWhole = false
      this.#unkept = chunk
    }
  }

  async #keep(chunk: Uint8Array): Promise<boolean> {
    if (!this.#isWhole) return false
    const { bufferBytes, maxTempFileBytes, maxBufferedBodyBytes } = this.#limits
    const most = this.#openTempFile === undefined ? maxBufferedBodyBytes : bufferBytes
    if (this.#fileBytes === 0 && this.#memoryBytes + chunk.length <= most) {
      this.#chunks.push(chunk)
      this.#memoryBytes += chunk.length
      return true
    }
    if (this.#openTempFile === undefined) return false
    if (this.#fileBytes + chunk.length > maxTempFileBytes) return false
    this.#file ??= await this.#open(this.#openTempFile)
    return this.#file === undefined ? await this.#keep(chunk) : await this.#write(chunk, this.#file)
  }

  async #open(openTempFile: OpenTempFile): Promise<TempFile | undefined> {
    try {
      return await openTempFile()
    } catch {
      this.#openTempFile = undefined
      return undefined
    }
  }

  async #write(chunk: Uint8Array, file: TempFile): Promise<boolean> {
    try {
      if (this.#closed) file.close()
      else await file.write(chunk, this.#fileBytes)
      this.#fileBytes += chunk.length
      return true
    } catch (error) {
      // The body goes on to the backend all the same, and cannot be sent a second time.
      this.fileFailure = error
      return false
    }
  }
}
