import { describe, expect, test } from 'vitest'
import {
  type Application,
  type ApplicationResult,
  runApplication,
} from '../../src/core/application.ts'
import { type BodySource, collect } from '../../src/core/body-source.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import type { StartResponse, Write } from '../../src/core/start-response.ts'
import {
  answer,
  drain,
  environFor,
  ErrorLog,
  LENGTH,
  PAGE_500,
  refuseUnhandledRejections,
  responding,
  Result,
  serve,
  TEXT,
  turn,
  untyped,
  withClose,
  yielding,
  yieldingLater,
} from './application-support.ts'
import { chunkStream, fetchRequest, octets, refusal, refusalOf } from './support.ts'

refuseUnhandledRejections()

/** What a client of a failed application may see, and no more. */
const FIVE_HUNDRED = { status: 500, body: PAGE_500, broken: false }

type Chunks = (...chunks: readonly string[]) => ApplicationResult

const ITERABLES: readonly (readonly [string, Chunks])[] = [
  ['a list', (...chunks) => chunks.map(octets)],
  ['a generator', yielding],
  ['an async generator', yieldingLater],
  ['a Set', (...chunks) => new Set(chunks.map(octets))],
  ['a stream', (...chunks) => chunkStream(chunks)],
]

const CALLS: readonly (readonly [string, (result: () => ApplicationResult) => Application])[] = [
  [
    'returns',
    (result) => (_environ, startResponse) => {
      startResponse('200 OK', [TEXT])
      return result()
    },
  ],
  [
    'resolves with',
    (result) => async (_environ, startResponse) => {
      await turn()
      startResponse('200 OK', [TEXT])
      await turn()
      return result()
    },
  ],
]

describe('runApplication() sends what an application', () => {
  const rows = CALLS.flatMap(([call, appOf]) =>
    ITERABLES.map(([kind, chunks]) => [call, kind, appOf, chunks] as const)
  )
  test.each(rows)('%s: %s (RSP-30, RSP-31)', async (_call, _kind, appOf, chunks) => {
    const seen = await serve(appOf(() => chunks('a', 'b\xff', 'c')))
    expect(seen).toMatchObject({ status: 200, reason: 'OK', broken: false, log: '' })
    expect(seen.chunks).toEqual(['a', 'b\xff', 'c'])
    expect([...seen.headers]).toEqual([['content-type', 'text/plain']])
    expect(await serve(appOf(() => chunks()))).toMatchObject({ status: 200, body: '' })
  })
})

test.each<[string, unknown]>([
  ['null', null],
  ['undefined', undefined],
  ['false', false],
  ['a number', 5],
  ['a string', 'hello'],
  ['a String object', Object('hello')],
  ['a bare Uint8Array', octets('hello')],
  ['an empty Uint8Array', octets('')],
  ['a DataView', new DataView(new ArrayBuffer(4))],
  ['an ArrayBuffer', new ArrayBuffer(4)],
  ['an object', {}],
  ['an array-like', { 0: octets('a'), length: 1 }],
  ['a function', () => [octets('a')]],
  ['a Response', new Response('hello')],
  ['a Symbol', Symbol('hello')],
])('runApplication() refuses as a result: %s (RSP-30)', async (_, result) => {
  for (const wrap of [() => result, async () => result]) {
    const seen = await serve(responding(wrap))
    expect(seen).toMatchObject(FIVE_HUNDRED)
    // A String object is an iterable, but of text.
    expect(seen.log).toMatch(/returned no iterable of Uint8Array|Cannot send string/)
  }
})

test('runApplication() waits for a promise of a result, not for one of a promise in it (RSP-30)', async () => {
  expect(await serve(responding(async () => [octets('a')]))).toMatchObject({ body: 'a' })
  expect(await serve(responding(() => [Promise.resolve(octets('a'))]))).toMatchObject(FIVE_HUNDRED)
})

const WRONG_ITEMS: readonly (readonly [string, unknown])[] = [
  ['a string', 'hello'],
  ['an empty string', ''],
  ['a number', 104],
  ['null', null],
  ['undefined', undefined],
  ['a list', [octets('a')]],
  ['an ArrayBuffer', new ArrayBuffer(1)],
  ['a Uint16Array', new Uint16Array([104])],
  ['an object', { length: 1 }],
]

test.each(WRONG_ITEMS)(
  'runApplication() answers 500 where the first item is %s, and encodes nothing (RSP-31)',
  async (_, item) => {
    for (const chunks of [[item], [octets(''), item]]) {
      const result = new Result(chunks)
      expect(await serve(responding(() => result))).toMatchObject(FIVE_HUNDRED)
      expect(result.closed).toBe(1)
    }
  }
)

test.each(WRONG_ITEMS)(
  'runApplication() breaks the body off where a later item is %s (RSP-31)',
  async (_, item) => {
    const result = new Result([octets('a'), item, octets('b')])
    const seen = await serve(responding(() => result))
    expect(seen).toMatchObject({ status: 200, chunks: ['a'], broken: true })
    expect(seen.log).toContain('an application yields Uint8Array')
    expect(result).toMatchObject({ closed: 1, pulled: 2 })
  }
)

test('runApplication() takes a Buffer, which is a Uint8Array (RSP-31)', async () => {
  expect(await serve(responding(() => [Buffer.from('hello')]))).toMatchObject({ body: 'hello' })
})

/** Applications that begin beside their first byte. */
const LAZY: readonly (readonly [string, Application])[] = [
  [
    'a generator that is the application',
    function* application(_environ, startResponse) {
      startResponse('201 Created', [TEXT])
      yield octets('late')
    },
  ],
  [
    'an async generator that is the application',
    async function* application(_environ, startResponse) {
      await turn()
      startResponse('201 Created', [TEXT])
      yield octets('late')
    },
  ],
  [
    'empty chunks before it',
    function* application(_environ, startResponse) {
      yield octets('')
      yield octets('')
      startResponse('201 Created', [TEXT])
      yield octets('')
      yield octets('late')
    },
  ],
]

describe('runApplication() lets startResponse wait for the first byte (RSP-32)', () => {
  test.each(LAZY)('%s', async (_, app) => {
    expect(await serve(app)).toMatchObject({ status: 201, chunks: ['late'], broken: false })
  })

  test('a generator that only begins, and has no body', async () => {
    const seen = await serve(function* application(_environ, startResponse) {
      startResponse('404 Not Found', [TEXT])
      yield* yielding()
    })
    expect(seen).toMatchObject({ status: 404, body: '', broken: false, log: '' })
  })
})

