import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { resolveBridgeOptions } from '../../src/bridge/resolve-bridge-options.ts'
import { ConnectionPool, type PoolLimits } from '../../src/bridge/connection-pool.ts'
import type { Connection } from '../../src/bridge/connection.ts'
import { UpstreamServer } from '../../src/bridge/upstream-server.ts'
import { octets } from '../codec/wire.ts'
import { MemoryConnection, RESET } from './memory-connection.ts'

const TIMEOUT_MS = 1000

function server(port: number): UpstreamServer {
  return new UpstreamServer({ address: `uwsgi://127.0.0.1:${port}` }, resolveBridgeOptions())
}

const ONE = server(3031)
const TWO = server(3032)

let pools: ConnectionPool[] = []

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(expectNoTimer)

/** A pool that is closed leaves nothing that would keep a process alive. */
function expectNoTimer(): void {
  for (const pool of pools) pool.close()
  pools = []
  const timers = vi.getTimerCount()
  vi.useRealTimers()
  expect(timers).toBe(0)
}

function makePool(limits: Partial<PoolLimits> = {}): ConnectionPool {
  const pool = new ConnectionPool({ keepalive: 2, keepaliveTimeout: TIMEOUT_MS, ...limits })
  pools.push(pool)
  return pool
}

/** Connections that were opened and put into a pool, in this order. */
function fill(pool: ConnectionPool, count: number, to = ONE): MemoryConnection[] {
  return Array.from({ length: count }, () => {
    const connection = new MemoryConnection()
    pool.put(to, connection)
    return connection
  })
}

/** Whether we closed it. */
function isClosed({ closed }: MemoryConnection): boolean {
  return closed
}

/** What a pool wraps is told by what is written to it. */
async function isSame(taken: Connection | undefined, connection?: MemoryConnection) {
  const before = connection?.written
  await taken?.write(octets('x'))
  return taken !== undefined && connection?.written === `${before}x`
}

/** A request and its answer over a connection that the pool gave, which then goes back into it. */
async function use(pool: ConnectionPool, connection?: MemoryConnection): Promise<void> {
  const taken = pool.take(ONE)
  const reading = taken?.read()
  connection?.respond('answer')
  expect(await reading).toEqual(octets('answer'))
  if (taken !== undefined) pool.put(ONE, taken)
}

function pass(ms: number): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(ms)
}

describe('ConnectionPool.take()', () => {
  test('gives nothing where nothing was put', () => {
    expect(makePool().take(ONE)).toBeUndefined()
  })

  test('gives the latest first, each once', async () => {
    const pool = makePool()
    const [older, newer] = fill(pool, 2)
    expect(await isSame(pool.take(ONE), newer)).toBe(true)
    expect(await isSame(pool.take(ONE), older)).toBe(true)
    expect(pool.take(ONE)).toBeUndefined()
  })

  test('gives no backend the connection of another', async () => {
    const pool = makePool()
    const [first] = fill(pool, 1, ONE)
    const [second] = fill(pool, 1, TWO)
    expect(await isSame(pool.take(TWO), second)).toBe(true)
    expect(pool.take(TWO)).toBeUndefined()
    expect(await isSame(pool.take(ONE), first)).toBe(true)
  })

  test.each<[string, (connection: MemoryConnection) => unknown]>([
    ['the backend closed', (connection) => connection.end()],
    ['the backend reset', (connection) => connection.reset()],
    ['brought bytes that nobody asked for', (connection) => connection.respond('HTTP/1.1 408')],
  ])('closes one that %s, and gives the one before it', async (_how, leave) => {
    const pool = makePool()
    const [older, newer = new MemoryConnection()] = fill(pool, 2)
    leave(newer)
    await pass(0)
    expect(await isSame(pool.take(ONE), older)).toBe(true)
    expect([newer.closed, older?.closed]).toEqual([true, false])
  })

  test('closes one that has waited too long', async () => {
    const pool = makePool()
    const [connection] = fill(pool, 1)
    // The clock alone moves on, as it does where a busy process is late with its timers.
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + TIMEOUT_MS + 1)
    expect(pool.take(ONE)).toBeUndefined()
    expect(connection?.closed).toBe(true)
    vi.mocked(performance.now).mockRestore()
  })
})

describe('a connection of the pool', () => {
  test('hands the read that watched it to the next request', async () => {
    const pool = makePool()
    const [connection] = fill(pool, 1)
    const taken = pool.take(ONE)
    const reading = taken?.read()
    connection?.respond('HTTP/1.1 200 OK')
    expect(await reading).toEqual(octets('HTTP/1.1 200 OK'))
    const next = taken?.read()
    connection?.end()
    expect(await next).toBeUndefined()
  })

  test('tells a request that it broke behind take()', async () => {
    const pool = makePool()
    const [connection] = fill(pool, 1)
    const taken = pool.take(ONE)
    connection?.reset()
    await pass(0)
    await expect(taken?.read()).rejects.toBe(RESET)
  })

  test('breaks while it waits without anybody being told', async () => {
    const unhandled = vi.fn<() => void>()
    process.on('unhandledRejection', unhandled)
    const pool = makePool()
    const [connection] = fill(pool, 1)
    connection?.reset()
    await pass(TIMEOUT_MS)
    vi.useRealTimers()
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    vi.useFakeTimers()
    process.off('unhandledRejection', unhandled)
    expect([unhandled.mock.calls, connection?.closed]).toEqual([[], true])
  })

  test('may wait again and again', async () => {
    const pool = makePool()
    const [connection] = fill(pool, 1)
    for (let round = 0; round < 3; round++) {
      await use(pool, connection)
      await pass(TIMEOUT_MS - 1)
    }
    expect(connection?.closed).toBe(false)
    connection?.end()
    await pass(0)
    expect(pool.take(ONE)).toBeUndefined()
  })
})

