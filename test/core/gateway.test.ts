import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Application } from '../../src/core/application.ts'
import { bytesSource, collect, streamSource } from '../../src/core/body-source.ts'
import type { Environ } from '../../src/core/environ.ts'
import { gateway, type GatewayOptions } from '../../src/core/gateway.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import type { HeaderField, RequestMeta } from '../../src/core/request-head.ts'
import {
  drain,
  PAGE_500,
  refuseUnhandledRejections,
  responding,
  Result,
  seen,
  TEXT,
  turn,
  untyped,
  yielding,
} from './application-support.ts'
import {
  chunkStream,
  fetchRequest,
  octets,
  rawHead,
  repeated,
  type RequestParts,
} from './support.ts'

refuseUnhandledRejections()

afterEach(() => {
  vi.restoreAllMocks()
})

/** An application that keeps the environs it is called with. */
function recording(): { app: Application; environs: Environ[] } {
  const environs: Environ[] = []
  return {
    environs,
    app(environ, startResponse) {
      environs.push(environ)
      startResponse('200 OK', [TEXT])
      return [octets('ok')]
    },
  }
}

/** The environ that a gateway makes of a request. */
async function environOf(
  request: Request,
  options: GatewayOptions = {},
  env?: unknown
): Promise<Environ> {
  const { app, environs } = recording()
  const response = await gateway(app, options)(request, env)
  expect(await response.text()).toBe('ok')
  const [environ] = environs
  if (environ === undefined) throw new Error('the application was not called')
  return environ
}

/** Options under which every request has this meta. */
function withMeta(meta: RequestMeta): GatewayOptions {
  return { requestMeta: () => meta }
}

test.each([undefined, null, 5, 'app', {}, { fetch: () => {} }])(
  'gateway() throws at once where the application is %o',
  (app) => {
    expect(() => gateway(app as never)).toThrow(TypeError)
  }
)

test('gateway() throws at once on a wrong option', () => {
  const { app } = recording()
  expect(() => gateway(app, { maxHeaders: -1 })).toThrow(RangeError)
  expect(() => gateway(app, { mount: 'app' })).toThrow(TypeError)
  expect(() => gateway(app, { headerEncoding: 'utf16' as never })).toThrow(TypeError)
})

test('gateway() answers a request with what the application answers', async () => {
  const fetch = gateway(async (environ, startResponse) => {
    const body = await environ['wsgi.input'].read()
    startResponse('201 Created', [TEXT, ['X-Path', environ.PATH_INFO]])
    return [octets('got '), body]
  })
  const response = await fetch(
    fetchRequest({ url: 'http://h.example/a', body: chunkStream(['b', 'c']) })
  )
  expect(await seen(response)).toMatchObject({
    status: 201,
    reason: 'Created',
    chunks: ['got ', 'bc'],
    broken: false,
  })
  expect(Object.fromEntries(response.headers)).toEqual({
    'content-type': 'text/plain',
    'x-path': '/a',
  })
})

test('gateway() gives each request an environ of its own (STR-4)', async () => {
  const { app, environs } = recording()
  const fetch = gateway(app)
  await Promise.all([fetch(fetchRequest()), fetch(fetchRequest())])
  expect(environs).toHaveLength(2)
  expect(environs[0]).not.toBe(environs[1])
})

