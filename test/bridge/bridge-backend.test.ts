import { REFUSING_PORT } from '../support/free-port.ts'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ErrorContext } from '../../src/bridge/bridge-options.ts'
import { collect } from '../../src/core/body-source.ts'
import type { GatewayResponse } from '../../src/core/gateway-response.ts'
import { requestHead, type RequestMeta } from '../../src/core/request-head.ts'
import { type Bridge, type BridgeOptions, createBridge } from '../../src/target/node/index.ts'
import { type GunicornServer, startGunicorn } from '../backend/gunicorn.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { text } from '../codec/wire.ts'

type Environ = Record<string, string | undefined>
type Report = readonly [error: Error & { code?: string }, context: ErrorContext]

let uwsgi: UwsgiServer
let gunicorn: GunicornServer
/** What onError got in the test that runs. */
let reports: Report[] = []

beforeAll(async () => {
  ;[uwsgi, gunicorn] = await Promise.all([
    startUwsgi({ app: 'environ', threads: 4 }),
    startGunicorn({ app: 'environ' }),
  ])
})
afterAll(async () => {
  await Promise.all([uwsgi?.stop(), gunicorn?.stop()])
})
afterEach(expectNoReport)

/** An error that a test does not take is one that nobody expected. */
function expectNoReport(): void {
  expect(takeReports()).toEqual([])
}

function takeReports(): Report[] {
  const taken = reports
  reports = []
  return taken
}

function bridgeTo(address: string, options: BridgeOptions = {}): Bridge {
  return createBridge(address, { onError: (...report) => void reports.push(report), ...options })
}

/** A request whose head says what `headers` says, as a server would hand it over. */
function request(target: string, headers: Record<string, string> = {}, init: RequestInit = {}) {
  const made = new Request(`http://h.example${target}`, init)
  for (const [name, value] of Object.entries(headers)) made.headers.append(name, value)
  return made
}

/** The environ that the application saw. */
async function environOf(response: Response): Promise<Environ> {
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json'])
  return (await response.json()) as Environ
}

/** The same for a request of which the adapter knows more than a Request says. */
async function environWith(bridge: Bridge, made: Request, meta: RequestMeta): Promise<Environ> {
  const { status, body } = await bridge.handle(requestHead(made, meta), undefined)
  expect(status).toBe(200)
  return JSON.parse(text(body ? await collect(body) : new Uint8Array())) as Environ
}

/** Path at which the application answers exactly this. */
function respond(spec: {
  status: string
  headers?: [string, string][]
  chunks?: string[]
}): string {
  return `/raw/respond?spec=${encodeURIComponent(JSON.stringify(spec))}`
}

