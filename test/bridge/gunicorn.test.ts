import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ExchangeEvent } from '../../src/bridge/exchange-event.ts'
import { type Bridge, type BridgeOptions, createBridge } from '../../src/target/node/index.ts'
import { type GunicornServer, startGunicorn } from '../backend/gunicorn.ts'
import { eventually } from '../support/deadline.ts'
import { send } from '../support/http-client.ts'
import { type Relay, startRelay } from '../support/relay.ts'
import { bundleWorker } from '../target/workers-target.ts'

type Environ = Record<string, string | undefined>

/** Longer than any test lasts: what closes a connection is never our own time. */
const LONG_MS = 60_000

let gunicorn: GunicornServer
let relay: Relay
let bridges: Bridge[] = []
let errors: (Error & { code?: string })[] = []
let events: ExchangeEvent[] = []

beforeAll(async () => {
  gunicorn = await startGunicorn({
    app: 'environ',
    args: ['--workers=1', '--threads=8', '--keep-alive=60'],
  })
})
beforeEach(async () => {
  relay = await startRelay(gunicorn.address)
})
afterEach(expectNoError)
afterAll(() => gunicorn?.stop())

/** An error that a test does not take is one that nobody expected. */
async function expectNoError(): Promise<void> {
  for (const bridge of bridges) await bridge.close()
  await relay.stop()
  const unexpected = errors
  bridges = []
  errors = []
  events = []
  expect(unexpected).toEqual([])
}

function bridgeTo(address: string, options: BridgeOptions = {}): Bridge {
  const bridge = createBridge(address, {
    backend: 'gunicorn',
    keepaliveTimeout: LONG_MS,
    onError: (error) => void errors.push(error),
    onExchange: (event) => void events.push(event),
    ...options,
  })
  bridges.push(bridge)
  return bridge
}

/** Sends a request; `target` as the client wrote it. */
function fetchFrom(bridge: Bridge, target: string, init?: RequestInit): Promise<Response> {
  return bridge.fetch(new Request(`http://h.example${target}`, init))
}

async function environOf(response: Response): Promise<Environ> {
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json'])
  return (await response.json()) as Environ
}

/** Path at which the application answers exactly this. */
function respond(spec: {
  status: string
  headers?: [string, string][]
  chunks?: string[]
}): string {
  return `/raw/respond?spec=${encodeURIComponent(JSON.stringify(spec))}`
}

