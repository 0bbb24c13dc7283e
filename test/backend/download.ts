/**
 * The bytes that `/download?bytes=N` of the Python applications sends.
 *
 * @module
 */
import { createHash } from 'node:crypto'

const BLOCK_SIZE = 65_536
const BLOCK = Uint8Array.from({ length: BLOCK_SIZE }, (_, i) => (i * 7 + (i >> 8)) & 0xff)

/** The first `size` bytes of the pattern, `behaviour.py`'s counterpart. */
export function downloadBytes(size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let offset = 0; offset < size; offset += BLOCK_SIZE) {
    bytes.set(BLOCK.subarray(0, Math.min(BLOCK_SIZE, size - offset)), offset)
  }
  return bytes
}

/** SHA-256 in lower-case hex, as the applications report it. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}