describe('ConnectionPool.put()', () => {
  test('closes what is over `keepalive`, for each backend', () => {
    const pool = makePool()
    const closed = [ONE, TWO].map((to) => fill(pool, 3, to).map((connection) => connection.closed))
    expect(closed).toEqual([
      [false, false, true],
      [false, false, true],
    ])
  })

  test('keeps none with `keepalive` 0', () => {
    const [connection] = fill(makePool({ keepalive: 0 }), 1)
    expect(connection?.closed).toBe(true)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('takes the place of one that the backend has closed', async () => {
    const pool = makePool({ keepalive: 1 })
    const [gone] = fill(pool, 1)
    gone?.end()
    await pass(0)
    const [connection] = fill(pool, 1)
    expect([gone?.closed, connection?.closed]).toEqual([true, false])
    expect(await isSame(pool.take(ONE), connection)).toBe(true)
  })
})

describe('ConnectionPool and time', () => {
  test('one timer for all closes what was not used', async () => {
    const pool = makePool({ keepalive: 9 })
    const early = fill(pool, 2)
    await pass(TIMEOUT_MS / 2)
    const late = fill(pool, 2)
    expect(vi.getTimerCount()).toBe(1)
    await pass(TIMEOUT_MS - 1)
    expect([early.every(isClosed), late.some(isClosed), vi.getTimerCount()]).toEqual([
      true,
      false,
      1,
    ])
    await pass(1)
    expect([late.every(isClosed), vi.getTimerCount(), pool.take(ONE)]).toEqual([true, 0, undefined])
  })

  test('a timer begins anew behind a sweep that left none', async () => {
    const pool = makePool()
    fill(pool, 1)
    await pass(2 * TIMEOUT_MS)
    expect(vi.getTimerCount()).toBe(0)
    const [connection] = fill(pool, 1)
    await pass(2 * TIMEOUT_MS)
    expect([connection?.closed, vi.getTimerCount()]).toEqual([true, 0])
  })

  test('one that is gone is closed at once, and leaves its backend to the sweep', async () => {
    const pool = makePool()
    const [gone] = fill(pool, 1)
    gone?.end()
    await pass(0)
    expect([gone?.closed, vi.getTimerCount()]).toEqual([true, 1])
    await pass(TIMEOUT_MS)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('one that was put, taken and put again waits anew', async () => {
    const pool = makePool()
    const [connection] = fill(pool, 1)
    await pass(TIMEOUT_MS - 1)
    await use(pool, connection)
    await pass(TIMEOUT_MS - 1)
    expect(connection?.closed).toBe(false)
    await pass(1)
    expect([connection?.closed, vi.getTimerCount()]).toEqual([true, 0])
  })

  test('one in use is nothing to the sweep', async () => {
    const pool = makePool()
    const [connection] = fill(pool, 1)
    const reading = pool.take(ONE)?.read()
    await pass(2 * TIMEOUT_MS)
    expect([connection?.closed, vi.getTimerCount()]).toEqual([false, 0])
    connection?.respond('answer')
    expect(await reading).toEqual(octets('answer'))
  })

  test.each([Infinity, 2 ** 31])(
    'keepaliveTimeout %d is no timer that fires at once',
    async (ms) => {
      const pool = makePool({ keepaliveTimeout: ms })
      const start = vi.spyOn(globalThis, 'setTimeout')
      const [connection] = fill(pool, 1)
      await pass(86_400_000)
      expect(await isSame(pool.take(ONE), connection)).toBe(true)
      // More than a 32-bit number of milliseconds fires after 1 ms, over and over.
      for (const [, delay] of start.mock.calls) expect(delay).toBeLessThan(2 ** 31)
      start.mockRestore()
    }
  )
})

describe('ConnectionPool.close()', () => {
  test('closes all that wait, and keeps none any more', () => {
    const pool = makePool()
    const waiting = [...fill(pool, 2, ONE), ...fill(pool, 1, TWO)]
    pool.close()
    expect(vi.getTimerCount()).toBe(0)
    const late = fill(pool, 1)
    expect([...waiting, ...late].map(({ closed }) => closed)).toEqual([true, true, true, true])
    expect([pool.take(ONE), vi.getTimerCount()]).toEqual([undefined, 0])
  })

  test('leaves alone what is in use, and does not keep it afterwards', () => {
    const pool = makePool()
    const [connection] = fill(pool, 1)
    const taken = pool.take(ONE)
    pool.close()
    expect(connection?.closed).toBe(false)
    if (taken !== undefined) pool.put(ONE, taken)
    expect(connection?.closed).toBe(true)
  })
})
