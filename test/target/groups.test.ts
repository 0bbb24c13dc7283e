import { rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ExchangeEvent } from '../../src/bridge/exchange-event.ts'
import {
  type Bridge,
  type BridgeOptions,
  createBridge,
  serve,
  type UpstreamConfig,
} from '../../src/target/node/index.ts'
import { makeDirectory } from '../backend/process.ts'
import { BACKEND } from '../backend/programs.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { endProcesses, start } from '../cli/command.ts'
import { eventually } from '../support/deadline.ts'
import { freePort, REFUSING_PORT } from '../support/free-port.ts'
import { type ClientResponse, open, send } from '../support/http-client.ts'
import { denoTarget } from './deno-target.ts'
import { bundleWorker } from './workers-target.ts'

/** An instance of the application that can go away, and come back to the same address. */
interface Instance {
  readonly address: string
  stop(): Promise<void>
  /** Starts it, unless it runs. */
  restart(): Promise<void>
  /** Whether its /health is 503. */
  setIll(ill: boolean): void
}

let directory: string
let a: Instance
let b: Instance
const ends: (() => Promise<void>)[] = []
let reports: string[] = []
let events: ExchangeEvent[] = []

async function startInstance(name: string): Promise<Instance> {
  const port = await freePort()
  const ill = join(directory, `ill-${name}`)
  const env = { INSTANCE: name, GATE: join(directory, 'gate'), ILL: ill }
  const run = (): Promise<UwsgiServer> =>
    startUwsgi({ app: join(BACKEND, 'group_app.py'), threads: 4, port, env })
  let server: UwsgiServer | undefined = await run()
  return {
    address: server.address,
    async stop() {
      await server?.stop()
      server = undefined
    },
    async restart() {
      server ??= await run()
    },
    setIll: (is) => (is ? writeFileSync(ill, '') : rmSync(ill, { force: true })),
  }
}

beforeAll(async () => {
  directory = await makeDirectory()
  ;[a, b] = await Promise.all([startInstance('a'), startInstance('b')])
})
afterAll(async () => {
  await Promise.all([a?.stop(), b?.stop()])
  await rm(directory, { recursive: true })
})
afterEach(async () => {
  endProcesses()
  await Promise.all(ends.splice(0).map((end) => end()))
  reports = []
  events = []
  for (const instance of [a, b]) {
    instance.setIll(false)
    await instance.restart()
  }
})

/** A server with a bridge to these; what is wrong with a backend is no failure of a test here. */
async function serving(upstream: UpstreamConfig, options: BridgeOptions = {}): Promise<string> {
  const bridge: Bridge = createBridge(upstream, {
    onError: (error, { path, upstream: name }) =>
      void reports.push(`${path} ${name} ${error.message}`),
    onExchange: (event) => void events.push(event),
    ...options,
  })
  const server = await serve(bridge, { listen: 'http://127.0.0.1:0' })
  ends.push(
    () => server.close(),
    () => bridge.close()
  )
  return server.url
}

/** Who answers each of `count` requests, one after the other; a status where nobody does. */
async function whoAnswers(origin: string, count: number, target = '/'): Promise<string> {
  let names = ''
  for (let i = 0; i < count; i++) {
    const { status, text } = await send(origin, { target })
    names += status === 200 ? text : ` ${status} `
  }
  return names
}

/** Waits until this one answers again. */
async function answersAgain(origin: string, name: string): Promise<void> {
  await eventually(`an answer from ${name}`, async () => (await whoAnswers(origin, 1)) === name)
}

