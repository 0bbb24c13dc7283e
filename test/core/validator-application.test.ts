import { describe, expect, test } from 'vitest'
import type { Application } from '../../src/core/application.ts'
import { validator } from '../../src/core/validator.ts'
import { octets } from './support.ts'
import {
  acceptAll,
  appOf,
  breachOf,
  call,
  environOf,
  serve,
  startsWith,
  TEXT,
  untyped,
} from './validator-support.ts'

type Row = readonly [item: number | string, title: string, breach: () => unknown, message: string]

function callWith(...args: readonly unknown[]): unknown {
  return Reflect.apply(validator(appOf()), undefined, args)
}

function startWith(...args: readonly unknown[]): () => unknown {
  return () => call(validator(startsWith(...args)))
}

function header(name: unknown, value: unknown): () => unknown {
  return startWith('200 OK', [TEXT, [name, value]])
}

function returning(result: unknown): () => unknown {
  return () => serve(untyped(() => result))
}

function yielding(...chunks: readonly unknown[]): Application {
  return untyped((_environ: unknown, startResponse: typeof acceptAll) => {
    startResponse('200 OK', [TEXT])
    return chunks
  })
}

const CALLS: readonly Row[] = [
  [
    1,
    'refuses a call without startResponse',
    () => callWith(environOf()),
    'the application got 1 arguments, wanted environ and startResponse',
  ],
  [
    1,
    'refuses a third argument',
    () => callWith(environOf(), acceptAll, 1),
    'the application got 3 arguments, wanted environ and startResponse',
  ],
  [
    1,
    'refuses a call without arguments',
    () => callWith(),
    'the application got 0 arguments, wanted environ and startResponse',
  ],
  ...[
    () => callWith({ environ: environOf(), start_response: acceptAll }),
    () => callWith({ environ: environOf() }),
    () => callWith(environOf(), { start_response: acceptAll }),
    () => callWith(environOf(), { startResponse: acceptAll }),
  ].map((breach): Row => [
    2,
    'refuses a call by keyword',
    breach,
    'the application was called by keyword, wanted positional arguments',
  ]),
  [
    3,
    'refuses startResponse without headers (RSP-1)',
    startWith('200 OK'),
    'startResponse got 1 arguments, wanted 2 or 3',
  ],
  [
    3,
    'refuses startResponse with four arguments',
    startWith('200 OK', [TEXT], null, 1),
    'startResponse got 4 arguments, wanted 2 or 3',
  ],
  ...[
    startWith({ status: '200 OK', headers: [TEXT] }),
    startWith({ anything: 1 }),
    startWith('200 OK', { headers: [TEXT] }),
    startWith('200 OK', { response_headers: [TEXT] }),
    startWith('200 OK', [TEXT], { exc_info: null }),
    startWith('200 OK', [TEXT], { excInfo: null }),
    startWith([TEXT], { status: '200 OK' }),
  ].map((breach): Row => [
    4,
    'refuses startResponse by keyword (RSP-1)',
    breach,
    'startResponse was called by keyword, wanted positional arguments',
  ]),
  [
    5,
    'refuses undefined as a result (RSP-30)',
    returning(undefined),
    'the application returned undefined, wanted an iterable, if only an empty array',
  ],
  [
    5,
    'refuses null as a result',
    returning(null),
    'the application returned null, wanted an iterable, if only an empty array',
  ],
  [
    5,
    'refuses false as a result',
    returning(false),
    'the application returned a boolean, wanted an iterable, if only an empty array',
  ],
  [
    5,
    'refuses a promise of nothing',
    returning(Promise.resolve()),
    'the application returned undefined, wanted an iterable, if only an empty array',
  ],
  [
    5,
    'refuses an object that is not iterable',
    returning({}),
    'the application returned a plain object, wanted an iterable, if only an empty array',
  ],
  [
    6,
    'refuses a string as a result',
    returning('hello'),
    'the application returned a string, wanted an array with that one in it',
  ],
  [
    6,
    'refuses bytes as a result (RSP-30)',
    returning(octets('hello')),
    'the application returned a Uint8Array, wanted an array with that one in it',
  ],
  [
    6,
    'refuses other views as a result',
    returning(new DataView(new ArrayBuffer(1))),
    'the application returned a DataView, wanted an array with that one in it',
  ],
  [
    6,
    'refuses a buffer as a result',
    returning(new ArrayBuffer(1)),
    'the application returned an ArrayBuffer, wanted an array with that one in it',
  ],
  [
    6,
    'refuses a promise of a string',
    returning(Promise.resolve('hello')),
    'the application returned a string, wanted an array with that one in it',
  ],
]