test.each<[string, Application]>([
  ['a byte', () => [octets('a')]],
  ['a byte behind empty chunks', () => [octets(''), octets('a')]],
  ['nothing at all', () => []],
  ['empty chunks only', () => [octets(''), octets('')]],
  [
    'a byte before it from a generator',
    function* application(_environ, startResponse) {
      yield octets('a')
      startResponse('200 OK', [])
    },
  ],
])('runApplication() answers 500 without startResponse: %s (RSP-33)', async (_, app) => {
  const seen = await serve(app)
  expect(seen).toMatchObject(FIVE_HUNDRED)
  expect(seen.log).toContain('startResponse was')
})

test('runApplication() never enqueues an empty chunk (RSP-34)', async () => {
  const app = responding(() => yieldingLater('', 'a', '', '', 'b', ''))
  expect(await serve(app)).toMatchObject({ chunks: ['a', 'b'], broken: false })
  const response = await runApplication(app, await environFor(), {
    headerEncoding: 'latin1',
    // A byte stream throws on an empty chunk.
    bodyStream: (source) =>
      new ReadableStream({
        type: 'bytes',
        async pull(controller) {
          const chunk = await source.read()
          if (chunk === undefined) controller.close()
          else controller.enqueue(chunk as Uint8Array<ArrayBuffer>)
        },
      }),
  })
  expect(await drain(response.body)).toEqual({ chunks: ['a', 'b'], broken: false })
})

function* endless(): Generator<Uint8Array> {
  for (;;) yield new Uint8Array(65_536)
}

describe('runApplication() pulls when it is asked (RSP-35, SEC-80)', () => {
  test('once for the head, then once a read', async () => {
    const result = new Result(yielding('a', 'b', 'c'))
    const response = await runApplication(
      responding(() => result),
      await environFor()
    )
    await turn()
    expect(result.pulled).toBe(1)
    const reader = response.body?.getReader()
    const pulls: number[] = []
    for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) {
      await turn()
      pulls.push(result.pulled)
    }
    expect(pulls).toEqual([1, 2, 3])
    expect(result).toMatchObject({ pulled: 4, closed: 1 })
  })

  test('never ahead of a client that stalls, however much there is', async () => {
    const result = new Result(endless())
    const response = await runApplication(
      responding(() => result),
      await environFor()
    )
    const reader = response.body?.getReader()
    for (let i = 0; i < 3; i++) await reader?.read()
    await turn()
    expect(result.pulled).toBe(3)
    await reader?.cancel()
    expect(result).toMatchObject({ pulled: 3, closed: 1 })
  })

  test('each chunk is out before the next one is asked for', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    async function* handshaking(): AsyncGenerator<Uint8Array> {
      yield octets('one')
      // Only a client that has got the chunk before lets the next one be made.
      await gates[0]?.promise
      yield octets('two')
      await gates[1]?.promise
    }
    const response = await runApplication(responding(handshaking), await environFor())
    const reader = response.body?.getReader()
    const chunks: unknown[] = []
    for (const gate of gates) {
      const read = await reader?.read()
      chunks.push(read?.value && octetsToNative(read.value))
      gate.resolve()
    }
    expect(chunks).toEqual(['one', 'two'])
    expect(await reader?.read()).toMatchObject({ done: true })
  })
})

describe('runApplication() infers Content-Length (RSP-36)', () => {
  test.each<[string, () => ApplicationResult, string | null]>([
    ['of a list of one', () => [octets('hello')], '5'],
    ['of an empty list', () => [], '0'],
    ['of a list of one empty chunk', () => [octets('')], '0'],
    ['not of a list of two', () => [octets('a'), octets('b')], null],
    ['not of a list with an empty end', () => [octets('a'), octets('')], null],
    ['not of a generator of one', () => yielding('hello'), null],
    ['not of an empty generator', () => yielding(), null],
    ['not of a Set of one', () => new Set([octets('hello')]), null],
    ['of a list with close()', () => withClose(['hello'], () => {}), '5'],
  ])('%s', async (title, result, length) => {
    const seen = await serve(responding(result))
    expect(seen.headers.get('content-length')).toBe(length)
    expect(seen).toMatchObject({ status: 200, broken: false, log: '' })
    // The same for HEAD, whose answer says what GET would send.
    const head = await serve(responding(result), { method: 'HEAD' })
    // But an empty list may be all that an application has for HEAD.
    expect(head.headers.get('content-length')).toBe(title === 'of an empty list' ? null : length)
    expect(head).toMatchObject({ status: 200, bodyless: true, log: '' })
  })

  test('never where write() was called', async () => {
    for (const result of [[], [octets('c')]]) {
      const seen = await serve((_environ, startResponse) => {
        void startResponse('200 OK', [TEXT])(octets(''))
        return result
      })
      expect(seen.headers.has('content-length')).toBe(false)
      expect(seen).toMatchObject({ status: 200, broken: false })
    }
  })

  test('never where the application has said it', async () => {
    const seen = await serve(responding(() => [octets('ab')], '200 OK', [['content-length', '2']]))
    expect([...seen.headers]).toEqual([['content-length', '2']])
    expect(seen.body).toBe('ab')
  })
})

describe('runApplication() cuts a body at its Content-Length (RSP-37)', () => {
  test.each<[string, readonly string[], number, readonly string[], number]>([
    ['inside a chunk', ['abc', 'def', 'ghi'], 5, ['abc', 'de'], 2],
    ['inside the first chunk', ['abc', 'def'], 2, ['ab'], 1],
    ['between chunks', ['abc', 'def'], 3, ['abc'], 1],
    ['at its very end', ['abc', 'def'], 6, ['abc', 'def'], 2],
  ])('%s', async (title, chunks, length, sent, pulled) => {
    const result = new Result(yielding(...chunks))
    const seen = await serve(responding(() => result, '200 OK', [TEXT, LENGTH(length)]))
    expect(seen).toMatchObject({ status: 200, chunks: sent, broken: false })
    expect(seen.headers.get('content-length')).toBe(String(length))
    expect(result).toMatchObject({ closed: 1, pulled })
    const logged = title.startsWith('inside')
    expect(seen.log.includes('over its Content-Length')).toBe(logged)
  })

  test('at zero, without a body', async () => {
    const result = new Result(yielding('abc'))
    const seen = await serve(responding(() => result, '200 OK', [LENGTH(0)]))
    expect(seen).toMatchObject({ status: 200, body: '', broken: false })
    expect(result.closed).toBe(1)
  })

  test('at zero, which a generator has said only beside its first byte', async () => {
    const seen = await serve(function* application(_environ, startResponse) {
      startResponse('200 OK', [LENGTH(0)])
      yield octets('abc')
    })
    expect(seen).toMatchObject({ status: 200, body: '', broken: false })
    expect(seen.log).toContain('over its Content-Length')
  })

  test('and closes without another read, which who counts does not make', async () => {
    const result = new Result(yielding('abc', 'def'))
    const { body } = await answer(responding(() => result, '200 OK', [LENGTH(3)]))
    expect(octetsToNative((await body?.read()) ?? octets(''))).toBe('abc')
    await turn()
    expect(result).toMatchObject({ closed: 1, pulled: 1 })
    expect(await body?.read()).toBeUndefined()
  })

  test('and write() past it throws', async () => {
    const refusals: string[] = []
    const seen = await serve((_environ, startResponse) => {
      const write = startResponse('200 OK', [LENGTH(5)])
      for (const chunk of ['abc', 'def', 'g']) {
        refusals.push(refusal(() => void write(octets(chunk))))
      }
      return []
    })
    expect(refusals).toEqual(['not refused', '500 ERR_APPLICATION', '500 ERR_APPLICATION'])
    // What there is room for is sent, as of a chunk that is yielded.
    expect(seen).toMatchObject({ status: 200, body: 'abcde', broken: false })
  })
})

