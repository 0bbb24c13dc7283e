/**
 * Temporary files in memory that fail when a test says, which no disk does at the same moment every
 * time; and what a test asks of any temporary file.
 *
 * @module
 */
import type { OpenTempFile, TempFile } from '../../src/bridge/spool.ts'

/** What a disk says that is full. */
export const FULL: Error = Object.assign(new Error('ENOSPC: no space left on device'), {
  code: 'ENOSPC',
})

/** A folder for temporary files. */
export class MemoryDisk {
  readonly files: MemoryTempFile[] = []
  /** Bytes it takes in all; the write that would go over fails. */
  room: number = Infinity
  /** Waited for before each operation: `open`, `write` or `read`. */
  onOperation: (operation: 'open' | 'write' | 'read') => Promise<void> = async () => {}

  readonly open: OpenTempFile = async () => {
    await this.onOperation('open')
    const file = new MemoryTempFile(this)
    this.files.push(file)
    return file
  }

  /** Files that nobody has closed. */
  get left(): number {
    return this.files.filter(({ closed }) => !closed).length
  }
}

/** One of its files. */
export class MemoryTempFile implements TempFile {
  closed = false
  /** The most bytes it ever held. */
  size = 0
  readonly #disk: MemoryDisk
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1024)

  constructor(disk: MemoryDisk) {
    this.#disk = disk
  }

  async write(bytes: Uint8Array, at: number): Promise<void> {
    if (this.closed) throw new Error('EBADF: bad file descriptor')
    await this.#disk.onOperation('write')
    const end = at + bytes.length
    if (end > this.#disk.room) {
      // Some of it is on the disk all the same, as it is on a real one.
      this.#put(bytes.subarray(0, Math.max(0, this.#disk.room - at)), at)
      throw FULL
    }
    this.#put(bytes, at)
  }

  async read(at: number, size: number): Promise<Uint8Array> {
    if (this.closed) throw new Error('EBADF: bad file descriptor')
    await this.#disk.onOperation('read')
    return this.#bytes.slice(at, Math.min(at + size, this.size))
  }

  close(): void {
    this.closed = true
  }

  #put(bytes: Uint8Array, at: number): void {
    const end = at + bytes.length
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(end * 2)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes.set(bytes, at)
    this.size = Math.max(this.size, end)
  }
}

/** Waits for now more and now less of what is under way: one entry a call, over and over. */
export function pacer(ticks: readonly number[]): () => Promise<void> {
  let index = 0
  return async function pace() {
    for (let left = ticks[index++ % ticks.length] ?? 0; left > 0; left--) await Promise.resolve()
  }
}