const STARTS: readonly Row[] = [
  [
    7,
    'refuses a number as status (RSP-10)',
    startWith(200, [TEXT]),
    'status is a number, wanted a string',
  ],
  [
    7,
    'refuses bytes as status',
    startWith(octets('200 OK'), [TEXT]),
    'status is a Uint8Array, wanted a string',
  ],
  [
    7,
    'refuses a String object as status',
    startWith(Object('200 OK'), [TEXT]),
    'status is a String, wanted a string',
  ],
  [
    8,
    'refuses a status code of two characters',
    startWith('20 OK', [TEXT]),
    'the status code has 2 characters, wanted 3 digits',
  ],
  [
    8,
    'refuses a status code of four characters',
    startWith('2000 OK', [TEXT]),
    'the status code has 4 characters, wanted 3 digits',
  ],
  [
    8,
    'refuses an empty status',
    startWith('', [TEXT]),
    'the status code has 0 characters, wanted 3 digits',
  ],
  [
    9,
    'refuses a status code that is no number',
    startWith('abc OK', [TEXT]),
    'the status code is no number',
  ],
  [9, 'refuses a signed status code', startWith('+20 OK', [TEXT]), 'the status code is no number'],
  [
    9,
    'refuses digits of another script',
    startWith('٢٠٠ OK', [TEXT]),
    'the status code is no number',
  ],
  [
    10,
    'refuses a status code under 100',
    startWith('099 Low', [TEXT]),
    'the status code is 99, wanted 100 at least',
  ],
  [
    12,
    'refuses headers that are no array (RSP-13)',
    startWith('200 OK', new Map([TEXT])),
    'headers is a Map, wanted an array',
  ],
  [
    12,
    'refuses a Headers object',
    startWith('200 OK', new Headers([TEXT])),
    'headers is a Headers, wanted an array',
  ],
  [
    12,
    'refuses a plain object of headers',
    startWith('200 OK', { 'Content-Type': 'text/plain' }),
    'headers is a plain object, wanted an array',
  ],
  [
    12,
    'names the type object where a class has no name',
    startWith(
      '200 OK',
      new (class {
        readonly length = 0
      })()
    ),
    'headers is an object, wanted an array',
  ],
  [
    12,
    'refuses headers that are missing',
    startWith('200 OK', undefined),
    'headers is undefined, wanted an array',
  ],
  [
    13,
    'refuses a header that is no array',
    startWith('200 OK', ['Content-Type: text/plain']),
    'a header is a string, wanted an array of name and value',
  ],
  [
    13,
    'refuses a hole among the headers',
    startWith('200 OK', Array(1)),
    'a header is undefined, wanted an array of name and value',
  ],
  [
    14,
    'refuses a header of one member',
    startWith('200 OK', [['Content-Type']]),
    'a header has 1 members, wanted name and value',
  ],
  [
    14,
    'refuses a header of three members',
    startWith('200 OK', [[...TEXT, '']]),
    'a header has 3 members, wanted name and value',
  ],
  [
    15,
    'refuses a header name that is no string',
    header(octets('X-A'), 'a'),
    'a header name is a Uint8Array, wanted a string',
  ],
  [
    16,
    'refuses a header value that is no string',
    header('Content-Length', 5),
    'the value of header "Content-Length" is a number, wanted a string',
  ],
  [
    16,
    'escapes the name it tells',
    header('X\n\x9b', null),
    'the value of header "X\\x0a\\x9b" is null, wanted a string',
  ],
  [
    17,
    'refuses a Status header',
    header('Status', '200 OK'),
    'a header is called Status, which is an argument of its own',
  ],
  [
    17,
    'refuses it in any case',
    header('sTATUS', '200 OK'),
    'a header is called Status, which is an argument of its own',
  ],
  [
    18,
    'refuses a line feed in a header name',
    header('X-A\n', 'a'),
    'the header name "X-A\\x0a" holds a line feed or a colon',
  ],
  [
    18,
    'refuses a colon in a header name',
    header('X-A:', 'a'),
    'the header name "X-A:" holds a line feed or a colon',
  ],
  ...['', '1A', '-A', 'X A', 'X.A', 'X\r', 'Xé', 'X嘊'].map((name): Row => [
    19,
    `refuses the header name ${JSON.stringify(name)} (RSP-14)`,
    header(name, 'a'),
    `the header name "${name === 'X\r' ? 'X\\x0d' : name}" is not a letter and then letters, digits, hyphens, underscores`,
  ]),
  [
    20,
    'refuses a header name that ends in a hyphen (RSP-14)',
    header('X-', 'a'),
    'the header name X- ends in a hyphen or an underscore',
  ],
  [
    20,
    'refuses a header name that ends in an underscore',
    header('X_', 'a'),
    'the header name X_ ends in a hyphen or an underscore',
  ],
  ...['\0', '\n', '\r\n', '\x1f', '\t'].map((control): Row => [
    21,
    `refuses ${JSON.stringify(control)} in a header value, even HTAB (RSP-15)`,
    header('X-A', `a${control}b`),
    'the value of header X-A holds a control character',
  ]),
  [
    22,
    'refuses Content-Type in a 204',
    startWith('204 No Content', [TEXT]),
    'a 204 response has a Content-Type, but no content',
  ],
  [
    22,
    'refuses Content-Type in a 304',
    startWith('304 Not Modified', [['content-type', 'a/b']]),
    'a 304 response has a Content-Type, but no content',
  ],
  [
    23,
    'refuses a response without Content-Type, which the gateway forwards (RSP-19)',
    startWith('200 OK', []),
    'a 200 response has no Content-Type',
  ],
  [
    23,
    'wants it even of an empty body',
    startWith('404 Not Found', [['Content-Length', '0']]),
    'a 404 response has no Content-Type',
  ],
  [
    24,
    'refuses an excInfo of two',
    startWith('200 OK', [TEXT], [Error, null]),
    'excInfo is an array, wanted an Error or an array of three',
  ],
  [
    24,
    'refuses an excInfo that is a string (RSP-7)',
    startWith('200 OK', [TEXT], 'error'),
    'excInfo is a string, wanted an Error or an array of three',
  ],
  [
    24,
    'refuses true as excInfo',
    startWith('200 OK', [TEXT], true),
    'excInfo is a boolean, wanted an Error or an array of three',
  ],
  [
    'STR-3',
    'refuses a reason above U+00FF',
    startWith('200 嘊', [TEXT]),
    'status holds a code unit above U+00FF, wanted one octet each',
  ],
  [
    'STR-3',
    'refuses a header value above U+00FF',
    header('X-A', 'a嘊'),
    'the value of header X-A holds a code unit above U+00FF, wanted one octet each',
  ],
  [
    'werkzeug-204',
    'refuses Content-Length in a 204',
    startWith('204 No Content', [['Content-Length', '0']]),
    'a 204 response has a Content-Length',
  ],
  [
    'werkzeug-204',
    'refuses Content-Length in a 1xx',
    startWith('103 Early Hints', [TEXT, ['content-length', '5']]),
    'a 103 response has a Content-Length',
  ],
  [
    'werkzeug-etag',
    'refuses a weak ETag in lower case',
    header('ETag', 'w/"a"'),
    'the ETag is weak by "w/", wanted upper case',
  ],
  ...['a', '"a', 'a"', 'W/a', '"', 'a"b"', '"a"b'].map((etag): Row => [
    'werkzeug-etag',
    `refuses the ETag ${etag}`,
    header('etag', etag),
    'the ETag is not in double quotes',
  ]),
]

