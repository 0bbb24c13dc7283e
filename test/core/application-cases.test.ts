/**
 * What the test suites of other servers ask of one, in our own words; each title names its case.
 *
 * - wsgiref: CPython, `Lib/test/test_wsgiref.py`
 * - Plack: `Plack::Test::Suite`, which is for PSGI; and Starman's `chunked_zero_length.t`
 * - waitress: its `tests/fixtureapps` with `test_functional.py`, and `test_task.py`
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Application } from '../../src/core/application.ts'
import { fromEnviron } from '../../src/core/from-environ.ts'
import { gateway, type GatewayOptions } from '../../src/core/gateway.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import type { StartResponse } from '../../src/core/start-response.ts'
import { validator } from '../../src/core/validator.ts'
import {
  LENGTH,
  PAGE_500,
  refuseUnhandledRejections,
  responding,
  Result,
  seen,
  type Seen,
  TEXT,
  turn,
  untyped,
  withClose,
  yielding,
} from './application-support.ts'
import { chunkStream, fetchRequest, octets, refusal, type RequestParts } from './support.ts'

refuseUnhandledRejections()

let log = ''

beforeEach(() => {
  log = ''
  vi.spyOn(console, 'error').mockImplementation((text: unknown) => {
    log += `${String(text)}\n`
  })
})

afterEach(() => {
  vi.restoreAllMocks()
})

type Reply = Omit<Seen, 'log'>

/** A request, and what a client sees of the answer. */
async function ask(
  app: Application,
  parts: RequestParts = {},
  options: GatewayOptions = {}
): Promise<Reply> {
  return await seen(await gateway(app, options)(fetchRequest(parts)))
}

/** A GET of this target. */
async function get(app: Application, target: string, ...headers: HeaderField[]): Promise<Reply> {
  return await ask(app, {
    url: `http://h.example${target}`,
    headers: [['host', 'h.example'], ...headers],
  })
}

/** A POST of a body whose length is said. */
async function post(app: Application, target: string, body: string): Promise<Reply> {
  const headers: HeaderField[] = [['host', 'h.example'], LENGTH(body.length)]
  return await ask(app, { url: `http://h.example${target}`, headers, body: chunkStream([body]) })
}

/** An application that says in its body what an environ holds under these keys. */
function telling(...keys: readonly string[]): Application {
  return (environ, startResponse) => {
    startResponse('200 OK', [TEXT])
    return [octets(keys.map((key) => String(environ[key])).join('\n'))]
  }
}

const hello: Application = (_environ, startResponse) => {
  startResponse('200 OK', [TEXT, ['Date', 'Mon, 05 Jun 2006 18:49:54 GMT']])
  return [octets('Hello, world!')]
}

/** Answers with what it reads. */
const reading: Application = async (environ, startResponse) => {
  const body = await environ['wsgi.input'].read()
  startResponse('200 OK', [TEXT])
  return [body]
}

/** The same, piece by piece. */
const readingPieces: Application = async function* application(environ, startResponse) {
  startResponse('200 OK', [TEXT])
  const input = environ['wsgi.input']
  for (let left = Number(environ['CONTENT_LENGTH']); left > 0;) {
    const piece = await input.read(1000)
    left -= piece.length
    yield piece
  }
}

function fail(message: string): never {
  throw new Error(message)
}

function* failingBehind(chunk: string): Generator<Uint8Array> {
  yield octets(chunk)
  fail('wrong')
}

/** Calls startResponse with each of these arguments, one behind the other. */
function starting(...calls: readonly Parameters<StartResponse>[]): Application {
  return (_environ, startResponse) => {
    for (const call of calls) startResponse(...call)
    return [octets('a')]
  }
}

const FIVE_HUNDRED = { status: 500, body: PAGE_500, broken: false }