describe('runApplication() never ends a short body cleanly (RSP-38)', () => {
  test.each<[string, () => ApplicationResult]>([
    ['a list of one', () => [octets('ab')]],
    ['a list of two', () => [octets('a'), octets('b')]],
    ['a generator', () => yielding('ab')],
    ['an async generator', () => yieldingLater('ab')],
  ])('%s', async (_, result) => {
    const seen = await serve(responding(result, '200 OK', [LENGTH(5)]))
    expect(seen).toMatchObject({ status: 200, body: 'ab', broken: true })
    expect(seen.log).toContain('3 bytes short')
  })

  test.each<[string, () => ApplicationResult]>([
    ['an empty list', () => []],
    ['empty chunks', () => [octets(''), octets('')]],
    ['a generator', () => yielding()],
  ])('and answers 500 where nothing was sent: %s', async (_, result) => {
    const seen = await serve(responding(result, '200 OK', [LENGTH(5)]))
    expect(seen).toMatchObject(FIVE_HUNDRED)
    expect(seen.headers.get('content-length')).toBe(String(PAGE_500.length))
    expect(seen.log).toContain('5 bytes short')
  })

  test('of write()', async () => {
    const seen = await serve((_environ, startResponse) => {
      void startResponse('200 OK', [LENGTH(5)])(octets('ab'))
      return []
    })
    expect(seen).toMatchObject({ status: 200, body: 'ab', broken: true })
  })
})

class Secret extends Error {
  constructor() {
    super('secret of the database')
  }
}

function fail(): never {
  throw new Secret()
}

/** Where an application can fail before its first byte. */
const EARLY_FAILURES: readonly (readonly [string, Application])[] = [
  ['in the application', () => fail()],
  ['in an async application', async () => fail()],
  [
    'behind startResponse',
    (_environ, startResponse) => {
      startResponse('200 OK', [TEXT, ['X-Secret', '1']])
      return fail()
    },
  ],
  [
    'behind startResponse in an async application',
    async (_environ, startResponse) => {
      startResponse('200 OK', [TEXT, ['X-Secret', '1']])
      await turn()
      return fail()
    },
  ],
  [
    'in what makes the iterator',
    responding(() => ({ [Symbol.iterator]: fail }), '200 OK', [['X-Secret', '1']]),
  ],
  [
    'in the first next()',
    responding(function* failing() {
      yield* yielding()
      fail()
    }),
  ],
  [
    'in next() of an iterator that is no generator',
    responding(() => ({ [Symbol.iterator]: () => ({ next: fail }) })),
  ],
  [
    'in an async next()',
    responding(async function* failing() {
      yield* yieldingLater()
      fail()
    }),
  ],
  [
    'behind empty chunks',
    responding(function* failing() {
      yield octets('')
      fail()
    }),
  ],
]

test.each(EARLY_FAILURES)(
  'runApplication() answers 500 to a failure %s, with a page that tells nothing (RSP-39, SEC-79)',
  async (_, app) => {
    const seen = await serve(app)
    expect(seen).toMatchObject({ ...FIVE_HUNDRED, reason: 'Internal Server Error' })
    expect(Object.fromEntries(seen.headers)).toEqual({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': String(PAGE_500.length),
      'cache-control': 'no-store',
    })
    // All of it, stack included, is for the operator.
    expect(seen.log).toMatch(/secret of the database\n {4}at /)
    expect(seen.log.endsWith('\n')).toBe(true)
  }
)

const LATE_FAILURES: readonly (readonly [string, Application])[] = [
  [
    'in a generator',
    responding(function* failing() {
      yield octets('a')
      fail()
    }),
  ],
  [
    'in an async generator',
    responding(async function* failing() {
      yield octets('a')
      await turn()
      fail()
    }),
  ],
  [
    'in an async application behind write()',
    async (_environ, startResponse) => {
      await startResponse('200 OK', [TEXT])(octets('a'))
      return fail()
    },
  ],
  [
    'in an application behind write()',
    (_environ, startResponse) => {
      void startResponse('200 OK', [TEXT])(octets('a'))
      return fail()
    },
  ],
  [
    'in a result behind write()',
    (_environ, startResponse) => {
      void startResponse('200 OK', [TEXT])(octets('a'))
      return { [Symbol.iterator]: fail }
    },
  ],
  [
    'in startResponse with excInfo behind the first byte (RSP-4)',
    function* application(_environ, startResponse) {
      startResponse('200 OK', [TEXT])
      yield octets('a')
      startResponse('500 Oops', [], new Secret())
      yield octets('b')
    },
  ],
]

test.each(LATE_FAILURES)(
  'runApplication() breaks the body off on a failure %s (RSP-39)',
  async (_, app) => {
    const seen = await serve(app)
    expect(seen).toMatchObject({ status: 200, chunks: ['a'], broken: true })
    expect(seen.log).toContain('secret of the database')
  }
)

test.each(LATE_FAILURES)(
  'runApplication() leaves no rejection to the runtime where nobody reads on: failure %s',
  async (_, app) => {
    const log = new ErrorLog()
    const response = await runApplication(app, await environFor({}, log))
    expect(response.status).toBe(200)
    // The check is behind each test, after turns of the event loop.
    await turn()
    await response.body?.cancel()
  }
)