const BODIES: readonly Row[] = [
  ...(
    [
      [null, 'null'],
      ['hello', 'a string'],
      [[104, 105], 'an array'],
      [new ArrayBuffer(1), 'an ArrayBuffer'],
    ] as const
  ).map(([chunk, kind]): Row => [
    25,
    `refuses ${kind} in write() (RSP-43)`,
    () => call(validator(writingChunk(chunk))),
    `write() got ${kind}, wanted a Uint8Array`,
  ]),
  [
    26,
    'refuses to read on after close()',
    async () => {
      const result = (await call(validator(appOf()))) as Iterable<Uint8Array> & { close(): unknown }
      const iterator = result[Symbol.iterator]()
      result.close()
      iterator.next()
    },
    'the server read the result after its close()',
  ],
  [
    26,
    'refuses to read on after close(), asynchronously',
    async () => {
      const app = validator(untyped(async function* () {}))
      const result = (await call(app)) as AsyncIterable<Uint8Array> & { close(): unknown }
      const iterator = result[Symbol.asyncIterator]()
      await result.close()
      await iterator.next()
    },
    'the server read the result after its close()',
  ],
  [
    27,
    'refuses a string in the result (RSP-31)',
    () => serve(yielding('hello')),
    'the result yielded a string, wanted a Uint8Array',
  ],
  [
    27,
    'refuses other views in the result',
    () => serve(yielding(octets('a'), new Uint16Array(1))),
    'the result yielded a Uint16Array, wanted a Uint8Array',
  ],
  [
    27,
    'refuses a hole in the result',
    () => serve(yielding(undefined)),
    'the result yielded undefined, wanted a Uint8Array',
  ],
  [
    27,
    'refuses a promise from what is not asynchronous',
    () => nextOf(yielding(Promise.resolve())),
    'the result yielded a Promise, wanted a Uint8Array',
  ],
  [
    27,
    'refuses a string that comes later',
    () =>
      serve(
        untyped((_environ: unknown, startResponse: typeof acceptAll) => lateChunk(startResponse))
      ),
    'the result yielded a string, wanted a Uint8Array',
  ],
  [
    28,
    'refuses a chunk before startResponse (RSP-33)',
    returning([octets('a')]),
    'the result yielded before startResponse was called',
  ],
  [
    28,
    'refuses an empty one too, where PEP 3333 does not',
    returning([octets('')]),
    'the result yielded before startResponse was called',
  ],
  [
    28,
    'refuses a chunk where the only call was refused',
    () =>
      serve(
        untyped((_environ: unknown, startResponse: typeof acceptAll) => {
          try {
            startResponse('200 OK', [])
          } catch {
            // As an application does that catches everything.
          }
          return [octets('a')]
        })
      ),
    'the result yielded before startResponse was called',
  ],
  [
    'werkzeug-length',
    'refuses a body over its Content-Length, at that chunk (RSP-37)',
    () => serve(appOf('200 OK', [TEXT, ['Content-Length', '3']], ['ab', 'cd', 'ef'])),
    'the body has 4 bytes and more, over its Content-Length of 3',
  ],
  [
    'werkzeug-length',
    'refuses a body under its Content-Length (RSP-38)',
    () => serve(appOf('200 OK', [TEXT, ['content-length', '5']], ['ab', 'cd'])),
    'the body has 4 bytes, under its Content-Length of 5',
  ],
  [
    'werkzeug-length',
    'counts what was written',
    () => serve(writing('200 OK', [TEXT, ['Content-Length', '5']], 'hello!')),
    'the body has 6 bytes and more, over its Content-Length of 5',
  ],
  [
    'werkzeug-204',
    'refuses a body of a 204 (RSP-41)',
    () => serve(appOf('204 No Content', [])),
    'a 204 response has a body',
  ],
  [
    'werkzeug-204',
    'refuses a body of a 1xx',
    () => serve(appOf('103 Early Hints', [TEXT])),
    'a 103 response has a body',
  ],
  [
    'werkzeug-204',
    'refuses a written body of a 204',
    () => serve(writing('204 No Content', [], 'a')),
    'a 204 response has a body',
  ],
  [
    'werkzeug-304',
    'refuses a body of a 304 (RSP-41)',
    () => serve(appOf('304 Not Modified', [])),
    'a 304 response has a body',
  ],
  [
    'werkzeug-304',
    'refuses a body of a 304, to HEAD too',
    () => serve(appOf('304 Not Modified', []), { REQUEST_METHOD: 'HEAD' }),
    'a 304 response has a body',
  ],
]

