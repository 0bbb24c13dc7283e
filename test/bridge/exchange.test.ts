import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { inTime } from '../../src/bridge/deadline.ts'
import { exchange, type ExchangeLimits } from '../../src/bridge/exchange.ts'
import { Guard } from '../../src/bridge/guard.ts'
import { exactly } from '../../src/core/body-source.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { BodySource } from '../../src/core/body-source.ts'
import type { GatewayResponse } from '../../src/core/gateway-response.ts'
import { octets, text } from '../codec/wire.ts'
import { MemoryBody, MemoryConnection, never, RESET } from './memory-connection.ts'

const LIMITS: ExchangeLimits = {
  sendTimeout: 1000,
  readTimeout: 2000,
  bufferSize: 65_536,
}
const PACKET = '\0\0\0\0'
const OK = 'HTTP/1.1 200 OK\r\n'
const HELLO = `${OK}Content-Length: 5\r\n\r\nhello`

/** What an exchange came to: all of the response that arrived, and the error that ended it. */
interface Outcome {
  status?: number
  body?: string
  error?: GatewayError
  over?: true
}

/** A request body as a bridge hands it over: its reads are bounded. */
function timed(body: BodySource): BodySource {
  return inTime(body, 3000, () => new GatewayError('ERR_CLIENT_TIMEOUT', 'too late'))
}

/** A body of these chunks. */
function sourceOf(...chunks: string[]): BodySource {
  const left = chunks.map(octets)
  return { read: async () => left.shift(), cancel: async () => {} }
}

interface Setup {
  method?: string
  packet?: string
  body?: BodySource
  limits?: Partial<ExchangeLimits>
  signal?: AbortSignal
}

let connection: MemoryConnection

beforeEach(() => {
  vi.useFakeTimers()
  connection = new MemoryConnection()
})
afterEach(expectNothingLeft)

/** However an exchange ends. */
function expectNothingLeft(): void {
  const timers = vi.getTimerCount()
  vi.useRealTimers()
  expect([connection.closed, timers]).toEqual([true, 0])
}

/** Begins an exchange on `connection`. */
function begin(setup: Setup = {}): Promise<GatewayResponse> {
  const { method = 'POST', packet = PACKET, body, limits, signal } = setup
  return exchange(
    connection,
    { method, packet: octets(packet), body },
    { ...LIMITS, ...limits },
    new Guard(signal)
  )
}

/** Begins an exchange and reads its response to the end; the outcome grows as time goes by. */
function run(setup?: Setup): Outcome {
  const outcome: Outcome = {}
  async function follow(): Promise<void> {
    const response = await begin(setup)
    outcome.status = response.status
    const { body } = response
    for (let chunk = await body?.read(); chunk !== undefined; chunk = await body?.read()) {
      outcome.body = (outcome.body ?? '') + text(chunk)
    }
    outcome.over = true
  }
  follow().catch((error: unknown) => {
    if (!(error instanceof GatewayError)) throw error
    outcome.error = error
  })
  return outcome
}

/** Lets all that can happen now happen. */
function settle(): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(0)
}

function pass(ms: number): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(ms)
}

describe('exchange()', () => {
  test('writes packet and body, reads the response, closes the connection', async () => {
    const body = new MemoryBody('a=1', '&b=2')
    const outcome = run({ body })
    await settle()
    expect(connection.written).toBe(`${PACKET}a=1&b=2`)
    connection.respond(HELLO.slice(0, 50)).respond(HELLO.slice(50))
    await settle()
    expect(outcome).toEqual({ status: 200, body: 'hello', over: true })
  })

  test('hands over the head before the body is there', async () => {
    const outcome = run()
    connection.respond(`${OK}\r\n`)
    await settle()
    expect(outcome).toEqual({ status: 200 })
    connection.respond('one').respond('two').end()
    await settle()
    expect(outcome).toEqual({ status: 200, body: 'onetwo', over: true })
  })

  test.each([
    ['HEAD', HELLO],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello'],
  ])('has no body and closes at the head: %s, %j', async (method, wire) => {
    connection.respond(wire)
    const { body } = await begin({ method })
    expect([body, connection.closed]).toEqual([undefined, true])
  })

  test('closes at the last byte of Content-Length and does not wait for the end', async () => {
    const outcome = run()
    connection.respond(`${HELLO}EXTRA`)
    await settle()
    expect(outcome).toEqual({ status: 200, body: 'hello', over: true })
  })

  test('stops reading the request once the response is complete', async () => {
    const body = new MemoryBody('one', never, 'two')
    const outcome = run({ body })
    await settle()
    connection.respond(HELLO)
    await settle()
    expect(outcome).toEqual({ status: 200, body: 'hello', over: true })
    expect([body.cancelled, body.reads, connection.written]).toEqual([true, 2, `${PACKET}one`])
  })

  test('refuses a head over bufferSize (SEC-77)', async () => {
    const outcome = run({ limits: { bufferSize: 100 } })
    connection.respond(OK + 'X-D: a\r\n'.repeat(100))
    await settle()
    expect(outcome.error).toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL', status: 502 })
  })
})