test.each<[string, unknown]>([
  ['a string', 'oops'],
  ['undefined', undefined],
  ['a Symbol', Symbol('oops')],
  ['an object', { message: 'oops' }],
  ['what has no text', Object.create(null)],
  ['an error without a stack', Object.assign(new Error('oops'), { stack: undefined })],
])(
  'runApplication() copes with an application that throws %s (RSP-39, RSP-42)',
  async (_, what) => {
    const result = new Result({
      [Symbol.iterator]: () => ({
        next() {
          throw what
        },
      }),
    })
    const seen = await serve(responding(() => result))
    expect(seen).toMatchObject(FIVE_HUNDRED)
    expect(seen.log).not.toBe('')
    expect(result.closed).toBe(1)
  }
)

test('runApplication() answers a fault of the client as such, not as the application', async () => {
  const error = new GatewayError('ERR_BODY_TOO_LARGE', 'over')
  const app: Application = () => {
    throw error
  }
  expect(await serve(app)).toMatchObject({ status: 413, body: '413 Content Too Large\n' })
})

describe('runApplication() answers HEAD without a body (RSP-40)', () => {
  test.each<[string, Application, string | null]>([
    ['the length that was said', responding(() => [], '200 OK', [LENGTH(12_345)]), '12345'],
    [
      'the length that was said, beside a body',
      responding(() => yielding('abc'), '200 OK', [LENGTH(3)]),
      '3',
    ],
    ['the length of a list', responding(() => [octets('abc')]), '3'],
    ['no length', responding(() => yielding('abc')), null],
    [
      'no length of what is written',
      (_environ, startResponse) => {
        void startResponse('200 OK', [TEXT])(octets('abc'))
        return []
      },
      null,
    ],
  ])('and %s', async (_, app, length) => {
    const seen = await serve(app, { method: 'HEAD' })
    expect(seen).toMatchObject({ status: 200, bodyless: true, log: '' })
    expect(seen.headers.get('content-length')).toBe(length)
  })

  test('iterating up to the first byte, where startResponse may stand', async () => {
    const result = new Result(yielding('', 'a', 'b'))
    const seen = await serve(
      responding(() => result),
      { method: 'HEAD' }
    )
    expect(seen).toMatchObject({ status: 200, bodyless: true })
    expect(result).toMatchObject({ pulled: 2, closed: 1 })
    const lazy = await serve(
      function* application(_environ, startResponse) {
        startResponse('404 Not Found', [])
        yield octets('a')
      },
      { method: 'HEAD' }
    )
    expect(lazy.status).toBe(404)
  })

  test('and 500 where it fails before', async () => {
    const seen = await serve(() => fail(), { method: 'HEAD' })
    expect(seen.status).toBe(500)
  })
})

test.each<[number, string | null]>([
  [204, null],
  [205, null],
  [304, '3'],
])('runApplication() drops the body of a %d (RSP-41)', async (status, length) => {
  for (const body of [['abc'], ['a', 'bc'], ['']]) {
    const result = new Result(yielding(...body))
    const app = responding(() => result, `${status} X`, [LENGTH(3), ['ETag', '"1"']])
    const seen = await serve(app)
    expect(seen).toMatchObject({ status, bodyless: true, broken: false, log: '' })
    expect(seen.headers.get('content-length')).toBe(length)
    expect(seen.headers.get('etag')).toBe('"1"')
    expect(result.closed).toBe(1)
  }
})

test.each([204, 205, 304])(
  'runApplication() infers no Content-Length for a %d (RSP-36, RSP-41)',
  async (status) => {
    for (const result of [[], [octets('abc')]]) {
      const seen = await serve(responding(() => result, `${status} X`))
      expect(seen).toMatchObject({ status, bodyless: true })
      expect(seen.headers.has('content-length')).toBe(false)
    }
  }
)

test('runApplication() refuses an interim status as a final one (RSP-12, RSP-41)', async () => {
  expect(await serve(responding(() => [], '103 Early Hints'))).toMatchObject(FIVE_HUNDRED)
})

test('runApplication() sends an explicit length of zero without asking for a byte (RSP-6)', async () => {
  let asked = 0
  const result = {
    closed: 0,
    [Symbol.asyncIterator]: () => ({
      next: () => {
        asked++
        // An application that never yields: a length of zero does not wait for it.
        return new Promise<never>(() => {})
      },
    }),
    close() {
      this.closed++
    },
  }
  const seen = await serve(responding(() => result, '200 OK', [LENGTH(0)]))
  expect(seen).toMatchObject({ status: 200, body: '', broken: false })
  expect([asked, result.closed]).toEqual([0, 1])
})

test('runApplication() sends no head before the first byte (RSP-6, RSP-32)', async () => {
  const gate = Promise.withResolvers<void>()
  let settled = false
  const app = responding(async function* application() {
    yield octets('')
    await gate.promise
    yield octets('a')
  })
  const running = serve(app).finally(() => (settled = true))
  await turn()
  expect(settled).toBe(false)
  gate.resolve()
  expect(await running).toMatchObject({ status: 200, body: 'a' })
})

test('runApplication() lets an error handler begin anew until the first byte (RSP-3)', async () => {
  const seen = await serve(function* application(_environ, startResponse) {
    startResponse('200 OK', [TEXT, ['X-Old', '1']])
    yield octets('')
    startResponse('500 Oops', [['X-New', '1']], new Error('oops'))
    yield octets('sorry')
  })
  expect(seen).toMatchObject({ status: 500, reason: 'Oops', body: 'sorry' })
  expect([...seen.headers]).toEqual([['x-new', '1']])
})

test.each<[string, unknown, readonly unknown[]]>([
  ['a status', '200 OK\r\nX: y', []],
  ['a header', '200 OK', [['X-A', 'a\r\nb']]],
  ['a hop-by-hop header', '200 OK', [['Connection', 'close']]],
])(
  'runApplication() answers 500 to an application that swallows the refusal of %s (RSP-2, SEC-70)',
  async (_, status, headers) => {
    const result = new Result(yielding('evil'))
    const app = untyped((_environ: unknown, startResponse: (...args: unknown[]) => void) => {
      expect(() => startResponse(status, headers)).toThrow(GatewayError)
      return result
    })
    expect(await serve(app)).toMatchObject(FIVE_HUNDRED)
    expect(result.closed).toBe(1)
  }
)

test('runApplication() answers 500 to a second startResponse, swallowed or not (RSP-2)', async () => {
  for (const swallow of [true, false]) {
    const seen = await serve((_environ, startResponse) => {
      startResponse('200 OK', [TEXT])
      try {
        startResponse('404 Not Found', [TEXT])
      } catch (error) {
        if (!swallow) throw error
      }
      return [octets('a')]
    })
    expect(seen).toMatchObject(FIVE_HUNDRED)
    expect(seen.log).toContain('called twice without excInfo')
  }
})

