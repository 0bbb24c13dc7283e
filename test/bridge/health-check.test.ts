import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Address } from '../../src/bridge/address.ts'
import { type Bridge, createBridgeOn } from '../../src/bridge/bridge.ts'
import type { BridgeOptions } from '../../src/bridge/bridge-options.ts'
import type { UpstreamServerOptions } from '../../src/bridge/upstream-server.ts'
import { MemoryConnection, opening } from './memory-connection.ts'
import { keepsSilent, type Plan, refuses, settle, wire } from './memory-group.ts'

afterEach(() => {
  vi.useRealTimers()
})

const PONG = 'd\0\0\x01'
const answersPing: Plan = (connection) => void connection.respond(PONG).end()

interface Checked {
  readonly bridge: Bridge
  /** Ends the interval, as the clock would. */
  tick(): Promise<void>
  readonly ticking: () => boolean
  /** Packets that each backend got, by its letter. */
  readonly asked: string[]
  readonly packets: MemoryConnection[]
  readonly reports: string[]
  /** What each backend does, by its letter. */
  readonly plans: Record<string, Plan>
}

/** A bridge whose interval the test ends. */
function checked(
  plans: Record<string, Plan>,
  options: BridgeOptions = {},
  servers: Record<string, Omit<UpstreamServerOptions, 'address'>> = {}
): Checked {
  const asked: string[] = []
  const packets: MemoryConnection[] = []
  const reports: string[] = []
  let call: (() => void) | undefined
  async function connect(address: Address): Promise<MemoryConnection> {
    const name = 'hostname' in address ? address.hostname : ''
    asked.push(name)
    const connection = new MemoryConnection()
    await plans[name]?.(connection, 0)
    packets.push(connection)
    return connection
  }
  const bridge = createBridgeOn(
    {
      connect: () => (address) => opening(connect(address)),
      requestMeta: () => ({}),
      headerEncoding: 'latin1',
      every(intervalMs, given) {
        expect(intervalMs).toBe(1000)
        call = given
        return () => (call = undefined)
      },
    },
    Object.keys(plans).map((name) =>
      Object.assign({ address: `uwsgi://${name}:3031` }, servers[name])
    ),
    {
      healthCheckInterval: 1000,
      tracing: false,
      onError: (error, { path, upstream }) =>
        void reports.push(`${path} ${upstream}: ${(error as { code?: string }).code}`),
      ...options,
    }
  )
  async function tick(): Promise<void> {
    call?.()
    for (let i = 0; i < 5; i++) await settle()
  }
  return { bridge, tick, ticking: () => call !== undefined, asked, packets, reports, plans }
}

/** Who gets the next requests, whatever comes of them. */
async function visits({ bridge, asked, plans }: Checked, count: number): Promise<string> {
  const before = { ...plans }
  for (const name of Object.keys(plans)) {
    plans[name] = (connection) => void connection.respond(wire(200, 'x'))
  }
  const from = asked.length
  for (let i = 0; i < count; i++) {
    const response = await bridge.fetch(new Request('http://h.example/'))
    await response.text()
  }
  Object.assign(plans, before)
  return asked.slice(from).join('')
}