describe('exchange() and the memory of chunks', () => {
  test('gives a chunk of the request back when the runtime has taken it', async () => {
    const freed: string[] = []
    const body = { ...sourceOf('one', 'two'), free: (chunk: Uint8Array) => freed.push(text(chunk)) }
    run({ body })
    await settle()
    const { taken, written } = connection
    expect([written, taken.length, freed]).toEqual([`${PACKET}onetwo`, 3, []])
    taken[1]?.()
    expect(freed).toEqual(['one'])
    taken[2]?.()
    expect(freed).toEqual(['one', 'two'])
    connection.respond(HELLO)
    await settle()
  })

  test('lets who reads the response give its chunks back to the connection', async () => {
    const freed: Uint8Array[] = []
    const free = (chunk: Uint8Array): void => void freed.push(chunk)
    const response = exchange(
      Object.assign(connection, { free }),
      { method: 'GET', packet: octets(PACKET), body: undefined },
      LIMITS,
      new Guard()
    )
    connection.respond(`${OK}\r\n`).respond('one').end()
    const { body } = await response
    expect(body?.free).toBe(free)
    await body?.cancel(undefined)
  })
})

describe('exchange() when a write fails (UW-8)', () => {
  const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
  const complete: [string, string, string, Outcome][] = [
    ['Content-Length', 'POST', HELLO, { status: 200, body: 'hello', over: true }],
    ['a last chunk', 'POST', CHUNKED, { status: 200, body: 'hello', over: true }],
    [
      'Content-Length 0',
      'POST',
      'HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n',
      { status: 413, over: true },
    ],
    ['no body', 'HEAD', HELLO, { status: 200, over: true }],
    ['204', 'POST', 'HTTP/1.1 204 X\r\n\r\n', { status: 204, over: true }],
  ]
  const incomplete: [string, string, Outcome, string][] = [
    [
      'short of Content-Length',
      HELLO.slice(0, -1),
      { status: 200, body: 'hell' },
      'ERR_UPSTREAM_TRUNCATED',
    ],
    [
      'before the last chunk',
      CHUNKED.slice(0, -5),
      { status: 200, body: 'hello' },
      'ERR_UPSTREAM_TRUNCATED',
    ],
    [
      'that ends with the connection, which proves nothing now',
      `${OK}\r\nhello`,
      { status: 200, body: 'hello' },
      'ERR_UPSTREAM_TRUNCATED',
    ],
    ['inside its head', OK, {}, 'ERR_UPSTREAM_TRUNCATED'],
    ['that is none', '', {}, 'ERR_UPSTREAM_EMPTY'],
  ]

  test.each(complete)(
    'a complete response wins, before it: %s',
    async (_what, method, wire, expected) => {
      const body = new MemoryBody('one', 'two')
      connection.onWrite = (index) => (index === 0 ? Promise.resolve() : Promise.reject(RESET))
      const outcome = run({ method, body })
      await settle()
      // No more of a body is read that nobody wants.
      expect([body.reads, body.cancelled]).toEqual([1, true])
      connection.respond(wire).reset()
      await settle()
      expect(outcome).toEqual(expected)
    }
  )

  test.each(complete)(
    'a complete response wins, after it: %s',
    async (_what, method, wire, expected) => {
      const write = Promise.withResolvers<void>()
      connection.onWrite = () => write.promise
      const outcome = run({ method, body: new MemoryBody('one') })
      connection.respond(wire)
      await settle()
      write.reject(RESET)
      connection.reset()
      await settle()
      expect(outcome).toEqual(expected)
    }
  )

  test.each(incomplete)(
    'a response is broken off, by an end: %s',
    async (_what, wire, expected, code) => {
      connection.onWrite = () => Promise.reject(RESET)
      const outcome = run({ body: new MemoryBody('one') })
      if (wire !== '') connection.respond(wire)
      await settle()
      connection.end()
      await settle()
      expect(outcome).toEqual({ ...expected, error: expect.objectContaining({ code }) })
    }
  )

  test.each(incomplete)(
    'a response is broken off, by a reset: %s',
    async (_what, wire, expected, code) => {
      connection.onWrite = () => Promise.reject(RESET)
      const outcome = run({ body: new MemoryBody('one') })
      if (wire !== '') connection.respond(wire)
      await settle()
      connection.reset()
      await settle()
      expect(outcome).toEqual({ ...expected, error: expect.objectContaining({ code }) })
    }
  )
})