describe('wsgiref', () => {
  test('test_plain_hello: a list of one gets its length, and no header of ours', async () => {
    const reply = await get(hello, '/')
    expect(reply).toMatchObject({ status: 200, reason: 'OK', body: 'Hello, world!' })
    expect([...reply.headers]).toEqual([
      ['content-length', '13'],
      ['content-type', 'text/plain'],
      ['date', 'Mon, 05 Jun 2006 18:49:54 GMT'],
    ])
    expect(log).toBe('')
  })

  test('test_validated_hello: nor does the validator hide the body, only its length', async () => {
    const reply = await get(validator(hello), '/')
    expect(reply).toMatchObject({ status: 200, body: 'Hello, world!', broken: false })
    expect(reply.headers.has('content-length')).toBe(false)
  })

  test('test_environ: a doubled header is joined, the path decoded, the query not', async () => {
    const app = telling('HTTP_X_TEST_HEADER', 'QUERY_STRING', 'PATH_INFO')
    const headers = [
      ['X-Test-Header', 'one '],
      ['x-test-header', ' two'],
    ] as const
    const { body } = await get(app, '/p%61th/?query=t%65st', ...headers)
    expect(body).toBe('one, two\nquery=t%65st\n/path/')
  })

  test('test_request_length: a target that is too long is refused before the application', async () => {
    expect(await get(hello, `/${'x'.repeat(65_537)}`)).toMatchObject({ status: 414 })
  })

  test('test_simple_validation_error: headers that are no list of pairs, and text in the body', async () => {
    const app = untyped((_environ: unknown, startResponse: (...args: unknown[]) => unknown) => {
      startResponse('200 OK', ['Content-Type', 'text/plain'])
      return ['Hello, world!']
    })
    for (const wrapped of [app, validator(app)]) {
      expect(await get(wrapped, '/')).toMatchObject(FIVE_HUNDRED)
      expect(log).toContain('header')
    }
  })

  test.each(['20X OK', '200OK', ' 200 OK', 'OK'])(
    'test_status_validation_errors: the status %j',
    async (status) => {
      expect(
        await get(
          responding(() => [octets('data')], status),
          '/'
        )
      ).toMatchObject(FIVE_HUNDRED)
      expect(log).toContain('status')
    }
  )

  test('test_status_validation_errors: a status without a reason passes here, as on uWSGI', async () => {
    expect(
      await get(
        responding(() => [octets('data')], '200'),
        '/'
      )
    ).toMatchObject({ status: 200 })
  })

  test('test_wsgi_input: read() of everything is for the validator to refuse, not for us', async () => {
    expect(await post(reading, '/', 'data')).toMatchObject({ status: 200, body: 'data' })
    expect(await post(validator(reading), '/', 'data')).toMatchObject(FIVE_HUNDRED)
  })

  test('test_bytes_validation: bytes pass the validator', async () => {
    const reply = await get(validator(hello), '/')
    expect(reply.headers.get('date')).toBe('Mon, 05 Jun 2006 18:49:54 GMT')
    expect(log).toBe('')
  })

  test('test_cp1252_url: octets of a path that are no UTF-8 come through as they are', async () => {
    expect(await get(validator(telling('PATH_INFO')), '/%80%80')).toMatchObject({
      body: '/\x80\x80',
    })
  })

  test('test_interrupted_write: a chunk of megabytes arrives whole', async () => {
    const size = 4_000_000
    const app = responding(() => [new Uint8Array(size).fill(97)])
    expect((await get(app, '/')).body).toBe('a'.repeat(size))
  })

  test('testCGIEnviron: scheme, input and errors are always there', async () => {
    const { body } = await get(telling('wsgi.url_scheme', 'wsgi.input', 'wsgi.errors'), '/')
    expect(body).toBe('http\n[object Object]\n[object Object]')
  })

  test('testScheme: HTTPS=on makes it https', () => {
    const vars = { REQUEST_METHOD: 'GET', HTTP_HOST: 'h.example' }
    expect(fromEnviron({ ...vars, HTTPS: 'on' }).url).toBe('https://h.example/')
    expect(fromEnviron(vars).url).toBe('http://h.example/')
  })

  test.each<[string, Application, string | null, string]>([
    ['a list of one', responding(() => [octets('http')], '200 OK', []), '4', 'http'],
    [
      'write(), which has none',
      (_environ, startResponse) => {
        void startResponse('200 OK', [])(octets('http'))
        return []
      },
      null,
      'http',
    ],
    [
      'bytes, not characters',
      responding(() => [new TextEncoder().encode('тест')], '200 OK', []),
      '8',
      '\xd1\x82\xd0\xb5\xd1\x81\xd1\x82',
    ],
  ])('testContentLength: %s', async (_, app, length, body) => {
    const reply = await get(app, '/')
    expect(reply.body).toBe(body)
    expect(reply.headers.get('content-length')).toBe(length)
  })

  test('testContentLength: an application that answers HEAD says the length alone', async () => {
    const app = responding(() => [], '200 OK', [LENGTH(12_345)])
    const reply = await ask(app, { method: 'HEAD' })
    expect(reply).toMatchObject({ status: 200, bodyless: true })
    expect(reply.headers.get('content-length')).toBe('12345')
  })

  test('testBasicErrorOutput: no body is a length of zero, an error a page and a log', async () => {
    const reply = await get(
      responding(() => [], '200 OK', []),
      '/'
    )
    expect([...reply.headers]).toEqual([['content-length', '0']])
    expect(log).toBe('')
    const failed = await get(() => {
      throw new TypeError('caught by the handler')
    }, '/')
    expect(failed).toMatchObject(FIVE_HUNDRED)
    expect(failed.headers.get('content-length')).toBe(String(PAGE_500.length))
    expect(log).toContain('TypeError: caught by the handler')
  })

  test('testErrorAfterOutput: what was written stays, and the error is logged', async () => {
    const reply = await get((_environ, startResponse) => {
      void startResponse('200 OK', [])(octets('Some output'))
      throw new TypeError('caught by the handler')
    }, '/')
    // wsgiref just stops; a client of ours can tell.
    expect(reply).toMatchObject({ status: 200, body: 'Some output', broken: true })
    expect(log).toContain('TypeError')
  })

  test.each(['1.0', '1.1', '2.0', '3.0'])(
    'testHeaderFormats: whatever the version, HTTP/%s gets no Date and Server of ours',
    async (httpVersion) => {
      const requestMeta = (): { httpVersion: string } => ({ httpVersion })
      const reply = await ask(
        responding(() => [], '200 OK', []),
        {},
        { requestMeta }
      )
      expect([...reply.headers]).toEqual([['content-length', '0']])
    }
  )

  test('testBytesData: bytes with a charset', async () => {
    const app = responding(() => [octets('data')], '200 OK', [
      ['Content-Type', 'text/plain; charset=utf-8'],
    ])
    expect(Object.fromEntries((await get(app, '/')).headers)).toEqual({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '4',
    })
  })

  test('testCloseOnError: close() is called where the iteration fails behind write()', async () => {
    const result = new Result(failingBehind('blah'))
    const reply = await get((_environ, startResponse) => {
      void startResponse('200 OK', [])(octets('Some output'))
      return result
    }, '/')
    expect(reply).toMatchObject({ body: 'Some outputblah', broken: true })
    expect(result.closed).toBe(1)
  })

  test('testClientConnectionTerminations: a client that leaves is nothing to log', async () => {
    const response = await gateway(responding(() => yielding('a', 'b')))(fetchRequest())
    await response.body?.cancel(new Error('ECONNRESET'))
    await turn()
    expect(log).toBe('')
  })

  test.each(Array.from({ length: 33 }, (_, code) => (code === 32 ? 0x7f : code)))(
    'gh-143916, gh-144370: the control character %d in status, name and value',
    async (code) => {
      const unit = String.fromCharCode(code)
      const statuses = [`200 O${unit}K`]
      const fields: HeaderField[] = [
        [`X-${unit}A`, '1'],
        ['X-A', `1${unit}2`],
      ]
      if (unit === '\t') {
        // HTAB is text in a reason and in a value.
        statuses.pop()
        fields.pop()
      }
      for (const status of statuses) {
        expect(
          await get(
            responding(() => [], status),
            '/'
          )
        ).toMatchObject(FIVE_HUNDRED)
      }
      for (const field of fields) {
        const app = responding(() => [], '200 OK', [field])
        expect(await get(app, '/')).toMatchObject(FIVE_HUNDRED)
      }
    }
  )
})

