import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { serverList, type UpstreamConfig } from '../../src/bridge/bridge.ts'
import { Upstream, type UpstreamPolicy } from '../../src/bridge/upstream.ts'
import { UpstreamServer, type UpstreamServerOptions } from '../../src/bridge/upstream-server.ts'
import { type RequestHead, requestHead } from '../../src/core/request-head.ts'
import { answers, ask, groupOf, type GroupOptions } from './memory-group.ts'

const DEFAULTS = { maxConns: Infinity, maxFails: 1, failTimeout: 10_000 }
const POLICY: UpstreamPolicy = { balance: 'round_robin', queue: 100, queueTimeout: 60_000 }
const FIRST_TRY = { key: undefined, tried: [] }

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

type ServerOptions = Omit<UpstreamServerOptions, 'address'>

/** A group of backends a, b, c, …, each with its options. */
function group(options: readonly ServerOptions[], policy: Partial<UpstreamPolicy> = {}): Upstream {
  const servers = options.map((own, index) => {
    const address = `uwsgi://${String.fromCharCode(97 + index)}:3031`
    return new UpstreamServer({ address, ...own }, DEFAULTS)
  })
  return new Upstream(servers, { ...POLICY, ...policy })
}

function nameOf(server: UpstreamServer | undefined): string {
  return server?.name.charAt('uwsgi://'.length) ?? '-'
}

function serverOf(upstream: Upstream, name: string): UpstreamServer {
  const server = upstream.servers.find((candidate) => nameOf(candidate) === name)
  if (server === undefined) throw new Error(`no backend ${name}`)
  return server
}

/** Takes a place without waiting for one. */
async function take(upstream: Upstream, ...tried: string[]): Promise<string> {
  const wish = { key: undefined, tried: tried.map((name) => serverOf(upstream, name)) }
  return nameOf(await upstream.acquire(wish, undefined))
}

/** Takes a place and gives it back at once. */
async function visit(upstream: Upstream, ...tried: string[]): Promise<string> {
  const name = await take(upstream, ...tried)
  upstream.release(serverOf(upstream, name))
  return name
}

/** What a wait has come to by now: `undefined` while it goes on. */
function watch(found: ReturnType<Upstream['acquire']>): () => string | undefined {
  let result: string | undefined
  Promise.resolve(found).then(
    (server) => (result = nameOf(server)),
    (error: { code?: string }) => (result = error.code)
  )
  return () => result
}

/** Lets promises settle; no time passes. */
async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0)
}

describe('Upstream.acquire() and release()', () => {
  test('count the requests under way', async () => {
    const upstream = group([{}])
    await take(upstream)
    await take(upstream)
    expect(serverOf(upstream, 'a').active).toBe(2)
    upstream.release(serverOf(upstream, 'a'))
    expect(serverOf(upstream, 'a').active).toBe(1)
  })

  test('give no backend more than its maxConns', async () => {
    const upstream = group([{ maxConns: 2 }, { maxConns: 1 }])
    const names = [await take(upstream), await take(upstream), await take(upstream)]
    expect(names.toSorted()).toEqual(['a', 'a', 'b'])
    const waiting = watch(upstream.acquire(FIRST_TRY, undefined))
    await settle()
    expect(waiting()).toBeUndefined()
    upstream.release(serverOf(upstream, 'b'))
    await settle()
    expect(waiting()).toBe('b')
  })

  test('never give a backend that has had the request', async () => {
    const upstream = group([{}, {}, {}])
    expect(await visit(upstream, 'a', 'c')).toBe('b')
    expect(await visit(upstream, 'a', 'c')).toBe('b')
    expect(await take(upstream, 'a', 'b', 'c')).toBe('-')
  })

  test('never give one that is down; none is left where all are', async () => {
    const upstream = group([{ down: true }, {}])
    expect(upstream.size).toBe(1)
    expect([await visit(upstream), await visit(upstream)]).toEqual(['b', 'b'])
    serverOf(upstream, 'b').fail(performance.now())
    expect(await visit(upstream)).toBe('b')
    const none = group([{ down: true }, { down: true, backup: true }])
    expect([none.size, await take(none)]).toEqual([0, '-'])
  })
})