describe('exchange() when the backend closes early (SEC-73)', () => {
  test.each<[string, string, Outcome, string]>([
    ['before its answer', '', {}, 'ERR_UPSTREAM_EMPTY'],
    ['inside the head', 'HTTP/1.1 2', {}, 'ERR_UPSTREAM_TRUNCATED'],
    [
      'before the body',
      `${OK}Content-Length: 5\r\n\r\n`,
      { status: 200 },
      'ERR_UPSTREAM_TRUNCATED',
    ],
    [
      'inside the body',
      HELLO.slice(0, -1),
      { status: 200, body: 'hell' },
      'ERR_UPSTREAM_TRUNCATED',
    ],
    [
      'inside a chunk',
      `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhell`,
      { status: 200, body: 'hell' },
      'ERR_UPSTREAM_TRUNCATED',
    ],
    ['behind an interim response', 'HTTP/1.1 100 X\r\n\r\n', {}, 'ERR_UPSTREAM_TRUNCATED'],
  ])('the response fails and never ends: %s', async (_what, wire, expected, code) => {
    for (const close of ['end', 'reset'] as const) {
      connection = new MemoryConnection()
      const outcome = run()
      if (wire !== '') connection.respond(wire)
      await settle()
      connection[close]()
      await settle()
      expect(outcome).toEqual({
        ...expected,
        error: expect.objectContaining({ code, status: 502 }),
      })
    }
  })

  test('a reset breaks off a body that ends with the connection', async () => {
    const outcome = run()
    connection.respond(`${OK}\r\nhello`)
    await settle()
    connection.reset()
    await settle()
    expect(outcome).toMatchObject({
      body: 'hello',
      error: { code: 'ERR_UPSTREAM_TRUNCATED', cause: RESET },
    })
    expect(outcome.over).toBeUndefined()
  })

  test('bytes that are no response are refused at once, the request unread', async () => {
    const body = new MemoryBody(never)
    const outcome = run({ body })
    connection.respond('nonsense\r\n\r\n')
    await settle()
    expect(outcome.error?.code).toBe('ERR_UPSTREAM_PROTOCOL')
    expect(body.cancelled).toBe(true)
  })

  test.each([
    [4096, 'The upstream closed the connection without an answer'],
    [
      4097,
      'The upstream closed the connection without an answer: the vars block is 4097 bytes, and uWSGI drops one over its --buffer-size (default 4096)',
    ],
    [
      65_535,
      'The upstream closed the connection without an answer: the vars block is 65535 bytes, and uWSGI drops one over its --buffer-size (default 4096)',
    ],
  ])('UW-4: an empty answer to %i bytes: %s', async (datasize, message) => {
    for (const close of ['end', 'reset'] as const) {
      connection = new MemoryConnection()
      const outcome = run({ packet: '\0'.repeat(4 + datasize) })
      connection[close]()
      await settle()
      expect(outcome.error).toMatchObject({ code: 'ERR_UPSTREAM_EMPTY', message })
    }
  })

  test('UW-4: a response broken off says nothing of --buffer-size', async () => {
    const outcome = run({ packet: '\0'.repeat(5000) })
    connection.respond(OK).end()
    await settle()
    expect(outcome.error?.message).not.toContain('buffer-size')
  })
})