/** Waits until a connection waits in the pool: it goes there behind the end of the response. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

describe('a bridge to gunicorn', () => {
  test('uses one connection for requests one after the other', async () => {
    const bridge = bridgeTo(relay.address)
    const ports = new Set<string | undefined>()
    for (let sent = 0; sent < 10; sent++) {
      ports.add((await environOf(await fetchFrom(bridge, `/${sent}`)))['REMOTE_PORT'])
      await settle()
    }
    // The connection that gunicorn saw is the relay's; each of ours has one.
    expect([relay.accepted, ports.size]).toEqual([1, 1])
  })

  const CHUNKS = respond({ status: '200 OK', chunks: ['one', 'two', 'three'] })
  const ABC = respond({ status: '200 OK', headers: [['Content-Length', '3']], chunks: ['abc'] })
  const EMPTY = respond({ status: '200 OK', headers: [['Content-Length', '0']] })
  const NOT_MODIFIED = respond({ status: '304 Not Modified', headers: [['ETag', '"a"']] })
  const OOPS = respond({
    status: '500 Oops',
    headers: [['Content-Length', '2']],
    chunks: ['no'],
  })

  test.each<[string, string, string, number, string, number]>([
    ['Content-Length', 'GET', ABC, 200, 'abc', 1],
    ['Content-Length 0', 'GET', EMPTY, 200, '', 1],
    ['an error', 'GET', OOPS, 500, 'no', 1],
    ['nothing, by 304', 'GET', NOT_MODIFIED, 304, '', 1],
    ['nothing, by 204', 'GET', respond({ status: '204 No Content' }), 204, '', 1],
    ['nothing, to HEAD', 'HEAD', ABC, 200, '', 1],
    ['Content-Length, to DELETE', 'DELETE', ABC, 200, 'abc', 1],
    // gunicorn sends no chunks to a uwsgi client: it closes, and so do we.
    ['the end of the connection', 'GET', CHUNKS, 200, 'onetwothree', 4],
  ])('reads to its end an answer that ends by %s', async (_what, method, ...rest) => {
    const [target, status, body, connections] = rest
    const bridge = bridgeTo(relay.address)
    for (let sent = 0; sent < 3; sent++) {
      const response = await fetchFrom(bridge, target, { method })
      expect([response.status, await response.text()]).toEqual([status, body])
      await settle()
    }
    await environOf(await fetchFrom(bridge, '/'))
    expect(relay.accepted).toBe(connections)
  })

  test('shows the application every octet of a path, decoded once', async () => {
    const bridge = bridgeTo(gunicorn.address)
    const octets = Array.from({ length: 255 }, (_, i) => i + 1)
    for (const octet of octets) {
      const target = `/a%${octet.toString(16).padStart(2, '0')}b/`
      const environ = await environOf(await fetchFrom(bridge, target))
      expect(environ['PATH_INFO'], target).toBe(`/a${String.fromCharCode(octet)}b/`)
    }
  })

  test.each([
    ['/a%2Fb', '/a/b'],
    ['/a%252Fb', '/a%2Fb'],
    ['/100%25', '/100%'],
    ['/%2525', '/%25'],
    ['/caf%C3%A9', '/caf\xc3\xa9'],
    ['/caf%E9', '/caf\xe9'],
    ['/a+b%2Bc', '/a+b+c'],
    ['/a;b?c', '/a;b'],
    ['/a%3Fb?c', '/a?b'],
    ['//a//b/', '//a//b/'],
  ])('shows %s as PATH_INFO %j', async (target, path) => {
    expect(
      (await environOf(await fetchFrom(bridgeTo(gunicorn.address), target)))['PATH_INFO']
    ).toBe(path)
  })

  test('gives POST a connection of its own, which the next GET may use', async () => {
    const bridge = bridgeTo(relay.address)
    await environOf(await fetchFrom(bridge, '/'))
    await settle()
    const body = 'a'.repeat(100_000)
    const environ = await environOf(await fetchFrom(bridge, '/', { method: 'POST', body }))
    expect(environ).toMatchObject({ CONTENT_LENGTH: '100000', body_length: 100_000 })
    await settle()
    await environOf(await fetchFrom(bridge, '/'))
    expect(relay.accepted).toBe(2)
    expect(relay.received.map((bytes) => bytes.split('REQUEST_METHOD').length - 1)).toEqual([1, 2])
  })

  test('closes a connection that has not got all of a body when its answer is there', async () => {
    const bridge = bridgeTo(relay.address)
    const rest = Promise.withResolvers<void>()
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('abc')),
      pull: () => rest.promise,
    })
    const made = new Request(`http://h.example${ABC}`, {
      method: 'POST',
      body,
      headers: { 'Content-Length': '1000' },
      duplex: 'half',
    } as RequestInit)
    const response = await bridge.fetch(made)
    expect(await response.text()).toBe('abc')
    await eventually('the end of the connection', () => relay.open === 0)
    rest.resolve()
    await environOf(await fetchFrom(bridge, '/'))
    expect(relay.accepted).toBe(2)
  })

  test('closes a connection where gunicorn says so', async () => {
    const bridge = bridgeTo(relay.address, { params: { HTTP_CONNECTION: 'close' } })
    for (let sent = 0; sent < 3; sent++) {
      await environOf(await fetchFrom(bridge, '/'))
      await settle()
    }
    expect(relay.accepted).toBe(3)
    await eventually('the end of all connections', () => relay.open === 0)
  })

  test('keeps at most `keepalive` connections', async () => {
    const bridge = bridgeTo(relay.address, { keepalive: 2 })
    const responses = await Promise.all(Array.from({ length: 6 }, () => fetchFrom(bridge, ABC)))
    expect(relay.accepted).toBe(6)
    for (const response of responses) expect(await response.text()).toBe('abc')
    await eventually('two connections', () => relay.open === 2)
    await Promise.all([1, 2].map(async () => environOf(await fetchFrom(bridge, '/'))))
    expect([relay.accepted, relay.open]).toEqual([6, 2])
  })

  test('closes idle connections in close()', async () => {
    const bridge = bridgeTo(relay.address)
    await environOf(await fetchFrom(bridge, '/'))
    await settle()
    expect(relay.open).toBe(1)
    await bridge.close()
    await eventually('the end of the connection', () => relay.open === 0)
    expect(relay.closedByBackend).toBe(0)
  })

  test('closes idle connections when their time is over, before gunicorn does', async () => {
    const bridge = bridgeTo(relay.address, { keepaliveTimeout: 50 })
    await environOf(await fetchFrom(bridge, '/'))
    await eventually('the end of the connection', () => relay.open === 0)
    expect(relay.closedByBackend).toBe(0)
    await environOf(await fetchFrom(bridge, '/'))
    expect(relay.accepted).toBe(2)
  })

  test('never sends the body of a POST twice', async () => {
    relay.drops = (received) => received.includes('the body')
    const bridge = bridgeTo(relay.address)
    await environOf(await fetchFrom(bridge, '/'))
    await settle()
    const response = await fetchFrom(bridge, '/', { method: 'POST', body: 'the body' })
    expect(response.status).toBe(502)
    expect(relay.received.filter((bytes) => bytes.includes('the body'))).toHaveLength(1)
    expect([events.at(-1)?.retries, errors.splice(0).map(({ code }) => code)]).toEqual([
      0,
      ['ERR_UPSTREAM_EMPTY'],
    ])
  })
})

/** A bridge with a connection that gunicorn has closed meanwhile. */
async function withStaleConnection(): Promise<Bridge> {
  const bridge = bridgeTo(relay.address)
  await environOf(await fetchFrom(bridge, '/'))
  await eventually('the end of an idle connection', () => relay.closedByBackend === 1)
  await settle()
  return bridge
}

