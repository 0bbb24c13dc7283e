import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Guard } from '../../src/bridge/guard.ts'
import { ping } from '../../src/bridge/ping.ts'
import { codeOf } from '../codec/decode.ts'
import { MemoryConnection, never, RESET } from './memory-connection.ts'

const PONG = 'd\0\0\x01'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(expectNoTimer)

function expectNoTimer(): void {
  const timers = vi.getTimerCount()
  vi.useRealTimers()
  expect(timers).toBe(0)
}

async function pingCode(connection: MemoryConnection): Promise<string> {
  const outcome = ping(connection, 1000, new Guard()).then(() => 'pong', codeOf)
  await vi.advanceTimersByTimeAsync(1000)
  expect(connection.closed).toBe(true)
  return await outcome
}

describe('ping()', () => {
  test('writes modifier1 100 and no variables', async () => {
    const connection = new MemoryConnection().respond(PONG)
    await ping(connection, 1000, new Guard())
    expect(connection.written).toBe('d\0\0\0')
  })

  test.each<[string, (connection: MemoryConnection) => unknown, string]>([
    ['a pong', (c) => c.respond(PONG), 'pong'],
    ['a pong in pieces', (c) => c.respond('d').respond('\0\0').respond('\x01'), 'pong'],
    ['a pong with a warning behind it', (c) => c.respond('d\x02\0\x01hi').end(), 'pong'],
    ['a ping', (c) => c.respond('d\0\0\0'), 'ERR_UPSTREAM_PROTOCOL'],
    ['half a pong', (c) => c.respond('d\0').end(), 'ERR_UPSTREAM_PROTOCOL'],
    [
      'HTTP',
      (c) => c.respond('HTTP/1.1 500 Internal Server Error\r\n\r\n').end(),
      'ERR_UPSTREAM_PROTOCOL',
    ],
    ['the end', (c) => c.end(), 'ERR_UPSTREAM_EMPTY'],
    ['a reset', (c) => c.reset(), 'ERR_UPSTREAM_EMPTY'],
    ['a failed write', (c) => (c.onWrite = () => Promise.reject(RESET)), 'ERR_UPSTREAM_EMPTY'],
    ['nothing', () => {}, 'ERR_READ_TIMEOUT'],
    ['half a pong and nothing', (c) => c.respond('d\0'), 'ERR_READ_TIMEOUT'],
  ])('takes %s', async (_what, answer, expected) => {
    const connection = new MemoryConnection()
    answer(connection)
    expect(await pingCode(connection)).toBe(expected)
  })

  test('closes the connection when the backend takes no ping', async () => {
    const connection = new MemoryConnection()
    connection.onWrite = never
    void ping(connection, 1000, new Guard()).catch(() => {})
    await vi.advanceTimersByTimeAsync(1000)
    expect(connection.closed).toBe(true)
  })
})
