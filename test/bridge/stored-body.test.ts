import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { plainBody, StoredBody, type StoreLimits } from '../../src/bridge/stored-body.ts'
import { type BodySource, collect } from '../../src/core/body-source.ts'
import { openTempFile } from '../../src/target/node/temp-file.ts'
import { octets, text } from '../codec/wire.ts'
import { MemoryBody } from './memory-connection.ts'
import { FULL, MemoryDisk, pacer } from './memory-temp-file.ts'

const GONE = new Error('the client closed the connection')

interface Setup {
  readonly body: StoredBody
  readonly source: MemoryBody
  readonly disk: MemoryDisk
}

function setUp(
  steps: readonly (string | Error | (() => Promise<string | undefined>))[],
  limits: Partial<StoreLimits> = {}
): Setup {
  const source = new MemoryBody(...steps)
  const disk = new MemoryDisk()
  const all = {
    bufferBytes: 4,
    maxTempFileBytes: 8,
    maxBufferedBodyBytes: 4,
    openTempFile: disk.open,
    ...limits,
  }
  return { body: new StoredBody(source, all), source, disk }
}

async function readText(body: BodySource): Promise<string | undefined> {
  const chunk = await body.read()
  return chunk && text(chunk)
}

async function rest(body: BodySource): Promise<string> {
  return text(await collect(body))
}

/** Lets all that can happen without time passing happen. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Runs attempts that give up, then one that does not: what that read, if the body was whole. */
async function lastAttempt(
  body: StoredBody,
  tries: readonly (readonly [number, boolean])[]
): Promise<string | undefined> {
  const underWay: Promise<unknown>[] = []
  for (const [reads, leavesOne] of tries) {
    if (!body.isWhole) break
    const attempt = body.start()
    for (let left = reads; left > 0; left--) await attempt.read()
    if (leavesOne) underWay.push(attempt.read())
    await attempt.cancel(undefined)
  }
  const got = body.isWhole ? await rest(body.start()) : undefined
  await Promise.all(underWay)
  return got
}

describe('StoredBody.start() gives the body from its first byte', () => {
  const chunks = fc.array(fc.string({ minLength: 1, maxLength: 40, unit: 'binary-ascii' }), {
    maxLength: 20,
  })
  const limits = fc.record({ bufferBytes: fc.nat(200), maxTempFileBytes: fc.nat(600) })
  /** How many chunks each attempt reads, and whether it leaves one more read under way. */
  const attempts = fc.array(fc.tuple(fc.nat(12), fc.boolean()), { maxLength: 5 })
  const ticks = fc.array(fc.nat(6), { minLength: 1, maxLength: 8 })

  test('after any attempts, one with a read under way included', async () => {
    let whole = 0
    await fc.assert(
      fc.asyncProperty(chunks, limits, attempts, ticks, fc.nat(800), async (...given) => {
        const [all, sizes, tries, pace, room] = given
        const disk = new MemoryDisk()
        disk.room = room
        const wait = pacer(pace)
        disk.onOperation = wait
        const steps = all.map((chunk) => async (): Promise<string> => {
          await wait()
          return chunk
        })
        const body = new StoredBody(new MemoryBody(...steps), {
          ...sizes,
          maxBufferedBodyBytes: 0,
          openTempFile: disk.open,
        })
        const got = await lastAttempt(body, tries)
        if (got !== undefined) {
          whole++
          expect(got).toBe(all.join(''))
        }
        body.close(undefined)
        expect(disk.left).toBe(0)
      }),
      { numRuns: 1000 }
    )
    // Else the property would hold for want of a body.
    expect(whole).toBeGreaterThan(200)
  })

  test('through a real file', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, attempts, fc.nat(200), async (all, tries, bufferBytes) => {
        const spool = {
          bufferBytes,
          maxTempFileBytes: Infinity,
          maxBufferedBodyBytes: 0,
          openTempFile,
        }
        const body = new StoredBody(new MemoryBody(...all), spool)
        try {
          expect(await lastAttempt(body, tries)).toBe(all.join(''))
          expect(body.length).toBe(all.join('').length)
        } finally {
          body.close(undefined)
        }
      }),
      { numRuns: 60 }
    )
  })

  test('while the read of the one before is under way: nothing is lost or doubled', async () => {
    const arrival = Promise.withResolvers<string>()
    const { body, source } = setUp(['ab', () => arrival.promise, 'ef'])
    const first = body.start()
    expect(await readText(first)).toBe('ab')
    const late = first.read()
    const second = body.start()
    expect(await readText(second)).toBe('ab')
    const reading = readText(second)
    arrival.resolve('cd')
    expect([await reading, await rest(second)]).toEqual(['cd', 'ef'])
    // The client was asked for each chunk once, and the attempt that is over got nothing.
    expect([source.reads, await late]).toEqual([4, undefined])
  })

  test('in pieces of its own where some of it is in the file', async () => {
    const { body, disk } = setUp(['abcd', 'ef', 'gh'])
    expect(await rest(body.start())).toBe('abcdefgh')
    const again = body.start()
    expect([await readText(again), await readText(again), await readText(again)]).toEqual([
      'abcd',
      'efgh',
      undefined,
    ])
    expect([body.isWhole, body.length, disk.files.length]).toEqual([true, 8, 1])
  })

  test('and fails as the client did, each time', async () => {
    const { body } = setUp(['ab', GONE, GONE])
    await expect(rest(body.start())).rejects.toBe(GONE)
    await expect(rest(body.start())).rejects.toBe(GONE)
  })
})