describe('a bridge to uWSGI', () => {
  test('sends method, path, query, headers and body, and UW-14 SCRIPT_NAME', async () => {
    const body = 'a'.repeat(100_000)
    const headers = { Host: 'h.example', 'X-Two': 'a, b', Cookie: 'a=1; b=2' }
    const made = request('/caf%C3%A9/%0Ax?q=%C3%A9&b', headers, { method: 'PUT', body })
    const environ = await environOf(await bridgeTo(uwsgi.address).fetch(made))
    expect(environ).toMatchObject({
      REQUEST_METHOD: 'PUT',
      SCRIPT_NAME: '',
      PATH_INFO: '/caf\xc3\xa9/\nx',
      QUERY_STRING: 'q=%C3%A9&b',
      REQUEST_URI: '/caf%C3%A9/%0Ax?q=%C3%A9&b',
      HTTP_HOST: 'h.example',
      HTTP_X_TWO: 'a, b',
      HTTP_COOKIE: 'a=1; b=2',
      CONTENT_TYPE: 'text/plain;charset=UTF-8',
      'wsgi.url_scheme': 'http',
      body_length: 100_000,
    })
  })

  test('mounts the application by SCRIPT_NAME', async () => {
    const bridge = bridgeTo(uwsgi.address, { mount: '/legacy' })
    expect(await environOf(await bridge.fetch(request('/legacy/x')))).toMatchObject({
      SCRIPT_NAME: '/legacy',
      PATH_INFO: '/x',
    })
    expect((await bridge.fetch(request('/legacyx'))).status).toBe(404)
    expect(takeReports().map(([{ code }]) => code)).toEqual(['ERR_MOUNT_MISMATCH'])
  })

  test('lets params add, replace and remove variables', async () => {
    const params = { HTTP_X_A: 'ours', HTTP_X_B: '', SERVER_NAME: 'param.example', 'my.own': 'v' }
    const bridge = bridgeTo(uwsgi.address, { params })
    const environ = await environOf(await bridge.fetch(request('/', { 'X-A': '1', 'X-B': '2' })))
    expect(environ).toMatchObject({ HTTP_X_A: 'ours', SERVER_NAME: 'param.example', 'my.own': 'v' })
    expect(environ).not.toHaveProperty('HTTP_X_B')
  })

  const PROXY: RequestMeta = { remote: { addr: '192.0.2.7', port: 5555 } }

  test.each<[string, Record<string, string>, BridgeOptions, string]>([
    ['nobody', {}, {}, 'http'],
    ['an untrusted proxy, https', { 'X-Forwarded-Proto': 'https' }, {}, 'http'],
    ['an untrusted proxy, javascript', { 'X-Forwarded-Proto': 'javascript' }, {}, 'http'],
    ['an untrusted proxy, X-Forwarded-Ssl', { 'X-Forwarded-Ssl': 'on' }, {}, 'http'],
    ['an untrusted client, Uwsgi-Scheme', { 'Uwsgi-Scheme': 'https' }, {}, 'http'],
    [
      'a trusted proxy, https',
      { 'X-Forwarded-Proto': 'https' },
      { trustedProxies: ['192.0.2.7'] },
      'https',
    ],
    [
      'a trusted proxy, HTTPS in a list',
      { 'X-Forwarded-Proto': 'javascript, HTTPS' },
      { trustedProxies: ['192.0.2.7'] },
      'https',
    ],
    [
      'a trusted proxy, javascript',
      { 'X-Forwarded-Proto': 'javascript' },
      { trustedProxies: ['192.0.2.7'] },
      'http',
    ],
    [
      'a trusted proxy, X-Forwarded-Ssl',
      { 'X-Forwarded-Ssl': 'on' },
      { trustedProxies: ['192.0.2.7'] },
      'https',
    ],
    [
      'params against a trusted proxy',
      { 'X-Forwarded-Proto': 'https' },
      { trustedProxies: ['192.0.2.7'], params: { UWSGI_SCHEME: 'http' } },
      'http',
    ],
  ])('UW-6: the scheme said by %s', async (_who, headers, options, scheme) => {
    const environ = await environWith(
      bridgeTo(uwsgi.address, options),
      request('/', headers),
      PROXY
    )
    expect(environ['wsgi.url_scheme']).toBe(scheme)
    expect(environ['REMOTE_ADDR']).toBe('192.0.2.7')
  })

  test.each([
    ['1.0', 'HTTP/1.0'],
    ['1.1', 'HTTP/1.1'],
    ['2.0', 'HTTP/1.1'],
    ['3.0', 'HTTP/1.1'],
  ])('UW-7: SERVER_PROTOCOL of HTTP/%s is %s', async (httpVersion, protocol) => {
    const environ = await environWith(bridgeTo(uwsgi.address), request('/'), { httpVersion })
    expect(environ['SERVER_PROTOCOL']).toBe(protocol)
  })

  test('UW-8: CONTENT_LENGTH is canonical, for a body of unknown length too', async () => {
    const bridge = bridgeTo(uwsgi.address)
    const length = request('/', { 'Content-Length': '0005' }, { method: 'POST', body: 'hello' })
    expect(await environOf(await bridge.fetch(length))).toMatchObject({
      CONTENT_LENGTH: '5',
      body_length: 5,
    })
    const body = new Blob(['hello']).stream()
    const unknown = request('/', { 'Transfer-Encoding': 'chunked' }, {
      method: 'POST',
      body,
      duplex: 'half',
    } as RequestInit)
    const environ = await environOf(await bridge.fetch(unknown))
    expect(environ).toMatchObject({ CONTENT_LENGTH: '5', body_length: 5 })
    expect(environ).not.toHaveProperty('HTTP_TRANSFER_ENCODING')
  })

  test.each<[string, string, object, string]>([
    ['GET', respond({ status: '200 OK', chunks: ['a', 'b', 'c'] }), {}, 'abc'],
    [
      'HEAD',
      respond({ status: '200 OK', headers: [['Content-Length', '5']], chunks: ['hello'] }),
      { 'content-length': '5' },
      '',
    ],
    [
      'GET',
      respond({ status: '204 No Content', headers: [['Content-Length', '5']], chunks: ['hello'] }),
      {},
      '',
    ],
    [
      'GET',
      respond({ status: '304 Not Modified', headers: [['ETag', '"a"']], chunks: ['hello'] }),
      { etag: '"a"' },
      '',
    ],
    [
      'GET',
      respond({ status: '200 OK', headers: [['Content-Length', '3']], chunks: ['abcEXTRA'] }),
      { 'content-length': '3' },
      'abc',
    ],
    [
      'GET',
      respond({
        status: '200 OK',
        headers: [['Transfer-Encoding', 'chunked']],
        chunks: ['3\r\nabc\r\n0\r\n\r\n'],
      }),
      {},
      'abc',
    ],
    [
      'GET',
      respond({ status: '103 Early Hints', chunks: ['HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nfinal'] }),
      { 'x-a': 'b' },
      'final',
    ],
    [
      'GET',
      respond({
        status: '200 OK',
        headers: [
          ['X-Accel-Redirect', '/x'],
          ['x-accel-buffering', 'no'],
          ['X-Other', 'a'],
          ['Keep-Alive', '5'],
        ],
      }),
      { 'x-other': 'a' },
      '',
    ],
  ])(
    'SEC-73, SEC-76, UW-10: hands on to %s what %s may answer',
    async (method, target, headers, body) => {
      const response = await bridgeTo(uwsgi.address).fetch(request(target, {}, { method }))
      expect(Object.fromEntries(response.headers)).toEqual(headers)
      expect(await response.text()).toBe(body)
    }
  )

  test('keeps Set-Cookie apart and in order', async () => {
    const cookies = ['a=1; Expires=Fri, 01 Jan 2038 00:00:00 GMT', 'b=2, c', 'a=1']
    const headers = cookies.map((cookie): [string, string] => ['Set-Cookie', cookie])
    const response = await bridgeTo(uwsgi.address).fetch(
      request(respond({ status: '200 OK', headers }))
    )
    expect(response.headers.getSetCookie()).toEqual(cookies)
  })

  test.each<[string, string, string]>([
    ['UW-11: no answer', '/raw/silent', 'ERR_UPSTREAM_EMPTY'],
    [
      'SEC-70: CR in a value',
      respond({ status: '200 OK', headers: [['X-A', 'a\rb']] }),
      'ERR_UPSTREAM_PROTOCOL',
    ],
    [
      'SEC-70: NUL in a value',
      respond({ status: '200 OK', headers: [['X-A', 'a\0b']] }),
      'ERR_UPSTREAM_PROTOCOL',
    ],
    [
      'CGI-3: two Content-Length',
      respond({
        status: '200 OK',
        headers: [
          ['Content-Length', '1'],
          ['Content-Length', '1'],
        ],
        chunks: ['a'],
      }),
      'ERR_UPSTREAM_PROTOCOL',
    ],
    ['status 999', respond({ status: '999 High' }), 'ERR_UPSTREAM_PROTOCOL'],
  ])('answers 502 and SEC-79 tells the client nothing: %s', async (_what, target, code) => {
    const response = await bridgeTo(uwsgi.address).fetch(request(target))
    expect([response.status, await response.text()]).toEqual([502, '502 Bad Gateway\n'])
    expect([...response.headers.keys()]).toEqual([
      'cache-control',
      'content-length',
      'content-type',
    ])
    const [[error, context] = [], ...more] = takeReports()
    expect([error?.code, more]).toEqual([code, []])
    expect(context).toEqual({
      method: 'GET',
      path: target,
      upstream: uwsgi.address,
    })
  })

  test('SEC-73: fails a body that is cut, and never ends it', async () => {
    const target = respond({
      status: '200 OK',
      headers: [['Content-Length', '9']],
      chunks: ['abc'],
    })
    const response = await bridgeTo(uwsgi.address).fetch(request(target))
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TRUNCATED' })
    expect(takeReports().map(([{ code }]) => code)).toEqual(['ERR_UPSTREAM_TRUNCATED'])
  })
})

