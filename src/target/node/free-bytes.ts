/**
 * Freeing the memory of bytes that have passed through.
 *
 * @module
 */

/** Fewer bytes are not worth it. */
const WORTH_FREEING_BYTES = 4096

/** Frees the memory of a chunk, unless there are other bytes in it: whoever looks at it finds it empty. */
export function freeBytes({ buffer, byteLength }: Uint8Array): void {
  if (byteLength < WORTH_FREEING_BYTES || byteLength < buffer.byteLength) return
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}