describe('StoredBody over what it may keep', () => {
  test.each<[string, Partial<StoreLimits>, number]>([
    ['without files', { openTempFile: undefined }, 4],
    ['in a file', {}, 12],
    ['with maxTempFileBytes 0', { maxTempFileBytes: 0 }, 4],
    ['with neither', { bufferBytes: 0, maxTempFileBytes: 0 }, 0],
  ])('gives all of it, once: %s', async (_what, limits, most) => {
    const all = 'abcdefghijklmnop'
    const { body } = setUp([...all], limits)
    const reader = body.start()
    let got = ''
    for (let read = 0; read < all.length; read++) {
      got += await readText(reader)
      expect(body.isWhole).toBe(read < most)
    }
    expect([got, await readText(reader)]).toEqual([all, undefined])
  })

  test('gives all of it to the attempt that shares the read in which it grew too long', async () => {
    const arrival = Promise.withResolvers<string>()
    const { body } = setUp(['abcd', () => arrival.promise, 'ij'], { openTempFile: undefined })
    const first = body.start()
    await first.read()
    const late = first.read()
    await settle()
    const second = body.start()
    arrival.resolve('efgh')
    expect(await rest(second)).toBe('abcdefghij')
    expect([await late, body.isWhole]).toEqual([undefined, false])
  })

  test('gives all of it, once, when a write to the file fails, and says why', async () => {
    const { body, disk } = setUp(['abcd', 'efgh', 'ijkl'])
    disk.onOperation = async (under) => {
      if (under === 'write') throw FULL
    }
    expect(await rest(body.start())).toBe('abcdefghijkl')
    expect([body.isWhole, body.fileFailure]).toEqual([false, FULL])
    body.close(undefined)
    expect(disk.left).toBe(0)
  })

  test.each([
    [8, false],
    [12, true],
  ])('keeps %i bytes in memory where no file can be made', async (most, isWhole) => {
    const { body, disk } = setUp(['abcd', 'efgh', 'ijkl'], { maxBufferedBodyBytes: most })
    disk.onOperation = async (under) => {
      if (under === 'open') throw FULL
    }
    expect(await body.fill()).toBe(isWhole)
    expect([body.fileFailure, body.length]).toEqual([undefined, most])
  })

  test('gives what the file took before the disk was full', async () => {
    const { body, disk } = setUp(['abcd', 'efgh', 'ijkl', 'mnop'], { maxTempFileBytes: 99 })
    disk.room = 6
    expect(await rest(body.start())).toBe('abcdefghijklmnop')
    expect(body.isWhole).toBe(false)
  })

  test.each(['is cut', 'cannot be read'])('fails when the file %s', async (how) => {
    const { body, disk } = setUp(['abcd', 'efgh'])
    expect(await body.fill()).toBe(true)
    for (const file of disk.files) {
      if (how === 'is cut') file.size = 0
      else file.close()
    }
    await expect(rest(body.start())).rejects.toThrow(how === 'is cut' ? 'cut' : 'EBADF')
  })
})