/** Says what came with a form. */
const formEcho: Application = async (environ, startResponse) => {
  const length = String(environ['CONTENT_LENGTH'])
  startResponse('200 OK', [
    ['Client-Content-Length', length],
    ['Client-Content-Type', String(environ['CONTENT_TYPE'])],
  ])
  return [octets('Hello, '), await environ['wsgi.input'].read(Number(length))]
}

const writingErrors: Application = (environ, startResponse) => {
  environ['wsgi.errors'].write('a line\n')
  return hello(environ, startResponse)
}

const replacingErrors: Application = (environ) => {
  environ['wsgi.errors'] = { write() {}, writelines() {}, flush() {} }
  return fail('from the application')
}

describe('Plack', () => {
  test('GET: the query is there', async () => {
    expect(await get(telling('QUERY_STRING'), '/?name=x')).toMatchObject({ body: 'name=x' })
  })

  test('POST: length, type and body are there', async () => {
    const form = 'application/x-www-form-urlencoded'
    const headers: HeaderField[] = [
      ['host', 'h.example'],
      ['content-type', form],
    ]
    const reply = await ask(formEcho, { headers, body: chunkStream(['name=', 'tatsuhiko']) })
    expect(reply.body).toBe('Hello, name=tatsuhiko')
    expect(reply.headers.get('client-content-length')).toBe('14')
    expect(reply.headers.get('client-content-type')).toBe(form)
  })

  test('big POST: read piece by piece, the body is the same', async () => {
    const sent = 'abcdefgh'.repeat(12_000)
    const { body } = await post(readingPieces, '/', sent)
    expect(createHash('md5').update(body).digest('hex')).toBe(
      createHash('md5').update(sent).digest('hex')
    )
  })

  test('psgi.url_scheme: http or https', async () => {
    expect(await get(telling('wsgi.url_scheme'), '/')).toMatchObject({ body: 'http' })
    const secure = await ask(telling('wsgi.url_scheme'), { url: 'https://h.example/' })
    expect(secure.body).toBe('https')
  })

  test('return glob: a file that is read as a stream', async () => {
    const app = responding(() => createReadStream(import.meta.filename))
    const { body } = await get(app, '/')
    expect(body).toBe((await readFile(import.meta.filename)).toString('latin1'))
  })

  test('filehandle, bigger file: a file with its length', async () => {
    const { size } = await stat(process.execPath)
    const app = responding(() => createReadStream(process.execPath, { end: 2_999_999 }), '200 OK', [
      LENGTH(3_000_000),
    ])
    expect(size).toBeGreaterThan(3_000_000)
    const reply = await get(app, '/')
    expect(reply.body).toHaveLength(3_000_000)
    expect(reply.broken).toBe(false)
  })

  test('handle HTTP-Header: HTTP_FOO', async () => {
    expect(await get(telling('HTTP_FOO'), '/', ['Foo', 'Bar'])).toMatchObject({ body: 'Bar' })
  })

  test('handle HTTP-Cookie, do not set COOKIE: HTTP_COOKIE and no other', async () => {
    const reply = await get(telling('HTTP_COOKIE', 'COOKIE'), '/', ['Cookie', 'foo=bar'])
    expect(reply.body).toBe('foo=bar\nundefined')
  })

  test('handle Authorization header: HTTP_AUTHORIZATION', async () => {
    const reply = await get(telling('HTTP_AUTHORIZATION'), '/', ['Authorization', 'Basic XXXX'])
    expect(reply.body).toBe('Basic XXXX')
  })

  test('validate env: what names the resource', async () => {
    const keys = ['REQUEST_METHOD', 'PATH_INFO', 'QUERY_STRING', 'SERVER_NAME', 'SERVER_PORT']
    const reply = await ask(telling(...keys), {
      url: 'http://127.0.0.1:8080/foo/?dankogai=kogaidan',
      headers: [['host', '127.0.0.1:8080']],
    })
    expect(reply.body).toBe('GET\n/foo/\ndankogai=kogaidan\n127.0.0.1\n8080')
  })

  test('% encoding, % double encoding in PATH_INFO: decoded, and once', async () => {
    expect(await get(telling('PATH_INFO'), '/foo/bar%2cbaz')).toMatchObject({
      body: '/foo/bar,baz',
    })
    expect(await get(telling('PATH_INFO'), '/foo/bar%252cbaz')).toMatchObject({
      body: '/foo/bar%2cbaz',
    })
  })

  test('repeated slashes: all of them', async () => {
    expect(await get(telling('PATH_INFO'), '//foo///bar/baz')).toMatchObject({
      body: '//foo///bar/baz',
    })
  })

  test('REQUEST_URI is set: as it came, query included', async () => {
    expect(await get(telling('REQUEST_URI'), '/foo/bar%20baz%73?x=a')).toMatchObject({
      body: '/foo/bar%20baz%73?x=a',
    })
  })

  test('SERVER_PROTOCOL is required, SCRIPT_NAME should not be undef', async () => {
    const { body } = await get(telling('SERVER_PROTOCOL', 'SCRIPT_NAME'), '/')
    expect(body).toBe('HTTP/1.1\n')
  })

  test('call close after read file-like: once, behind the last piece', async () => {
    const result = new Result(yielding('1', '2', '3', '4'))
    expect(
      await get(
        responding(() => result),
        '/'
      )
    ).toMatchObject({ body: '1234' })
    expect(result.calls).toEqual(['next', 'next', 'next', 'next', 'next', 'close'])
  })

  test('has errors: a stream for them', async () => {
    expect(await get(writingErrors, '/')).toMatchObject({ status: 200 })
    expect(log).toBe('a line\n')
  })

  test('status line: code and reason', async () => {
    expect(await get(hello, '/')).toMatchObject({ status: 200, reason: 'OK' })
  })

  test('do not crash when the app dies: also where it has put its own errors there', async () => {
    expect(await get(replacingErrors, '/')).toMatchObject(FIVE_HUNDRED)
    expect(log).toContain('from the application')
  })

  test('multi headers (request): joined', async () => {
    const reply = await get(telling('HTTP_FOO'), '/', ['Foo', 'bar'], ['Foo', 'baz'])
    expect(reply.body).toBe('bar, baz')
  })

  test('multi headers (response): all of them, in order', async () => {
    const app = responding(() => [octets('hi')], '200 OK', [
      ['X-Foo', 'foo'],
      ['X-Foo', 'bar, baz'],
    ])
    expect((await get(app, '/')).headers.get('x-foo')).toBe('foo, bar, baz')
  })

  test('no entity headers on 304: none that the application has not set', async () => {
    const reply = await get(
      responding(() => [], '304 Not Modified', []),
      '/'
    )
    expect(reply).toMatchObject({ status: 304, bodyless: true })
    expect([...reply.headers]).toEqual([])
  })

  test('a big header value > 128 bytes: all of it', async () => {
    const long = 'abcdefgh'.repeat(16)
    expect(await get(telling('HTTP_X_FOO'), '/', ['X-Foo', long])).toMatchObject({ body: long })
  })

  test('coderef res: an answer that comes later', async () => {
    const reply = await get(async (environ, startResponse) => {
      await turn()
      return telling('QUERY_STRING')(environ, startResponse)
    }, '/?name=x')
    expect(reply).toMatchObject({ status: 200, body: 'name=x' })
  })

  test('coderef streaming: an answer that is written', async () => {
    const reply = await get(async (environ, startResponse) => {
      const write = startResponse('200 OK', [TEXT])
      await write(octets('Hello, '))
      await write(octets(environ.QUERY_STRING))
      return []
    }, '/?name=x')
    expect(reply).toMatchObject({ status: 200, body: 'Hello, name=x' })
  })

  test('CRLF output and FCGI parse bug: a body that looks like a head is a body', async () => {
    const text = 'Foo: Bar\r\n\r\nHello World'
    const reply = await get(
      responding(() => [octets(text)]),
      '/'
    )
    expect(reply.headers.has('foo')).toBe(false)
    expect(reply.body).toBe(text)
  })

  test('404: an error page of the application', async () => {
    const app = responding(() => [octets('Not Found')], '404 Not Found')
    expect(await get(app, '/')).toMatchObject({ status: 404, body: 'Not Found' })
  })

  test('newlines: a header value with one is refused, where Plack would fold it', async () => {
    const app = responding(() => [], '200 OK', [['X-Foo', 'Bar\nBaz']])
    expect(await get(app, '/')).toMatchObject(FIVE_HUNDRED)
  })

  test('Starman chunked_zero_length: an empty piece between two is none', async () => {
    const reply = await get(async (_environ, startResponse) => {
      const write = startResponse('200 OK', [TEXT])
      for (const piece of ['Content', '', 'Again']) await write(octets(piece))
      return []
    }, '/')
    expect(reply).toMatchObject({ chunks: ['Content', 'Again'], broken: false })
  })
})