describe('gateway() asks requestMeta for what a Request does not say', () => {
  test('with the request and the env of the runtime', async () => {
    const request = fetchRequest({ url: 'http://h.example/app/x?a=b' })
    const env = { KEY: 'value' }
    const asked: unknown[][] = []
    const environ = await environOf(
      request,
      {
        requestMeta(...args) {
          asked.push(args)
          return {
            rawTarget: "/app/./x?a='b",
            httpVersion: '1.0',
            remote: { addr: '::ffff:192.0.2.7', port: 5555 },
            mount: '/app',
            tls: { protocol: 'TLSv1.3' },
          }
        },
      },
      env
    )
    expect(asked).toEqual([[request, env]])
    expect(environ).toMatchObject({
      RAW_URI: "/app/./x?a='b",
      REQUEST_URI: "/app/./x?a='b",
      QUERY_STRING: "a='b",
      SCRIPT_NAME: '/app',
      PATH_INFO: '/x',
      SERVER_PROTOCOL: 'HTTP/1.0',
      REMOTE_ADDR: '192.0.2.7',
      REMOTE_PORT: '5555',
      SSL_PROTOCOL: 'TLSv1.3',
    })
  })

  test('and lets the mount of the options win', async () => {
    const request = fetchRequest({ url: 'http://h.example/app/x/y' })
    const options = withMeta({ mount: '/app/x' })
    expect(await environOf(request, options)).toMatchObject({ PATH_INFO: '/y' })
    expect(await environOf(request, { ...options, mount: '/app' })).toMatchObject({
      SCRIPT_NAME: '/app',
      PATH_INFO: '/x/y',
    })
  })

  test('and does not survive its failure: a page, and the error on the console', async () => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { app, environs } = recording()
    const error = new Error('secret')
    const fetch = gateway(app, {
      requestMeta() {
        throw error
      },
    })
    expect(await seen(await fetch(fetchRequest()))).toMatchObject({ status: 500, body: PAGE_500 })
    expect(logged.mock.calls).toEqual([[error]])
    expect(environs).toEqual([])
  })
})

describe('gateway() recognises by itself what a runtime hands it', () => {
  test('nothing', async () => {
    for (const env of [undefined, null, {}, 'production', 5]) {
      const environ = await environOf(fetchRequest(), {}, env)
      expect(environ).toMatchObject({ SERVER_PROTOCOL: 'HTTP/1.1', REQUEST_URI: '/' })
      expect(environ).not.toHaveProperty('REMOTE_ADDR')
      expect(environ).not.toHaveProperty('RAW_URI')
    }
  })

  test('the incoming message of Node', async () => {
    const incoming = {
      url: '/a?q=%zz',
      httpVersion: '1.0',
      rawHeaders: ['HOST', 'h.example', 'Cookie', 'a=1', 'Cookie', 'b=2'],
      socket: { remoteAddress: '192.0.2.7', remotePort: 5 },
    }
    const request = fetchRequest({ url: 'http://h.example/a?q=%zz' })
    expect(await environOf(request, {}, { incoming })).toMatchObject({
      RAW_URI: '/a?q=%zz',
      HTTP_COOKIE: 'a=1; b=2',
      SERVER_PROTOCOL: 'HTTP/1.0',
      REMOTE_ADDR: '192.0.2.7',
      REMOTE_PORT: '5',
    })
  })

  test('the info of Deno', async () => {
    const remoteAddr = { transport: 'tcp', hostname: '192.0.2.7', port: 5 }
    expect(await environOf(fetchRequest(), {}, { remoteAddr })).toMatchObject({
      REMOTE_ADDR: '192.0.2.7',
      REMOTE_PORT: '5',
      RAW_URI: '/',
    })
  })

  test('the cf of Workers, whose env is the own of the user', async () => {
    const request = fetchRequest({
      url: 'https://h.example/',
      headers: [
        ['host', 'h.example'],
        ['cf-connecting-ip', '2001:db8::1'],
        ['x-a', 'é'],
      ],
    })
    Object.defineProperty(request, 'cf', { value: { tlsVersion: 'TLSv1.3', tlsCipher: 'X' } })
    const env = { requestMeta: 'a secret', incoming: 1, remoteAddr: 2 }
    const environ = await environOf(request, {}, env)
    expect(environ).toMatchObject({
      REMOTE_ADDR: '2001:db8::1',
      HTTP_X_A: '\xc3\xa9',
      SSL_PROTOCOL: 'TLSv1.3',
      SSL_CIPHER: 'X',
    })
    expect(environ).not.toHaveProperty('HTTP_CF_CONNECTING_IP')
  })

  test('the meta that servers of ours add', async () => {
    const requestMeta = { remote: { addr: '192.0.2.7' }, mount: '/a' }
    const request = fetchRequest({ url: 'http://h.example/a/b' })
    expect(await environOf(request, {}, { requestMeta, environ: {} })).toMatchObject({
      REMOTE_ADDR: '192.0.2.7',
      SCRIPT_NAME: '/a',
      PATH_INFO: '/b',
    })
  })
})

