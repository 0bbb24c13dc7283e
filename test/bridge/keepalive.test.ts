import { afterEach, describe, expect, test } from 'vitest'
import { type Bridge, type BridgeRuntime, createBridgeOn } from '../../src/bridge/bridge.ts'
import type { BridgeOptions } from '../../src/bridge/bridge-options.ts'
import type { ExchangeEvent } from '../../src/bridge/exchange-event.ts'
import { type BodySource, collect } from '../../src/core/body-source.ts'
import { requestHead } from '../../src/core/request-head.ts'
import { text } from '../codec/wire.ts'
import { MemoryBody, MemoryConnection, opening } from './memory-connection.ts'

const HELLO = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

/** Lets all that can happen without time passing happen. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** A backend whose connections answer each packet with the next of these, in any order of connections. */
class Backend {
  readonly connections: MemoryConnection[] = []
  /** What happens on a connection when the nth request of all comes. */
  readonly answers: ((connection: MemoryConnection) => void)[]

  constructor(...answers: (string | ((connection: MemoryConnection) => void))[]) {
    this.answers = answers.map((answer) =>
      typeof answer === 'string' ? (connection) => void connection.respond(answer) : answer
    )
  }

  readonly connect = async (): Promise<MemoryConnection> => {
    const connection = new MemoryConnection()
    const write = connection.write.bind(connection)
    // A packet begins with modifier1 0, which no text of a body here does.
    connection.write = async (bytes) => {
      await write(bytes)
      if (bytes[0] === 0) setImmediate(() => this.answers.shift()?.(connection))
    }
    this.connections.push(connection)
    return connection
  }

  /** How many packets came over each connection. */
  get packets(): number[] {
    return this.connections.map(({ written }) => written.split('REQUEST_METHOD').length - 1)
  }
}

let bridges: Bridge[] = []
let errors: (Error & { code?: string })[] = []
let events: ExchangeEvent[] = []

afterEach(expectNoError)

/** An error that a test does not take is one that nobody expected. */
async function expectNoError(): Promise<void> {
  for (const bridge of bridges) await bridge.close()
  const unexpected = errors
  bridges = []
  errors = []
  events = []
  expect(unexpected).toEqual([])
}

function bridgeTo(
  backend: Backend,
  options: BridgeOptions = {},
  runtime: Partial<BridgeRuntime> = { every: () => () => {} }
): Bridge {
  const bridge = createBridgeOn(
    {
      connect: () => () => opening(backend.connect()),
      requestMeta: () => ({}),
      headerEncoding: 'latin1',
      ...runtime,
    },
    'uwsgi://127.0.0.1:3031',
    {
      backend: 'gunicorn',
      onError: (error) => void errors.push(error),
      onExchange: (event) => void events.push(event),
      ...options,
    }
  )
  bridges.push(bridge)
  return bridge
}

/** A request from a client that reads the whole answer. */
async function send(bridge: Bridge, method = 'GET', body?: BodySource, length?: number) {
  const headers: HeadersInit = length === undefined ? {} : { 'Content-Length': String(length) }
  const head = requestHead(new Request('http://h.example/', { method, headers }))
  const response = await bridge.handle({ ...head, hasBody: body !== undefined }, body)
  const received = response.body ? text(await collect(response.body)) : ''
  await settle()
  return [response.status, received] as const
}

