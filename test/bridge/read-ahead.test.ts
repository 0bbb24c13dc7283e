import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { readAhead, type ReadAheadLimits } from '../../src/bridge/read-ahead.ts'
import { type BodySource, collect } from '../../src/core/body-source.ts'
import { openTempFile } from '../../src/target/node/temp-file.ts'
import { octets, text } from '../codec/wire.ts'
import { FULL, MemoryDisk, pacer } from './memory-temp-file.ts'

const BROKEN = new Error('the backend reset the connection')

/** Lets all that can happen without time passing happen. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** A backend's body that is sent piece by piece, as a test says, and what became of it. */
class FedBody implements BodySource {
  reads = 0
  cancelled: unknown[] = []
  readonly #fed: (Uint8Array | Error | undefined)[] = []
  #reader: PromiseWithResolvers<Uint8Array | undefined> | undefined

  /** A chunk; or what it fails with; or, without one, its end. */
  feed(...items: (string | Error | undefined)[]): this {
    this.#fed.push(...items.map((item) => (typeof item === 'string' ? octets(item) : item)))
    this.#settle()
    return this
  }

  read(): Promise<Uint8Array | undefined> {
    if (this.#reader !== undefined) throw new Error('Cannot read: another read is waiting')
    this.reads++
    this.#reader = Promise.withResolvers()
    const { promise } = this.#reader
    this.#settle()
    return promise
  }

  async cancel(reason: unknown): Promise<void> {
    this.cancelled.push(reason)
    this.#fed.length = 0
    this.feed(BROKEN)
  }

  #settle(): void {
    const reader = this.#reader
    if (reader === undefined || this.#fed.length === 0) return
    this.#reader = undefined
    const item = this.#fed.shift()
    if (item instanceof Error) reader.reject(item)
    else reader.resolve(item)
  }
}

interface Setup {
  readonly source: FedBody
  readonly disk: MemoryDisk
  readonly body: BodySource
}

function setUp(limits: Partial<ReadAheadLimits> = {}): Setup {
  const source = new FedBody()
  const disk = new MemoryDisk()
  const all = { bufferBytes: 4, maxTempFileBytes: 8, openTempFile: disk.open, ...limits }
  return { source, disk, body: readAhead(source, all) }
}

async function readText(body: BodySource): Promise<string | undefined> {
  const chunk = await body.read()
  return chunk && text(chunk)
}

describe('readAhead() and the memory of chunks', () => {
  test('gives back to the source what the file has, and nothing else', async () => {
    const freed: string[] = []
    const source = Object.assign(new FedBody(), {
      free: (chunk: Uint8Array) => void freed.push(text(chunk)),
    })
    const { open } = new MemoryDisk()
    const body = readAhead(source, { bufferBytes: 4, maxTempFileBytes: 8, openTempFile: open })
    source.feed('abcd', 'efgh', 'ijkl', undefined)
    await settle()
    expect(freed).toEqual(['efgh', 'ijkl'])
    expect(text(await collect(body))).toBe('abcdefghijkl')
    expect(freed).toEqual(['efgh', 'ijkl'])
    expect(body.free).toBe(source.free)
  })

  test('keeps what a full disk did not take', async () => {
    const freed: string[] = []
    const source = Object.assign(new FedBody(), {
      free: (chunk: Uint8Array) => void freed.push(text(chunk)),
    })
    const disk = new MemoryDisk()
    disk.room = 2
    const body = readAhead(source, {
      bufferBytes: 4,
      maxTempFileBytes: 8,
      openTempFile: disk.open,
    })
    source.feed('abcd', 'efgh', undefined)
    await settle()
    expect([freed, text(await collect(body))]).toEqual([[], 'abcdefgh'])
  })
})

describe('readAhead() gives the bytes of its source', () => {
  const pieces = fc.array(fc.string({ minLength: 1, maxLength: 40, unit: 'binary-ascii' }), {
    maxLength: 30,
  })
  /** How long each step of the source, the disk and the reader takes. */
  const delays = fc.array(fc.nat(8), { minLength: 1, maxLength: 12 })
  const limits = fc.record({ bufferBytes: fc.nat(80), maxTempFileBytes: fc.nat(300) })
  /** Bytes that the disk takes, and whether there is one. */
  const room = fc.option(fc.oneof(fc.nat(300), fc.constant(Infinity)), { nil: undefined })

  interface Schedule {
    readonly source: readonly number[]
    readonly disk: readonly number[]
    readonly reader: readonly number[]
  }

  async function passThrough(
    chunks: readonly string[],
    spool: ReadAheadLimits,
    pace: Schedule,
    failure?: Error
  ): Promise<string> {
    const fed = [...chunks]
    const sourcePace = pacer(pace.source)
    const source: BodySource = {
      async read() {
        await sourcePace()
        const chunk = fed.shift()
        if (chunk === undefined && failure !== undefined) throw failure
        return chunk === undefined ? undefined : octets(chunk)
      },
      async cancel() {},
    }
    const body = readAhead(source, spool)
    const readerPace = pacer(pace.reader)
    let got = ''
    for (;;) {
      await readerPace()
      try {
        const chunk = await body.read()
        if (chunk === undefined) return `${got} end`
        expect(chunk.length).toBeGreaterThan(0)
        got += text(chunk)
      } catch (error) {
        expect(error).toBe(failure)
        return `${got} failure`
      }
    }
  }

  const schedule = fc.record({ source: delays, disk: delays, reader: delays })

  test('whoever is slow, whatever the disk takes, and its failure behind them', async () => {
    await fc.assert(
      fc.asyncProperty(
        pieces,
        limits,
        room,
        schedule,
        fc.boolean(),
        async (chunks, sizes, takes, pace, fails) => {
          const disk = new MemoryDisk()
          disk.room = takes ?? 0
          disk.onOperation = pacer(pace.disk)
          const spool = { ...sizes, openTempFile: takes === undefined ? undefined : disk.open }
          const got = await passThrough(chunks, spool, pace, fails ? BROKEN : undefined)
          expect(got).toBe(`${chunks.join('')} ${fails ? 'failure' : 'end'}`)
          expect(disk.left).toBe(0)
        }
      ),
      { numRuns: 1000 }
    )
  })

  test('through a real file', async () => {
    await fc.assert(
      fc.asyncProperty(pieces, limits, schedule, async (chunks, sizes, pace) => {
        const got = await passThrough(chunks, { ...sizes, openTempFile }, pace)
        expect(got).toBe(`${chunks.join('')} end`)
      }),
      { numRuns: 60 }
    )
  })
})

describe('readAhead() reads on while nobody reads it', () => {
  test('to the end, so that the backend is done with', async () => {
    const { source, body, disk } = setUp()
    source.feed('abcd', 'efgh', 'i', undefined)
    await settle()
    expect(source.reads).toBe(4)
    expect(text(await collect(body))).toBe('abcdefghi')
    expect(disk.left).toBe(0)
  })

  test('to the failure, which shows behind what came before it', async () => {
    const { source, body, disk } = setUp()
    source.feed('abcd', 'efgh', BROKEN)
    await settle()
    expect([await readText(body), await readText(body)]).toEqual(['abcd', 'efgh'])
    await expect(body.read()).rejects.toBe(BROKEN)
    // Nobody may take a failure for an end by asking again.
    await expect(body.read()).rejects.toBe(BROKEN)
    expect(disk.left).toBe(0)
  })

  test('to the limits, and no further', async () => {
    const { source, body } = setUp()
    source.feed('abcd', 'efgh', 'ijkl', 'mnop')
    await settle()
    // Four bytes fill the memory, eight the file.
    expect(source.reads).toBe(3)
    expect(await readText(body)).toBe('abcd')
    await settle()
    expect(source.reads).toBe(3)
    // All of the file is one piece; now there is room, and one chunk more was fed than was read.
    expect(await readText(body)).toBe('efghijkl')
    await settle()
    expect(source.reads).toBe(5)
    expect(await readText(body)).toBe('mnop')
  })

  test.each<[string, Partial<ReadAheadLimits>]>([
    ['no files', { openTempFile: undefined }],
    ['maxTempFileBytes 0', { maxTempFileBytes: 0 }],
  ])('to the limit of memory with %s', async (_what, limits) => {
    const { source, body, disk } = setUp(limits)
    source.feed('abc', 'def', 'ghi')
    await settle()
    expect([source.reads, disk.files]).toEqual([2, []])
    expect(await readText(body)).toBe('abc')
    await settle()
    expect(source.reads).toBe(3)
  })

  test('to the chunk that a full disk did not take', async () => {
    const { source, body, disk } = setUp()
    disk.room = 2
    source.feed('abcd', 'efgh', 'ijkl')
    await settle()
    expect(source.reads).toBe(2)
    expect([await readText(body), await readText(body)]).toEqual(['abcd', 'efgh'])
    source.feed(undefined)
    expect([await readText(body), await readText(body)]).toEqual(['ijkl', undefined])
    expect(disk.left).toBe(0)
  })

  test('not before there is room, however often it is read', async () => {
    const { source, body } = setUp({ bufferBytes: 0, openTempFile: undefined })
    source.feed('a', 'b', 'c', undefined)
    await settle()
    expect(source.reads).toBe(0)
    expect(await readText(body)).toBe('a')
    await settle()
    expect(source.reads).toBe(1)
    expect([await readText(body), await readText(body), await readText(body)]).toEqual([
      'b',
      'c',
      undefined,
    ])
  })
})

describe('readAhead()', () => {
  test('hands a chunk on as it comes to a reader that waits, and no disk is touched', async () => {
    const { source, body, disk } = setUp({ bufferBytes: 0 })
    for (const chunk of ['abcd', 'efgh', 'ijkl']) {
      const reading = readText(body)
      await settle()
      source.feed(chunk)
      expect(await reading).toBe(chunk)
    }
    expect(disk.files).toEqual([])
  })

  test('keeps order when the reader is slow at first and fast then', async () => {
    const { source, body, disk } = setUp({ maxTempFileBytes: 99 })
    source.feed('abcd', 'efgh')
    await settle()
    let got = ''
    for (let reads = 0; reads < 2; reads++) got += await readText(body)
    const waiting = readText(body)
    await settle()
    source.feed('ijkl')
    got += await waiting
    source.feed('mnop', 'qrst', undefined)
    await settle()
    expect(got + text(await collect(body))).toBe('abcdefghijklmnopqrst')
    expect(disk.left).toBe(0)
  })

  test('reads nothing behind the end', async () => {
    const { source, body } = setUp()
    source.feed('a', undefined)
    expect([await readText(body), await readText(body), await readText(body)]).toEqual([
      'a',
      undefined,
      undefined,
    ])
    await settle()
    expect(source.reads).toBe(2)
  })

  test('fails, and gives up on the backend, when the file cannot be read', async () => {
    const { source, body, disk } = setUp()
    source.feed('abcd', 'efgh')
    await settle()
    disk.onOperation = async (operation) => {
      if (operation === 'read') throw new Error('EIO: i/o error')
    }
    expect(await readText(body)).toBe('abcd')
    await expect(body.read()).rejects.toThrow('EIO')
    expect([source.cancelled.length, disk.left]).toEqual([1, 0])
  })
})

describe('readAhead().cancel() cancels the source and frees the file', () => {
  const REASON = new Error('the client went away')

  async function expectFreed({ source, disk, body }: Setup): Promise<void> {
    await body.cancel(REASON)
    await settle()
    expect([source.cancelled, disk.left]).toEqual([[REASON], 0])
    // Nothing more is asked of the backend.
    const { reads } = source
    await body.read().catch(() => {})
    await settle()
    expect(source.reads).toBe(reads)
  }

  test.each<[string, (string | undefined)[], number]>([
    ['before anything came', [], 0],
    ['while some waits in memory', ['abcd'], 0],
    ['while some waits in the file', ['abcd', 'efgh'], 1],
    ['while the backend waits', ['abcd', 'efgh', 'ijkl', 'mnop'], 1],
    ['behind the end of the source', ['abcd', 'efgh', undefined], 1],
  ])('%s', async (_when, fed, files) => {
    const setup = setUp()
    setup.source.feed(...fed)
    await settle()
    expect(setup.disk.left).toBe(files)
    await expectFreed(setup)
  })

  test('while a reader waits', async () => {
    const setup = setUp()
    const reading = setup.body.read().catch((error: unknown) => error)
    await settle()
    await expectFreed(setup)
    // What becomes of that read is up to the source.
    expect(await reading).toBe(BROKEN)
  })

  test.each(['open', 'write', 'read'] as const)(
    'while the %s of the file is under way',
    async (operation) => {
      const setup = setUp()
      const gate = Promise.withResolvers<void>()
      const begun = Promise.withResolvers<void>()
      setup.disk.onOperation = async (under) => {
        if (under !== operation) return
        begun.resolve()
        await gate.promise
      }
      setup.source.feed('abcd', 'efgh')
      await settle()
      const reading =
        operation === 'read' ? setup.body.read().then(() => setup.body.read()) : undefined
      await begun.promise
      await setup.body.cancel(REASON)
      gate.resolve()
      await reading
      await settle()
      const { source, disk } = setup
      expect([source.cancelled, disk.files.length, disk.left]).toEqual([[REASON], 1, 0])
    }
  )

  test('and asks nothing more of one that goes on', async () => {
    let reads = 0
    const arrival = Promise.withResolvers<void>()
    const source: BodySource = {
      async read() {
        reads++
        await arrival.promise
        return octets('a')
      },
      async cancel() {},
    }
    const limits = { bufferBytes: 99, maxTempFileBytes: 0, openTempFile: undefined }
    const body = readAhead(source, limits)
    await body.cancel(REASON)
    arrival.resolve()
    await settle()
    expect([reads, await readText(body)]).toEqual([1, undefined])
  })

  test('on a disk that is full', async () => {
    const setup = setUp()
    setup.disk.onOperation = async (operation) => {
      if (operation === 'write') throw FULL
    }
    setup.source.feed('abcd', 'efgh')
    await settle()
    expect(setup.source.reads).toBe(2)
    await expectFreed(setup)
  })
})

describe('readAhead() with patience', () => {
  const PIECES = ['abcd', 'efgh', 'ijkl', 'mnop']

  afterEach(() => {
    vi.useRealTimers()
  })

  function setUpPatient(): Setup {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const setup = setUp({ patienceMs: 5, maxTempFileBytes: 99 })
    setup.source.feed(...PIECES, undefined)
    return setup
  }

  test('makes no file for a reader that takes each chunk in time', async () => {
    const { body, disk } = setUpPatient()
    const got: (string | undefined)[] = []
    for (let i = 0; i <= PIECES.length; i++) {
      await settle()
      vi.advanceTimersByTime(4)
      got.push(await readText(body))
    }
    expect([got, disk.files.length]).toEqual([[...PIECES, undefined], 0])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('holds the source for that time, and then reads it to its end', async () => {
    const { body, source, disk } = setUpPatient()
    await settle()
    vi.advanceTimersByTime(4)
    await settle()
    expect([source.reads, disk.files.length]).toEqual([1, 0])
    vi.advanceTimersByTime(1)
    await settle()
    expect([source.reads, disk.files.length]).toEqual([PIECES.length + 1, 1])
    expect(text(await collect(body))).toBe(PIECES.join(''))
    expect([disk.left, vi.getTimerCount()]).toEqual([0, 0])
  })

  test('leaves no timer behind a reader that gives up', async () => {
    const { body } = setUpPatient()
    await settle()
    expect(vi.getTimerCount()).toBe(1)
    await body.cancel(undefined)
    expect(vi.getTimerCount()).toBe(0)
  })
})
