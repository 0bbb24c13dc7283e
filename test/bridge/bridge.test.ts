import { afterEach, describe, expect, type Mock, test, vi } from 'vitest'
import { type Bridge, createBridgeOn } from '../../src/bridge/bridge.ts'
import type { BridgeOptions } from '../../src/bridge/bridge-options.ts'
import { collect } from '../../src/core/body-source.ts'
import { requestHead } from '../../src/core/request-head.ts'
import { text } from '../codec/wire.ts'
import { MemoryConnection, never, opening, RESET } from './memory-connection.ts'

const HELLO = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
const HEAD = requestHead(new Request('http://h.example/a?b'))

afterEach(() => {
  vi.restoreAllMocks()
})

type OnError = NonNullable<BridgeOptions['onError']>

interface Setup {
  readonly bridge: Bridge
  /** The connections it was given, in order. */
  readonly connections: MemoryConnection[]
  readonly onError: Mock<OnError>
}

/** A bridge whose backend is the test: every connection answers `wire`, where there is one. */
function setUp(wire?: string, options: BridgeOptions = {}): Setup {
  const connections: MemoryConnection[] = []
  const onError = vi.fn<OnError>()
  async function connect(): Promise<MemoryConnection> {
    const connection = new MemoryConnection()
    if (wire !== undefined) connection.respond(wire)
    connections.push(connection)
    return connection
  }
  const bridge = createBridgeOn(
    { connect: () => () => opening(connect()), requestMeta: () => ({}), headerEncoding: 'latin1' },
    'uwsgi://127.0.0.1:3031',
    { onError, ...options }
  )
  return { bridge, connections, onError }
}

