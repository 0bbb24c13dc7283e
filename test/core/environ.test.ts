import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import { type Environ, toEnviron } from '../../src/core/environ.ts'
import { type EnvironOptions, resolveEnvironOptions } from '../../src/core/environ-options.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import type { HeaderField, RequestMeta } from '../../src/core/request-head.ts'
import { chunkStream, fetchRequest, refusalOf, type RequestParts } from './support.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const WSGI_KEYS = [
  'wsgi.errors',
  'wsgi.input',
  'wsgi.input_terminated',
  'wsgi.multiprocess',
  'wsgi.multithread',
  'wsgi.run_once',
  'wsgi.url_scheme',
  'wsgi.version',
]
const CGI_KEYS = [
  'HTTP_HOST',
  'PATH_INFO',
  'QUERY_STRING',
  'REQUEST_METHOD',
  'REQUEST_SCHEME',
  'REQUEST_URI',
  'SCRIPT_NAME',
  'SERVER_NAME',
  'SERVER_PORT',
  'SERVER_PROTOCOL',
  'SERVER_SOFTWARE',
]

/** The environ of a POST of these chunks. */
function posted(
  chunks: readonly string[],
  headers: readonly HeaderField[] = [],
  options: EnvironOptions = {}
): Promise<Environ> {
  const lines: HeaderField[] = [['host', 'h.example'], ...headers]
  return toEnviron(fetchRequest({ headers: lines, body: chunkStream(chunks) }), {}, options)
}

async function bodyOf(environ: Environ): Promise<string> {
  return octetsToNative(await environ['wsgi.input'].read())
}

test('toEnviron() makes a plain object of data properties, fresh each time (STR-4)', async () => {
  const [one, other] = [await toEnviron(fetchRequest()), await toEnviron(fetchRequest())]
  expect(Object.getPrototypeOf(one)).toBe(Object.prototype)
  for (const property of Object.values(Object.getOwnPropertyDescriptors(one))) {
    expect(property).toMatchObject({ writable: true, enumerable: true, configurable: true })
  }
  one['PATH_INFO'] = '/changed'
  one['myapp.cache'] = {}
  expect(other).toMatchObject({ PATH_INFO: '/' })
  expect(other).not.toHaveProperty(['myapp.cache'])
  expect(one['wsgi.input']).not.toBe(other['wsgi.input'])
})

test('toEnviron() of the least request has these keys, and no other (STR-5)', async () => {
  const environ = await toEnviron(fetchRequest(), { remote: null, tls: undefined })
  expect(Object.keys(environ).toSorted()).toEqual([...CGI_KEYS, ...WSGI_KEYS])
})

test('toEnviron() has strings in all CGI keys, and the wsgi keys of PEP 3333 (STR-6)', async () => {
  const environ = await toEnviron(fetchRequest({ url: 'https://h.example:81/' }), {
    remote: { addr: '192.0.2.7', port: 5555 },
  })
  const kinds = Object.keys(environ).map((key) => (key.includes('.') ? '' : typeof environ[key]))
  expect(new Set(kinds)).toEqual(new Set(['', 'string']))
  expect(environ).toMatchObject({
    REMOTE_PORT: '5555',
    SERVER_PORT: '81',
    'wsgi.version': [1, 0],
    'wsgi.url_scheme': 'https',
    'wsgi.multithread': false,
    'wsgi.multiprocess': true,
    'wsgi.run_once': false,
    'wsgi.input_terminated': true,
  })
})

test('toEnviron() gives the raw target as RAW_URI, verbatim (PATH-2)', async () => {
  const request = fetchRequest({ url: 'http://h.example/p?q' })
  const rawTarget = 'http://h.example/a/../p?q#f'
  expect(await toEnviron(request, { rawTarget })).toMatchObject({
    RAW_URI: rawTarget,
    REQUEST_URI: '/a/../p?q',
    PATH_INFO: '/p',
  })
})

test.each([
  ['exact', ['a', 'bc'], '3', 'abc'],
  ['longer', ['ab', 'cdGET /'], '3', 'abc'],
  ['none', ['GET /'], '0', ''],
  ['zeros', ['abc'], '0003', 'abc'],
])(
  'toEnviron() stops wsgi.input at CONTENT_LENGTH: %s (BODY-1, BODY-3, BODY-6)',
  async (...row) => {
    const [, chunks, length, body] = row
    const environ = await posted(chunks, [['content-length', length]])
    expect(environ).toMatchObject({
      CONTENT_LENGTH: String(Number(length)),
      'wsgi.input_terminated': true,
    })
    expect(await bodyOf(environ)).toBe(body)
    expect(await bodyOf(environ)).toBe('')
  }
)

