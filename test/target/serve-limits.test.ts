import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type Handler, serve } from '../../src/target/node/index.ts'
import { resolveServeLimits } from '../../src/target/serve-options.ts'
import { startUwsgi } from '../backend/uwsgi.ts'
import { openRaw, valuesOf } from '../security/raw-http.ts'
import { startServe } from '../security/serve.ts'
import { eventually, logged, within } from '../support/deadline.ts'
import { cleanUp, cleanups, get, HOST, ok, serving, SHORT_MS, silentReader } from './serving.ts'

afterEach(cleanUp)

const slow: Handler = async () => {
  await sleep(SHORT_MS * 3)
  return new Response('slow')
}
describe('a limit of serve', () => {
  test.each([
    [{ clientHeaderTimeout: -1 }, 'clientHeaderTimeout -1: wanted milliseconds above 0'],
    [{ clientHeaderTimeout: 0 }, 'clientHeaderTimeout 0: wanted milliseconds above 0'],
    [{ clientKeepaliveTimeout: 0 }, 'clientKeepaliveTimeout 0: wanted milliseconds above 0'],
    [{ clientKeepaliveTimeout: Number.NaN }, 'clientKeepaliveTimeout NaN: wanted milliseconds'],
    [{ clientSendTimeout: -5 }, 'clientSendTimeout -5: wanted milliseconds above 0'],
    [{ clientSendTimeout: 1.5 }, 'clientSendTimeout 1.5: wanted a whole number, or Infinity'],
    [{ closeTimeout: 0 }, 'closeTimeout 0: wanted milliseconds above 0'],
    [{ maxConnections: 0 }, 'maxConnections 0: wanted a whole number above 0, or Infinity'],
    [{ maxConnections: 2.5 }, 'maxConnections 2.5: wanted a whole number'],
    [{ maxRequestsPerConnection: -1 }, 'maxRequestsPerConnection -1: wanted a whole number above'],
    [{ maxRequestsPerConnection: Number.NaN }, 'maxRequestsPerConnection NaN: wanted a whole'],
  ])('that is %j throws a RangeError which names it', async (options, message) => {
    const started = serve(ok, { listen: 'http://127.0.0.1:0', ...options })
    await expect(started).rejects.toThrow(RangeError)
    await expect(started).rejects.toThrow(`Cannot use ${message}`)
  })

  test('that is text throws, as a variable of the environment would be', async () => {
    const options = { listen: 'http://127.0.0.1:0', maxConnections: '5' as unknown as number }
    await expect(serve(ok, options)).rejects.toThrow('Cannot use maxConnections 5: wanted a whole')
  })

  test('has nginx’s default', () => {
    expect(resolveServeLimits()).toEqual({
      clientHeaderTimeout: 60_000,
      clientKeepaliveTimeout: 75_000,
      clientSendTimeout: 60_000,
      maxConnections: Infinity,
      maxRequestsPerConnection: 1000,
      closeTimeout: 10_000,
    })
  })

  test('may be none at all', async () => {
    const limits = {
      clientHeaderTimeout: Infinity,
      clientKeepaliveTimeout: Infinity,
      clientSendTimeout: Infinity,
      maxConnections: Infinity,
      maxRequestsPerConnection: Infinity,
      closeTimeout: Infinity,
    }
    const { origin, idle } = await serving(ok, limits)
    const connection = await openRaw(origin)
    for (const target of ['/1', '/2']) {
      connection.send(get(target))
      expect((await connection.response()).status).toBe(200)
    }
    connection.reset()
    await idle()
  })

  test('closeTimeout may be none: requests under way end in their own time', async () => {
    const { origin, seen, idle } = await serving(slow, { closeTimeout: Infinity })
    const connection = await openRaw(origin)
    connection.send(get('/'))
    await eventually('the request', () => seen.length > 0)
    const idled = idle()
    expect((await connection.response()).body.toString()).toBe('slow')
    await idled
  })
})