test('runApplication() sends the headers as they were when they were checked (RSP-5, SEC-78)', async () => {
  const list: [string, string][] = [['X-A', '1']]
  const seen = await serve(function* application(_environ, startResponse) {
    startResponse('200 OK', list)
    list.push(['X-Late', '1'])
    const [field] = list
    if (field !== undefined) field[1] = 'changed'
    yield octets('a')
    list.push(['X-Later', '1'])
  })
  expect([...seen.headers]).toEqual([['x-a', '1']])
})

test('runApplication() reads method and log before the application changes the environ', async () => {
  const log = new ErrorLog()
  const environ = await environFor({ method: 'HEAD' }, log)
  const app: Application = (own, startResponse) => {
    expect(own).toBe(environ)
    own.REQUEST_METHOD = 'GET'
    own['wsgi.errors'] = new ErrorLog()
    startResponse('200 OK', [LENGTH(1)])
    return [octets('ab')]
  }
  const response = await runApplication(app, environ)
  expect(response.body).toBeNull()
  const failing = await environFor({}, log)
  await runApplication((own) => {
    own['wsgi.errors'] = new ErrorLog()
    return fail()
  }, failing)
  expect(log.text).toContain('secret of the database')
})

test('runApplication() keeps Set-Cookie lines apart and in order (RSP-18)', async () => {
  const headers: HeaderField[] = [
    ['Set-Cookie', 'a=1, x'],
    ['X-B', '1'],
    ['Set-Cookie', 'b=2'],
    ['X-B', '2'],
  ]
  const seen = await serve(responding(() => [], '200 OK', headers))
  expect(seen.headers.getSetCookie()).toEqual(['a=1, x', 'b=2'])
  expect(seen.headers.get('x-b')).toBe('1, 2')
  const { headers: below } = await answer(responding(() => yielding('a'), '200 OK', headers))
  expect(below).toEqual(headers)
})

test('runApplication() invents no header but a length (RSP-19, RSP-21)', async () => {
  const seen = await serve(responding(() => [octets('text')], '200 OK', []))
  expect([...seen.headers]).toEqual([['content-length', '4']])
  const own: HeaderField[] = [
    ['Date', 'Thu, 01 Jan 1970 00:00:00 GMT'],
    ['Server', 'mine'],
  ]
  const kept = await serve(responding(() => yielding('a'), '200 OK', own))
  expect([...kept.headers].toSorted()).toEqual([
    ['date', 'Thu, 01 Jan 1970 00:00:00 GMT'],
    ['server', 'mine'],
  ])
})

test('runApplication() passes server-internal headers on and acts on none (RSP-20, SEC-76)', async () => {
  const headers: HeaderField[] = [
    ['X-Accel-Redirect', '/internal'],
    ['X-Accel-Mapping', '/=/etc/'],
    ['X-Sendfile', '/etc/passwd'],
    ['X-Lighttpd-Send-File', '/etc/passwd'],
    ['X-Reproxy-URL', 'http://169.254.169.254/'],
  ]
  const seen = await serve(responding(() => [octets('own body')], '200 OK', headers))
  expect(seen).toMatchObject({ status: 200, body: 'own body' })
  for (const [name, value] of headers) expect(seen.headers.get(name)).toBe(value)
})

test('runApplication() has no wsgi.file_wrapper to recognise (RSP-44)', async () => {
  const keys: string[][] = []
  await serve((environ, startResponse) => {
    keys.push(Object.keys(environ).filter((key) => key.startsWith('wsgi.')))
    startResponse('200 OK', [])
    return []
  })
  expect(keys[0]).not.toContain('wsgi.file_wrapper')
  expect(keys[0]).toContain('wsgi.input')
})

test('runApplication() passes a native reason on, and an absent one', async () => {
  expect(await serve(responding(() => [], '404 Nicht da\xe9'))).toMatchObject({
    status: 404,
    reason: 'Nicht da\xe9',
  })
  expect(await serve(responding(() => [], '200'))).toMatchObject({ status: 200, reason: '' })
})

test('runApplication() writes headers as the runtime wants them', async () => {
  const app = responding(() => [], '200 OK', [['X-A', 'caf\xc3\xa9']])
  for (const [headerEncoding, value] of [
    ['latin1', 'caf\xc3\xa9'],
    ['utf8', 'café'],
  ] as const) {
    const { headers } = await serve(app, {}, { headerEncoding })
    expect(headers.get('x-a')).toBe(value)
  }
})

/** Runs an application that gets `write`, then returns the result. */
function writing(
  run: (write: Write, startResponse: StartResponse) => unknown,
  result: () => ApplicationResult = () => [],
  headers: readonly HeaderField[] = [TEXT]
): Application {
  return (_environ, startResponse) => {
    const done = run(startResponse('200 OK', headers), startResponse)
    return done instanceof Promise ? done.then(result) : result()
  }
}

