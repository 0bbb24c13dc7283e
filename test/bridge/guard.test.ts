import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Guard } from '../../src/bridge/guard.ts'
import { GatewayError } from '../../src/core/errors.ts'

const LATE = 'ERR_READ_TIMEOUT'

let client: AbortController
let guard: Guard
let giveUp: (error: GatewayError) => void
let told: string[]

beforeEach(() => {
  vi.useFakeTimers()
  client = new AbortController()
  guard = new Guard(client.signal)
  told = []
  giveUp = ({ code, message }) => void told.push(`${code} ${message}`)
})
afterEach(() => {
  vi.useRealTimers()
})

function late(timeoutMs: number): GatewayError {
  return new GatewayError(LATE, `over ${timeoutMs}`)
}

describe('Guard (SEC-48)', () => {
  test('tells of a step that takes too long, with the error and the limit of that step', () => {
    guard.tell(giveUp)
    guard.start(1000, () => new GatewayError('ERR_CONNECT_TIMEOUT', 'another step'))
    vi.advanceTimersByTime(999)
    guard.start(300, late)
    vi.advanceTimersByTime(299)
    expect(told).toEqual([])
    vi.advanceTimersByTime(1)
    expect(told).toEqual([`${LATE} over 300`])
  })

  test('does not count the time between steps', () => {
    guard.tell(giveUp)
    guard.start(1000, late)
    guard.pause()
    vi.advanceTimersByTime(5000)
    expect(told).toEqual([])
  })

  test('tells of a client that goes, in a step or between two', () => {
    guard.tell(giveUp)
    guard.start(1000, late)
    guard.pause()
    client.abort()
    expect(told).toEqual([expect.stringMatching(/^ERR_CLIENT_CLOSED /)])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('tells at once of a client that has gone', () => {
    client.abort()
    guard.tell(giveUp)
    expect(told).toEqual([expect.stringMatching(/^ERR_CLIENT_CLOSED /)])
    expect(() => guard.check()).toThrow(expect.objectContaining({ code: 'ERR_CLIENT_CLOSED' }))
  })

  test('tells the last that it was given, and once', () => {
    guard.tell(() => told.push('the first'))
    guard.tell(giveUp)
    guard.start(1000, late)
    vi.advanceTimersByTime(1000)
    client.abort()
    guard.start(1000, late)
    vi.advanceTimersByTime(1000)
    expect(told).toEqual([`${LATE} over 1000`])
  })

  test('has nothing to say once it is stopped, and leaves neither timer nor listener', () => {
    const removed = vi.spyOn(client.signal, 'removeEventListener')
    guard.tell(giveUp)
    guard.start(1000, late)
    guard.stop()
    expect(vi.getTimerCount()).toBe(0)
    expect(removed).toHaveBeenCalledOnce()
    client.abort()
    vi.advanceTimersByTime(5000)
    expect(told).toEqual([])
  })

  test('adds one listener, however many steps there are', () => {
    const added = vi.spyOn(client.signal, 'addEventListener')
    const other = new Guard(client.signal)
    for (let step = 0; step < 5; step++) {
      other.tell(giveUp)
      other.start(1000, late)
      other.pause()
    }
    expect(added).toHaveBeenCalledOnce()
    other.stop()
  })

  test('needs no client', () => {
    const alone = new Guard()
    alone.check()
    alone.tell(giveUp)
    alone.start(1000, late)
    vi.advanceTimersByTime(1000)
    expect(told).toEqual([`${LATE} over 1000`])
  })
})