const echo: Application = async (environ, startResponse) => {
  const length = environ['CONTENT_LENGTH']
  const body = await environ['wsgi.input'].read(length === undefined ? null : Number(length))
  startResponse('200 OK', [LENGTH(body.length), TEXT])
  return [body]
}

const badcl: Application = (environ, startResponse) => {
  const over = { '/short_body': 1, '/long_body': -1 }[environ.PATH_INFO] ?? 0
  startResponse('200 OK', [LENGTH(9 + over), TEXT])
  return [octets('abcdefghi')]
}

const nocl: Application = async (environ, startResponse) => {
  const body = await environ['wsgi.input'].read()
  startResponse('200 OK', [TEXT])
  if (environ.PATH_INFO === '/list') return [body]
  if (environ.PATH_INFO === '/list_lentwo') return [body.subarray(0, 1), body.subarray(1)]
  return (function* pieces() {
    for (let i = 0; i < body.length; i += 10) yield body.subarray(i, i + 10)
  })()
}

const writecb: Application = (environ, startResponse) => {
  const headers = environ.PATH_INFO === '/no_content_length' ? [] : [LENGTH(9)]
  const write = startResponse('200 OK', headers)
  if (environ.PATH_INFO === '/long_body') void write(octets('abcdefghij'))
  else if (environ.PATH_INFO === '/short_body') void write(octets('abcdefgh'))
  else void write(octets('abcdefghi'))
  return []
}