describe('exchange() and the body of the request', () => {
  test('is cut at exactly its length, and not read beyond', async () => {
    const body = new MemoryBody('hel', 'loEXTRA', never)
    const outcome = run({ body: exactly(body, 5) })
    await settle()
    expect(connection.written).toBe(`${PACKET}hello`)
    expect([body.reads, body.cancelled]).toEqual([2, true])
    connection.respond(HELLO)
    await settle()
    expect(outcome.over).toBe(true)
  })

  test.each<[string, BodySource, string, number]>([
    ['too short', exactly(new MemoryBody('hel'), 5), 'ERR_BODY_TOO_SHORT', 400],
    ['empty but announced', exactly(new MemoryBody(), 5), 'ERR_BODY_TOO_SHORT', 400],
    [
      'a client that is gone',
      new MemoryBody('hel', new Error('aborted')),
      'ERR_CLIENT_CLOSED',
      499,
    ],
    [
      'a source that says why',
      new MemoryBody('hel', new GatewayError('ERR_BODY_TOO_LARGE', 'x')),
      'ERR_BODY_TOO_LARGE',
      413,
    ],
  ])('ends the exchange: %s', async (_what, body, code, status) => {
    const outcome = run({ body })
    await settle()
    expect(outcome).toEqual({ error: expect.objectContaining({ code, status }) })
    expect(connection.closed).toBe(true)
  })

  test('breaks a response off that has begun', async () => {
    const end = Promise.withResolvers<undefined>()
    const outcome = run({ body: exactly(new MemoryBody('hel', () => end.promise), 5) })
    connection.respond(`${OK}\r\nsome`)
    await settle()
    end.resolve(undefined)
    await settle()
    expect(outcome).toEqual({
      status: 200,
      body: 'some',
      error: expect.objectContaining({ code: 'ERR_BODY_TOO_SHORT' }),
    })
  })

  test('does not undo a response that was complete before it failed', async () => {
    const end = Promise.withResolvers<undefined>()
    const outcome = run({ body: exactly(new MemoryBody('hel', () => end.promise), 5) })
    connection.respond(HELLO)
    await settle()
    end.resolve(undefined)
    await settle()
    expect(outcome).toEqual({ status: 200, body: 'hello', over: true })
  })
})

/** Says when, in ms from now, the outcome holds an error. */
async function failsAfter(outcome: Outcome, ms: number): Promise<string | undefined> {
  await pass(ms - 1)
  expect(outcome.error).toBeUndefined()
  await pass(1)
  return outcome.error?.code
}

/** A chunk that takes its time. */
function slow(chunk: string, ms: number): () => Promise<string> {
  return () => new Promise((resolve) => setTimeout(() => resolve(chunk), ms))
}

describe('exchange() timeouts (SEC-48, UW-11)', () => {
  test('send: the backend takes no data', async () => {
    connection.onWrite = never
    const outcome = run()
    expect(await failsAfter(outcome, 1000)).toBe('ERR_SEND_TIMEOUT')
    expect(outcome.error?.status).toBe(504)
  })

  test('send: counts between two writes', async () => {
    connection.onWrite = (index) =>
      index < 4 ? new Promise((resolve) => setTimeout(resolve, 900)) : never()
    const outcome = run({ body: new MemoryBody('1', '2', '3', '4') })
    await pass(3600)
    expect(await failsAfter(outcome, 1000)).toBe('ERR_SEND_TIMEOUT')
  })

  test('client: no body comes', async () => {
    const outcome = run({ body: timed(new MemoryBody('1', never)) })
    expect(await failsAfter(outcome, 3000)).toBe('ERR_CLIENT_TIMEOUT')
    expect(outcome.error?.status).toBe(408)
  })

  test('client: counts between two reads', async () => {
    const outcome = run({
      body: timed(new MemoryBody(slow('1', 2900), slow('2', 2900), slow('3', 2900), never)),
    })
    await pass(8700)
    expect(await failsAfter(outcome, 3000)).toBe('ERR_CLIENT_TIMEOUT')
  })

  test('read: no answer comes', async () => {
    const outcome = run()
    expect(await failsAfter(outcome, 2000)).toBe('ERR_READ_TIMEOUT')
    expect(outcome.error?.status).toBe(504)
  })

  test('read: counts between two reads, in the body too', async () => {
    const outcome = run()
    for (const wire of [OK, 'Content-Length: 5\r\n', '\r\n', 'he']) {
      await pass(1900)
      connection.respond(wire)
    }
    await settle()
    expect(await failsAfter(outcome, 2000)).toBe('ERR_READ_TIMEOUT')
    expect(outcome).toMatchObject({ status: 200, body: 'he' })
  })

  test('read: does not run while the request is being sent', async () => {
    connection.onWrite = () => new Promise((resolve) => setTimeout(resolve, 900))
    const outcome = run({ body: new MemoryBody(slow('1', 2500), slow('2', 2500), slow('3', 2500)) })
    await pass(900 + 3 * 3400)
    expect(connection.written).toBe(`${PACKET}123`)
    // From here on the backend has it all.
    expect(await failsAfter(outcome, 2000)).toBe('ERR_READ_TIMEOUT')
  })

  test('read: does not run while the request is being sent, the head there already', async () => {
    const body = new MemoryBody(slow('1', 2500), slow('2', 2500), slow('3', 2500))
    const outcome = run({ body })
    connection.respond(`${OK}Content-Length: 5\r\n\r\n`)
    await pass(7500)
    expect([connection.written, outcome.error?.code]).toEqual([`${PACKET}123`, undefined])
    expect(await failsAfter(outcome, 2000)).toBe('ERR_READ_TIMEOUT')
  })

  test('read: runs once a write has failed', async () => {
    connection.onWrite = () => Promise.reject(RESET)
    expect(await failsAfter(run(), 2000)).toBe('ERR_READ_TIMEOUT')
  })

  test('read: does not run while nobody reads the body', async () => {
    connection.respond(`${OK}Content-Length: 5\r\n\r\n`)
    const { body } = await begin()
    await pass(10_000)
    connection.respond('hello')
    expect(text((await body?.read()) ?? new Uint8Array())).toBe('hello')
    expect(await body?.read()).toBeUndefined()
  })

  test('an interim response does not end the wait', async () => {
    const outcome = run()
    await pass(1900)
    connection.respond('HTTP/1.1 100 Continue\r\n\r\n')
    await settle()
    expect(await failsAfter(outcome, 2000)).toBe('ERR_READ_TIMEOUT')
  })

  test('Infinity is no limit, and takes no timer', async () => {
    const limits = { sendTimeout: Infinity, readTimeout: Infinity }
    const outcome = run({ limits, body: new MemoryBody('1') })
    await settle()
    expect(vi.getTimerCount()).toBe(0)
    connection.respond(HELLO)
    await settle()
    expect(outcome.over).toBe(true)
  })

  test('a read of a response that has failed fails again, and starts no timer', async () => {
    connection.respond(`${OK}Content-Length: 5\r\n\r\n`)
    const { body } = await begin()
    connection.end()
    const failure = { code: 'ERR_UPSTREAM_TRUNCATED' }
    await expect(body?.read()).rejects.toMatchObject(failure)
    await expect(body?.read()).rejects.toMatchObject(failure)
  })
})