test('toEnviron() leaves a body that is too short to fail at its reader (BODY-6)', async () => {
  const environ = await posted(['ab'], [['content-length', '3']])
  expect(await refusalOf(environ['wsgi.input'].read())).toBe('400 ERR_BODY_TOO_SHORT')
})

test('toEnviron() measures a body of unknown length by holding it (BODY-1, BODY-2)', async () => {
  for (const headers of [[], [['transfer-encoding', 'chunked'] as const]]) {
    const environ = await posted(['ab', '', 'c\n'], headers)
    expect(environ).toMatchObject({ CONTENT_LENGTH: '4', 'wsgi.input_terminated': true })
    expect(environ).not.toHaveProperty('HTTP_TRANSFER_ENCODING')
    expect(await bodyOf(environ)).toBe('abc\n')
  }
  expect(await posted([])).toMatchObject({ CONTENT_LENGTH: '0' })
})

test.each<[EnvironOptions]>([
  [{ maxBufferedBodyBytes: 3 }],
  [{ maxBodyBytes: 3 }],
  [{ maxBodyBytes: 3, maxBufferedBodyBytes: Infinity }],
])('toEnviron() counts what it holds, chunk by chunk: %j (BODY-2, SEC-81)', async (options) => {
  expect(await posted(['ab', 'c'], [], options)).toMatchObject({ CONTENT_LENGTH: '3' })
  expect(await refusalOf(posted(['ab', 'cd'], [], options))).toBe('413 ERR_BODY_TOO_LARGE')
})

test('toEnviron() cancels a body that grows over the limit (BODY-2, SEC-81)', async () => {
  const cancelled = vi.fn<(reason: unknown) => void>()
  let pulls = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulls++
      controller.enqueue(new Uint8Array(1024))
    },
    cancel: cancelled,
  })
  const endless = toEnviron(fetchRequest({ body }), {}, { maxBufferedBodyBytes: 10_000 })
  expect(await refusalOf(endless)).toBe('413 ERR_BODY_TOO_LARGE')
  expect(cancelled).toHaveBeenCalledOnce()
  expect(pulls).toBeLessThan(20)
})

test('toEnviron() streams or refuses a body of unknown length where asked to (BODY-2)', async () => {
  const environ = await posted(['ab', 'c'], [], { unknownLength: 'stream', maxBodyBytes: 3 })
  expect(environ).not.toHaveProperty('CONTENT_LENGTH')
  expect(environ).toMatchObject({ 'wsgi.input_terminated': true })
  expect(await bodyOf(environ)).toBe('abc')
  const over = await posted(['ab', 'cd'], [], { unknownLength: 'stream', maxBodyBytes: 3 })
  expect(await refusalOf(over['wsgi.input'].read())).toBe('413 ERR_BODY_TOO_LARGE')
  expect(await refusalOf(posted(['a'], [], { unknownLength: 'reject' }))).toBe(
    '411 ERR_LENGTH_REQUIRED'
  )
})

test.each<[string, string | undefined]>([
  ['0', '0'],
  ['3', undefined],
])(
  'toEnviron() has an empty input where a body was dropped: %s (BODY-5, SEC-52)',
  async (...row) => {
    const [announced, length] = row
    const headers = [['content-length', announced] as const]
    const environ = await toEnviron(fetchRequest({ headers }))
    expect(environ['CONTENT_LENGTH']).toBe(length)
    expect(await bodyOf(environ)).toBe('')
  }
)

test('toEnviron() leaves a Content-Encoding alone (BODY-7)', async () => {
  const packed = octetsToNative(gzipSync('abc'))
  const environ = await posted([packed], [['content-encoding', 'gzip']])
  expect(environ).toMatchObject({
    HTTP_CONTENT_ENCODING: 'gzip',
    CONTENT_LENGTH: String(packed.length),
  })
  expect(await bodyOf(environ)).toBe(packed)
})

test.each<[string, HeaderField[]]>([
  ['both lengths', [['content-length', '3'] as const, ['transfer-encoding', 'chunked'] as const]],
  ['a list', [['content-length', '3'] as const, ['content-length', '3'] as const]],
  ['a sign', [['content-length', '+3'] as const]],
  ['two hosts', [['host', 'evil.example'] as const]],
])(
  'toEnviron() refuses what Fetch joined to nonsense: %s (HOST-4, SEC-40, SEC-43)',
  async (...row) => {
    expect(await refusalOf(posted(['abc'], row[1]))).toBe('400 ERR_BAD_REQUEST')
  }
)