describe('a bridge to gunicorn that keeps connections for a second', () => {
  let hasty: GunicornServer
  beforeAll(async () => {
    hasty = await startGunicorn({ app: 'environ', args: ['--workers=1', '--keep-alive=1'] })
  })
  afterAll(() => hasty?.stop())
  beforeEach(async () => {
    await relay.stop()
    relay = await startRelay(hasty.address)
  })

  test('opens another when it has seen the end of one', async () => {
    const bridge = await withStaleConnection()
    await eventually('the end on our side', () => relay.open === 0)
    await environOf(await fetchFrom(bridge, '/'))
    expect([relay.accepted, events.map(({ retries }) => retries)]).toEqual([2, [0, 0]])
  })

  test.each(['GET', 'HEAD', 'DELETE'])(
    'sends %s once more when the end and the request cross on the way',
    async (method) => {
      relay.endShows = 'late'
      const bridge = await withStaleConnection()
      const response = await fetchFrom(bridge, '/', { method })
      expect(response.status).toBe(200)
      await response.text()
      expect([relay.accepted, events.map(({ retries }) => retries)]).toEqual([2, [0, 1]])
    }
  )

  test.each(['POST', 'PUT'])(
    'sends %s with a body over a connection of its own',
    async (method) => {
      relay.endShows = 'late'
      const bridge = await withStaleConnection()
      const environ = await environOf(await fetchFrom(bridge, '/', { method, body: 'hello' }))
      expect(environ['body_length']).toBe(5)
      expect([relay.accepted, events.map(({ retries }) => retries)]).toEqual([2, [0, 0]])
    }
  )
})

describe('a bridge to gunicorn that keeps no connections', () => {
  test('works with sync workers', async () => {
    const sync = await startGunicorn({
      app: 'environ',
      args: ['--workers=1', '--worker-class=sync', '--threads=1'],
    })
    const single = await startRelay(sync.address)
    try {
      const bridge = bridgeTo(single.address)
      for (let sent = 0; sent < 4; sent++) {
        const init = sent % 2 === 0 ? {} : { method: 'POST', body: 'hello' }
        await environOf(await fetchFrom(bridge, '/', init))
        await settle()
      }
      expect(single.accepted).toBe(4)
      expect(events.map(({ retries }) => retries)).toEqual([0, 0, 0, 0])
    } finally {
      await single.stop()
      await sync.stop()
    }
  })
})

describe('a Worker in front of gunicorn', () => {
  test('opens a connection for each request, since it may keep none', async () => {
    const running = await (
      await bundleWorker()
    ).start({ UPSTREAM: relay.address, BACKEND: 'gunicorn' })
    try {
      for (let sent = 0; sent < 3; sent++) {
        expect((await send(running.origin, { target: '/a%2Fb' })).json()).toMatchObject({
          PATH_INFO: '/a/b',
        })
      }
      expect(relay.accepted).toBe(3)
      await eventually('the end of all connections', () => relay.open === 0)
    } finally {
      await running.stop()
    }
  })
})