const failing: Application = (environ, startResponse) => {
  if (environ.PATH_INFO === '/before_start_response') fail('wrong')
  const write = startResponse('200 OK', [LENGTH(9), TEXT])
  if (environ.PATH_INFO === '/after_write_cb') void write(octets('abc'))
  if (environ.PATH_INFO === '/in_generator') {
    return failingBehind('abc')
  }
  throw new Error('wrong')
}

describe('waitress fixtureapps', () => {
  test('echo: with a body and without, one request behind the other', async () => {
    for (const body of ['', 'a', 'hello world']) {
      expect(await post(echo, '/', body)).toMatchObject({ status: 200, body })
      expect(await get(echo, '/')).toMatchObject({ status: 200, body: '' })
    }
  })

  test('echo test_large_body: a megabyte', async () => {
    const body = 'This string has 32 characters.\r\n'.repeat(32_768)
    const reply = await post(echo, '/', body)
    expect(reply.body === body).toBe(true)
    expect(reply.headers.get('content-length')).toBe(String(body.length))
  })

  test('echo test_chunking_request_with_content: a body without length', async () => {
    const line = 'This string has 32 characters.\r\n'
    const chunks = Array.from({ length: 12 }, () => line)
    const reply = await ask(echo, { body: chunkStream(chunks) })
    expect(reply.body).toBe(line.repeat(12))
    expect(await ask(echo, { body: chunkStream([]) })).toMatchObject({ status: 200, body: '' })
  })

  test('echo test_bad_host_header: refused', async () => {
    const headers = [['host', 'bad host!'] as const]
    expect(await ask(echo, { headers })).toMatchObject({ status: 400 })
  })

  test('echo test_many_clients: each its own', async () => {
    const bodies = Array.from({ length: 50 }, (_, i) => `client ${i}`)
    const replies = await Promise.all(bodies.map((body) => post(echo, '/', body)))
    expect(replies.map(({ body }) => body)).toEqual(bodies)
  })

  test('echo test_proxy_headers: nobody is believed without options', async () => {
    const reply = await get(
      telling('wsgi.url_scheme', 'REMOTE_ADDR', 'HTTP_X_FORWARDED_FOR', 'HTTP_X_FORWARDED_PROTO'),
      '/',
      ['X-Forwarded-For', '192.0.2.1'],
      ['X-Forwarded-Proto', 'https']
    )
    expect(reply.body).toBe('http\nundefined\nundefined\nundefined')
  })

  test('badcl test_short_body: the client can tell', async () => {
    expect(await get(badcl, '/short_body')).toMatchObject({ body: 'abcdefghi', broken: true })
    expect(log).toContain('short of its Content-Length')
  })

  test('badcl test_long_body: cut', async () => {
    expect(await get(badcl, '/long_body')).toMatchObject({ body: 'abcdefgh', broken: false })
    expect(log).toContain('over its Content-Length')
  })

  test('badcl: equal', async () => {
    expect(await get(badcl, '/')).toMatchObject({ body: 'abcdefghi', broken: false })
    expect(log).toBe('')
  })

  test.each([
    ['test_http11_generator', '/', null],
    ['test_http11_list', '/list', '300'],
    ['test_http11_listlentwo', '/list_lentwo', null],
  ])('nocl %s', async (_, path, length) => {
    const body = 'string for no content length!!'.repeat(10)
    const reply = await post(nocl, path, body)
    expect(reply).toMatchObject({ status: 200, body, broken: false })
    expect(reply.headers.get('content-length')).toBe(length)
  })

  test.each([
    ['test_short_body', '/short_body', 'abcdefgh', true],
    ['test_long_body', '/long_body', 'abcdefghi', false],
    ['test_equal_body', '/equal_body', 'abcdefghi', false],
    ['test_no_content_length', '/no_content_length', 'abcdefghi', false],
  ])('writecb %s', async (_, path, body, broken) => {
    expect(await get(writecb, path)).toMatchObject({ status: 200, body, broken })
    expect(log === '').toBe(!/short|long/.test(path))
  })

  test.each(['/before_start_response', '/after_start_response'])(
    'error %s: a page, whatever was begun',
    async (path) => {
      const reply = await get(failing, path)
      expect(reply).toMatchObject(FIVE_HUNDRED)
      expect(reply.headers.get('content-length')).toBe(String(PAGE_500.length))
      expect(log).toContain('Error: wrong')
    }
  )

  test.each(['/after_write_cb', '/in_generator'])('error %s: broken off', async (path) => {
    expect(await get(failing, path)).toMatchObject({ status: 200, body: 'abc', broken: true })
    expect(log).toContain('Error: wrong')
  })

  test('error_traceback test_expose_tracebacks: none reaches the client', async () => {
    expect((await get(failing, '/before_start_response')).body).not.toContain('wrong')
  })

  test('sleepy: one that waits holds nobody else up', async () => {
    const gate = Promise.withResolvers<void>()
    const app: Application = async (environ, startResponse) => {
      if (environ.PATH_INFO === '/sleepy') await gate.promise
      startResponse('200 OK', [TEXT])
      return [octets(environ.PATH_INFO)]
    }
    const sleepy = get(app, '/sleepy')
    expect(await get(app, '/awake')).toMatchObject({ body: '/awake' })
    gate.resolve()
    expect(await sleepy).toMatchObject({ body: '/sleepy' })
  })

  test.each<[string, RequestParts, number]>([
    [
      'test_request_body_too_large_with_wrong_cl',
      { headers: [['host', 'h.example'], LENGTH(4096)], body: chunkStream(['a'.repeat(9)]) },
      413,
    ],
    [
      'test_request_body_too_large_chunked_encoding',
      { body: chunkStream(Array.from({ length: 10 }, () => 'a'.repeat(100))) },
      413,
    ],
    [
      'test_request_headers_too_large',
      {
        headers: [
          ['host', 'h.example'],
          ['x-a', 'a'.repeat(20_000)],
        ],
      },
      431,
    ],
  ])('toolarge %s: refused', async (_, parts, status) => {
    let called = false
    const app: Application = (environ, startResponse) => {
      called = true
      return hello(environ, startResponse)
    }
    expect(await ask(app, parts, { maxBodyBytes: 512 })).toMatchObject({ status })
    expect(called).toBe(false)
  })
})