describe('gateway() reads and writes headers as the runtime does (HDR-5)', () => {
  test.each<[string, GatewayOptions, string, string]>([
    ['octets by default', {}, '\xe9', 'caf\xc3\xa9'],
    ['UTF-8 where the runtime says so', withMeta({ headerEncoding: 'utf8' }), '\xc3\xa9', 'café'],
    ['UTF-8 where the options say so', { headerEncoding: 'utf8' }, '\xc3\xa9', 'café'],
    [
      'octets where the options say so',
      { ...withMeta({ headerEncoding: 'utf8' }), headerEncoding: 'latin1' },
      '\xe9',
      'caf\xc3\xa9',
    ],
  ])('%s', async (_, options, inEnviron, onResponse) => {
    const environs: Environ[] = []
    const fetch = gateway((environ, startResponse) => {
      environs.push(environ)
      startResponse('200 OK', [['X-A', 'caf\xc3\xa9']])
      return []
    }, options)
    const response = await fetch(
      fetchRequest({
        headers: [
          ['host', 'h.example'],
          ['x-a', 'é'],
        ],
      })
    )
    expect(environs[0]).toMatchObject({ HTTP_X_A: inEnviron })
    expect(response.headers.get('x-a')).toBe(onResponse)
  })
})

test('gateway() never rejects, also where the runtime refuses the response', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
  const result = new Result(yielding('a'))
  // UTF-8 for what a runtime of octets takes: a wrong option, found only with such a header.
  const fetch = gateway(
    responding(() => result, '200 OK', [['X-A', '\xe3\x81\x82']]),
    { headerEncoding: 'utf8' }
  )
  expect(await seen(await fetch(fetchRequest()))).toMatchObject({ status: 500, body: PAGE_500 })
  await turn()
  expect(result.closed).toBe(1)
  expect(logged).toHaveBeenCalledOnce()
})

const HOST: HeaderField = ['host', 'h.example']

/** Requests that no application gets to see. */
const REFUSED: readonly (readonly [string, number, RequestParts, RequestMeta, GatewayOptions])[] = [
  ['a path with NUL (SEC-30)', 400, { url: 'http://h.example/a%00' }, {}, {}],
  ['dot segments behind %2F (SEC-31)', 400, { url: 'http://h.example/..%2fa' }, {}, {}],
  ['a Host that is none (SEC-12)', 400, { headers: [['host', 'a@b']] }, {}, {}],
  ['two Hosts (HOST-4)', 400, { headers: [HOST, ['host', 'evil']] }, {}, {}],
  [
    'a Content-Length that is none (BODY-3)',
    400,
    { headers: [HOST, ['content-length', '+3']] },
    {},
    {},
  ],
  ['a URL that is none', 400, {}, { url: 'http://h example/' }, {}],
  ['a target that is none (TGT-4)', 400, {}, { rawTarget: 'foo' }, {}],
  ['another host in the target (SEC-14)', 400, {}, { rawTarget: 'http://evil.example/' }, {}],
  [
    'a path outside the mount (MOUNT-2)',
    404,
    { url: 'http://h.example/apple' },
    {},
    { mount: '/app' },
  ],
  [
    'a body without length, where refused',
    411,
    { body: chunkStream(['a']) },
    {},
    { unknownLength: 'reject' },
  ],
  ['a long target (TGT-5)', 414, {}, { rawTarget: `/${'a'.repeat(9000)}` }, {}],
  ['an expectation (HDR-13)', 417, { headers: [HOST, ['expect', 'x']] }, {}, {}],
  ['too many headers (HDR-11)', 431, { headers: [HOST, ['x-a', '1']] }, {}, { maxHeaders: 1 }],
  ['a coding (BODY-4)', 501, { headers: [HOST, ['transfer-encoding', 'gzip']] }, {}, {}],
  ['an unknown version', 505, {}, { httpVersion: '0.9' }, {}],
]