describe('a bridge to gunicorn', () => {
  test.each<[string, string, string]>([
    ['Content-Length', HELLO, 'GET'],
    ['chunks', `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, 'GET'],
    ['no body, to HEAD', HELLO.slice(0, -5), 'HEAD'],
    ['304', 'HTTP/1.1 304 Not Modified\r\n\r\n', 'GET'],
    ['an error page', HELLO.replace('200 OK', '500 Oops'), 'DELETE'],
  ])('uses a connection again behind %s', async (_what, answer, method) => {
    const backend = new Backend(answer, answer, answer)
    const bridge = bridgeTo(backend)
    for (let sent = 0; sent < 3; sent++) await send(bridge, method)
    expect(backend.packets).toEqual([3])
  })

  test.each<[string, string | ((connection: MemoryConnection) => void)]>([
    ['Connection: close', HELLO.replace('\r\n', '\r\nConnection: close\r\n')],
    ['HTTP/1.0', HELLO.replace('1.1', '1.0')],
    ['bytes behind the answer', `${HELLO}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`],
    ['its end', (connection) => connection.respond('HTTP/1.1 200 OK\r\n\r\nhello').end()],
  ])('closes a connection with %s', async (_what, answer) => {
    const backend = new Backend(answer, HELLO)
    const bridge = bridgeTo(backend)
    expect(await send(bridge)).toEqual([200, 'hello'])
    expect(backend.connections[0]?.closed).toBe(true)
    expect(await send(bridge)).toEqual([200, 'hello'])
    expect(backend.packets).toEqual([1, 1])
  })

  test('closes a connection on which bytes come behind the answer, later', async () => {
    const backend = new Backend(HELLO, HELLO)
    const bridge = bridgeTo(backend)
    await send(bridge)
    backend.connections[0]?.respond('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
    await settle()
    expect(await send(bridge)).toEqual([200, 'hello'])
    expect([backend.packets, backend.connections[0]?.closed]).toEqual([[1, 1], true])
  })

  test('closes a connection whose answer its client did not read to the end', async () => {
    const backend = new Backend(HELLO.slice(0, -1), HELLO)
    const bridge = bridgeTo(backend)
    const response = await bridge.handle(requestHead(new Request('http://h.example/')), undefined)
    await response.body?.cancel(undefined)
    expect(backend.connections[0]?.closed).toBe(true)
    await send(bridge)
    expect(backend.packets).toEqual([1, 1])
  })

  test('closes a connection that has not got all of a body: what it got next would be the rest', async () => {
    const rest = Promise.withResolvers<string>()
    const backend = new Backend(HELLO, HELLO)
    const bridge = bridgeTo(backend)
    const body = new MemoryBody('abc', () => rest.promise)
    expect(await send(bridge, 'POST', body, 6)).toEqual([200, 'hello'])
    expect([backend.connections[0]?.closed, body.cancelled]).toEqual([true, true])
    rest.resolve('def')
    await settle()
    expect(backend.connections[0]?.written.endsWith('abc')).toBe(true)
    await send(bridge)
    expect(backend.packets).toEqual([1, 1])
  })

  test('closes a connection that failed to take the request, though it answered', async () => {
    const backend = new Backend(HELLO, HELLO)
    const { connect } = backend
    const failing = async (): Promise<MemoryConnection> => {
      const connection = await connect()
      connection.onWrite = async (index) => {
        if (index === 1) throw new Error('EPIPE')
      }
      return connection
    }
    const bridge = bridgeTo(
      backend,
      {},
      { connect: () => () => opening(failing()), every: () => () => {} }
    )
    await send(bridge, 'POST', new MemoryBody('abc'), 3)
    expect(backend.connections[0]?.closed).toBe(true)
  })
})

/** The first request leaves a connection behind; the backend closes that when the next packet comes. */
function closing(...more: string[]): Backend {
  return new Backend(HELLO, (connection) => connection.end(), ...more)
}

describe('a bridge to gunicorn that has closed an idle connection unseen', () => {
  test.each(['GET', 'HEAD', 'OPTIONS', 'DELETE'])(
    'sends %s once more, on a fresh one',
    async (method) => {
      const answer = method === 'HEAD' ? HELLO.slice(0, -5) : HELLO
      const backend = closing(answer)
      const bridge = bridgeTo(backend)
      await send(bridge)
      expect((await send(bridge, method))[0]).toBe(200)
      expect(backend.packets).toEqual([2, 1])
      expect(events.map(({ retries, tried }) => [retries, tried.length])).toEqual([
        [0, 1],
        [1, 1],
      ])
    }
  )

  test('sends once more behind a reset, too', async () => {
    const backend = new Backend(HELLO, (connection) => connection.reset(), HELLO)
    const bridge = bridgeTo(backend)
    await send(bridge)
    expect(await send(bridge)).toEqual([200, 'hello'])
  })

  test('sends once more, not more often: a fresh connection that says nothing is an error', async () => {
    const backend = new Backend(
      HELLO,
      (connection) => connection.end(),
      (connection) => connection.end(),
      HELLO
    )
    const bridge = bridgeTo(backend)
    await send(bridge)
    expect((await send(bridge))[0]).toBe(502)
    expect(backend.packets).toEqual([2, 1])
    expect(errors.splice(0).map(({ code }) => code)).toEqual(['ERR_UPSTREAM_EMPTY'])
  })

  test('sends nothing once more of which some has been answered', async () => {
    const backend = new Backend(
      HELLO,
      (connection) => connection.respond('HTTP/1.1 2').end(),
      HELLO
    )
    const bridge = bridgeTo(backend)
    await send(bridge)
    expect((await send(bridge))[0]).toBe(502)
    expect(backend.packets).toEqual([2])
    expect(errors.splice(0).map(({ code }) => code)).toEqual(['ERR_UPSTREAM_TRUNCATED'])
  })

  test.each(['POST', 'PATCH'])(
    'gives %s a connection of its own, which it may leave behind',
    async (method) => {
      const backend = new Backend(HELLO, HELLO, HELLO)
      const bridge = bridgeTo(backend)
      await send(bridge)
      await send(bridge, method, new MemoryBody('abc'), 3)
      await send(bridge)
      expect(backend.packets).toEqual([1, 2])
    }
  )

  test('gives POST without a body one too: it may be carried out once only', async () => {
    const backend = new Backend(HELLO, HELLO)
    const bridge = bridgeTo(backend)
    await send(bridge)
    await send(bridge, 'POST')
    expect(backend.packets).toEqual([1, 1])
  })

  test('gives PUT with a body one too: half a body cannot be sent once more', async () => {
    const backend = new Backend(HELLO, HELLO)
    const bridge = bridgeTo(backend)
    await send(bridge)
    expect(await send(bridge, 'PUT', new MemoryBody('abc'), 3)).toEqual([200, 'hello'])
    expect(backend.packets).toEqual([1, 1])
  })
})

describe('a bridge to gunicorn keeps no connection', () => {
  test.each<[string, BridgeOptions, Partial<BridgeRuntime>]>([
    ['on a runtime where nothing lives between requests', {}, {}],
    ['with keepalive 0', { keepalive: 0 }, { every: () => () => {} }],
    ['where the backend is uWSGI', { backend: 'uwsgi' }, { every: () => () => {} }],
  ])('%s', async (_where, options, runtime) => {
    const backend = new Backend(HELLO, HELLO)
    const bridge = bridgeTo(backend, options, runtime)
    await send(bridge)
    await send(bridge)
    expect(backend.packets).toEqual([1, 1])
    expect(backend.connections.map(({ closed }) => closed)).toEqual([true, true])
  })

  test('behind close()', async () => {
    const backend = new Backend(HELLO)
    const bridge = bridgeTo(backend)
    await send(bridge)
    expect(backend.connections[0]?.closed).toBe(false)
    await bridge.close()
    expect(backend.connections[0]?.closed).toBe(true)
  })

  test('over `keepalive`', async () => {
    const answer = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
    const backend = new Backend(
      ...answer.map(({ promise }) => (connection: MemoryConnection): void => {
        void promise.then(() => connection.respond(HELLO))
      })
    )
    const bridge = bridgeTo(backend, { keepalive: 2 })
    const sent = answer.map(() => send(bridge))
    for (const { resolve } of answer) resolve()
    await Promise.all(sent)
    expect(backend.connections.map(({ closed }) => closed)).toEqual([false, false, true])
  })
})