describe('StoredBody.fill()', () => {
  test.each<[string, string[], boolean]>([
    ['nothing', [], true],
    ['what memory keeps', ['ab', 'cd'], true],
    ['what the file keeps', ['ab', 'cd', 'efgh', 'ijkl'], true],
    ['a byte too many', ['ab', 'cd', 'efgh', 'ijkl', 'm'], false],
  ])('learns the length of %s', async (_what, chunks, fits) => {
    const { body } = setUp(chunks)
    expect(await body.fill()).toBe(fits)
    if (!fits) return
    expect(body.length).toBe(chunks.join('').length)
    expect(await rest(body.start())).toBe(chunks.join(''))
  })

  test('reads no further than what it can keep', async () => {
    const { body, source } = setUp(['abcd', 'efgh', 'ijkl', 'mnop', 'q', 'r'])
    expect([await body.fill(), source.reads, body.fileFailure]).toEqual([false, 4, undefined])
  })

  test('rejects as the client did', async () => {
    const { body } = setUp(['abcd', GONE])
    await expect(body.fill()).rejects.toBe(GONE)
  })

  test('says why there is no file', async () => {
    const { body, disk } = setUp(['abcd', 'efgh'])
    disk.room = 2
    expect([await body.fill(), body.fileFailure]).toEqual([false, FULL])
  })
})

describe('StoredBody.close()', () => {
  test.each<[string, string[]]>([
    ['before anything was read', []],
    ['with some in memory', ['ab']],
    ['with some in the file', ['abcd', 'ef']],
    ['behind the end', ['abcd', 'ef', 'gh']],
  ])('cancels the client and deletes the file: %s', async (_when, read) => {
    const { body, source, disk } = setUp(['abcd', 'ef', 'gh'])
    const reader = body.start()
    for (const _ of read) await reader.read()
    body.close(undefined)
    body.close(undefined)
    expect([source.cancelled, disk.left, body.isWhole]).toEqual([true, 0, false])
    expect(await readText(reader)).toBeUndefined()
  })

  test.each(['open', 'write', 'read'] as const)(
    'deletes the file when its %s is under way',
    async (operation) => {
      const { body, source, disk } = setUp(['abcd', 'ef', 'gh'])
      const gate = Promise.withResolvers<void>()
      const begun = Promise.withResolvers<void>()
      disk.onOperation = async (under) => {
        if (under !== operation) return
        begun.resolve()
        await gate.promise
      }
      const reading = rest(body.start())
      await begun.promise
      body.close(GONE)
      gate.resolve()
      await reading
      expect([disk.files.length, disk.left, source.cancelled]).toEqual([1, 0, true])
    }
  )

  test('keeps nothing of a chunk that comes behind it', async () => {
    const arrival = Promise.withResolvers<string>()
    const { body, disk } = setUp(['abcd', () => arrival.promise])
    const reading = rest(body.start())
    await settle()
    body.close(GONE)
    arrival.resolve('efgh')
    expect([await reading, body.length, disk.files]).toEqual(['abcd', 4, []])
  })
})

describe('plainBody()', () => {
  test('is whole until it is read, and counts what was', async () => {
    const body = plainBody(new MemoryBody('ab', 'cd'))
    expect([body.isWhole, body.length]).toEqual([true, 0])
    const reader = body.start()
    expect(body.isWhole).toBe(true)
    expect(await readText(reader)).toBe('ab')
    expect([body.isWhole, body.length]).toEqual([false, 2])
    expect(await rest(reader)).toBe('cd')
    expect(body.length).toBe(4)
  })

  test('is not whole any more once it was given up', async () => {
    const source = new MemoryBody('ab')
    const body = plainBody(source)
    await body.start().cancel(undefined)
    expect([body.isWhole, source.cancelled]).toEqual([false, true])
  })

  test('passes the close on', () => {
    const source = new MemoryBody('ab')
    plainBody(source).close(GONE)
    expect(source.cancelled).toBe(true)
  })

  test('gives its bytes as they are', async () => {
    const bytes = octets('\0\xff')
    expect(await collect(plainBody(new MemoryBody('\0\xff')).start())).toEqual(bytes)
  })
})