test('toEnviron() rejects on a wrong option', async () => {
  await expect(toEnviron(fetchRequest(), {}, { maxHeaders: -1 })).rejects.toThrow(RangeError)
  await expect(toEnviron(fetchRequest(), {}, { mount: 'app' })).rejects.toThrow(TypeError)
})

test('toEnviron() writes wsgi.errors by the line, any text, and has no close', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
  const errors = (await toEnviron(fetchRequest()))['wsgi.errors']
  expect(Object.keys(errors).toSorted()).toEqual(['flush', 'write', 'writelines'])
  errors.write('a')
  errors.flush()
  errors.flush()
  errors.writelines(['b', 'c\n', '\n', '\ud800あ\n'])
  expect(logged.mock.calls).toEqual([['a'], ['bc'], ['\ud800あ']])
})

/** Mostly `usual`, so that a request with several members is not always refused for one of them. */
function mostly<T>(usual: fc.Arbitrary<T>, ...others: fc.Arbitrary<T>[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 10 * others.length, arbitrary: usual }, ...others)
}

const NAMES = ['Content_Length', 'wsgi.input', 'Proxy', 'Cookie', 'Connection', 'X-A', 'X_A', 'X-É']
  .concat([
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Host',
    'SCRIPT-NAME',
    'Content-Type',
  ])
  .concat(['__proto__', 'constructor', 'Proxy', ''])
const HOSTILE_NAMES = [
  'Host',
  'Content-Length',
  'Transfer-Encoding',
  'Expect',
  'Forwarded',
  'X\r\nY',
]
const VALUES = [
  'h.example',
  'a, b',
  '3',
  '0',
  'chunked',
  'close, host',
  '10.0.0.1',
  'for="[::1]:1"',
].concat(['https', '100-continue', '\xe9\xff', '', ' \t ', '*', '\x85'])
const HOSTILE_VALUES = ['a\r\nX: y', '\0', '\u560d\u560a', '\x7f']
const PATHS = [
  '/',
  '//',
  '..',
  '.',
  '%2f',
  '%2e',
  '%0a',
  '%ff',
  '%',
  '%zz',
  '\\',
  '?',
  '#',
  'あ',
  "'",
]
const HOSTS = ['h.example', 'H.Example:81', '[::1]:8', '127.0.0.1', 'xn--caf-dma.example']

const anyText = fc.string({ unit: 'binary' })
const anyValue = mostly(fc.constantFrom(...VALUES), fc.constantFrom(...HOSTILE_VALUES), anyText)
const anyName = mostly(
  fc.oneof(fc.constantFrom(...NAMES), fc.stringMatching(/^[A-Za-z0-9_.-]{1,12}$/)),
  fc.constantFrom(...HOSTILE_NAMES),
  anyText
)
const anyPath = fc
  .array(mostly(fc.constantFrom(...PATHS, 'a', 'b'), fc.constant('%00'), anyText))
  .map((parts) => `/${parts.join('')}`)
const anyHeaders = fc.array(fc.tuple(anyName, anyValue), { maxLength: 8 })
const anyMethod = mostly(
  fc.constantFrom('GET', 'POST', 'OPTIONS', 'M-SEARCH', 'patch'),
  fc.constantFrom('CONNECT', 'TRACE', '', 'GET /'),
  anyText
)
const anyMeta = fc.record(
  {
    rawTarget: mostly(
      anyPath,
      fc.constantFrom('*', 'http://h.example/x', 'x', '//evil.com/p'),
      fc.string()
    ),
    rawHeaders: anyHeaders,
    httpVersion: mostly(fc.constantFrom('1.0', '1.1', '2', '3.0'), fc.string()),
    remote: fc.oneof(
      fc.constant(null),
      fc.record({
        addr: fc.oneof(fc.constantFrom('10.0.0.1', '::1', 'unix:'), fc.ipV6(), fc.string()),
        port: fc.option(fc.nat(65_535), { nil: undefined }),
      })
    ),
    tls: fc.record({ protocol: fc.constant('TLSv1.3'), cipher: fc.string() }, { requiredKeys: [] }),
  },
  { requiredKeys: [] }
)
const anyOptions = fc.record(
  {
    mount: mostly(fc.constantFrom('', '/'), fc.constantFrom('/あ', '/a', 'a', '/..')),
    trustedProxies: mostly<string[]>(
      fc.constantFrom([], ['10.0.0.1', 'unix:'], ['0.0.0.0/0', '::/0']),
      fc.constant(['x'])
    ),
    trustForwardedHost: fc.boolean(),
    serverName: mostly(fc.constant('srv'), anyText),
    serverPort: mostly(fc.integer({ min: 1, max: 65_535 }), fc.integer(), fc.double()),
    headerEncoding: fc.constantFrom('latin1', 'utf8'),
    maxHeaders: mostly(fc.constantFrom(20, Infinity), fc.integer({ min: -2, max: 9 })),
    maxBodyBytes: mostly(fc.constantFrom(5, 1e9), fc.constant(2)),
    maxBufferedBodyBytes: mostly(fc.constantFrom(5, Infinity), fc.constantFrom(2, NaN)),
    unknownLength: mostly(fc.constantFrom('buffer', 'stream'), fc.constant('reject')),
    encodedSlash: mostly(fc.constantFrom('decode', 'preserve'), fc.constant('reject')),
    decodedDotSegments: fc.constantFrom('reject', 'pass'),
    collapseLeadingSlashes: fc.boolean(),
    ambiguousHeaders: mostly(fc.constant('drop'), fc.constant('reject')),
    allowNul: fc.boolean(),
    asteriskForm: fc.constantFrom('answer', 'pass'),
  } as const,
  { requiredKeys: [] }
)
const anyRequest = fc.record({
  method: anyMethod,
  url: fc.tuple(fc.constantFrom(...HOSTS), anyPath).map(([host, path]) => `http://${host}${path}`),
  headers: anyHeaders,
  body: fc.option(fc.array(fc.string({ maxLength: 1 }), { maxLength: 5 }), { nil: undefined }),
})