test.each(REFUSED)('gateway() answers %s with %d and calls no application', async (...row) => {
  const [, status, parts, meta, options] = row
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
  const { app, environs } = recording()
  const fetch = gateway(app, { ...options, ...withMeta(meta) })
  const response = await fetch(fetchRequest(parts))
  expect(response.status).toBe(status)
  expect(await response.text()).toBe(`${status} ${response.statusText}\n`)
  expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8')
  expect(environs).toEqual([])
  // A client's fault is no bug of ours.
  expect(logged).not.toHaveBeenCalled()
})

test.each(['CONNECT', 'TRACE', 'TRACK', 'trace'])(
  'gateway() answers %s with 405 and names the methods (TGT-3)',
  async (method) => {
    const { app, environs } = recording()
    const request = fetchRequest()
    Object.defineProperty(request, 'method', { value: method })
    const response = await gateway(app)(request)
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toContain('GET')
    expect(environs).toEqual([])
  }
)

test('gateway() answers OPTIONS * itself (TGT-2)', async () => {
  const { app, environs } = recording()
  const request = fetchRequest({ method: 'OPTIONS' })
  const response = await gateway(app, withMeta({ rawTarget: '*' }))(request)
  expect(await seen(response)).toMatchObject({ status: 204, bodyless: true })
  expect(response.headers.get('allow')).toContain('OPTIONS')
  expect(environs).toEqual([])
})

test('gateway() counts a body without length while it arrives, and calls no application over the limit (SEC-81)', async () => {
  const { app, environs } = recording()
  const cancelled: unknown[] = []
  let pulls = 0
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        pulls++
        controller.enqueue(new Uint8Array(1000))
      },
      cancel: (reason) => void cancelled.push(reason),
    },
    { highWaterMark: 0 }
  )
  const headers = [HOST, ['transfer-encoding', 'chunked'] as const]
  const fetch = gateway(app, { maxBufferedBodyBytes: 3500 })
  const response = await fetch(fetchRequest({ headers, body }))
  expect(await seen(response)).toMatchObject({ status: 413, body: '413 Content Too Large\n' })
  expect(environs).toEqual([])
  expect(pulls).toBe(4)
  expect(cancelled).toHaveLength(1)
})

test('gateway() answers 413 where the application reads over the limit (SEC-81)', async () => {
  const fetch = gateway(
    async (environ, startResponse) => {
      const body = await environ['wsgi.input'].read()
      startResponse('200 OK', [])
      return [body]
    },
    { unknownLength: 'stream', maxBodyBytes: 3 }
  )
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const response = await fetch(fetchRequest({ body: chunkStream(['ab', 'cd']) }))
  expect(response.status).toBe(413)
})

test('gateway() gives up the body of a request that it refuses', async () => {
  const { app } = recording()
  const cancelled: unknown[] = []
  const body = new ReadableStream<Uint8Array>({ cancel: (reason) => void cancelled.push(reason) })
  const fetch = gateway(app, { mount: '/app' })
  expect((await fetch(fetchRequest({ body }))).status).toBe(404)
  expect(cancelled).toHaveLength(1)
})

test('gateway() answers 500 where somebody else reads the body already', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
  const { app, environs } = recording()
  const request = fetchRequest({ body: chunkStream(['a']) })
  request.body?.getReader()
  expect((await gateway(app)(request)).status).toBe(500)
  expect(environs).toEqual([])
  expect(logged).toHaveBeenCalledOnce()
})

test('gateway() answers 499 where the client leaves inside a body that is held', async () => {
  const { app, environs } = recording()
  const body = chunkStream(['a'], new Error('reset'))
  expect((await gateway(app)(fetchRequest({ body }))).status).toBe(499)
  expect(environs).toEqual([])
})

test('gateway() tells the client nothing of an error, and wsgi.errors all (SEC-79)', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
  const fetch = gateway(() => {
    throw new Error('secret of the database')
  })
  const response = await fetch(fetchRequest())
  const { body, headers } = await seen(response)
  expect(body).toBe(PAGE_500)
  expect(JSON.stringify([...headers])).not.toContain('secret')
  expect(logged).toHaveBeenCalledOnce()
  expect(String(logged.mock.calls[0]?.[0])).toMatch(/^Error: secret of the database\n {4}at /)
})

