/**
 * Bytes that wait: in memory, and beyond that in a temporary file where the runtime has one.
 *
 * @module
 */

/** A file that is gone when it is closed, or when the process ends. */
export interface TempFile {
  /** Writes all of `bytes` at an offset. */
  write(bytes: Uint8Array, at: number): Promise<void>
  /** Reads at most `size` bytes at an offset. */
  read(at: number, size: number): Promise<Uint8Array>
  /** Deletes it, when what is under way has ended. Idempotent; never throws. */
  close(): void
}

/** Makes a temporary file; rejects where there can be none. */
export type OpenTempFile = () => Promise<TempFile>

/** How much may wait, and where. */
export interface SpoolLimits {
  /** Most bytes in memory. A chunk that begins below it may go over. */
  readonly bufferBytes: number
  /** Most bytes in a file. */
  readonly maxTempFileBytes: number
  /** Absent where there are no files. */
  readonly openTempFile: OpenTempFile | undefined
}

/** Bytes read from a file at once. */
export const FILE_READ_BYTES = 65_536

/** A queue of bytes with one writer and one reader. */
export class Spool {
  readonly #limits: SpoolLimits
  #chunks: Uint8Array[] = []
  #memoryBytes = 0
  #file: TempFile | undefined
  /** What of the file has not been read. */
  #fileFrom = 0
  #fileTo = 0
  /** Chunks behind what is in a file that takes no more. */
  #behindFile: Uint8Array[] = []
  #fileBroken = false
  #closed = false

  constructor(limits: SpoolLimits) {
    this.#limits = limits
  }

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.#closed || (this.#chunks.length === 0 && this.#fileIsEmpty && !this.#holdsTail)
  }

  /** Whether the writer should wait for the reader. */
  get isFull(): boolean {
    if (this.#holdsTail) return true
    const { bufferBytes, maxTempFileBytes, openTempFile } = this.#limits
    if (this.#fileIsEmpty && this.#memoryBytes < bufferBytes) return false
    // A file that has been read is written again from its beginning.
    const fileBytes = this.#fileIsEmpty ? 0 : this.#fileTo
    return openTempFile === undefined || this.#fileBroken || fileBytes >= maxTempFileBytes
  }

  /** Whether the next chunk is the first that goes to the file. */
  get wouldSpill(): boolean {
    return !this.isFull && this.#fileIsEmpty && this.#memoryBytes >= this.#limits.bufferBytes
  }

  get #fileIsEmpty(): boolean {
    return this.#fileFrom === this.#fileTo
  }

  get #holdsTail(): boolean {
    return this.#behindFile.length > 0
  }

  /**
   * Takes a chunk, which nobody else may change afterwards. Never rejects: what no file takes stays in memory.
   *
   * @returns Whether the file has it, and the chunk itself is not needed any more.
   */
  async push(chunk: Uint8Array): Promise<boolean> {
    const { bufferBytes, openTempFile } = this.#limits
    if (this.#closed) return false
    if (this.#holdsTail) {
      this.#behindFile.push(chunk)
      return false
    }
    const memoryTakes = this.#memoryBytes < bufferBytes || openTempFile === undefined
    if (this.#fileIsEmpty && (memoryTakes || this.#fileBroken)) {
      this.#chunks.push(chunk)
      this.#memoryBytes += chunk.length
      return false
    }
    if (this.#fileIsEmpty) this.#fileFrom = this.#fileTo = 0
    try {
      this.#file ??= await openTempFile?.()
      if (this.#closed) this.#file?.close()
      else await this.#file?.write(chunk, this.#fileTo)
      this.#fileTo += chunk.length
      return true
    } catch {
      // A full disk slows the backend down to its reader; it takes nothing from the response.
      this.#fileBroken = true
      this.#behindFile.push(chunk)
      return false
    }
  }

  /** The oldest bytes; `undefined` when nothing waits. Rejects when the file cannot be read. */
  async shift(): Promise<Uint8Array | undefined> {
    if (this.#closed) return undefined
    const chunk = this.#chunks.shift()
    if (chunk !== undefined) {
      this.#memoryBytes -= chunk.length
      return chunk
    }
    if (this.#fileIsEmpty) return this.#behindFile.shift()
    const size = Math.min(FILE_READ_BYTES, this.#fileTo - this.#fileFrom)
    const bytes = await this.#file?.read(this.#fileFrom, size)
    if (bytes === undefined || bytes.length === 0) throw new Error('the temporary file was cut')
    this.#fileFrom += bytes.length
    return bytes
  }

  /** Frees all that waits. */
  close(): void {
    this.#closed = true
    this.#chunks = []
    this.#behindFile = []
    this.#file?.close()
  }
}