describe('tiers of an Upstream', () => {
  test('a backup is asked only while no primary is to be had', async () => {
    const upstream = group([{}, { backup: true }, {}])
    expect([await visit(upstream), await visit(upstream), await visit(upstream)]).not.toContain('b')
    serverOf(upstream, 'a').fail(performance.now())
    expect([await visit(upstream), await visit(upstream)]).toEqual(['c', 'c'])
    serverOf(upstream, 'c').fail(performance.now())
    expect([await visit(upstream), await visit(upstream)]).toEqual(['b', 'b'])
    await vi.advanceTimersByTimeAsync(10_001)
    expect(await visit(upstream)).not.toBe('b')
  })

  test('a backup takes what primaries have no place for', async () => {
    const upstream = group([{ maxConns: 1 }, { backup: true }])
    expect([await take(upstream), await take(upstream)]).toEqual(['a', 'b'])
  })

  test('those that have failed are asked all the same when nobody else is left', async () => {
    const upstream = group([{}, {}])
    for (const server of upstream.servers) server.fail(performance.now())
    expect(await take(upstream)).not.toBe('-')
    expect(await visit(upstream, 'a')).toBe('b')
  })

  test('of those that have failed, primaries come first', async () => {
    const upstream = group([{ backup: true }, {}])
    for (const server of upstream.servers) server.fail(performance.now())
    expect([await visit(upstream), await visit(upstream)]).toEqual(['b', 'b'])
  })

  test('one that a health check has found ill is left out until it is well', async () => {
    const upstream = group([{}, {}])
    serverOf(upstream, 'a').healthy = false
    expect([await visit(upstream), await visit(upstream)]).toEqual(['b', 'b'])
    // Time alone does not heal it.
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect([await visit(upstream), await visit(upstream)]).toEqual(['b', 'b'])
    serverOf(upstream, 'a').healthy = true
    expect([await visit(upstream), await visit(upstream)].toSorted()).toEqual(['a', 'b'])
  })
})

function fail(upstream: Upstream, name: string): void {
  serverOf(upstream, name).fail(performance.now())
}

/** How many of the next `count` requests a gets. */
async function visits(upstream: Upstream, count: number): Promise<number> {
  let got = 0
  for (let i = 0; i < count; i++) if ((await visit(upstream)) === 'a') got++
  return got
}