describe('write() of runApplication() (RSP-43)', () => {
  test.each<[string, () => ApplicationResult]>([
    ['nothing', () => []],
    ['a list', () => [octets('c')]],
    ['a generator', () => yielding('c')],
    ['an async generator', () => yieldingLater('c')],
  ])('sends before what is iterated: %s', async (title, result) => {
    const rest = title === 'nothing' ? [] : ['c']
    const sync = writing((write) => {
      void write(octets('a'))
      void write(octets('b'))
    }, result)
    const later = writing(async (write) => {
      await turn()
      await write(octets('a'))
      await write(octets('b'))
    }, result)
    for (const app of [sync, later]) {
      const seen = await serve(app)
      expect(seen).toMatchObject({ status: 200, broken: false, log: '' })
      expect(seen.chunks).toEqual(['a', 'b', ...rest])
    }
  })

  test('streams while the application is still running', async () => {
    const gate = Promise.withResolvers<void>()
    let returned = false
    const app = writing(
      async (write) => {
        await write(octets('one'))
        // Only the client lets it go on, so that the first piece must be there before.
        await gate.promise
        await write(octets('two'))
        returned = true
      },
      () => yielding('three')
    )
    const response = await runApplication(app, await environFor())
    const reader = response.body?.getReader()
    expect(octetsToNative((await reader?.read())?.value ?? octets(''))).toBe('one')
    expect(returned).toBe(false)
    gate.resolve()
    reader?.releaseLock()
    expect(await drain(response.body)).toEqual({ chunks: ['two', 'three'], broken: false })
  })

  test('waits for whoever reads: back-pressure for an application that awaits (RSP-35)', async () => {
    const written: number[] = []
    const app = writing(async (write) => {
      for (let i = 0; i < 10; i++) {
        await write(octets('x'))
        written.push(i)
      }
    })
    const response = await runApplication(app, await environFor())
    const reader = response.body?.getReader()
    await turn()
    // One is on its way, and one is waited for.
    expect(written).toEqual([0])
    await reader?.read()
    await turn()
    expect(written).toEqual([0])
    await reader?.read()
    await turn()
    expect(written).toEqual([0, 1])
    reader?.releaseLock()
    expect(await drain(response.body)).toMatchObject({ chunks: Array(8).fill('x'), broken: false })
  })

  test('throws before startResponse, where an error handler has failed to begin anew', async () => {
    const refusals: string[] = []
    const seen = await serve(
      writing((write, startResponse) => {
        refusals.push(refusal(() => startResponse('bad', [], new Error('oops'))))
        refusals.push(refusal(() => void write(octets('a'))))
      })
    )
    expect(refusals).toEqual(['500 ERR_APPLICATION', '500 ERR_APPLICATION'])
    expect(seen).toMatchObject(FIVE_HUNDRED)
  })

  test.each<[string, unknown]>([
    ['a string', 'hello'],
    ['a number', 1],
    ['nothing', undefined],
    ['a list', [1]],
    ['an ArrayBuffer', new ArrayBuffer(1)],
    ['a Uint16Array', new Uint16Array(1)],
  ])('throws on what is no Uint8Array: %s', async (_, chunk) => {
    const app = writing((write) => Reflect.apply(write, undefined, [chunk]))
    const seen = await serve(app)
    expect(seen).toMatchObject(FIVE_HUNDRED)
    expect(seen.log).toContain('wanted a Uint8Array')
  })

  test('of nothing sends nothing, but counts as the head being sent (RSP-4, RSP-6)', async () => {
    const error = new Error('mine')
    let thrown: unknown
    const seen = await serve(
      writing(
        (write, startResponse) => {
          void write(octets(''))
          try {
            startResponse('500 Oops', [], error)
          } catch (caught) {
            thrown = caught
          }
        },
        () => yielding('a')
      )
    )
    expect(thrown).toBe(error)
    expect(seen).toMatchObject({ status: 200, chunks: ['a'], broken: false })
  })

  test('ends the time in which an error handler may begin anew (RSP-4, RSP-6)', async () => {
    const error = new Error('mine')
    const seen = await serve(
      writing((write, startResponse) => {
        void write(octets('a'))
        startResponse('500 Oops', [], ['Error', error, null])
      })
    )
    expect(seen).toMatchObject({ status: 200, body: 'a', broken: true })
    expect(seen.log).toContain('mine')
  })

  test('throws inside the iteration, which PEP 3333 forbids', async () => {
    for (const later of [false, true]) {
      const seen = await serve((_environ, startResponse) => {
        const write = startResponse('200 OK', [TEXT])
        function* breaking(): Generator<Uint8Array> {
          yield octets('a')
          void write(octets('b'))
        }
        async function* breakingLater(): AsyncGenerator<Uint8Array> {
          yield octets('a')
          await turn()
          void write(octets('b'))
        }
        return later ? breakingLater() : breaking()
      })
      expect(seen).toMatchObject({ status: 200, body: 'a', broken: true })
      expect(seen.log).toContain('Cannot write')
    }
  })

  test('is taken between two pulls, and comes before the next chunk', async () => {
    let kept: Write | undefined
    const app = writing(
      (write) => {
        kept = write
      },
      () => yielding('a', 'b')
    )
    const { body } = await answer(app)
    const chunks = [await body?.read()]
    void kept?.(octets('x'))
    chunks.push(await body?.read(), await body?.read())
    expect(chunks.map((chunk) => octetsToNative(chunk ?? octets('')))).toEqual(['a', 'x', 'b'])
    await body?.cancel(undefined)
  })

  test('throws once the response is over', async () => {
    let kept: Write | undefined
    const app = writing((write) => {
      kept = write
    })
    expect(await serve(app)).toMatchObject({ status: 200 })
    expect(refusal(() => void kept?.(octets('a')))).toBe('500 ERR_APPLICATION')
  })

  test('resolves where the client has gone, so that nobody waits for it (RSP-42)', async () => {
    const steps: string[] = []
    const over = Promise.withResolvers<void>()
    const app = writing(async (write) => {
      await write(octets('a'))
      steps.push('a')
      await write(octets('b'))
      steps.push(
        'b',
        refusal(() => void write(octets('c')))
      )
      over.resolve()
    })
    const response = await runApplication(app, await environFor())
    await response.body?.cancel()
    await over.promise
    expect(steps).toEqual(['a', 'b', '500 ERR_APPLICATION'])
  })

  test('leaves the chunk as it is, for an application that waits', async () => {
    const buffer = octets('a')
    const app = writing(async (write) => {
      await write(buffer)
      await write(octets('b'))
    })
    expect(await serve(app)).toMatchObject({ body: 'ab' })
  })
})

/** Cancels a body that a runtime has no use for. */
async function cancelled(body: BodySource | undefined): Promise<void> {
  await body?.cancel(new Error('gone'))
}

interface ClosePath {
  readonly chunks?: () => Iterable<unknown> | AsyncIterable<unknown>
  readonly status?: string
  readonly headers?: readonly HeaderField[]
  readonly method?: string
  /** What happens to the body; without it, it is read to its end. */
  readonly use?: (body: BodySource | undefined) => Promise<unknown>
  /** Called instead of the usual startResponse. */
  readonly start?: (startResponse: StartResponse) => void
}

function* thenFailing(...chunks: readonly string[]): Generator<Uint8Array> {
  yield* yielding(...chunks)
  fail()
}