function nextOf(app: Application): unknown {
  const result = call(validator(app)) as Iterable<Uint8Array>
  return result[Symbol.iterator]().next()
}

async function* lateChunk(startResponse: typeof acceptAll): AsyncGenerator<unknown> {
  startResponse('200 OK', [TEXT])
  yield octets('a')
  yield 'b'
}

function writingChunk(chunk: unknown): Application {
  return function application(_environ, startResponse) {
    void Reflect.apply(startResponse('200 OK', [TEXT]), undefined, [chunk])
    return []
  }
}

function writing(status: string, headers: [string, string][], text: string): Application {
  return function application(_environ, startResponse) {
    void startResponse(status, headers)(octets(text))
    return []
  }
}

describe.each([
  ['calls', CALLS],
  ['startResponse', STARTS],
  ['bodies', BODIES],
])('%s', (_what, rows) => {
  test.each(rows)('`validator()` item %s: %s', async (item, _title, breach, message) => {
    const error = await breachOf(breach)
    const check = typeof item === 'number' ? `wsgiref.validate item ${item}` : `check ${item}`
    expect([error.item, error.message]).toEqual([item, `Cannot pass ${check}: ${message}`])
  })
})

test.each(['200', '200\tOK', ' 200 OK'])(
  '`validator()` item 11: warns of the status %j (RSP-10)',
  async (status) => {
    const { warnings } = await serve(appOf(status))
    expect(warnings.map(({ item, message }) => [item, message])).toEqual([
      [11, 'Cannot pass wsgiref.validate item 11: status is not a code, one space and a reason'],
    ])
  }
)