describe('failures of an UpstreamServer', () => {
  test('maxFails of them take it out for failTimeout', async () => {
    const upstream = group([{ maxFails: 3 }, {}])
    fail(upstream, 'a')
    fail(upstream, 'a')
    expect(await visits(upstream, 10)).toBeGreaterThan(0)
    fail(upstream, 'a')
    expect(await visits(upstream, 10)).toBe(0)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await visits(upstream, 10)).toBe(0)
    await vi.advanceTimersByTimeAsync(1)
    expect(await visits(upstream, 10)).toBe(1)
  })

  test('0 for maxFails is never', async () => {
    const upstream = group([{ maxFails: 0 }, {}])
    for (let i = 0; i < 100; i++) fail(upstream, 'a')
    expect(await visits(upstream, 10)).toBe(5)
  })

  test('Infinity for maxFails is never', async () => {
    const upstream = group([{ maxFails: Infinity }, {}])
    for (let i = 0; i < 100; i++) fail(upstream, 'a')
    expect(await visits(upstream, 10)).toBe(5)
  })

  test('behind its time out, one request tries it and no second until that one has ended', async () => {
    const upstream = group([{}, { backup: true }])
    fail(upstream, 'a')
    await vi.advanceTimersByTimeAsync(10_001)
    expect([await take(upstream), await take(upstream), await take(upstream)]).toEqual([
      'a',
      'b',
      'b',
    ])
    serverOf(upstream, 'a').succeed()
    upstream.release(serverOf(upstream, 'a'))
    expect([await take(upstream), await take(upstream)]).toEqual(['a', 'a'])
  })

  test('a trial that fails takes it out for as long again', async () => {
    const upstream = group([{}, { backup: true }])
    fail(upstream, 'a')
    await vi.advanceTimersByTimeAsync(10_001)
    expect(await visit(upstream)).toBe('a')
    fail(upstream, 'a')
    await vi.advanceTimersByTimeAsync(9_999)
    expect(await visit(upstream)).toBe('b')
    await vi.advanceTimersByTimeAsync(2)
    expect(await visit(upstream)).toBe('a')
  })

  test('a success long enough after the last one clears them', async () => {
    const upstream = group([{ maxFails: 2 }, { backup: true }])
    fail(upstream, 'a')
    await vi.advanceTimersByTimeAsync(10_001)
    expect(await visit(upstream)).toBe('a')
    serverOf(upstream, 'a').succeed()
    fail(upstream, 'a')
    expect(await visit(upstream)).toBe('a')
  })

  test('a success between two of them within failTimeout does not', async () => {
    const upstream = group([{ maxFails: 2 }, { backup: true }])
    fail(upstream, 'a')
    await vi.advanceTimersByTimeAsync(5000)
    expect(await visit(upstream)).toBe('a')
    serverOf(upstream, 'a').succeed()
    fail(upstream, 'a')
    expect(await visit(upstream)).toBe('b')
  })

  test('each takes a part of the effective weight, down to 0, which grows back', async () => {
    const upstream = group([{ weight: 6, maxFails: 3 }, { weight: 6 }])
    const a = serverOf(upstream, 'a')
    fail(upstream, 'a')
    expect(a.effectiveWeight).toBe(4)
    fail(upstream, 'a')
    expect(a.effectiveWeight).toBe(2)
    fail(upstream, 'a')
    fail(upstream, 'a')
    expect(a.effectiveWeight).toBe(0)
    await vi.advanceTimersByTimeAsync(10_001)
    expect(await visits(upstream, 10)).toBeLessThan(5)
    a.succeed()
    await visits(upstream, 10)
    expect(a.effectiveWeight).toBe(6)
  })
})