describe('health checks', () => {
  test('begin at once, and ask all but those that are down', async () => {
    const group = checked(
      { a: answersPing, b: answersPing, c: answersPing },
      {},
      { b: { down: true }, c: { backup: true } }
    )
    await settle()
    expect(group.asked).toEqual(['a', 'c'])
    await group.tick()
    expect(group.asked).toEqual(['a', 'c', 'a', 'c'])
    for (const { written, closed } of group.packets) {
      expect([written, closed]).toEqual(['d\0\0\0', true])
    }
    expect(group.reports).toEqual([])
  })

  test.each([{}, { healthCheckPath: '/health' }])('leave no timer behind (%o)', async (options) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const answers: Plan = (connection) =>
      void connection.respond('healthCheckPath' in options ? wire(200, 'x') : PONG).end()
    const { packets, reports } = checked({ a: answers }, options)
    await vi.advanceTimersByTimeAsync(0)
    expect([packets[0]?.closed, vi.getTimerCount(), reports]).toEqual([true, 0, []])
  })

  test('tell once of a backend that goes, and take it out until it answers', async () => {
    const group = checked({ a: answersPing, b: answersPing })
    await settle()
    group.plans['a'] = refuses
    for (let i = 0; i < 3; i++) await group.tick()
    expect(group.reports).toEqual(['health check uwsgi://a:3031: ERR_UPSTREAM_CONNECT'])
    expect(await visits(group, 3)).toBe('bbb')
    group.plans['a'] = answersPing
    await group.tick()
    expect(await visits(group, 4)).toContain('a')
    expect(group.reports.length).toBe(1)
  })

  test('let in who waits when a backend is back', async () => {
    const group = checked({ a: answersPing, b: refuses }, { maxConns: 1 })
    await group.tick()
    group.plans['a'] = keepsSilent
    void group.bridge.fetch(new Request('http://h.example/'))
    await vi.waitFor(() => expect(group.asked.at(-1)).toBe('a'))
    const waiting = group.bridge.fetch(new Request('http://h.example/'))
    await settle()
    const before = group.asked.length
    let isPing = true
    group.plans['a'] = answersPing
    group.plans['b'] = (connection) => {
      void connection.respond(isPing ? PONG : wire(200, 'x'))
      isPing = false
    }
    await group.tick()
    expect((await waiting).status).toBe(200)
    expect(group.asked.slice(before)).toEqual(['a', 'b', 'b'])
  })

  test.each<[string, Plan, string]>([
    ['no pong', (connection) => void connection.respond('d\0\0\x02'), 'ERR_UPSTREAM_PROTOCOL'],
    ['half a pong', (connection) => void connection.respond('d\0').end(), 'ERR_UPSTREAM_PROTOCOL'],
    ['nothing', (connection) => void connection.end(), 'ERR_UPSTREAM_EMPTY'],
    ['silence', keepsSilent, 'ERR_READ_TIMEOUT'],
  ])('%s is no good answer', async (_name, plan, code) => {
    const group = checked({ a: plan }, { healthCheckTimeout: 20 })
    await vi.waitFor(() => expect(group.reports).toEqual([`health check uwsgi://a:3031: ${code}`]))
    expect(group.packets[0]?.closed).toBe(true)
  })

  test('leave out a backend whose last one has not ended', async () => {
    const group = checked({ a: keepsSilent, b: answersPing })
    await settle()
    await group.tick()
    await group.tick()
    expect(group.asked.toSorted()).toEqual(['a', 'b', 'b', 'b'])
    group.packets.find(({ closed }) => !closed)?.respond(PONG)
    await settle()
    await group.tick()
    expect(group.asked.toSorted()).toEqual(['a', 'a', 'b', 'b', 'b', 'b'])
  })

  test('end with the bridge', async () => {
    const group = checked({ a: answersPing })
    expect(group.ticking()).toBe(true)
    await group.bridge.close()
    expect(group.ticking()).toBe(false)
  })

  test('say nothing any more when the bridge is closed', async () => {
    const group = checked({ a: keepsSilent }, { healthCheckTimeout: 20 })
    await settle()
    await group.bridge.close()
    await vi.waitFor(() => expect(group.packets[0]?.closed).toBe(true))
    await settle()
    expect(group.reports).toEqual([])
  })

  test('are refused where nothing lives between requests', () => {
    const runtime = {
      connect: () => () => opening(Promise.reject(new Error('unused'))),
      requestMeta: () => ({}),
      headerEncoding: 'latin1',
    } as const
    expect(() => createBridgeOn(runtime, 'uwsgi://a:1', { healthCheckInterval: 1 })).toThrow(
      'Cannot use healthCheckInterval here: nothing lives between requests'
    )
  })
})

describe('health checks by GET', () => {
  const OPTIONS: BridgeOptions = { healthCheckPath: '/up?deep=1', healthCheckTimeout: 20 }

  test('send one request of the path, without the mount', async () => {
    const group = checked(
      { a: (connection) => void connection.respond(wire(200, 'x')) },
      {
        ...OPTIONS,
        mount: '/app',
      }
    )
    await settle()
    const [packet] = group.packets
    expect(packet?.written).toContain('REQUEST_METHOD\x03\0GET')
    expect(packet?.written).toContain('REQUEST_URI\x0a\0/up?deep=1')
    expect(packet?.written).toContain('SCRIPT_NAME\0\0')
    expect(packet?.closed).toBe(true)
    expect(group.reports).toEqual([])
  })

  test.each([
    [204, []],
    [302, []],
    [399, []],
    [400, ['health check uwsgi://a:3031: ERR_UPSTREAM_PROTOCOL']],
    [503, ['health check uwsgi://a:3031: ERR_UPSTREAM_PROTOCOL']],
  ])('take %i for what it is, and read no body of it', async (status, reports) => {
    const endless = `HTTP/1.1 ${status} So\r\n\r\nand so on`
    const group = checked({ a: (connection) => void connection.respond(endless) }, OPTIONS)
    await vi.waitFor(() => expect(group.packets[0]?.closed).toBe(true))
    await settle()
    expect(group.reports).toEqual(reports)
  })

  test('open no connection for a request that cannot be made', async () => {
    const group = checked({ a: keepsSilent }, { ...OPTIONS, maxVars: 1 })
    await settle()
    expect(group.reports).toEqual(['health check uwsgi://a:3031: ERR_VARS_TOO_LARGE'])
    expect(group.asked).toEqual([])
  })

  test('wait no longer than healthCheckTimeout', async () => {
    const group = checked({ a: keepsSilent }, OPTIONS)
    await vi.waitFor(() =>
      expect(group.reports).toEqual(['health check uwsgi://a:3031: ERR_READ_TIMEOUT'])
    )
  })
})

describe('bridge.ping() of a group', () => {
  const QUIET: BridgeOptions = { healthCheckInterval: Infinity }

  test('is good when one backend answers', async () => {
    const group = checked({ a: refuses, b: answersPing, c: answersPing }, QUIET)
    await group.bridge.ping()
    expect(group.asked).toEqual(['a', 'b'])
  })

  test('fails with what the last one failed with', async () => {
    const group = checked({ a: refuses, b: (connection) => void connection.end() }, QUIET)
    await expect(group.bridge.ping()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_EMPTY' })
  })

  test('fails where all are down', async () => {
    const group = checked({ a: answersPing }, QUIET, { a: { down: true } })
    await expect(group.bridge.ping()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE' })
    expect(group.asked).toEqual([])
  })
})