describe('clientHeaderTimeout (SEC-48)', () => {
  test('is for the head of each request, the second as well', async () => {
    const { origin, idle, seen } = await serving(ok, { clientHeaderTimeout: SHORT_MS })
    const connection = await openRaw(origin)
    connection.send(`${get('/first')}GET /second HT`)
    expect((await connection.response()).status).toBe(200)
    expect((await connection.response()).status).toBe(408)
    expect(await connection.closed()).toBe('')
    expect(seen).toEqual(['/first'])
    await idle()
  })

  test('is for the whole head: bytes that trickle do not renew it', async () => {
    const { origin, idle, seen } = await serving(ok, { clientHeaderTimeout: SHORT_MS })
    const connection = await openRaw(origin)
    connection.send(`GET / HTTP/1.1\r\n${HOST}X: `)
    const trickle = setInterval(() => connection.send('x'), SHORT_MS / 10)
    cleanups.push(() => clearInterval(trickle))
    expect(await connection.closed()).toMatch(/^(?:HTTP\/1\.1 408 [^]*)?$/)
    expect(seen).toEqual([])
    await idle()
  })
})

describe('clientKeepaliveTimeout (SEC-48)', () => {
  test('closes a connection that no further request comes on, and no other', async () => {
    const { origin, idle, seen } = await serving(ok, { clientKeepaliveTimeout: SHORT_MS })
    const connection = await openRaw(origin)
    connection.send(get('/'))
    const response = await connection.response()
    expect(valuesOf(response, 'connection')).toEqual(['keep-alive'])
    expect(await connection.closed()).toBe('')
    const next = await openRaw(origin)
    next.send(get('/next'))
    expect((await next.response()).status).toBe(200)
    expect(await next.closed()).toBe('')
    expect(seen).toEqual(['/', '/next'])
    await idle()
  })

  test('does not count while a request is being answered', async () => {
    const { origin, idle } = await serving(slow, { clientKeepaliveTimeout: SHORT_MS })
    const connection = await openRaw(origin)
    connection.send(get('/'), get('/'))
    expect((await connection.response()).body.toString()).toBe('slow')
    expect((await connection.response()).body.toString()).toBe('slow')
    expect(await connection.closed()).toBe('')
    await idle()
  })
})

describe('maxConnections (SEC-48)', () => {
  test('closes one more without an answer, until another has gone', async () => {
    const { origin, idle, seen } = await serving(ok, { maxConnections: 2 })
    const first = await openRaw(origin)
    const second = await openRaw(origin)
    for (const connection of [first, second]) {
      connection.send(get('/'))
      expect((await connection.response()).status).toBe(200)
    }
    const third = await openRaw(origin)
    third.send(get('/third'))
    expect(await third.closed()).toBe('')
    expect(seen).not.toContain('/third')
    first.reset()
    const fourth = await eventually('a free connection', async () => {
      const connection = await openRaw(origin)
      connection.send(get('/fourth'))
      return (await connection.responseOrEnd()) === undefined ? undefined : connection
    })
    second.send(get('/'))
    expect((await second.response()).status).toBe(200)
    second.reset()
    fourth.reset()
    await idle()
  })
})