describe('the queue of an Upstream', () => {
  test('lets in who came first', async () => {
    const upstream = group([{ maxConns: 1 }])
    await take(upstream)
    const waiting = [1, 2, 3].map(() => watch(upstream.acquire(FIRST_TRY, undefined)))
    const results = (): (string | undefined)[] => waiting.map((result) => result())
    for (const expected of [
      ['a', undefined, undefined],
      ['a', 'a', undefined],
      ['a', 'a', 'a'],
    ]) {
      upstream.release(serverOf(upstream, 'a'))
      await settle()
      expect(results()).toEqual(expected)
    }
    expect(serverOf(upstream, 'a').active).toBe(1)
  })

  test('passes over who cannot use the place', async () => {
    const upstream = group([{ maxConns: 1 }, { maxConns: 1 }])
    await Promise.all([take(upstream), take(upstream)])
    const tried = [serverOf(upstream, 'a')]
    const picky = watch(upstream.acquire({ key: undefined, tried }, undefined))
    const other = watch(upstream.acquire(FIRST_TRY, undefined))
    upstream.release(serverOf(upstream, 'a'))
    await settle()
    expect([picky(), other()]).toEqual([undefined, 'a'])
    upstream.release(serverOf(upstream, 'b'))
    await settle()
    expect(picky()).toBe('b')
  })

  test('nobody who comes later gets in before those who wait', async () => {
    const upstream = group([{ maxConns: 1 }, {}])
    serverOf(upstream, 'b').fail(performance.now())
    await take(upstream)
    const first = watch(upstream.acquire(FIRST_TRY, undefined))
    // The time out of b ends while nobody gives a place back; its one trial is for who came first.
    await vi.advanceTimersByTimeAsync(10_001)
    const second = watch(upstream.acquire(FIRST_TRY, undefined))
    await settle()
    expect([first(), second()]).toEqual(['b', undefined])
  })

  test('refuses who finds it full', async () => {
    const upstream = group([{ maxConns: 1 }], { queue: 1 })
    await take(upstream)
    const waiting = watch(upstream.acquire(FIRST_TRY, undefined))
    await expect(upstream.acquire(FIRST_TRY, undefined)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_BUSY',
      status: 503,
      message: 'No upstream has a place: all have maxConns requests under way, and 1 wait already',
    })
    await settle()
    expect(waiting()).toBeUndefined()
  })

  test('of no length refuses everybody', async () => {
    const upstream = group([{ maxConns: 1 }], { queue: 0 })
    await take(upstream)
    await expect(upstream.acquire(FIRST_TRY, undefined)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_BUSY',
    })
  })

  test('refuses who has waited for queueTimeout, and frees the place in it', async () => {
    const upstream = group([{ maxConns: 1 }], { queue: 1, queueTimeout: 500 })
    await take(upstream)
    const late = watch(upstream.acquire(FIRST_TRY, undefined))
    await vi.advanceTimersByTimeAsync(499)
    expect(late()).toBeUndefined()
    await vi.advanceTimersByTimeAsync(1)
    expect(late()).toBe('ERR_UPSTREAM_BUSY')
    const next = watch(upstream.acquire(FIRST_TRY, undefined))
    upstream.release(serverOf(upstream, 'a'))
    await settle()
    expect(next()).toBe('a')
    expect(serverOf(upstream, 'a').active).toBe(1)
  })

  test('lets a client leave, who then gets no place', async () => {
    const upstream = group([{ maxConns: 1 }], { queue: 1 })
    await take(upstream)
    const client = new AbortController()
    const left = watch(upstream.acquire(FIRST_TRY, client.signal))
    client.abort()
    await settle()
    expect(left()).toBe('ERR_CLIENT_CLOSED')
    const next = watch(upstream.acquire(FIRST_TRY, undefined))
    upstream.release(serverOf(upstream, 'a'))
    await settle()
    expect([next(), serverOf(upstream, 'a').active]).toEqual(['a', 1])
  })

  test('does not keep a client who has left already', async () => {
    const upstream = group([{ maxConns: 1 }])
    await take(upstream)
    await expect(upstream.acquire(FIRST_TRY, AbortSignal.abort())).rejects.toMatchObject({
      code: 'ERR_CLIENT_CLOSED',
    })
    expect(vi.getTimerCount()).toBe(0)
  })

  test('leaves neither a timer nor a listener behind, however a wait ends', async () => {
    const upstream = group([{ maxConns: 1 }], { queueTimeout: 500 })
    await take(upstream)
    const [stays, late] = [1, 2].map(() => new AbortController().signal)
    if (!stays || !late) throw new Error('two')
    const removals = [stays, late].map((signal) => vi.spyOn(signal, 'removeEventListener'))
    const client = new AbortController()
    const waits = [
      watch(upstream.acquire(FIRST_TRY, stays)),
      watch(upstream.acquire(FIRST_TRY, client.signal)),
      watch(upstream.acquire(FIRST_TRY, late)),
    ]
    await settle()
    expect(vi.getTimerCount()).toBe(3)
    client.abort()
    upstream.release(serverOf(upstream, 'a'))
    await settle()
    expect(vi.getTimerCount()).toBe(1)
    await vi.advanceTimersByTimeAsync(500)
    expect(waits.map((wait) => wait())).toEqual(['a', 'ERR_CLIENT_CLOSED', 'ERR_UPSTREAM_BUSY'])
    expect(vi.getTimerCount()).toBe(0)
    for (const removal of removals) expect(removal).toHaveBeenCalledOnce()
  })

  test('lets in whoever a backend that is well again has a place for', async () => {
    const upstream = group([{ maxConns: 1 }, { maxConns: 1 }])
    serverOf(upstream, 'b').healthy = false
    await take(upstream)
    const waiting = watch(upstream.acquire(FIRST_TRY, undefined))
    await settle()
    expect(waiting()).toBeUndefined()
    serverOf(upstream, 'b').healthy = true
    upstream.admit()
    await settle()
    expect(waiting()).toBe('b')
  })
})