test('gateway() refuses a response into which a path was reflected (SEC-35, SEC-70)', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const paths: string[] = []
  const fetch = gateway((environ, startResponse) => {
    paths.push(environ.PATH_INFO)
    startResponse('302 Found', [['Location', `http://h.example${environ.PATH_INFO}`]])
    return []
  })
  const request = fetchRequest({ url: 'http://h.example/a%0d%0aSet-Cookie:x' })
  const response = await fetch(request)
  expect(paths).toEqual(['/a\r\nSet-Cookie:x'])
  expect(response.status).toBe(500)
  expect(response.headers.has('location')).toBe(false)
  expect(response.headers.has('set-cookie')).toBe(false)
})

test('gateway() passes server-internal headers on, both ways, and acts on none (RSP-20, SEC-76)', async () => {
  const environs: Environ[] = []
  const fetch = gateway((environ, startResponse) => {
    environs.push(environ)
    startResponse('200 OK', [
      ['X-Accel-Redirect', '/internal'],
      ['X-Sendfile', '/etc/passwd'],
    ])
    return [octets('own')]
  })
  const headers = [HOST, ['x-accel-mapping', '/=/etc/'] as const, ['x-sendfile', '/x'] as const]
  const response = await fetch(fetchRequest({ headers }))
  expect(environs[0]).toMatchObject({ HTTP_X_ACCEL_MAPPING: '/=/etc/', HTTP_X_SENDFILE: '/x' })
  expect(response.headers.get('x-accel-redirect')).toBe('/internal')
  expect(response.headers.get('x-sendfile')).toBe('/etc/passwd')
  expect(await response.text()).toBe('own')
})

test('gateway() has no wsgi.file_wrapper in its environ (RSP-44)', async () => {
  expect(await environOf(fetchRequest())).not.toHaveProperty(['wsgi.file_wrapper'])
})

test('gateway() answers HEAD without a body, its length kept (RSP-40)', async () => {
  const { app } = recording()
  const response = await gateway(app)(fetchRequest({ method: 'HEAD' }))
  expect(response.body).toBeNull()
  expect(response.headers.get('content-length')).toBe('2')
})

/** A request whose client can leave. */
function leaving(): { request: Request; leave: () => void } {
  const gone = new AbortController()
  const request = new Request('http://h.example/', { signal: gone.signal })
  return { request, leave: () => gone.abort() }
}

describe('gateway() closes the result when the client goes away (RSP-42, SEC-80)', () => {
  test('before the first byte', async () => {
    const { request, leave } = leaving()
    const asked = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const result = new Result(
      (async function* slow() {
        asked.resolve()
        await gate.promise
        yield octets('a')
      })()
    )
    const answering = gateway(responding(() => result))(request)
    await asked.promise
    leave()
    await turn()
    expect(result.closed).toBe(1)
    gate.resolve()
    await (await answering).body?.cancel()
    expect(result.closed).toBe(1)
  })

  test('behind it, when the runtime cancels the body', async () => {
    const { request, leave } = leaving()
    const result = new Result(yielding('a', 'b'))
    const response = await gateway(responding(() => result))(request)
    const reader = response.body?.getReader()
    await reader?.read()
    leave()
    await reader?.cancel()
    expect(result).toMatchObject({ closed: 1, pulled: 1 })
  })
})

test('gateway() is a function that needs no this, and ignores what else a runtime hands it', async () => {
  const { app } = recording()
  const { fetch } = { fetch: gateway(app) }
  const response = await Reflect.apply(fetch, undefined, [fetchRequest(), {}, { waitUntil: 1 }])
  expect(response.status).toBe(200)
})