const CLOSE_PATHS: Readonly<Record<string, ClosePath>> = {
  'a normal end': {},
  'an end without a byte': { chunks: () => [] },
  'an end of empty chunks': { chunks: () => yielding('', '') },
  'an explicit length of zero': { headers: [LENGTH(0)] },
  'its length reached with a chunk': { headers: [LENGTH(1)] },
  'its length reached inside a chunk': { headers: [LENGTH(1)], chunks: () => yielding('abc') },
  'its length reached at the end': { headers: [LENGTH(3)] },
  'a body that is short': { headers: [LENGTH(9)] },
  'a body that is short by all': { headers: [LENGTH(9)], chunks: () => [] },
  'an error in the first next()': { chunks: () => thenFailing() },
  'an error behind empty chunks': { chunks: () => thenFailing('') },
  'an error later': { chunks: () => thenFailing('a') },
  'a wrong first item': { chunks: () => ['a'] },
  'a wrong later item': { chunks: () => [octets('a'), 'b'] },
  'no startResponse': { start: () => {} },
  'no startResponse and no byte': { start: () => {}, chunks: () => [] },
  'an error in startResponse, swallowed': {
    start(startResponse) {
      expect(refusal(() => startResponse('bad', []))).toBe('500 ERR_APPLICATION')
    },
  },
  'a second startResponse, swallowed': {
    start(startResponse) {
      startResponse('200 OK', [])
      expect(refusal(() => startResponse('200 OK', []))).toBe('500 ERR_RESPONSE_STARTED')
    },
  },
  'write() before it': {
    start(startResponse) {
      void startResponse('200 OK', [])(octets('a'))
    },
  },
  'write() as long as all of it': {
    start(startResponse) {
      void startResponse('200 OK', [LENGTH(1)])(octets('a'))
    },
  },
  HEAD: { method: 'HEAD' },
  'HEAD without a byte': { method: 'HEAD', chunks: () => [] },
  'HEAD and an error': { method: 'HEAD', chunks: () => thenFailing() },
  'a 204': { status: '204 No Content' },
  'a 205': { status: '205 Reset Content' },
  'a 304': { status: '304 Not Modified' },
  'a client that leaves before the first read': { use: cancelled },
  'a client that leaves behind the first read': {
    async use(body) {
      await body?.read()
      await cancelled(body)
    },
  },
  'a client that leaves twice': {
    async use(body) {
      await Promise.all([cancelled(body), cancelled(body)])
      await cancelled(body)
    },
  },
  'a client that leaves behind the end': {
    async use(body) {
      while ((await body?.read()) !== undefined);
      await cancelled(body)
    },
  },
  'a client that leaves behind an error': {
    chunks: () => thenFailing('a'),
    async use(body) {
      await body?.read()
      await expect(body?.read()).rejects.toThrow(Secret)
      await cancelled(body)
    },
  },
  'a reader that asks again behind the end': {
    async use(body) {
      while ((await body?.read()) !== undefined);
      expect(await body?.read()).toBeUndefined()
    },
  },
}

function closingApp(path: ClosePath, result: () => ApplicationResult, later: boolean): Application {
  const { status = '200 OK', headers = [TEXT] } = path
  const start = path.start ?? ((startResponse) => void startResponse(status, headers))
  if (later) {
    return async (_environ, startResponse) => {
      await turn()
      start(startResponse)
      return result()
    }
  }
  return (_environ, startResponse) => {
    start(startResponse)
    return result()
  }
}

async function readOrFail(body: BodySource | undefined): Promise<unknown> {
  return body === undefined ? undefined : await collect(body).catch(() => 'broken')
}

describe('runApplication() calls close() exactly once (RSP-42)', () => {
  test.each(Object.entries(CLOSE_PATHS))('on %s', async (_, path) => {
    const { chunks = () => yielding('a', 'b', 'c'), method = 'GET', use = readOrFail } = path
    for (const later of [false, true]) {
      const result = new Result(chunks())
      const response = await answer(
        closingApp(path, () => result, later),
        { method }
      )
      await use(response.body)
      await turn()
      expect(result.closed).toBe(1)
      // What is closed is not asked for more.
      expect(result.calls.at(-1)).toBe('close')
    }
  })

  test.each(Object.entries(CLOSE_PATHS))(
    'or return(), where there is no close(), on %s',
    async (_, path) => {
      const { chunks = () => yielding('a', 'b', 'c'), method = 'GET', use = readOrFail } = path
      const items = (chunks() as Iterable<unknown>)[Symbol.iterator]()
      let returned = 0
      let over = false
      const iterator = {
        next() {
          over = true
          const item = items.next()
          over = item.done === true
          return item
        },
        return() {
          returned++
          return { done: true, value: undefined }
        },
      }
      const result = { [Symbol.iterator]: () => iterator } as Iterable<Uint8Array>
      const response = await answer(
        closingApp(path, () => result, false),
        { method }
      )
      await use(response.body)
      await turn()
      // An iterator that has ended, or thrown, knows that it is over.
      expect(returned).toBeGreaterThanOrEqual(over ? 0 : 1)
      expect(returned).toBeLessThanOrEqual(1)
    }
  )

  test('on the object that was returned, not on its iterator', async () => {
    const closed: string[] = []
    const result = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: true, value: undefined }),
        close: () => closed.push('iterator'),
      }),
      close() {
        closed.push(this === result ? 'result' : 'somebody')
      },
    }
    await serve(responding(() => result as ApplicationResult))
    expect(closed).toEqual(['result'])
  })

  test('instead of return(), not besides', async () => {
    const calls: string[] = []
    const iterator = {
      next: () => ({ done: false, value: octets('a') }),
      return() {
        calls.push('return')
        return { done: true, value: undefined }
      },
    }
    const result = { [Symbol.iterator]: () => iterator, close: () => calls.push('close') }
    const { body } = await answer(responding(() => result))
    await body?.cancel(undefined)
    expect(calls).toEqual(['close'])
  })

  test('and runs the finally of a generator whose client has gone', async () => {
    for (const later of [false, true]) {
      let freed = 0
      function* freeing(): Generator<Uint8Array> {
        try {
          yield* yielding('a', 'b', 'c')
        } finally {
          freed++
        }
      }
      async function* freeingLater(): AsyncGenerator<Uint8Array> {
        try {
          yield* yieldingLater('a', 'b', 'c')
        } finally {
          await turn()
          freed++
        }
      }
      const response = await runApplication(
        responding(later ? freeingLater : freeing),
        await environFor()
      )
      await response.body?.cancel()
      expect(freed).toBe(1)
    }
  })

  test('and cancels a stream that is the result', async () => {
    const reasons: unknown[] = []
    const stream = new ReadableStream({
      pull: (controller) => controller.enqueue(octets('a')),
      cancel: () => void reasons.push('cancelled'),
    })
    const response = await runApplication(
      responding(() => stream),
      await environFor()
    )
    await response.body?.cancel()
    expect(reasons).toEqual(['cancelled'])
  })

  test('before an error is answered', async () => {
    const result = new Result(thenFailing())
    await answer(responding(() => result))
    // No turn of the event loop in between.
    expect(result.closed).toBe(1)
  })

  test.each(['sync', 'async'])(
    'and logs what it throws, the response as it was: %s',
    async (kind) => {
      const close = kind === 'sync' ? fail : async (): Promise<void> => fail()
      const seen = await serve(responding(() => withClose(['a', 'b'], close)))
      expect(seen).toMatchObject({ status: 200, body: 'ab', broken: false })
      expect(seen.log).toContain('secret of the database')
      const head = await serve(
        responding(() => withClose(['a', 'b'], close)),
        { method: 'HEAD' }
      )
      expect(head).toMatchObject({ status: 200, bodyless: true })
      const failed = await serve(responding(() => Object.assign(thenFailing(), { close })))
      expect(failed).toMatchObject(FIVE_HUNDRED)
    }
  )

  test('and waits for it before a body ends', async () => {
    const gate = Promise.withResolvers<void>()
    const { body } = await answer(responding(() => withClose(['a', 'b'], () => gate.promise)))
    await body?.read()
    await body?.read()
    let ended = false
    const end = body?.read().then(() => (ended = true))
    await turn()
    expect(ended).toBe(false)
    gate.resolve()
    await end
  })
})