describe('waitress test_task', () => {
  test('test_execute_app_calls_start_response_twice_wo_exc_info: an error', async () => {
    const app = starting(['200 OK', []], ['200 OK', []])
    expect(await get(app, '/')).toMatchObject(FIVE_HUNDRED)
  })

  test('test_execute_app_calls_start_response_w_excinf_headers_unwritten: replaced', async () => {
    const excInfo = ['Error', new Error('x'), null] as const
    const app = starting(['200 OK', [['A', 'b']]], ['200 OK', [], excInfo])
    expect([...(await get(app, '/')).headers]).toEqual([['content-length', '1']])
  })

  test('test_execute_app_calls_start_response_w_excinf_headers_written: thrown', async () => {
    const error = new RangeError('mine')
    let caught: unknown
    const app: Application = function* written(_environ, startResponse) {
      startResponse('200 OK', [])
      yield octets('a')
      try {
        startResponse('200 OK', [], ['RangeError', error, null])
      } catch (thrown) {
        caught = thrown
      }
    }
    expect(await get(app, '/')).toMatchObject({ status: 200, body: 'a', broken: false })
    expect(caught).toBe(error)
  })

  test.each<[string, string, unknown]>([
    ['test_execute_bad_header_key', '200 OK', [[null, 'a']]],
    ['test_execute_bad_header_value', '200 OK', [['a', null]]],
    ['test_execute_hopbyhop_header', '200 OK', [['Connection', 'close']]],
    ['test_execute_bad_header_value_control_characters', '200 OK', [['a', '\n']]],
    ['test_execute_bad_header_name_control_characters', '200 OK', [['a\r', 'value']]],
    ['test_execute_bad_status_control_characters', '200 OK\r', []],
    ['test_execute_bad_status_value', null as never, []],
  ])('%s: an error', async (_, status, headers) => {
    expect(
      await get(
        responding(() => [octets('a')], status, headers as never),
        '/'
      )
    ).toMatchObject(FIVE_HUNDRED)
  })

  test('test_preserve_header_value_order: several cookies in order', async () => {
    const headers: HeaderField[] = [
      ['Set-Cookie', 'b=1'],
      ['X-A', '1'],
      ['Set-Cookie', 'a=2'],
    ]
    const reply = await get(
      responding(() => [octets('a')], '200 OK', headers),
      '/'
    )
    expect(reply.headers.getSetCookie()).toEqual(['b=1', 'a=2'])
  })

  test('test_execute_with_content_length_header, test_execute_app_returns_len1_chunk_without_cl', async () => {
    for (const headers of [[LENGTH(1)], []]) {
      const reply = await get(
        responding(() => [octets('a')], '200 OK', headers),
        '/'
      )
      expect(reply.headers.get('content-length')).toBe('1')
    }
  })

  test('test_execute_app_returns_empty_chunk_as_first: passed over', async () => {
    const reply = await get(
      responding(() => ['', 'abc'].map(octets), '200 OK', []),
      '/'
    )
    expect(reply.body).toBe('abc')
    expect(reply.headers.has('content-length')).toBe(false)
  })

  test('test_execute_app_returns_too_many_bytes, test_execute_app_returns_too_few_bytes', async () => {
    const many = responding(() => ['a', 'a'].map(octets), '200 OK', [LENGTH(1)])
    expect(await get(many, '/')).toMatchObject({ body: 'a', broken: false })
    const few = responding(() => [octets('a')], '200 OK', [LENGTH(3)])
    expect(await get(few, '/')).toMatchObject({ body: 'a', broken: true })
  })

  test('test_execute_app_head_with_content_length: kept, and no body missed', async () => {
    const app = responding(() => [octets('')], '200 OK', [LENGTH(3)])
    const reply = await ask(app, { method: 'HEAD' })
    expect(reply).toMatchObject({ status: 200, bodyless: true })
    expect(reply.headers.get('content-length')).toBe('3')
    expect(log).toBe('')
  })

  test.each([204, 304])('test_execute_app_without_body_%d: dropped', async (status) => {
    const app = responding(() => [octets('some')], `${status} X`, [])
    expect(await get(app, '/')).toMatchObject({ status, bodyless: true })
  })

  test('test_execute_app_returns_closeable: closed', async () => {
    let closed = 0
    const app = responding(() => withClose(['a'], () => closed++), '200 OK', [])
    expect(await get(app, '/')).toMatchObject({ body: 'a' })
    expect(closed).toBe(1)
  })

  test('a close() that throws: the response stays whole, where waitress cuts it', async () => {
    const app = responding(() => withClose(['a', 'b'], () => fail('in close()')))
    expect(await get(app, '/')).toMatchObject({ body: 'ab', broken: false })
    expect(log).toContain('in close()')
  })

  test('test_get_environment_path_startswith_more_than_one_slash: kept, where waitress merges', async () => {
    expect(await get(telling('PATH_INFO'), '///abc')).toMatchObject({ body: '///abc' })
    const reply = await ask(
      telling('PATH_INFO'),
      { url: 'http://h.example///abc' },
      { collapseLeadingSlashes: true }
    )
    expect(reply.body).toBe('/abc')
  })

  test.each([
    ['test_get_environ_with_url_prefix_hit', '/foo/bar', '/foo\n/bar'],
    ['test_get_environ_with_url_prefix_empty_path', '/foo', '/foo\n'],
  ])('%s', async (_, path, body) => {
    const app = telling('SCRIPT_NAME', 'PATH_INFO')
    const reply = await ask(app, { url: `http://h.example${path}` }, { mount: '/foo' })
    expect(reply.body).toBe(body)
  })

  test('test_get_environ_with_url_prefix_miss: refused, where waitress passes it', async () => {
    const parts = { url: 'http://h.example/bar' }
    expect(await ask(telling('PATH_INFO'), parts, { mount: '/foo' })).toMatchObject({ status: 404 })
  })

  test('test_write_start_response_uncalled: write() of a response that never began', async () => {
    const refusals: string[] = []
    const app: Application = (_environ, startResponse) => {
      const write = startResponse('200 OK', [])
      refusals.push(refusal(() => startResponse('bad', [], new Error('x'))))
      refusals.push(refusal(() => void write(octets('a'))))
      return []
    }
    expect(await get(app, '/')).toMatchObject(FIVE_HUNDRED)
    expect(refusals).toEqual(['500 ERR_APPLICATION', '500 ERR_APPLICATION'])
  })
})