describe('a group of uWSGI servers', () => {
  test('gets requests in turn, and by weight', async () => {
    expect(await whoAnswers(await serving([a.address, b.address]), 6)).toBe('ababab')
    expect(events.map(({ error, responseBytes }) => [error, responseBytes])).toEqual(
      Array.from({ length: 6 }, () => [undefined, 1])
    )
    const weighted = await serving([{ address: a.address, weight: 3 }, b.address])
    const names = await whoAnswers(weighted, 16)
    expect([names.split('a').length - 1, names.split('b').length - 1]).toEqual([12, 4])
  })

  test('gives the requests with one header the same server', async () => {
    const origin = await serving([a.address, b.address], { balance: 'hash', hashHeader: 'X-User' })
    const seen = new Set<string>()
    for (let user = 0; user < 20; user++) {
      const request = { target: '/', headers: [['X-User', `user ${user}`]] as const }
      const { text } = await send(origin, request)
      expect((await send(origin, request)).text).toBe(text)
      seen.add(text)
    }
    expect([...seen].toSorted()).toEqual(['a', 'b'])
  })

  test('does without one that goes away, and has it back when it returns', async () => {
    const origin = await serving([a.address, b.address], { failTimeout: 200 })
    await a.stop()
    expect(await whoAnswers(origin, 10)).toBe('b'.repeat(10))
    expect(events.filter(({ retries }) => retries > 0).length).toBeGreaterThan(0)
    await a.restart()
    await answersAgain(origin, 'a')
    expect(reports).toEqual([])
  })

  test('answers 502 while all are away, and as soon as one is back', async () => {
    const origin = await serving([a.address, { address: b.address, backup: true }], {
      failTimeout: 3_600_000,
    })
    await Promise.all([a.stop(), b.stop()])
    expect(await whoAnswers(origin, 2)).toBe(' 502  502 ')
    await Promise.all([a.restart(), b.restart()])
    expect(await whoAnswers(origin, 2)).toBe('aa')
  })

  test('answers a GET whose worker is killed before its head; a POST is not sent twice', async () => {
    const origin = await serving([a.address, { address: b.address, backup: true }], { maxFails: 0 })
    expect((await send(origin, { target: '/die/a' })).text).toBe('b')
    expect(events.at(-1)).toMatchObject({ tried: [a.address, b.address], retries: 1, status: 200 })
    const put = await send(origin, { target: '/die/a', method: 'PUT', body: 'x'.repeat(300_000) })
    expect(put.text).toBe('b')
    expect(events.at(-1)).toMatchObject({ tried: [a.address, b.address], status: 200 })
    const post = await send(origin, { target: '/die/a', method: 'POST', body: 'x' })
    expect(post.status).toBe(502)
    expect(events.at(-1)).toMatchObject({ tried: [a.address], error: 'ERR_UPSTREAM_EMPTY' })
    await answersAgain(origin, 'a')
  })

  test('lets in what there are places for, queues some, and answers the rest 503', async () => {
    const gate = join(directory, 'gate')
    const origin = await serving([a.address, b.address], { maxConns: 1, queue: 2 })
    const done: ClientResponse[] = []
    const all = Array.from({ length: 8 }, async () => {
      done.push(await send(origin, { target: '/hold' }))
    })
    await eventually('what is over the queue', () => done.length === 4)
    expect(done.map(({ status, header }) => [status, header('retry-after')])).toEqual(
      Array.from({ length: 4 }, () => [503, '1'])
    )
    writeFileSync(gate, '')
    await Promise.all(all)
    rmSync(gate)
    const answered = done.slice(4)
    expect(answered.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    expect(new Set(answered.map(({ text }) => text))).toEqual(new Set(['a', 'b']))
    expect(await whoAnswers(origin, 2)).toMatch(/^(ab|ba)$/)
  })

  test('has a place again when a client goes away, from the head or from the queue', async () => {
    const origin = await serving([a.address], { maxConns: 1, queue: 1 })
    const held = open(origin, { target: '/hold' })
    held.catch(() => {})
    const gone = new AbortController()
    const first = fetch(`${origin}/hold`, { signal: gone.signal }).catch(() => 'left')
    await eventually('the queue to be full', async () => {
      const { status } = await send(origin, { target: '/' })
      return status === 503
    })
    gone.abort()
    expect(await first).toBe('left')
    await eventually('the client that left', () => events.some(({ status }) => status === 499))
    writeFileSync(join(directory, 'gate'), '')
    ;(await held).destroy()
    await eventually('a place', async () => (await whoAnswers(origin, 1)) === 'a')
    rmSync(join(directory, 'gate'))
  })
})

describe('health checks of a group', () => {
  // With this, a request that goes to a dead server shows: nobody else gets it.
  const NO_SECOND_CHANCE: BridgeOptions = { nextUpstream: ['off'], maxFails: 0 }

  test('by ping take a dead server out before a request meets it, and back in', async () => {
    const origin = await serving([a.address, b.address], {
      ...NO_SECOND_CHANCE,
      healthCheckInterval: 50,
      healthCheckTimeout: 2000,
    })
    expect(await whoAnswers(origin, 4)).toBe('abab')
    await a.stop()
    await eventually('a report', () => reports.length > 0)
    expect(reports).toEqual([expect.stringMatching(new RegExp(`^health check ${a.address} `))])
    expect(await whoAnswers(origin, 10)).toBe('b'.repeat(10))
    await a.restart()
    await answersAgain(origin, 'a')
    // It is told once that a server is gone, not at every check.
    expect(reports.length).toBe(1)
  })

  test('by GET take out a server whose application is ill, and back in', async () => {
    const origin = await serving([a.address, b.address], {
      ...NO_SECOND_CHANCE,
      healthCheckInterval: 50,
      healthCheckPath: '/health',
    })
    a.setIll(true)
    await eventually('a report', () => reports.length > 0)
    expect(reports[0]).toContain(
      `health check ${a.address} The upstream answered a health check with 503`
    )
    expect(await whoAnswers(origin, 10)).toBe('b'.repeat(10))
    a.setIll(false)
    await answersAgain(origin, 'a')
  })

  test('that fail on all take out none', async () => {
    const origin = await serving([a.address, b.address], {
      healthCheckInterval: 50,
      healthCheckPath: '/health',
    })
    a.setIll(true)
    b.setIll(true)
    await eventually('two reports', () => reports.length > 1)
    expect(await whoAnswers(origin, 4)).toBe('abab')
  })
})

describe('edge-wsgi serve with several --upstream', () => {
  test('asks the backup while the other is away', async () => {
    const listen = ['--listen', 'http://127.0.0.1:0', '--fail-timeout', '200']
    const upstream = ['--upstream', a.address, '--upstream', `${b.address} backup`]
    const { child, output, done } = start('serve', ...upstream, ...listen)
    const line = /^Listening on (\S+), bridging to (.*)$/m
    const [, origin = '', names] = await eventually(
      'listening',
      () => line.exec(output.stdout) ?? undefined
    )
    expect(names).toBe(`${a.address}, ${b.address}`)
    expect(await whoAnswers(origin, 4)).toBe('aaaa')
    await a.stop()
    expect(await whoAnswers(origin, 4)).toBe('bbbb')
    await a.restart()
    await answersAgain(origin, 'a')
    child.kill('SIGTERM')
    expect((await done).status).toBe(0)
  })
})

describe.each(['deno', 'workers'] as const)('UPSTREAM with several servers on %s', (name) => {
  test('is a group', async () => {
    const target = name === 'deno' ? denoTarget : await bundleWorker()
    const dead = `uwsgi://127.0.0.1:${REFUSING_PORT}`
    const variables = { UPSTREAM: `${a.address}, ${b.address} weight=2, ${dead} backup` }
    const group = await target.start(variables)
    ends.push(() => group.stop())
    const names = await whoAnswers(group.origin, 6)
    expect([names.split('a').length - 1, names.split('b').length - 1]).toEqual([2, 4])

    const failover = await target.start({ UPSTREAM: `${dead},${b.address}` })
    ends.push(() => failover.stop())
    expect(await whoAnswers(failover.origin, 6)).toBe('bbbbbb')
  })
})