describe('handle() of gateway()', () => {
  test('answers below Fetch', async () => {
    const fetch = gateway(async (environ, startResponse) => {
      const body = await environ['wsgi.input'].read()
      startResponse('200 Fein', [TEXT, ['Set-Cookie', 'a'], ['Set-Cookie', 'b']])
      return [octets(`${environ.REQUEST_METHOD} `), body]
    })
    const headers = [['Content-Length', '2'] as const]
    const head = rawHead({ method: 'POST', headers, hasBody: true })
    const { handle } = fetch
    const response = await handle(head, bytesSource(octets('hi')))
    expect(response).toMatchObject({ status: 200, reason: 'Fein' })
    expect(response.headers).toEqual([TEXT, ['Set-Cookie', 'a'], ['Set-Cookie', 'b']])
    expect(octetsToNative(await collect(response.body ?? bytesSource(octets(''))))).toBe('POST hi')
  })

  test('needs no body and no signal', async () => {
    const { app, environs } = recording()
    expect(await gateway(app).handle(rawHead(), undefined)).toMatchObject({ status: 200 })
    expect(octetsToNative((await environs[0]?.['wsgi.input'].read()) ?? octets('x'))).toBe('')
  })

  test('keeps to the options, and takes wire lines for octets', async () => {
    const { app, environs } = recording()
    const { handle } = gateway(app, { mount: '/app', headerEncoding: 'utf8' })
    const headers = [['X-A', '\xc3\xa9'] as const]
    await handle(rawHead({ url: 'http://h.example/app/x', headers }), undefined)
    expect(environs[0]).toMatchObject({
      SCRIPT_NAME: '/app',
      PATH_INFO: '/x',
      HTTP_X_A: '\xc3\xa9',
    })
    expect(await handle(rawHead(), undefined)).toMatchObject({ status: 404 })
  })

  test('refuses as the function does, and gives up the body', async () => {
    const { app, environs } = recording()
    const cancelled: unknown[] = []
    const body = new ReadableStream<Uint8Array>({ cancel: (why) => void cancelled.push(why) })
    const head = rawHead({ method: 'TRACE', hasBody: true })
    expect(await gateway(app).handle(head, streamSource(body))).toMatchObject({ status: 405 })
    const many = rawHead({ headers: repeated(['X-A', '1'], 101) })
    expect(await gateway(app).handle(many, undefined)).toMatchObject({ status: 431 })
    expect(cancelled).toHaveLength(1)
    expect(environs).toEqual([])
  })

  test('closes the result when its signal is aborted (RSP-42)', async () => {
    const gone = new AbortController()
    const asked = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const result = new Result(
      (async function* slow() {
        asked.resolve()
        await gate.promise
        yield octets('a')
      })()
    )
    const answering = gateway(responding(() => result)).handle(rawHead(), undefined, gone.signal)
    await asked.promise
    gone.abort()
    await turn()
    expect(result.closed).toBe(1)
    gate.resolve()
    await (await answering).body?.cancel(undefined)
  })
})

test('gateway() streams both ways at once: an echo while the upload goes on', async () => {
  const upload = new TransformStream<Uint8Array, Uint8Array>()
  const fetch = gateway(
    async function* echo(environ, startResponse) {
      startResponse('200 OK', [])
      const input = environ['wsgi.input']
      for (let line = await input.readline(); line.length > 0; line = await input.readline()) {
        yield line
      }
    },
    { unknownLength: 'stream' }
  )
  const writer = upload.writable.getWriter()
  const answering = fetch(fetchRequest({ body: upload.readable }))
  void writer.write(octets('one\n'))
  const reader = (await answering).body?.getReader()
  expect(octetsToNative((await reader?.read())?.value ?? octets(''))).toBe('one\n')
  // Written only now that the first line is back.
  void writer.write(octets('two\n'))
  expect(octetsToNative((await reader?.read())?.value ?? octets(''))).toBe('two\n')
  void writer.close()
  reader?.releaseLock()
  expect(await reader?.closed.catch(() => 'released')).toBe('released')
})

test('gateway() breaks the body off where the application fails behind its first byte (RSP-39)', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const fetch = gateway(
    untyped(function* failing(_environ: unknown, startResponse: Parameters<Application>[1]) {
      startResponse('200 OK', [])
      yield octets('a')
      throw new Error('oops')
    })
  )
  const response = await fetch(fetchRequest())
  expect(await drain(response.body)).toEqual({ chunks: ['a'], broken: true })
})