describe('options of an UpstreamServer', () => {
  test.each<[ServerOptions, string]>([
    [{ weight: 0 }, 'Cannot use weight 0: wanted a whole number from 1 to 65535'],
    [{ weight: 1.5 }, 'Cannot use weight 1.5'],
    [{ maxConns: 0 }, 'Cannot use maxConns 0: wanted at least 1, or Infinity for no limit'],
    [{ maxFails: -1 }, 'Cannot use maxFails -1'],
    [{ failTimeout: 0 }, 'Cannot use failTimeout 0'],
  ])('%j is refused by name', (options, message) => {
    expect(() => group([options])).toThrow(message)
    expect(() => group([options])).toThrow(RangeError)
  })

  test('default to those of the bridge', () => {
    const defaults = { maxConns: 3, maxFails: 0, failTimeout: 1 }
    const server = new UpstreamServer({ address: 'uwsgi://h:1' }, defaults)
    expect([server.maxConns, server.weight, server.backup, server.down]).toEqual([
      3,
      1,
      false,
      false,
    ])
  })
})

describe('the configuration of a group', () => {
  test('is an address, options, or a list of both', async () => {
    const a = 'uwsgi://a:1'
    const b = { address: 'uwsgi://b:1', weight: 2 }
    expect(serverList(a)).toEqual([{ address: a }])
    expect(serverList(b)).toEqual([b])
    expect(serverList([a, b])).toEqual([{ address: a }, b])
  })

  test.each([
    [[]],
    [undefined],
    [null],
    [5],
    [{}],
    [[{}]],
    [['uwsgi://a:1', undefined]],
    [[['a']]],
  ])('is never %j', (wrong) => {
    // A program in JavaScript can say anything.
    expect(() => serverList(wrong as UpstreamConfig)).toThrow(TypeError)
    expect(() => serverList(wrong as UpstreamConfig)).toThrow(/^Cannot use (no )?upstream: /)
  })
})

/** Who gets each of three requests that 20 clients send. */
async function shares(
  options: GroupOptions,
  makeHead: (index: number) => RequestHead
): Promise<(string | undefined)[][]> {
  const plan = answers(200, 'x')
  const { bridge, events } = groupOf([plan, plan], options)
  for (let i = 0; i < 60; i++) await ask(bridge, makeHead(Math.floor(i / 3)))
  return Array.from({ length: 20 }, (_, i) =>
    events.slice(i * 3, i * 3 + 3).map(({ upstream }) => upstream)
  )
}

function headFrom(addr: string, user = ''): RequestHead {
  const request = new Request('http://h.example/', {
    headers: user === '' ? {} : { 'X-User': user },
  })
  return requestHead(request, { remote: { addr } })
}

describe('what a bridge goes by', () => {
  test('with ip_hash is the address of the client', async () => {
    const got = await shares({ balance: 'ip_hash' }, (i) => headFrom(`192.0.2.${i}`))
    for (const names of got) expect(new Set(names).size).toBe(1)
    expect(new Set(got.flat()).size).toBe(2)
  })

  test('with hash is the header', async () => {
    const options: GroupOptions = { balance: 'hash', hashHeader: 'x-USER' }
    const got = await shares(options, (i) => headFrom('192.0.2.1', `user ${i}`))
    for (const names of got) expect(new Set(names).size).toBe(1)
    expect(new Set(got.flat()).size).toBe(2)
  })

  test('with hash and no such header is the turn', async () => {
    const got = await shares({ balance: 'hash', hashHeader: 'X-User' }, () => headFrom('192.0.2.1'))
    for (const names of got) expect(new Set(names).size).toBe(2)
  })

  test('with the others is the turn, whoever asks', async () => {
    for (const balance of ['round_robin', 'least_conn'] as const) {
      const got = await shares({ balance, hashHeader: 'X-User' }, () =>
        headFrom('192.0.2.1', 'user')
      )
      for (const names of got) expect(new Set(names).size).toBe(2)
    }
  })
})