/** This many headers. */
const fields = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`X-${i}`, 'v']))

describe('the limits of a packet', () => {
  test("UW-4, SEC-61: a block over uWSGI's default of 4096 bytes is answered 502, and both numbers are named", async () => {
    const bridge = bridgeTo(uwsgi.address)
    const statuses: number[] = []
    for (let size = 3700; size < 3900; size++) {
      statuses.push((await bridge.fetch(request('/', { 'X-A': 'a'.repeat(size) }))).status)
    }
    expect([...new Set(statuses)]).toEqual([200, 502])
    const dropped = takeReports().map(([{ code, message }]) => {
      const numbers = /the vars block is (\d+) bytes, .*--buffer-size \(default (\d+)\)/.exec(
        message
      )
      return [code, Number(numbers?.[1]), Number(numbers?.[2])]
    })
    // Each that was dropped, and none before, was over the default.
    expect(dropped).toEqual(Array.from(dropped, (_, i) => ['ERR_UPSTREAM_EMPTY', 4097 + i, 4096]))
    expect(dropped).toHaveLength(statuses.filter((status) => status === 502).length)
  })

  test('UW-4: maxVarsBytes 4096 answers the same 431 before it connects', async () => {
    const bridge = bridgeTo(uwsgi.address, { maxVarsBytes: 4096 })
    const statuses = new Set<number>()
    for (let size = 3700; size < 3900; size += 13) {
      statuses.add((await bridge.fetch(request('/', { 'X-A': 'a'.repeat(size) }))).status)
    }
    expect([...statuses]).toEqual([200, 431])
    expect(new Set(takeReports().map(([{ code }]) => code))).toEqual(
      new Set(['ERR_VARS_TOO_LARGE'])
    )
  })

  test('UW-1, UW-4: 128 variables and 65535 bytes are what uWSGI takes, and more is answered 431', async () => {
    const large = await startUwsgi({ app: 'environ', bufferSize: 65_535 })
    try {
      const bridge = bridgeTo(large.address, { maxHeaders: 200 })
      const counts: number[] = []
      for (let count = 100; count < 128; count++) {
        counts.push((await bridge.fetch(request('/', fields(count)))).status)
      }
      expect([...new Set(counts)]).toEqual([200, 431])
      expect(counts.toSorted((a, b) => a - b)).toEqual(counts)

      const sizes: number[] = []
      for (let size = 16_150; size <= 16_350; size++) {
        const value = 'a'.repeat(16_330)
        const headers = { 'X-A': value, 'X-B': value, 'X-C': value, 'X-D': 'a'.repeat(size) }
        sizes.push((await bridge.fetch(request('/', headers))).status)
      }
      expect([...new Set(sizes)]).toEqual([200, 431])
      expect(sizes.toSorted((a, b) => a - b)).toEqual(sizes)
    } finally {
      await large.stop()
    }
    expect(new Set(takeReports().map(([{ code }]) => code))).toEqual(
      new Set(['ERR_VARS_TOO_LARGE'])
    )
  })
})