/** Lets all that can happen without time passing happen. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Whether a promise has settled by now. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.finally(() => (done = true)).catch(() => {})
  await settle()
  return done
}

describe('bridge.handle() and bridge.fetch()', () => {
  test('answer with what the backend answers', async () => {
    const { bridge } = setUp(HELLO)
    const { status, headers, body } = await bridge.handle(HEAD, undefined)
    expect([status, headers]).toEqual([200, [['Content-Length', '5']]])
    expect(body && text(await collect(body))).toBe('hello')
    const response = await bridge.fetch(new Request('http://h.example/'))
    expect([response.status, response.statusText, await response.text()]).toEqual([
      200,
      'OK',
      'hello',
    ])
  })

  test('SEC-76: hide X-Accel-*, in any case, and no other X- field', async () => {
    const hidden = ['Redirect', 'Expires', 'LIMIT-RATE', 'buffering', 'Charset'].map(
      (name) => `X-Accel-${name}: x\r\n`
    )
    const { bridge } = setUp(
      `HTTP/1.1 200 OK\r\n${hidden.join('')}X-Accel-Own: a\r\nX-Sendfile: b\r\nContent-Length: 0\r\n\r\n`
    )
    const response = await bridge.fetch(new Request('http://h.example/'))
    expect([...response.headers.keys()]).toEqual(['content-length', 'x-accel-own', 'x-sendfile'])
  })

  test('fail the body of a response that is cut', async () => {
    const { bridge, connections, onError } = setUp(HELLO.slice(0, -1))
    const response = await bridge.fetch(new Request('http://h.example/'))
    connections[0]?.end()
    await expect(response.text()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TRUNCATED' })
    expect(onError).toHaveBeenCalledOnce()
  })

  test('cancel the exchange when nobody wants the body any more', async () => {
    const { bridge, connections, onError } = setUp('HTTP/1.1 200 OK\r\n\r\nhello')
    const response = await bridge.fetch(new Request('http://h.example/'))
    const reader = response.body?.getReader()
    await reader?.read()
    void reader?.read()
    await reader?.cancel()
    expect(connections[0]?.closed).toBe(true)
    await settle()
    expect(onError).not.toHaveBeenCalled()
  })

  test('close the connection when the client leaves before the answer', async () => {
    const { bridge, connections, onError } = setUp()
    const client = new AbortController()
    const answer = bridge.handle(HEAD, undefined, client.signal)
    await settle()
    client.abort()
    expect((await answer).status).toBe(499)
    expect([connections[0]?.closed, onError.mock.calls]).toEqual([true, []])
  })

  test('give up the body of a request that they refuse', async () => {
    const cancel = vi.fn<() => void>()
    const body = { read: never<undefined>, cancel: async () => cancel() }
    const { bridge, connections } = setUp(HELLO, { mount: '/elsewhere' })
    expect((await bridge.handle(HEAD, body)).status).toBe(404)
    expect([cancel.mock.calls.length, connections.length]).toEqual([1, 0])
  })

  test('never reject, not even for a body that is being read elsewhere', async () => {
    const { bridge, onError } = setUp(HELLO)
    const request = new Request('http://h.example/', { method: 'POST', body: 'x' })
    request.body?.getReader()
    expect((await bridge.fetch(request)).status).toBe(500)
    expect(onError.mock.calls[0]?.[0]).toBeInstanceOf(TypeError)
  })

  test('never reject, not even when onError throws', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const { bridge, onError } = setUp(HELLO, { mount: '/elsewhere' })
    onError.mockImplementation(() => {
      throw new Error('the log is full')
    })
    expect((await bridge.fetch(new Request('http://h.example/'))).status).toBe(404)
  })
})

describe('createBridgeOn()', () => {
  test.each([
    ['that of the runtime', {}, '\xc3\xa9'],
    [
      'that of the runtime where the option is undefined',
      { headerEncoding: undefined },
      '\xc3\xa9',
    ],
    ['that of the options', { headerEncoding: 'latin1' }, '\xe9'],
  ] as const)('takes headerEncoding: %s', async (_what, options, octetsSent) => {
    const connection = new MemoryConnection().respond(HELLO)
    const bridge = createBridgeOn(
      {
        connect: () => () => opening(Promise.resolve(connection)),
        requestMeta: () => ({}),
        headerEncoding: 'utf8',
      },
      'uwsgi://127.0.0.1:3031',
      options
    )
    await bridge.fetch(new Request('http://h.example/', { headers: { 'X-A': '\xe9' } }))
    expect(connection.written).toContain(
      `HTTP_X_A${String.fromCharCode(octetsSent.length)}\0${octetsSent}`
    )
  })

  test.each<[string, BridgeOptions, string]>([
    ['http://h:1', {}, 'Cannot use address "http://h:1"'],
    ['uwsgi://h:1', { readTimeout: 0 }, 'Cannot use readTimeout 0'],
  ])('throws at once for %s, %j', (address, options, message) => {
    expect(() =>
      createBridgeOn(
        {
          connect: () => () => opening(never()),
          requestMeta: () => ({}),
          headerEncoding: 'latin1',
        },
        address,
        options
      )
    ).toThrow(message)
  })
})

describe('bridge errors', () => {
  test('SEC-79: the page tells the status, and nothing from inside', async () => {
    const { bridge, connections } = setUp()
    const answer = bridge.fetch(new Request('http://h.example/'))
    await settle()
    connections[0]?.reset()
    const response = await answer
    expect([response.status, await response.text()]).toEqual([502, '502 Bad Gateway\n'])
    expect(Object.fromEntries(response.headers)).toEqual({
      'cache-control': 'no-store',
      'content-length': '16',
      'content-type': 'text/plain; charset=utf-8',
    })
  })

  test('onError gets the error and its context, once', async () => {
    const { bridge, connections, onError } = setUp()
    const head = { ...HEAD, method: 'PUT', rawTarget: '/a?b' }
    const answer = bridge.handle(head, undefined)
    await settle()
    connections[0]?.reset()
    await answer
    expect(onError.mock.calls).toEqual([
      [
        expect.objectContaining({ code: 'ERR_UPSTREAM_EMPTY', cause: RESET }),
        { method: 'PUT', path: '/a?b', upstream: 'uwsgi://127.0.0.1:3031' },
      ],
    ])
  })

  test('OPTIONS * is answered here, and is no error', async () => {
    const { bridge, connections, onError } = setUp()
    const { status, body } = await bridge.handle(
      { ...HEAD, method: 'OPTIONS', rawTarget: '*' },
      undefined
    )
    expect([status, body, connections.length, onError.mock.calls.length]).toEqual([
      204,
      undefined,
      0,
      0,
    ])
  })
})

describe('bridge.close()', () => {
  test('answers 503 from now on, and waits for the requests under way', async () => {
    const { bridge, connections, onError } = setUp(HELLO.slice(0, -1))
    const { body } = await bridge.handle(HEAD, undefined)
    const closed = bridge.close()
    connections[0]?.respond('o')
    expect((await bridge.handle(HEAD, undefined)).status).toBe(503)
    expect(onError.mock.calls[0]?.[0]).toMatchObject({ code: 'ERR_CLOSED' })
    expect([connections.length, await settled(closed)]).toEqual([1, false])
    if (body) await collect(body)
    expect(await settled(closed)).toBe(true)
  })

  test('resolves at once when nothing is under way, and every time', async () => {
    const { bridge } = setUp(HELLO)
    await (await bridge.fetch(new Request('http://h.example/'))).text()
    await expect(bridge.close()).resolves.toBeUndefined()
    await expect(bridge.close()).resolves.toBeUndefined()
  })

  test('resolves for everybody who called it', async () => {
    const { bridge } = setUp(HELLO.slice(0, -1))
    const { body } = await bridge.handle(HEAD, undefined)
    const closed = [bridge.close(), bridge.close()]
    await body?.cancel(undefined)
    expect(await Promise.all(closed.map(settled))).toEqual([true, true])
  })

  test.each([
    ['read to its end', 0],
    ['read to its end, then cancelled', 1],
    ['cancelled twice', 2],
    ['cancelled while it is read', 3],
    ['broken off, then cancelled', 4],
  ])('counts a response once that is %s', async (_what, way) => {
    const { bridge, connections } = setUp(HELLO.slice(0, -1))
    const { body } = await bridge.handle(HEAD, undefined)
    await body?.read()
    const [first] = connections
    if (way < 2) first?.respond('o')
    if (way === 4) first?.end()
    const rest = body && way !== 2 ? collect(body).catch(() => {}) : undefined
    if (way !== 3) await rest
    if (way > 0) await body?.cancel(undefined)
    if (way === 2) await body?.cancel(undefined)
    await settle()
    // One counted twice would hide the next.
    const other = await bridge.handle(HEAD, undefined)
    const closed = bridge.close()
    expect(await settled(closed)).toBe(false)
    await other.body?.cancel(undefined)
    expect(await settled(closed)).toBe(true)
  })
})
