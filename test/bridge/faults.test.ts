import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Bridge, type BridgeOptions, createBridge } from '../../src/target/node/index.ts'
import { sha256 } from '../backend/download.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { eventually, within } from '../support/deadline.ts'
import { type Fault, type FaultRelay, startFaultRelay } from '../support/fault-relay.ts'

/** For faults that only a timeout ends. */
const SHORT_MS = 200
const BODY = new Uint8Array(300_000).map((_, index) => index * 7)

let uwsgi: UwsgiServer
let relay: FaultRelay
/** The codes that onError got in the test that runs. */
const codes: unknown[] = []

beforeAll(async () => {
  uwsgi = await startUwsgi({ app: 'environ', threads: 8 })
  relay = await startFaultRelay(uwsgi.address)
})
afterAll(async () => {
  await relay?.close()
  await uwsgi?.stop()
})
afterEach(async () => {
  codes.length = 0
  await relay.setFault({ type: 'none' })
})

function bridgeTo(options: BridgeOptions): Bridge {
  return createBridge(relay.address, {
    onError: (error) => void codes.push((error as { code?: string }).code),
    ...options,
  })
}

const REQUESTS = {
  GET: (target: string) => new Request(`http://h.example${target}`),
  POST: (target: string) =>
    new Request(`http://h.example${target}`, { method: 'POST', body: BODY }),
}
function upload(target: string, body: Uint8Array<ArrayBuffer>): Request {
  const headers = { 'Content-Length': String(body.length) }
  return new Request(`http://h.example${target}`, { method: 'POST', headers, body })
}
const METHODS = ['GET', 'POST'] as const

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
}

/** Path at which the application answers exactly this, in a head and one piece of a body. */
function respond(headers: [string, string][], body: string): string {
  const spec = { status: '200 OK', headers, chunks: [body] }
  return `/raw/respond?spec=${encodeURIComponent(JSON.stringify(spec))}`
}

/** What became of a response: its status, and its body or `undefined` where that failed. */
async function outcome(response: Response): Promise<readonly [number, string | undefined]> {
  const body = await within(
    'the body',
    response.text().catch(() => undefined)
  )
  return [response.status, body]
}

interface Case {
  readonly fault: Fault
  readonly status: number
  /** @default none */
  readonly code?: string | RegExp
  /** Whether only a timeout ends it. */
  readonly stalls?: true
  /** Whether the head is answered and the body fails. */
  readonly broken?: true
}

const CASES: readonly (readonly [title: string, expected: Case])[] = [
  ['none', { fault: { type: 'none' }, status: 200 }],
  [
    'a refused connection (UW-11)',
    { fault: { type: 'refuse' }, status: 502, code: 'ERR_UPSTREAM_CONNECT' },
  ],
  [
    'a reset before a byte of the request is read (UW-11)',
    // Early enough, it looks like a connection that was never there.
    { fault: { type: 'resetOnAccept' }, status: 502, code: /^ERR_UPSTREAM_(?:EMPTY|CONNECT)$/ },
  ],
  [
    'a reset behind the whole request (UW-8, UW-11)',
    { fault: { type: 'resetAfterRequest' }, status: 502, code: 'ERR_UPSTREAM_EMPTY' },
  ],
  [
    'a reset in the status line (UW-10, SEC-74)',
    {
      fault: { type: 'resetInHead', afterBytes: 5 },
      status: 502,
      code: 'ERR_UPSTREAM_TRUNCATED',
    },
  ],
  [
    'a reset in the fields (UW-10, SEC-74)',
    {
      fault: { type: 'resetInHead', afterBytes: 30 },
      status: 502,
      code: 'ERR_UPSTREAM_TRUNCATED',
    },
  ],
  [
    'no answer at all (UW-11, SEC-48)',
    { fault: { type: 'stallBeforeHead' }, status: 504, code: 'ERR_READ_TIMEOUT', stalls: true },
  ],
  [
    'nothing behind the head (UW-11, SEC-48)',
    {
      fault: { type: 'stallInBody', afterBytes: 0 },
      status: 200,
      code: 'ERR_READ_TIMEOUT',
      stalls: true,
      broken: true,
    },
  ],
  [
    'nothing behind a part of the body (UW-11, SEC-48)',
    {
      fault: { type: 'stallInBody', afterBytes: 100 },
      status: 200,
      code: 'ERR_READ_TIMEOUT',
      stalls: true,
      broken: true,
    },
  ],
  ['an answer byte by byte (UW-10)', { fault: { type: 'trickle' }, status: 200 }],
  [
    'an end inside the body (RSP-38, SEC-73)',
    {
      fault: { type: 'cutInBody', afterBytes: 100 },
      status: 200,
      code: 'ERR_UPSTREAM_TRUNCATED',
      broken: true,
    },
  ],
  [
    'a reset inside the body (RSP-38, SEC-73)',
    {
      fault: { type: 'resetInBody', afterBytes: 100 },
      status: 200,
      code: 'ERR_UPSTREAM_TRUNCATED',
      broken: true,
    },
  ],
  [
    'every byte twice (UW-10)',
    { fault: { type: 'duplicate' }, status: 502, code: 'ERR_UPSTREAM_PROTOCOL' },
  ],
  [
    'noise (UW-10, SEC-74)',
    { fault: { type: 'garbage' }, status: 502, code: 'ERR_UPSTREAM_PROTOCOL' },
  ],
  [
    'an end before the answer, the request still being read (UW-8, UW-11)',
    {
      fault: { type: 'halfClose', toward: 'bridge' },
      status: 502,
      code: 'ERR_UPSTREAM_EMPTY',
    },
  ],
  [
    'an end behind the request, toward the backend',
    { fault: { type: 'halfClose', toward: 'backend' }, status: 200 },
  ],
]