describe('bridge.ping()', () => {
  test('resolves when a worker of uWSGI answers', async () => {
    await expect(bridgeTo(uwsgi.address).ping()).resolves.toBeUndefined()
  })

  test('rejects when nobody listens', async () => {
    const address = `uwsgi://127.0.0.1:${REFUSING_PORT}`
    await expect(bridgeTo(address).ping()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_CONNECT' })
    expect((await bridgeTo(address).fetch(request('/'))).status).toBe(502)
    const [[error] = []] = takeReports()
    expect(error).toMatchObject({
      code: 'ERR_UPSTREAM_CONNECT',
      message: expect.stringContaining('ECONNREFUSED'),
    })
  })

  test('rejects what is no uWSGI: gunicorn answers in HTTP', async () => {
    await expect(bridgeTo(gunicorn.address).ping()).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_PROTOCOL',
    })
  })
})

describe('bridge.close()', () => {
  test('answers 503 from now on, and waits for the responses under way', async () => {
    const bridge = bridgeTo(uwsgi.address)
    const spec = { status: '200 OK', chunks: ['hello'] }
    const response = await bridge.fetch(request(respond(spec)))
    let closed = false
    const closing = bridge.close().then(() => (closed = true))
    expect((await bridge.fetch(request('/'))).status).toBe(503)
    expect(takeReports().map(([{ code }]) => code)).toEqual(['ERR_CLOSED'])
    expect(closed).toBe(false)
    expect(await response.text()).toBe('hello')
    await closing
  })
})

/** The body of a response, read below Fetch. */
async function bodyOf({ body }: GatewayResponse): Promise<string> {
  return body ? text(await collect(body)) : ''
}

describe('a bridge to gunicorn', () => {
  test('sends requests with bodies', async () => {
    const made = request('/a?b', { Host: 'h.example' }, { method: 'POST', body: 'hello' })
    expect(await environOf(await bridgeTo(gunicorn.address).fetch(made))).toMatchObject({
      REQUEST_METHOD: 'POST',
      PATH_INFO: '/a',
      QUERY_STRING: 'b',
      HTTP_HOST: 'h.example',
      CONTENT_LENGTH: '5',
      body_length: 5,
    })
  })

  test('reads a body of unknown length, and drops Connection', async () => {
    const target = respond({ status: '200 OK', headers: [['X-A', 'b']], chunks: ['one', 'two'] })
    const head = requestHead(request(target))
    const response = await bridgeTo(gunicorn.address).handle(head, undefined)
    const names = response.headers.map(([name]) => name.toLowerCase()).toSorted()
    expect([names, await bodyOf(response)]).toEqual([['date', 'server', 'x-a'], 'onetwo'])
  })

  test('UW-10: answers 502 to a response without a status, which it sends where the connection closes', async () => {
    const bridge = bridgeTo(gunicorn.address, { params: { HTTP_CONNECTION: 'close' } })
    expect((await bridge.fetch(request('/raw/silent'))).status).toBe(502)
    expect(takeReports().map(([{ code }]) => code)).toEqual(['ERR_UPSTREAM_PROTOCOL'])
  })
})
