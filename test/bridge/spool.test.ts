import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FILE_READ_BYTES, Spool, type SpoolLimits, type TempFile } from '../../src/bridge/spool.ts'
import { openTempFile } from '../../src/target/node/temp-file.ts'
import { joined, octets, text } from '../codec/wire.ts'
import { FULL, MemoryDisk, pacer } from './memory-temp-file.ts'

/** What a writer and a reader do, one after the other or, with `both`, at the same time. */
type Step = { readonly type: 'push' | 'both'; readonly size: number } | { readonly type: 'shift' }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constantFrom('push', 'both'), size: fc.integer({ min: 1, max: 60 }) }),
  fc.constant({ type: 'shift' } as const)
)
const steps = fc.array(step, { maxLength: 60 })

/** How much may wait: often nothing, often less than a chunk. */
const sizes = fc.record({
  bufferBytes: fc.nat(100),
  maxTempFileBytes: fc.oneof(fc.nat(200), fc.constant(Infinity)),
})

/** A chunk that differs from its neighbours, so that none can be lost, doubled or swapped unseen. */
function chunkMaker(): (size: number) => Uint8Array {
  let next = 0
  return (size) => Uint8Array.from({ length: size }, () => (next = (next * 5 + 7) & 0xffff) >> 4)
}

/** Everything that went through a spool. */
class Traffic {
  readonly pushed: Uint8Array[] = []
  readonly shifted: Uint8Array[] = []
  readonly #spool: Spool
  readonly #chunk = chunkMaker()

  constructor(limits: SpoolLimits) {
    this.#spool = new Spool(limits)
  }

  get spool(): Spool {
    return this.#spool
  }

  get waiting(): number {
    return length(this.pushed) - length(this.shifted)
  }

  async push(size: number): Promise<void> {
    const chunk = this.#chunk(size)
    this.pushed.push(chunk)
    // A copy: what a spool gave to a file it may not look at again.
    await this.#spool.push(chunk.slice())
  }

  async shift(): Promise<void> {
    const chunk = await this.#spool.shift()
    if (chunk !== undefined) this.shifted.push(chunk)
  }

  async run(all: readonly Step[], mayPush: () => boolean = () => true): Promise<void> {
    for (const each of all) {
      const pushes = each.type !== 'shift' && mayPush()
      await Promise.all([
        pushes ? this.push(each.size) : undefined,
        each.type === 'push' ? undefined : this.shift(),
      ])
    }
  }

  /** Reads what is left: what went in and what came out, one character a byte. */
  async finish(): Promise<readonly [out: string, into: string]> {
    while (!this.#spool.isEmpty) await this.shift()
    await this.shift()
    this.#spool.close()
    return [text(joined(...this.shifted)), text(joined(...this.pushed))]
  }
}

function length(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { length: size }) => sum + size, 0)
}

/** How long the operations of a disk take. */
const ticks = fc.array(fc.nat(6), { minLength: 1, maxLength: 8 })

