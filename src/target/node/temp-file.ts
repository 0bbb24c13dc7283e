/**
 * Temporary files through node:fs, for bodies that outgrow memory.
 *
 * @module
 */
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TempFile } from '../../bridge/spool.ts'

/**
 * Makes a file that only this process can reach: it has no name any more once it is open, so it is gone
 * however the process ends.
 *
 * @param folder Where it is made.
 * @throws what node:fs throws when the folder for temporary files takes none.
 */
export async function openTempFile(folder: string = tmpdir()): Promise<TempFile> {
  const path = join(folder, `edge-wsgi-${crypto.randomUUID()}`)
  const handle = await open(path, 'wx+', 0o600)
  let isNamed = true
  try {
    await unlink(path)
    isNamed = false
  } catch {
    // Windows keeps the name while the file is open.
  }
  return {
    async write(bytes, at) {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
        done += bytesWritten
      }
    },
    async read(at, size) {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(size), 0, size, at)
      return buffer.subarray(0, bytesRead)
    },
    close: () => void closeFile(handle, isNamed ? path : undefined),
  }
}

async function closeFile(handle: FileHandle, path: string | undefined): Promise<void> {
  try {
    await handle.close()
    if (path !== undefined) await unlink(path)
  } catch {
    // Closed before, or deleted by somebody else.
  }
}
