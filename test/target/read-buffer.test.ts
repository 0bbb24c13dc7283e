import { describe, expect, test } from 'vitest'
import { ReadBuffer } from '../../src/target/node/read-buffer.ts'

const FULL = 65_536

/** Reads, as node:net does: bytes of one value, each into the memory that is asked for. */
function read(buffer: ReadBuffer, size: number, value: number): Uint8Array {
  buffer.next().fill(value, 0, size)
  return buffer.take(size)
}

describe('ReadBuffer', () => {
  test.each([
    ['small reads', [5, 7, 1]],
    ['full reads', [FULL, FULL, FULL, FULL]],
    ['full reads and others', [FULL, 3, FULL, FULL, FULL - 1, FULL]],
  ])('gives the bytes of %s, which stay as they are', (_what, sizes) => {
    const buffer = new ReadBuffer()
    const other = new ReadBuffer()
    const reads = sizes.map((size, i) => {
      const bytes = read(buffer, size, i + 1)
      read(other, size, 0xff)
      return bytes
    })
    const found = reads.map((bytes) => [bytes.length, [...new Set(bytes)]])
    expect(found).toEqual(sizes.map((size, i) => [size, [i + 1]]))
  })

  test('copies no read that fills a buffer of its own, and keeps nothing of it', () => {
    const buffer = new ReadBuffer()
    read(buffer, FULL, 1)
    const memory = buffer.next().buffer
    const bytes = read(buffer, FULL, 2)
    expect(bytes.buffer).toBe(memory)
    expect(buffer.next().buffer).not.toBe(memory)
  })

  test('keeps the buffer that a read has not filled', () => {
    const buffer = new ReadBuffer()
    read(buffer, FULL, 1)
    const memory = buffer.next().buffer
    expect(read(buffer, 10, 2).buffer).not.toBe(memory)
    expect(buffer.next().buffer).toBe(memory)
  })

  test('is one for all until a read fills it, and what it gives is no Buffer', () => {
    expect(new ReadBuffer().next()).toBe(new ReadBuffer().next())
    const buffer = new ReadBuffer()
    const reads = [1, FULL, FULL].map((size) => read(buffer, size, 1))
    expect(reads.some((bytes) => Buffer.isBuffer(bytes))).toBe(false)
  })
})