describe('exchange() when the client leaves', () => {
  const CLOSED = expect.objectContaining({ code: 'ERR_CLIENT_CLOSED', status: 499 })

  test.each(['before the answer', 'inside the body'])('closes the connection: %s', async (when) => {
    const client = new AbortController()
    const body = new MemoryBody('1', never)
    const outcome = run({ body, signal: client.signal })
    if (when === 'inside the body') connection.respond(`${OK}\r\n`)
    await settle()
    client.abort()
    expect([connection.closed, body.cancelled]).toEqual([true, true])
    await settle()
    expect(outcome.error).toEqual(CLOSED)
  })

  test('closes the connection when the body of the response is cancelled', async () => {
    connection.respond(`${OK}\r\nhello`)
    const body = new MemoryBody('1', never)
    const response = await begin({ body })
    const reading = response.body?.read().then(() => response.body?.read())
    await settle()
    await response.body?.cancel(undefined)
    expect([connection.closed, body.cancelled]).toEqual([true, true])
    await expect(reading).rejects.toEqual(CLOSED)
    await response.body?.cancel(undefined)
  })

  test('sends nothing when it had left before', async () => {
    const body = new MemoryBody('1')
    const outcome = run({ body, signal: AbortSignal.abort() })
    await settle()
    expect(outcome).toEqual({ error: CLOSED })
    expect([connection.written, body.reads, body.cancelled]).toEqual(['', 0, true])
  })

  test('changes nothing once the response is complete', async () => {
    const client = new AbortController()
    connection.respond(HELLO)
    const { body } = await begin({ signal: client.signal })
    client.abort()
    expect(text(body?.bytes ?? new Uint8Array())).toBe('hello')
    expect(text((await body?.read()) ?? new Uint8Array())).toBe('hello')
    expect(await body?.read()).toBeUndefined()
  })

  test('takes its listener off the signal at the end', async () => {
    const client = new AbortController()
    const added = vi.spyOn(client.signal, 'addEventListener')
    const removed = vi.spyOn(client.signal, 'removeEventListener')
    run({ signal: client.signal })
    connection.respond(HELLO)
    await settle()
    expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
      added.mock.calls.map(([, listener]) => listener)
    )
  })
})
