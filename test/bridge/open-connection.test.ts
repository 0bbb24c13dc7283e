import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Address } from '../../src/bridge/address.ts'
import type { Connect, Connection } from '../../src/bridge/connection.ts'
import { Guard } from '../../src/bridge/guard.ts'
import { openConnection } from '../../src/bridge/open-connection.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { MemoryConnection, opening } from './memory-connection.ts'

const ADDRESS: Address = { type: 'tcp', hostname: 'h', port: 3031, tls: false }

let guard: Guard

beforeEach(() => {
  vi.useFakeTimers()
  guard = new Guard()
})
afterEach(expectNoTimer)

function expectNoTimer(): void {
  guard.stop()
  const timers = vi.getTimerCount()
  vi.useRealTimers()
  expect(timers).toBe(0)
}

/** A connect that a test settles, and what it was called with. */
function heldConnect() {
  const { promise, resolve, reject } = Promise.withResolvers<Connection>()
  const given = opening(promise)
  const close = vi.spyOn(given, 'close')
  const connect = vi.fn<Connect>(() => given)
  return { connect, resolve, reject, close }
}

/** How a promise settled, as far as it has by now. */
function watched(promise: Promise<Connection>): { error?: GatewayError; value?: Connection } {
  const seen: { error?: GatewayError; value?: Connection } = {}
  promise.then(
    (value) => (seen.value = value),
    (error: unknown) => (seen.error = error as GatewayError)
  )
  return seen
}

describe('openConnection()', () => {
  test('hands the address on, and the connection back', async () => {
    const connection = new MemoryConnection()
    const { connect, resolve, close } = heldConnect()
    const seen = watched(openConnection(connect, ADDRESS, 1000, guard))
    resolve(connection)
    await vi.advanceTimersByTimeAsync(0)
    expect(seen).toEqual({ value: connection })
    expect(connect.mock.calls[0]?.[0]).toBe(ADDRESS)
    await vi.advanceTimersByTimeAsync(5000)
    expect(close).not.toHaveBeenCalled()
  })

  test('gives up after its timeout, and closes what comes later', async () => {
    const connection = new MemoryConnection()
    const { connect, resolve, close } = heldConnect()
    const seen = watched(openConnection(connect, ADDRESS, 1000, guard))
    await vi.advanceTimersByTimeAsync(999)
    expect(seen).toEqual({})
    await vi.advanceTimersByTimeAsync(1)
    expect(seen.error).toMatchObject({
      code: 'ERR_CONNECT_TIMEOUT',
      status: 504,
      message: 'uwsgi://h:3031 did not accept a connection within 1000 ms',
    })
    expect(close).toHaveBeenCalledOnce()
    resolve(connection)
    await vi.advanceTimersByTimeAsync(0)
    expect(connection.closed).toBe(true)
  })

  test.each([Infinity, 2 ** 31, 2 ** 40])(
    'with %d ms does not give up at once',
    async (timeoutMs) => {
      const { connect, resolve } = heldConnect()
      const seen = watched(openConnection(connect, ADDRESS, timeoutMs, guard))
      await vi.advanceTimersByTimeAsync(1_000_000)
      expect(seen).toEqual({})
      resolve(new MemoryConnection())
      await vi.advanceTimersByTimeAsync(0)
      expect(seen.value).toBeInstanceOf(MemoryConnection)
    }
  )

  test('says what the system said when it is refused', async () => {
    const { connect, reject } = heldConnect()
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    const seen = watched(openConnection(connect, { type: 'unix', path: '/app.sock' }, 1000, guard))
    reject(cause)
    await vi.advanceTimersByTimeAsync(0)
    expect(seen.error).toMatchObject({
      code: 'ERR_UPSTREAM_CONNECT',
      status: 502,
      message: 'Cannot connect to unix:/app.sock: connect ECONNREFUSED',
      cause,
    })
  })

  test('does not connect for a client that has left', async () => {
    const { connect } = heldConnect()
    const opened = openConnection(connect, ADDRESS, 1000, new Guard(AbortSignal.abort()))
    await expect(opened).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
    expect(connect).not.toHaveBeenCalled()
  })

  test('gives up when the client leaves while it connects', async () => {
    const connection = new MemoryConnection()
    const client = new AbortController()
    const { connect, resolve, close } = heldConnect()
    const seen = watched(openConnection(connect, ADDRESS, 1000, new Guard(client.signal)))
    client.abort()
    await vi.advanceTimersByTimeAsync(0)
    expect(seen.error).toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
    expect(close).toHaveBeenCalledOnce()
    resolve(connection)
    await vi.advanceTimersByTimeAsync(0)
    expect(connection.closed).toBe(true)
  })

  test('says so when a runtime throws instead', async () => {
    const cause = new TypeError('no such binding')
    const opened = openConnection(
      () => {
        throw cause
      },
      ADDRESS,
      1000,
      guard
    )
    await expect(opened).rejects.toMatchObject({ code: 'ERR_UPSTREAM_CONNECT', cause })
  })

  test.each<[string, Connect]>([
    ['is refused', () => opening(Promise.reject(new Error('refused')))],
    [
      'cannot connect at all',
      () => {
        throw new TypeError('no such binding')
      },
    ],
  ])('stops the guard when it %s', async (_what, connect) => {
    const stop = vi.spyOn(guard, 'stop')
    await expect(openConnection(connect, ADDRESS, 1000, guard)).rejects.toThrow(GatewayError)
    expect(stop).toHaveBeenCalled()
  })

  test('leaves the guard to who goes on with the connection', async () => {
    const client = new AbortController()
    const kept = new Guard(client.signal)
    const connection = new MemoryConnection()
    await openConnection(() => opening(Promise.resolve(connection)), ADDRESS, 1000, kept)
    await vi.advanceTimersByTimeAsync(5000)
    const giveUp = vi.fn<(error: GatewayError) => void>()
    kept.tell(giveUp)
    client.abort()
    expect(giveUp.mock.calls).toEqual([[expect.objectContaining({ code: 'ERR_CLIENT_CLOSED' })]])
  })
})