describe('maxRequestsPerConnection', () => {
  test('says on the last answer that it is the last', async () => {
    const { origin, idle, seen } = await serving(ok, { maxRequestsPerConnection: 3 })
    const connection = await openRaw(origin)
    const said: string[][] = []
    for (const target of ['/1', '/2', '/3']) {
      connection.send(get(target))
      said.push(valuesOf(await connection.response(), 'connection'))
    }
    expect(said).toEqual([['keep-alive'], ['keep-alive'], ['close']])
    expect(await connection.closed()).toBe('')
    expect(seen).toEqual(['/1', '/2', '/3'])
    await idle()
  })

  test('leaves what is pipelined behind unanswered and undone (SEC-47)', async () => {
    const { origin, idle, seen } = await serving(ok, { maxRequestsPerConnection: 2 })
    const connection = await openRaw(origin)
    // Far more than the system holds back: closing on it at once would reset the connection.
    connection.send(...Array.from({ length: 5000 }, (_, index) => get(`/${index}`)))
    const statuses = [await connection.response(), await connection.response()]
    expect(statuses.map(({ status }) => status)).toEqual([200, 200])
    expect(await connection.closed()).toBe('')
    expect(seen).toEqual(['/0', '/1'])
    const next = await openRaw(origin)
    next.send(get('/2'))
    expect((await next.response()).status).toBe(200)
    next.reset()
    await idle()
  })

  test('lets the last answer reach a client that has sent more, and reads it late', async () => {
    const lines: string[] = []
    const { port, idle } = await serving(() => new Response(new Uint8Array(1e6)), {
      maxRequestsPerConnection: 1,
      log: (line) => void lines.push(line),
    })
    const client = await silentReader(port, get('/').repeat(20_000))
    await eventually('the end of the answer', () => lines.length > 0)
    let total = 0
    client.socket.on('data', (bytes) => (total += bytes.length))
    expect(await client.isReset()).toBe(false)
    expect(total).toBeGreaterThan(1e6)
    await idle()
  })

  test('costs little where a client sends far more', async () => {
    const release = Promise.withResolvers<void>()
    const held: Handler = async ({ url }) => {
      if (url.endsWith('/held')) await release.promise
      return new Response('ok')
    }
    const { port, origin, seen, idle } = await serving(held, { maxRequestsPerConnection: 2 })
    const { socket, isReset } = await silentReader(port, get('/held').repeat(500_000))
    // Node needs minutes to parse them all, in which it serves nobody else.
    await within('the end of the requests', once(socket, 'drain'))
    const other = await openRaw(origin)
    other.send(get('/'))
    expect((await other.response()).status).toBe(200)
    other.reset()
    release.resolve()
    expect(await isReset()).toBe(false)
    expect(seen).toEqual(['/held', '/', '/held'])
    await idle()
  })

  test('lets the last answer reach a client that is still sending its body', async () => {
    const { origin, idle } = await serving(ok, { maxRequestsPerConnection: 1 })
    const connection = await openRaw(origin)
    connection.send(`POST / HTTP/1.1\r\n${HOST}Content-Length: 3000000\r\n\r\n`)
    const response = await connection.response()
    expect([response.status, valuesOf(response, 'connection')]).toEqual([200, ['close']])
    connection.send(new Uint8Array(3_000_000))
    expect(await connection.closed()).toBe('')
    await idle()
  })
})

describe('an accepted connection', () => {
  // Only Linux says of a socket which of its timers runs; the option is set by the same call everywhere.
  test.runIf(process.platform === 'linux')(
    'has TCP keep-alive on, which finds half-open peers (SEC-48)',
    async () => {
      const { origin, port, idle } = await serving(ok)
      const connection = await openRaw(origin)
      connection.send(get('/'))
      await connection.response()
      const ends = [port, connection.port].map((end) => `0100007F:${hex(end)}`)
      const line = await eventually('the connection in the system’s table', () =>
        readFileSync('/proc/net/tcp', 'utf8')
          .split('\n')
          .map((row) => row.trim().split(/\s+/))
          .find(([, local, remote]) => local === ends[0] && remote === ends[1])
      )
      // The sixth column: which timer runs, and when it ends. 02 is that of keep-alive.
      expect(line[5]).toMatch(/^02:/)
      connection.reset()
      await idle()
    }
  )
})

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

describe('edge-wsgi serve', () => {
  test('meets the limits of its flags', async () => {
    const uwsgi = await startUwsgi()
    cleanups.push(() => uwsgi.stop())
    const server = await startServe({
      upstream: uwsgi.address,
      args: [
        '--log',
        '--client-keepalive-timeout',
        String(SHORT_MS),
        '--client-send-timeout',
        String(SHORT_MS),
        '--max-connections',
        '2',
        '--max-requests-per-connection',
        '2',
      ],
    })
    cleanups.push(() => server.stop())
    const connection = await openRaw(server.origin)
    connection.send(get('/'), get('/'), get('/'))
    expect(valuesOf(await connection.response(), 'connection')).toEqual(['keep-alive'])
    expect(valuesOf(await connection.response(), 'connection')).toEqual(['close'])
    expect(await connection.closed()).toBe('')

    const { port } = new URL(server.origin)
    const reader = await silentReader(Number(port), get('/bottle/download?bytes=30000000'))
    const idle = await openRaw(server.origin)
    idle.send(get('/'))
    expect((await idle.response()).status).toBe(200)
    expect(await idle.closed()).toBe('')
    await logged(server, /"GET \/bottle\/download\S* HTTP\/1\.1" 200/)
    expect(await reader.isReset()).toBe(true)
    const last = await openRaw(server.origin)
    last.send(get('/'))
    expect((await last.response()).status).toBe(200)
    last.reset()
  })
})