describe.each(CASES)('a bridge that meets %s', (_title, expected) => {
  const { fault, status, code, stalls, broken } = expected

  test.each(METHODS)('answers %s in time, keeps nothing, and answers the next', async (method) => {
    const make = REQUESTS[method]
    const bridge = bridgeTo(stalls === true ? { readTimeout: SHORT_MS } : {})
    const before = timers()
    await relay.setFault(fault)
    const response = await within('the response', bridge.fetch(make('/faulty')))
    const [got, body] = await outcome(response)
    expect(got).toBe(status)
    expect(body === undefined).toBe(broken === true)
    if (status === 200 && body !== undefined) expectEcho(body, method)
    expect(codes).toEqual(code === undefined ? [] : [expect.stringMatching(code) as string])

    await eventually('the end of the connections', () => relay.connections() === 0)
    await eventually('the end of the timers', () => timers() <= before)
    codes.length = 0
    await relay.setFault({ type: 'none' })
    const [next, echo] = await outcome(await bridge.fetch(make('/next')))
    expect(next).toBe(200)
    expectEcho(echo, method)
    expect(codes).toEqual([])
    await within('the end of the bridge', bridge.close())
  })
})

/** The answer says what body the application got: all of it, and no more. */
function expectEcho(body: string | undefined, method: (typeof METHODS)[number]): void {
  const environ = JSON.parse(body ?? '') as Record<string, unknown>
  const sent = method === 'POST' ? BODY : new Uint8Array()
  expect(environ).toMatchObject({
    REQUEST_METHOD: method,
    body_length: sent.length,
    body_sha256: sha256(sent),
  })
}

describe('a bridge whose backend reads nothing', () => {
  test('answers 504 after sendTimeout (UW-11, SEC-48)', async () => {
    await relay.setFault({ type: 'stallInRequest' })
    const bridge = bridgeTo({ sendTimeout: SHORT_MS })
    // More than the buffers of the system hold.
    const made = upload('/', new Uint8Array(30_000_000))
    const [status] = await outcome(await bridge.fetch(made))
    expect([status, codes]).toEqual([504, ['ERR_SEND_TIMEOUT']])
    await relay.setFault({ type: 'none' })
    await eventually('the end of the connection', () => relay.connections() === 0)
    const [next] = await outcome(await bridge.fetch(REQUESTS.POST('/next')))
    expect(next).toBe(200)
  })
})

describe('a bridge, where the connection alone ends a response', () => {
  const TEXT = 'x'.repeat(1000)

  test('fails the body on a reset (RSP-38)', async () => {
    await relay.setFault({ type: 'resetInBody', afterBytes: 100 })
    const [status, body] = await outcome(await bridgeTo({}).fetch(REQUESTS.GET(respond([], TEXT))))
    expect([status, body, codes]).toEqual([200, undefined, ['ERR_UPSTREAM_TRUNCATED']])
  })

  test('cannot tell an orderly end from the end (UW-10)', async () => {
    await relay.setFault({ type: 'cutInBody', afterBytes: 100 })
    const [status, body] = await outcome(await bridgeTo({}).fetch(REQUESTS.GET(respond([], TEXT))))
    expect([status, body, codes]).toEqual([200, TEXT.slice(0, 100), []])
  })

  test('takes a whole one, byte by byte', async () => {
    await relay.setFault({ type: 'trickle' })
    const [status, body] = await outcome(await bridgeTo({}).fetch(REQUESTS.GET(respond([], TEXT))))
    expect([status, body, codes]).toEqual([200, TEXT, []])
  })

  test('counts its read timeout from byte to byte (UW-11)', async () => {
    await relay.setFault({ type: 'stallInBody', afterBytes: 500 })
    const bridge = bridgeTo({ readTimeout: SHORT_MS })
    const [status, body] = await outcome(await bridge.fetch(REQUESTS.GET(respond([], TEXT))))
    expect([status, body, codes]).toEqual([200, undefined, ['ERR_READ_TIMEOUT']])
  })
})

test('startFaultRelay() counts what it accepts, and refuses on its own port', async () => {
  const before = relay.accepted()
  const bridge = bridgeTo({})
  await Promise.all([1, 2, 3].map(() => bridge.fetch(REQUESTS.GET('/')).then(outcome)))
  expect(relay.accepted()).toBe(before + 3)
  await relay.setFault({ type: 'refuse' })
  expect((await bridge.fetch(REQUESTS.GET('/'))).status).toBe(502)
  expect(relay.accepted()).toBe(before + 3)
})