describe('runApplication() stops when the client goes away (RSP-42, SEC-80)', () => {
  test('while a chunk is waited for', async () => {
    const result = Object.assign(
      { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) },
      { closed: 0, close: () => void result.closed++ }
    )
    const app = writing(
      (write) => void write(octets('a')),
      () => result
    )
    const response = await runApplication(app, await environFor())
    const reader = response.body?.getReader()
    await reader?.read()
    const waiting = reader?.read()
    await reader?.cancel()
    expect(await waiting).toMatchObject({ done: true })
    expect(result.closed).toBe(1)
  })

  test('and asks a result that is closed for nothing more', async () => {
    const result = new Result(yielding('a', 'b', 'c'))
    const { body, log } = await answer(responding(() => result))
    await body?.read()
    await body?.cancel(undefined)
    expect(await refusalOf(Promise.resolve(body?.read()))).toBe('499 ERR_CLIENT_CLOSED')
    expect(result.calls).toEqual(['next', 'close'])
    // Nobody has done anything wrong.
    expect(log.text).toBe('')
  })

  test('by a signal, while the application runs', async () => {
    const gone = new AbortController()
    const result = new Result(yielding('a', 'b'))
    const running = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const app: Application = async (_environ, startResponse) => {
      startResponse('200 OK', [TEXT])
      running.resolve()
      await gate.promise
      return result
    }
    const answering = answer(app, {}, gone.signal)
    await running.promise
    gone.abort()
    gate.resolve()
    // What there is to read is somebody's who has gone; a target cancels it.
    const { body } = await answering
    await body?.cancel(gone.signal.reason)
    expect(result.closed).toBe(1)
    expect(result.calls.indexOf('close')).toBe(result.calls.length - 1)
  })

  test('by a signal, while the first chunk is waited for', async () => {
    const gone = new AbortController()
    const asked = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const result = new Result(
      (async function* slow() {
        asked.resolve()
        await gate.promise
        yield octets('a')
        yield octets('b')
      })()
    )
    const answering = answer(
      responding(() => result),
      {},
      gone.signal
    )
    await asked.promise
    gone.abort()
    await turn()
    // At once, not only when the chunk is there.
    expect(result.calls).toEqual(['next', 'close'])
    gate.resolve()
    const { body } = await answering
    await body?.read().catch(() => {})
    await body?.read().catch(() => {})
    await body?.cancel(gone.signal.reason)
    expect(result.calls).toEqual(['next', 'close'])
  })

  test('by a signal that was aborted before', async () => {
    const result = new Result(yielding('a', 'b'))
    const { body } = await answer(
      responding(() => result),
      {},
      AbortSignal.abort()
    )
    await body?.cancel(undefined)
    expect(result.closed).toBe(1)
  })

  test('by a signal behind the head, which says the same as cancel()', async () => {
    const gone = new AbortController()
    const result = new Result(yielding('a', 'b'))
    const { body } = await answer(
      responding(() => result),
      {},
      gone.signal
    )
    await body?.read()
    gone.abort()
    await body?.cancel(gone.signal.reason)
    await turn()
    expect(result).toMatchObject({ closed: 1, pulled: 1 })
  })

  test('by a signal in an application that writes', async () => {
    const gone = new AbortController()
    const refusals: string[] = []
    const over = Promise.withResolvers<void>()
    const { body } = await answer(
      writing(async (write) => {
        await write(octets('a'))
        gone.abort()
        await turn()
        refusals.push(refusal(() => void write(octets('b'))))
        over.resolve()
      }),
      {},
      gone.signal
    )
    await body?.cancel(undefined)
    await over.promise
    expect(refusals).toEqual(['500 ERR_APPLICATION'])
  })
})

test('answerWith() keeps no listener on a signal that outlives the request', async () => {
  const listeners = new Set<unknown>()
  const { signal } = new AbortController()
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (type: string, listener: never) => {
    listeners.add(listener)
    add(type, listener)
  }
  signal.removeEventListener = (type: string, listener: never) => {
    listeners.delete(listener)
    remove(type, listener)
  }
  for (const app of [responding(() => [octets('a')]), fail]) {
    const { body } = await answer(app, {}, signal)
    if (body !== undefined) await collect(body)
    await turn()
    expect(listeners.size).toBe(0)
  }
})

test('runApplication() logs no write() that came too late, which the application has been told', async () => {
  const app = writing(async (write) => {
    for (let i = 0; i < 3; i++) await write(octets('a'))
  })
  // HEAD takes the head and no more; a client that leaves takes nothing.
  expect(await serve(app, { method: 'HEAD' })).toMatchObject({ status: 200, log: '' })
  const log = new ErrorLog()
  const response = await runApplication(app, await environFor({}, log))
  await response.body?.cancel()
  expect(log.text).toBe('')
})

test('runApplication() logs a write() past the length, also where it was told (RSP-37)', async () => {
  const seen = await serve(writing((write) => void write(octets('abcdef')), undefined, [LENGTH(5)]))
  expect(seen).toMatchObject({ status: 200, body: 'abcde', broken: false })
  expect(seen.log).toContain('over the Content-Length')
})

describe('runApplication() logs what nobody else finds out (RSP-39)', () => {
  test.each<[string, Application, string]>([
    [
      'behind a body that is complete',
      writing(
        async (write) => {
          await write(octets('a'))
          await turn()
          fail()
        },
        undefined,
        [LENGTH(1)]
      ),
      'GET',
    ],
    [
      'behind the head that HEAD asked for',
      writing(async (write) => {
        await write(octets('a'))
        await turn()
        fail()
      }),
      'HEAD',
    ],
  ])('%s', async (_, app, method) => {
    const log = new ErrorLog()
    const response = await runApplication(app, await environFor({ method }, log))
    expect(await drain(response.body)).toMatchObject({ broken: false })
    await turn()
    await turn()
    expect(log.text).toContain('secret of the database')
  })
})

test('runApplication() may be called with any environ that has a method and a log', async () => {
  const log = new ErrorLog()
  const environ = { ...(await environFor({}, log)), 'wsgi.input': undefined as never }
  const request = fetchRequest()
  expect(request.method).toBe(environ.REQUEST_METHOD)
  const response = await runApplication(
    responding(() => [octets('a')]),
    environ
  )
  expect(await response.text()).toBe('a')
})