/** A request as a server might hand it over, with a method that the constructor would refuse. */
function anyFetchRequest(parts: {
  method: string
  url: string
  headers: readonly HeaderField[]
  body: readonly string[] | undefined
}): Request {
  const { method, url, headers, body } = parts
  const fetchParts: RequestParts = body === undefined ? { url } : { url, body: chunkStream(body) }
  const request = fetchRequest({ ...fetchParts, headers: [] })
  for (const [name, value] of headers) {
    try {
      request.headers.append(name, value)
    } catch {
      // No runtime hands such a header over as a Fetch header; raw ones go through the meta.
    }
  }
  Object.defineProperty(request, 'method', { value: method })
  return request
}

function isWrong(options: EnvironOptions): boolean {
  try {
    resolveEnvironOptions(options)
  } catch (error) {
    return error instanceof TypeError || error instanceof RangeError
  }
  return false
}

const CLIENT_KEYS =
  /^(?:HTTP_[A-Z0-9_]+|CONTENT_(?:TYPE|LENGTH)|RE(?:QUEST_(?:METHOD|URI|SCHEME)|MOTE_(?:ADDR|PORT))|RAW_URI|(?:PATH|SCRIPT)_(?:INFO|NAME)|QUERY_STRING|HTTPS|SERVER_(?:NAME|PORT|PROTOCOL|SOFTWARE)|SSL_(?:PROTOCOL|CIPHER))$/

function checkEnviron(environ: Environ): void {
  for (const [key, value] of Object.entries(environ)) {
    if (key.includes('.')) {
      expect(key).toBeOneOf(WSGI_KEYS)
    } else {
      expect(key).toMatch(CLIENT_KEYS)
      expect(value).toBeTypeOf('string')
      expect(value).toMatch(/^[\0-\xff]*$/)
    }
  }
  expect(environ).not.toHaveProperty('HTTP_PROXY')
  expect(environ).not.toHaveProperty('HTTP_TRANSFER_ENCODING')
  expect(environ.PATH_INFO).toMatch(/^(?:\/[^]*|\*|)$/)
  expect(environ.SERVER_NAME).not.toBe('')
  expect(environ.SERVER_PORT).toMatch(/^[0-9]+$/)
  expect(environ['wsgi.url_scheme']).toMatch(/^https?$/)
}

test('toEnviron() of any request is native strings under known keys, or a GatewayError (STR-1, STR-6, INV-2, SEC-04, SEC-11)', async () => {
  const outcomes = { environ: 0, refused: 0, option: 0 }
  await fc.assert(
    fc.asyncProperty(anyRequest, anyMeta, anyOptions, async (parts, meta, options) => {
      const request = anyFetchRequest(parts)
      const wrongOption = isWrong(options)
      try {
        checkEnviron(await toEnviron(request, meta as RequestMeta, options))
        outcomes.environ++
      } catch (error) {
        if (wrongOption && (error instanceof TypeError || error instanceof RangeError)) {
          outcomes.option++
        } else if (error instanceof GatewayError) outcomes.refused++
        else throw error
      }
    }),
    { numRuns: 2000 }
  )
  // Otherwise the property would prove less than it says.
  expect(outcomes.environ).toBeGreaterThan(50)
  expect(outcomes.refused).toBeGreaterThan(50)
  expect(outcomes.option).toBeGreaterThan(50)
})