test.each(['Content-Encoding', 'content-language', 'Content-MD5', 'Content-Range'])(
  '`validator()` werkzeug-304: warns of %s in a 304',
  async (name) => {
    const { warnings } = await serve(appOf('304 Not Modified', [[name, 'a']], []))
    expect(warnings.map(({ item, message }) => [item, message])).toEqual([
      [
        'werkzeug-304',
        `Cannot pass check werkzeug-304: a 304 response has ${name}, but no content`,
      ],
    ])
  }
)

test.each<[title: string, app: Application, method?: string]>([
  ['status 100, the least', appOf('100 Continue', [TEXT], [])],
  ['a status without a reason but its space', appOf('200 ')],
  ['a reason of ISO-8859-1', appOf('200 d\xe9j\xe0 vu')],
  ['names of every allowed character', appOf('200 OK', [TEXT, ['aZ-_09', 'a'], ['Z', '']])],
  ['values of every allowed octet', appOf('200 OK', [TEXT, ['X-A', ' ~\x7f\x80\xff']])],
  ['a 204 without anything', appOf('204 No Content', [], [''])],
  [
    'a 304 with what guides a cache',
    appOf(
      '304 Not Modified',
      [
        ['ETag', '"a"'],
        ['Last-Modified', 'a'],
        ['Expires', 'a'],
        ['Content-Location', 'a'],
        ['Allow', 'a'],
        ['Content-Length', '5'],
      ],
      []
    ),
  ],
  [
    'the headers of a content in a 200',
    appOf('200 OK', [TEXT, ['Content-Encoding', 'a'], ['Content-Range', 'a']]),
  ],
  ['a strong ETag', appOf('200 OK', [TEXT, ['ETag', '"a"']])],
  ['a weak ETag', appOf('200 OK', [TEXT, ['ETag', 'W/"a"']])],
  ['an empty ETag', appOf('200 OK', [TEXT, ['ETag', '""']])],
  [
    'a body of its Content-Length',
    appOf('200 OK', [TEXT, ['Content-Length', '5']], ['he', '', 'llo']),
  ],
  [
    'a Content-Length without a body, to HEAD',
    appOf('200 OK', [TEXT, ['Content-Length', '5']], []),
    'HEAD',
  ],
  [
    'more than its Content-Length, to HEAD',
    appOf('200 OK', [TEXT, ['Content-Length', '1']]),
    'HEAD',
  ],
  [
    'written bytes of its Content-Length',
    writing('200 OK', [TEXT, ['Content-Length', '5']], 'hello'),
  ],
  ...['x9', '9x'].map((length): [string, Application] => [
    'a Content-Length that is for the server to refuse (RSP-17)',
    appOf('200 OK', [TEXT, ['Content-Length', length]]),
  ]),
  ['excInfo undefined', startsWith('200 OK', [TEXT], undefined)],
  ['excInfo null', startsWith('200 OK', [TEXT], null)],
  ['an Error as excInfo', startsWith('200 OK', [TEXT], new TypeError('a'))],
  ['three as excInfo', startsWith('200 OK', [TEXT], [Error, new Error('a'), null])],
  [
    'a Buffer, which is a Uint8Array',
    untyped(
      (_environ: unknown, startResponse: typeof acceptAll) => (
        startResponse('200 OK', [TEXT]),
        [Buffer.from('a')]
      )
    ),
  ],
  ['an empty result without startResponse, which is for the server to refuse', untyped(() => [])],
])('`validator()` lets %s pass', async (_title, app, method = 'GET') => {
  expect(await serve(app, { REQUEST_METHOD: method })).toMatchObject({ warnings: [] })
})