describe('Spool gives what it took, in order,', () => {
  test('from memory alone', async () => {
    await fc.assert(
      fc.asyncProperty(steps, sizes, async (all, size) => {
        const traffic = new Traffic({ ...size, openTempFile: undefined })
        await traffic.run(all)
        const [out, into] = await traffic.finish()
        expect(out).toBe(into)
      })
    )
  })

  test('from memory and a file that is slow', async () => {
    await fc.assert(
      fc.asyncProperty(steps, sizes, ticks, async (all, size, delays) => {
        const disk = new MemoryDisk()
        disk.onOperation = pacer(delays)
        const traffic = new Traffic({ ...size, openTempFile: disk.open })
        await traffic.run(all)
        const [out, into] = await traffic.finish()
        expect(out).toBe(into)
        expect(disk.left).toBe(0)
      }),
      { numRuns: 400 }
    )
  })

  test('from memory and a real file', async () => {
    const open = new Set<TempFile>()
    async function track(): Promise<TempFile> {
      const file = await openTempFile()
      open.add(file)
      const close = (): void => {
        open.delete(file)
        file.close()
      }
      return { ...file, close }
    }
    await fc.assert(
      fc.asyncProperty(steps, sizes, async (all, size) => {
        const traffic = new Traffic({ ...size, openTempFile: track })
        await traffic.run(all)
        const [out, into] = await traffic.finish()
        expect(out).toBe(into)
      }),
      { numRuns: 60 }
    )
    expect(open.size).toBe(0)
  })

  test('when the disk is full after any number of bytes', async () => {
    await fc.assert(
      fc.asyncProperty(steps, sizes, ticks, fc.nat(300), async (all, size, delays, room) => {
        const disk = new MemoryDisk()
        disk.room = room
        disk.onOperation = pacer(delays)
        const traffic = new Traffic({ ...size, openTempFile: disk.open })
        await traffic.run(all)
        const [out, into] = await traffic.finish()
        expect(out).toBe(into)
        expect(disk.left).toBe(0)
      }),
      { numRuns: 400 }
    )
  })

  test('when the disk fails now and then, or takes no file at all', async () => {
    const failures = fc.array(fc.boolean(), { minLength: 1, maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(steps, sizes, failures, async (all, size, fails) => {
        const disk = new MemoryDisk()
        let index = 0
        disk.onOperation = async (operation) => {
          if (operation !== 'read' && fails[index++ % fails.length]) throw FULL
        }
        const traffic = new Traffic({ ...size, openTempFile: disk.open })
        await traffic.run(all)
        const [out, into] = await traffic.finish()
        expect(out).toBe(into)
      }),
      { numRuns: 400 }
    )
  })
})

describe('Spool.isFull', () => {
  test('keeps a writer that heeds it within the limits, a chunk over each at most', async () => {
    await fc.assert(
      fc.asyncProperty(steps, sizes, async (all, { bufferBytes, maxTempFileBytes }) => {
        const disk = new MemoryDisk()
        const traffic = new Traffic({ bufferBytes, maxTempFileBytes, openTempFile: disk.open })
        await traffic.run(all, () => !traffic.spool.isFull)
        expect(traffic.waiting).toBeLessThan(bufferBytes + maxTempFileBytes + 2 * 60)
        for (const { size } of disk.files) expect(size).toBeLessThan(maxTempFileBytes + 60)
        const [out, into] = await traffic.finish()
        expect(out).toBe(into)
      })
    )
  })

  test('says so at the limit of memory where there is no file', async () => {
    const spool = new Spool({ bufferBytes: 4, maxTempFileBytes: 99, openTempFile: undefined })
    expect(spool.isFull).toBe(false)
    await spool.push(octets('abc'))
    expect(spool.isFull).toBe(false)
    await spool.push(octets('def'))
    expect(spool.isFull).toBe(true)
    await spool.shift()
    expect(spool.isFull).toBe(false)
  })

  test('says so at the limit of the file, until that has been read', async () => {
    const disk = new MemoryDisk()
    const spool = new Spool({ bufferBytes: 1, maxTempFileBytes: 4, openTempFile: disk.open })
    // The second round too: a file that has been read may be written once more from its beginning.
    for (const round of ['first', 'second', 'third']) {
      await spool.push(octets('a'))
      expect(spool.isFull, round).toBe(false)
      await spool.push(octets('bcd'))
      expect(spool.isFull, round).toBe(false)
      await spool.push(octets('efg'))
      expect(spool.isFull, round).toBe(true)
      expect(text((await spool.shift()) ?? octets(''))).toBe('a')
      expect(spool.isFull, round).toBe(true)
      expect(text((await spool.shift()) ?? octets(''))).toBe('bcdefg')
      expect([spool.isFull, spool.isEmpty]).toEqual([false, true])
    }
    expect(disk.files.map(({ size }) => size)).toEqual([6])
    spool.close()
  })

  test('says so, and the file is left alone, when maxTempFileBytes is 0', async () => {
    const disk = new MemoryDisk()
    const spool = new Spool({ bufferBytes: 4, maxTempFileBytes: 0, openTempFile: disk.open })
    await spool.push(octets('abcd'))
    expect([spool.isFull, disk.files]).toEqual([true, []])
  })

  test('says so as long as a chunk waits that the disk did not take', async () => {
    const disk = new MemoryDisk()
    disk.room = 0
    const spool = new Spool({ bufferBytes: 0, maxTempFileBytes: 99, openTempFile: disk.open })
    await spool.push(octets('abc'))
    expect([spool.isFull, spool.isEmpty]).toEqual([true, false])
    expect(text((await spool.shift()) ?? octets(''))).toBe('abc')
    expect(spool.isEmpty).toBe(true)
  })
})

describe('Spool', () => {
  test('asks for no file before memory is full', async () => {
    const disk = new MemoryDisk()
    const spool = new Spool({ bufferBytes: 4, maxTempFileBytes: 99, openTempFile: disk.open })
    await spool.push(octets('abcd'))
    expect(disk.files).toHaveLength(0)
    await spool.push(octets('e'))
    expect(disk.files).toHaveLength(1)
    spool.close()
  })

  test('asks a disk that has failed for nothing more', async () => {
    const disk = new MemoryDisk()
    const asked: string[] = []
    disk.onOperation = async (operation) => {
      asked.push(operation)
      throw FULL
    }
    const spool = new Spool({ bufferBytes: 2, maxTempFileBytes: 99, openTempFile: disk.open })
    for (const chunk of ['ab', 'cd']) await spool.push(octets(chunk))
    for (const _ of ['ab', 'cd']) await spool.shift()
    await spool.push(octets('ef'))
    expect([spool.isFull, asked]).toEqual([true, ['open']])
    await spool.push(octets('gh'))
    expect(asked).toEqual(['open'])
  })

  test('reads a file in pieces', async () => {
    const disk = new MemoryDisk()
    const spool = new Spool({ bufferBytes: 0, maxTempFileBytes: Infinity, openTempFile: disk.open })
    await spool.push(new Uint8Array(FILE_READ_BYTES + 1))
    expect([(await spool.shift())?.length, (await spool.shift())?.length]).toEqual([
      FILE_READ_BYTES,
      1,
    ])
  })

  test.each(['is cut', 'cannot be read'])('rejects when the file %s', async (how) => {
    const disk = new MemoryDisk()
    const spool = new Spool({ bufferBytes: 0, maxTempFileBytes: 99, openTempFile: disk.open })
    await spool.push(octets('abc'))
    for (const file of disk.files) {
      if (how === 'is cut') file.size = 0
      else file.close()
    }
    await expect(spool.shift()).rejects.toThrow(how === 'is cut' ? 'cut' : 'EBADF')
  })
})

describe('Spool.close()', () => {
  test.each(['open', 'write'] as const)(
    'deletes a file whose %s is under way',
    async (operation) => {
      const disk = new MemoryDisk()
      const gate = Promise.withResolvers<void>()
      disk.onOperation = async (under) => {
        if (under === operation) await gate.promise
      }
      const spool = new Spool({ bufferBytes: 0, maxTempFileBytes: 99, openTempFile: disk.open })
      const pushing = spool.push(octets('abc'))
      await Promise.resolve()
      spool.close()
      gate.resolve()
      await pushing
      expect(disk.files).toHaveLength(1)
      expect([disk.left, spool.isEmpty]).toEqual([0, true])
      expect(await spool.shift()).toBeUndefined()
    }
  )

  test('leaves nothing that waits, and may be called again', async () => {
    const disk = new MemoryDisk()
    const spool = new Spool({ bufferBytes: 1, maxTempFileBytes: 99, openTempFile: disk.open })
    await spool.push(octets('abc'))
    await spool.push(octets('def'))
    spool.close()
    spool.close()
    await spool.push(octets('ghi'))
    expect([disk.left, spool.isEmpty]).toEqual([0, true])
    expect(await spool.shift()).toBeUndefined()
  })
})
