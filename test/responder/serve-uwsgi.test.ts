import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server as NetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  createBridge,
  type Handler,
  type ResponderErrorContext,
  type Server,
  serveUwsgi,
  type ServeUwsgiOptions,
  type UwsgiEnv,
} from '../../src/target/node/index.ts'
import { bytesSource, collect } from '../../src/core/body-source.ts'
import type { GatewayResponse } from '../../src/core/gateway-response.ts'
import { GatewayError } from '../../src/index.ts'
import { eventually, within } from '../support/deadline.ts'
import { send } from '../support/http-client.ts'
import {
  exchange,
  openUwsgi,
  packet,
  request,
  type Variables,
  variables,
} from '../support/uwsgi-client.ts'
import { downloadBytes, sha256 } from '../backend/download.ts'
import { startNginx } from '../backend/nginx.ts'
import { fetchHandler } from './app.ts'
import { startResponder } from './runtimes.ts'

const SHORT_MS = 100

interface Reported extends ResponderErrorContext {
  readonly code: string
}

interface Serving {
  readonly url: string
  readonly server: Server
  readonly errors: Reported[]
  readonly lines: string[]
}

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

async function serving(
  handler: Handler,
  options: Partial<ServeUwsgiOptions> = {}
): Promise<Serving> {
  const errors: Reported[] = []
  const lines: string[] = []
  const server = await serveUwsgi(handler, {
    listen: 'uwsgi://127.0.0.1:0',
    closeTimeout: 0.001,
    onError: (error, context) => {
      const code = error instanceof GatewayError ? error.code : error.name
      errors.push({ code, ...context })
    },
    log: (line) => void lines.push(line),
    ...options,
  })
  cleanups.push(() => server.close())
  return { url: server.url, server, errors, lines }
}

async function unixPath(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'edge-wsgi-'))
  cleanups.push(() => rm(directory, { recursive: true }))
  return join(directory, 'uwsgi.sock')
}

/** A handler below Fetch, which can answer what no Response can. */
function headHandler(answer: () => GatewayResponse): Handler {
  return Object.assign(() => new Response(), { handle: async () => answer() })
}

const ok: Handler = () => new Response('ok')
const echo: Handler = async (got) => new Response(await got.arrayBuffer())

/** The environ that a handler gets of these variables, or the status that it does not get them with. */
async function environOf(more: Variables): Promise<UwsgiEnv['environ'] | number> {
  let seen: UwsgiEnv | undefined
  const { url } = await serving((_request, env) => {
    seen = env as UwsgiEnv
    return new Response()
  })
  const { status } = await exchange(url, packet([...variables('GET', '/'), ...more]))
  return status === 200 ? (seen?.environ ?? 0) : (status ?? 0)
}

/** A handler that answers when it is told to. */
function held(): { handler: Handler; started: Promise<void>; release: () => void } {
  const started = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  return {
    handler: async () => {
      started.resolve()
      await released.promise
      return new Response('done')
    },
    started: started.promise,
    release: released.resolve,
  }
}

describe('serveUwsgi() checks', () => {
  test.each<[string, () => unknown]>([
    ['a handler', () => serveUwsgi({} as Handler, { listen: 'uwsgi://127.0.0.1:0' })],
    ['listen', () => serveUwsgi(ok, { listen: 'http://127.0.0.1:0' })],
    ['no listen', () => serveUwsgi(ok, {} as ServeUwsgiOptions)],
    ['allowFrom', () => serving(ok, { allowFrom: ['localhost'] })],
    ['maxVars', () => serving(ok, { maxVars: -1 })],
    ['maxVarsBytes', () => serving(ok, { maxVarsBytes: 65_536 })],
    ['maxBodyBytes', () => serving(ok, { maxBodyBytes: 0.5 })],
    ['clientHeaderTimeout', () => serving(ok, { clientHeaderTimeout: 0 })],
    ['clientBodyTimeout', () => serving(ok, { clientBodyTimeout: Number.NaN })],
    ['sendTimeout', () => serving(ok, { sendTimeout: -1 })],
  ])('%s before it listens', async (_name, start) => {
    await expect((async () => await start())()).rejects.toThrow(/^Cannot /)
  })

  test('that nobody listens there already', async () => {
    const { url } = await serving(ok)
    await expect(serving(ok, { listen: url })).rejects.toThrow(/EADDRINUSE/)
  })

  test('and says where it listens', async () => {
    const { url } = await serving(ok)
    expect(url).toMatch(/^uwsgi:\/\/127\.0\.0\.1:[1-9][0-9]*$/)
    const ipv6 = await serving(ok, { listen: 'uwsgi://[::1]:0' })
    expect(ipv6.url).toMatch(/^uwsgi:\/\/\[::1\]:[1-9][0-9]*$/)
    expect((await request(ipv6.url, 'GET', '/')).body).toBe('ok')
  })
})

describe('limits', () => {
  test('maxVars: as many are served, one more is 431', async () => {
    const { url, errors } = await serving(ok, { maxVars: 20 })
    const vars = variables('GET', '/')
    const more = Array.from({ length: 20 - vars.length }, (_, i) => [`HTTP_X_${i}`, ''] as const)
    expect((await exchange(url, packet([...vars, ...more]))).status).toBe(200)
    const over = await exchange(url, packet([...vars, ...more, ['HTTP_Y', '']]))
    expect([over.status, over.ending]).toEqual([431, 'end'])
    expect(errors.map(({ code }) => code)).toEqual(['ERR_VARS_TOO_LARGE'])
  })

  test('maxVars is 1000 unless it is told (SEC-07)', async () => {
    const { url } = await serving(ok)
    const vars = variables('GET', '/')
    const more = Array.from({ length: 1000 - vars.length }, (_, i) => [`HTTP_X_${i}`, ''] as const)
    expect((await exchange(url, packet([...vars, ...more]))).status).toBe(200)
    expect((await exchange(url, packet([...vars, ...more, ['HTTP_Y', '']]))).status).toBe(431)
  })

  test('maxVarsBytes: a larger block is 431, before it has come', async () => {
    const bytes = packet(variables('GET', '/'))
    const fits = await serving(ok, { maxVarsBytes: bytes.length - 4 })
    expect((await exchange(fits.url, bytes)).status).toBe(200)
    const { url } = await serving(ok, { maxVarsBytes: bytes.length - 5 })
    const over = await exchange(url, bytes.subarray(0, 4))
    expect([over.status, over.body]).toEqual([431, '431 Request Header Fields Too Large\n'])
  })

  test('maxBodyBytes: a larger body is 413, before it has come', async () => {
    let calls = 0
    const { url, errors } = await serving(
      async (got) => {
        calls++
        return await (echo as (got: Request) => Promise<Response>)(got)
      },
      { maxBodyBytes: 5 }
    )
    expect((await request(url, 'POST', '/', [], '12345')).body).toBe('12345')
    const head = packet(variables('POST', '/', [['CONTENT_LENGTH', '6']]))
    const over = await exchange(url, head)
    expect([over.status, over.ending, calls]).toEqual([413, 'end', 1])
    expect(errors.map(({ code }) => code)).toEqual(['ERR_BODY_TOO_LARGE'])
  })

  test('maxBodyBytes counts a chunked body as it comes (SEC-81)', async () => {
    const { url } = await serving(echo, { maxBodyBytes: 5 })
    const head = packet(variables('POST', '/', [['HTTP_TRANSFER_ENCODING', 'Chunked']]))
    expect((await exchange(url, head, '5\r\n12345\r\n0\r\n\r\n')).body).toBe('12345')
    expect((await exchange(url, head, '5\r\n12345\r\n1\r\n6\r\n')).status).toBe(413)
  })

  test('maxBodyBytes may be Infinity', async () => {
    const { url } = await serving(ok, { maxBodyBytes: Infinity })
    const more: Variables = [['CONTENT_LENGTH', '999999999999999']]
    expect((await exchange(url, packet(variables('POST', '/', more)))).status).toBe(200)
  })
})

describe('variables', () => {
  test.each(['HTTP_HOST', 'HTTP_AUTHORIZATION', 'CONTENT_LENGTH', 'CONTENT_TYPE'])(
    '%s that differs from itself is 400 (UW-3)',
    async (name) => {
      const [first, second] = name === 'CONTENT_LENGTH' ? ['3', '4'] : ['a', 'b']
      const { url } = await serving(ok)
      function twice(one: string, two: string): Uint8Array {
        const rest = variables('POST', '/').filter(([known]) => known !== name)
        return packet([...rest, [name, one], [name, two]])
      }
      expect((await exchange(url, twice(first ?? '', second ?? ''), 'abcd')).status).toBe(400)
      expect((await exchange(url, twice(first ?? '', first ?? ''), 'abcd')).status).toBe(200)
    }
  )

  test('of header fields are joined, and of any other the last counts (UW-3)', async () => {
    expect(
      await environOf([
        ['HTTP_X', '1'],
        ['HTTP_COOKIE', 'a=1'],
        ['HTTP_X', '2'],
        ['HTTP_COOKIE', 'b=2'],
        ['REMOTE_ADDR', '192.0.2.2'],
      ])
    ).toMatchObject({ HTTP_X: '1, 2', HTTP_COOKIE: 'a=1; b=2', REMOTE_ADDR: '192.0.2.2' })
  })

  test('that are orders to uWSGI, or mislead, go no further (UW-5, SEC-01, SEC-62)', async () => {
    const environ = await environOf([
      ['UWSGI_FILE', '/x.py'],
      ['UWSGI_ROUTER', 'http'],
      ['UWSGI_', ''],
      ['HTTP_PROXY', 'http://evil.example/'],
      ['HTTP_CONTENT_LENGTH', '9'],
      ['HTTP_CONTENT_TYPE', 'x/y'],
      ['HTTP_UWSGI_FILE', 'a header'],
    ])
    expect(environ).toMatchObject({ HTTP_UWSGI_FILE: 'a header' })
    expect(
      Object.keys(environ).filter((name) => /^UWSGI_|_PROXY$|^HTTP_CONTENT/.test(name))
    ).toEqual([])
  })

  test('cannot reach the prototype of anything', async () => {
    const environ = await environOf([['__proto__', 'x']])
    expect(Object.getOwnPropertyDescriptor(environ, '__proto__')?.value).toBe('x')
    expect(Object.getPrototypeOf(environ)).toBe(Object.prototype)
  })

  test('become the second argument of the handler', async () => {
    const seen: unknown[] = []
    const { url } = await serving((got, env) => {
      seen.push(got.headers.get('content-length'), env)
      return new Response()
    })
    await request(url, 'POST', '/a%2Fb?x', [['SERVER_PROTOCOL', 'HTTP/1.0']], 'abc')
    expect(seen).toMatchObject([
      '3',
      {
        environ: { REQUEST_METHOD: 'POST', REQUEST_URI: '/a%2Fb?x' },
        requestMeta: {
          httpVersion: '1.0',
          remote: { addr: '192.0.2.1', port: 4711 },
          mount: '',
        },
      },
    ])
  })
})

describe('timeouts', () => {
  test.each([
    ['nothing', 0],
    ['a part of a packet', 30],
  ])('clientHeaderTimeout: a front that sends %s is 408', async (_what, length) => {
    const { url, errors } = await serving(ok, { clientHeaderTimeout: SHORT_MS })
    const connection = await openUwsgi(url)
    await connection.write(packet(variables('GET', '/')).subarray(0, length))
    const reply = await connection.reply()
    expect([reply.status, reply.ending]).toEqual([408, 'end'])
    expect(errors).toEqual([
      { code: 'ERR_CLIENT_TIMEOUT', method: '', path: '', peer: '127.0.0.1' },
    ])
  })

  test('clientHeaderTimeout is for all of the packet (SEC-48)', async () => {
    const { url } = await serving(ok, { clientHeaderTimeout: SHORT_MS })
    const connection = await openUwsgi(url)
    const bytes = packet(variables('GET', '/'))
    let sent = 0
    const drip = setInterval(() => void connection.write(bytes.subarray(sent, ++sent)), 10)
    expect((await connection.reply()).status).toBe(408)
    clearInterval(drip)
    expect(sent).toBeLessThan(bytes.length)
  })

  test('clientBodyTimeout: a body that stops is 408', async () => {
    const { url, errors } = await serving(echo, { clientBodyTimeout: SHORT_MS })
    const head = packet(variables('POST', '/slow', [['CONTENT_LENGTH', '5']]))
    const reply = await exchange(url, head, 'abc')
    expect([reply.status, reply.ending]).toEqual([408, 'end'])
    expect(errors).toMatchObject([{ code: 'ERR_CLIENT_TIMEOUT', method: 'POST', path: '/slow' }])
  })

  test('clientBodyTimeout starts again with every piece', async () => {
    const { url } = await serving(echo, { clientBodyTimeout: 400 })
    const connection = await openUwsgi(url)
    await connection.write(packet(variables('POST', '/', [['CONTENT_LENGTH', '6']])))
    for (const piece of ['1', '2', '3', '4', '5', '6']) {
      await connection.write(piece)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect((await connection.reply()).body).toBe('123456')
  })

  test('clientBodyTimeout does not run while the handler does not read', async () => {
    const { url } = await serving(
      async (got) => {
        await new Promise((resolve) => setTimeout(resolve, 3 * SHORT_MS))
        return new Response(await got.text())
      },
      { clientBodyTimeout: SHORT_MS }
    )
    expect((await request(url, 'POST', '/', [], 'abc')).body).toBe('abc')
  })

  test.each([
    ['GET', 'a response', ''],
    ['POST', 'a response beside an unread body', 'abc'],
  ])('sendTimeout: %s, %s that is not taken is broken off', async (method, _what, body) => {
    const cancelled = Promise.withResolvers<void>()
    const { url, errors } = await serving(
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
            cancel: () => cancelled.resolve(),
          })
        ),
      { sendTimeout: SHORT_MS }
    )
    const connection = await openUwsgi(url)
    connection.pause()
    const more: Variables = body === '' ? [] : [['CONTENT_LENGTH', String(body.length)]]
    await connection.write(packet(variables(method, '/endless', more)))
    await connection.write(body)
    await within('the cancellation', cancelled.promise)
    await eventually('the report', () => errors.length > 0)
    expect(errors).toEqual([
      { code: 'ERR_SEND_TIMEOUT', method, path: '/endless', peer: '127.0.0.1' },
    ])
    connection.resume()
    expect((await connection.reply()).ending).toBe('reset')
  })

  test('sendTimeout does not run while the handler has nothing to send', async () => {
    const { url } = await serving(
      () => {
        const parts = ['one', 'two']
        return new Response(
          new ReadableStream({
            async pull(controller) {
              await new Promise((resolve) => setTimeout(resolve, 3 * SHORT_MS))
              const part = parts.shift()
              if (part === undefined) controller.close()
              else controller.enqueue(new TextEncoder().encode(part))
            },
          })
        )
      },
      { sendTimeout: SHORT_MS }
    )
    expect((await request(url, 'GET', '/')).body).toBe('onetwo')
  })
})

describe('allowFrom', () => {
  test('another peer is 403, its packet unread and its upload drained (UW-13)', async () => {
    const handler = vi.fn<() => Response>(() => new Response('ok'))
    const { url, errors, lines } = await serving(handler, { allowFrom: ['10.0.0.0/8'] })
    for (const body of ['', Buffer.alloc(5_000_000)]) {
      const reply = await request(url, 'POST', '/secret', [], body)
      expect([reply.status, reply.body, reply.ending]).toEqual([403, '403 Forbidden\n', 'end'])
    }
    expect(handler).not.toHaveBeenCalled()
    const context = { method: '', path: '', peer: '127.0.0.1' }
    expect(errors).toEqual(
      Array.from({ length: 2 }, () => ({ code: 'ERR_PEER_FORBIDDEN', ...context }))
    )
    expect(lines).toEqual([])
  })

  test('a peer that is listed is served', async () => {
    const { url } = await serving(ok, { allowFrom: ['127.0.0.1'] })
    expect((await request(url, 'GET', '/')).status).toBe(200)
  })

  test('a unix socket is one by default, and unless others are listed', async () => {
    for (const [allowFrom, status] of [
      [undefined, 200],
      [['unix:'], 200],
      [['127.0.0.1'], 403],
    ] as const) {
      const { url, server } = await serving(ok, { listen: `unix:${await unixPath()}`, allowFrom })
      expect((await request(url, 'GET', '/')).status).toBe(status)
      await server.close()
    }
  })

  test('a front that has gone by the time is not one that is forbidden', async () => {
    const { url, errors, lines } = await serving(ok)
    // This process stands still meanwhile, so that it gets connections which are reset already.
    const code = `for (const port of Array(5).fill(${new URL(url).port})) {
      const socket = require('net').connect(port, '127.0.0.1', () => socket.resetAndDestroy())
    }`
    expect(spawnSync(process.execPath, ['-e', code]).status).toBe(0)
    await request(url, 'GET', '/')
    await eventually('a log line', () => lines.length > 0)
    expect(errors).toEqual([])
  })
})

describe('a handler that breaks its contract', () => {
  test.each<[string, Handler]>([
    [
      'throws',
      () => {
        throw new Error('secret')
      },
    ],
    [
      'throws no Error',
      () => {
        throw 'secret' as unknown as Error
      },
    ],
    ['rejects', () => Promise.reject(new Error('secret'))],
    ['returns undefined', () => undefined as never],
    ['returns no Response', () => 'secret' as never],
    ['returns Response.error()', () => Response.error()],
    [
      'fails before its first byte',
      () => new Response(new ReadableStream({ start: (c) => c.error(new Error('secret')) })),
    ],
    ['announces no number', () => new Response('ok', { headers: { 'Content-Length': 'two' } })],
    ['sends status 101', headHandler(() => ({ status: 101, reason: '', headers: [] }))],
    ['sends status 999', headHandler(() => ({ status: 999, reason: '', headers: [] }))],
    [
      'splits its head (SEC-70)',
      headHandler(() => ({ status: 200, reason: '', headers: [['X', 'a\r\nSecret: b']] })),
    ],
    [
      'splits its reason (SEC-70)',
      headHandler(() => ({ status: 200, reason: 'OK\r\nSecret: b', headers: [] })),
    ],
    [
      'names a header wrongly',
      headHandler(() => ({ status: 200, reason: '', headers: [['X: secret', 'b']] })),
    ],
    [
      'leaves Latin-1 (SEC-11)',
      headHandler(() => ({ status: 200, reason: '', headers: [['X', '\u560d\u560asecret']] })),
    ],
  ])('is 500 when it %s, and tells the operator only (SEC-79)', async (_what, handler) => {
    const { url, errors } = await serving(handler)
    const reply = await request(url, 'GET', '/broken')
    expect([reply.status, reply.body, reply.ending]).toEqual([
      500,
      '500 Internal Server Error\n',
      'end',
    ])
    expect(reply.text).not.toMatch(/secret/i)
    expect(errors).toMatchObject([{ method: 'GET', path: '/broken', peer: '127.0.0.1' }])
    expect(errors).toHaveLength(1)
  })

  test('has what it made of a body cancelled where its head cannot be sent', async () => {
    const body = { read: async () => undefined, cancel: vi.fn<() => Promise<void>>(async () => {}) }
    const { url } = await serving(
      headHandler(() => ({ status: 999, reason: '', headers: [], body }))
    )
    await request(url, 'GET', '/')
    expect(body.cancel).toHaveBeenCalled()
  })

  test('is reported once where it fails behind its head', async () => {
    const { url, errors, lines } = await serving(fetchHandler)
    await request(url, 'GET', '/do/fail?bytes=5&length=9')
    await eventually('a log line', () => lines.length > 0)
    expect(errors).toEqual([
      { code: 'Error', method: 'GET', path: '/do/fail?bytes=5&length=9', peer: '127.0.0.1' },
    ])
  })

  test('and an onError that fails too do not cost the answer', async () => {
    const print = vi.spyOn(console, 'error').mockImplementation(() => {})
    const failure = new Error('onError')
    const { url } = await serving(() => Promise.reject(new Error('handler')), {
      onError: () => {
        throw failure
      },
    })
    expect((await request(url, 'GET', '/')).status).toBe(500)
    expect(print).toHaveBeenCalledWith(failure)
  })

  test('is written to the console unless there is an onError, on one line (SEC-36)', async () => {
    const print = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { url } = await serving(() => Promise.reject(new Error('handler')), {
      onError: undefined,
    })
    await request(url, 'GET', '/a\x1b[2J')
    expect(print).toHaveBeenCalledOnce()
    const line = print.mock.calls.flat().map(String).join(' ')
    expect(line).toMatch(/GET \/a\\x1b\[2J 127\.0\.0\.1/)
    expect(line).toContain('handler')
    expect(line).not.toContain('\x1b')
  })
})

describe('a response', () => {
  test('has no hop-by-hop fields', async () => {
    const { url } = await serving(
      headHandler(() => ({
        status: 200,
        reason: 'Fine Thing',
        headers: [
          ['Transfer-Encoding', 'chunked'],
          ['Connection', 'keep-alive'],
          ['Keep-Alive', 'timeout=5'],
          ['X-A', 'caf\xe9'],
        ],
        body: bytesSource(new TextEncoder().encode('ok')),
      }))
    )
    const reply = await request(url, 'GET', '/')
    expect(reply.text).toBe('HTTP/1.1 200 Fine Thing\r\nX-A: caf\xe9\r\n\r\nok')
  })

  test('is the handler’s below Fetch, to which the body comes as a source', async () => {
    const handler: Handler = Object.assign(() => new Response(), {
      handle: async (
        head: { method: string },
        body: Parameters<typeof collect>[0] | undefined
      ) => ({
        status: 200,
        reason: '',
        headers: [],
        body: bytesSource(
          new TextEncoder().encode(
            `${head.method} ${(body && (await collect(body)).length) ?? 'none'}`
          )
        ),
      }),
    })
    const { url } = await serving(handler)
    expect((await request(url, 'PUT', '/', [], 'abc')).body).toBe('PUT 3')
    expect((await request(url, 'GET', '/')).body).toBe('GET none')
    const empty: Variables = [['CONTENT_LENGTH', '0']]
    expect((await request(url, 'POST', '/', empty)).body).toBe('POST none')
  })

  test('may be the body of its request, both ways at once', async () => {
    const { url } = await serving((got) => new Response(got.body))
    const body = downloadBytes(5_000_000)
    const reply = await request(url, 'POST', '/', [], body)
    expect(sha256(Buffer.from(reply.body, 'latin1'))).toBe(sha256(body))
    expect(reply.ending).toBe('end')
  })

  test('keeps the signal of its request, whatever the garbage collector does', async () => {
    const aborted = Promise.withResolvers<string>()
    const started = Promise.withResolvers<void>()
    const { url } = await serving(({ signal }) => {
      signal.addEventListener('abort', () => aborted.resolve('aborted'))
      started.resolve()
      return new Promise<Response>(() => {})
    })
    const connection = await openUwsgi(url)
    await connection.write(packet(variables('GET', '/')))
    await started.promise
    await collectGarbage()
    connection.destroy()
    expect(await within('the abort', aborted.promise)).toBe('aborted')
  })
})

describe('a front that leaves', () => {
  test.each([
    ['resets', 'ERR_CLIENT_CLOSED'],
    ['ends', 'ERR_BODY_TOO_SHORT'],
  ])('fails the body with what happened to it: one that %s with %s', async (how, code) => {
    const failed = Promise.withResolvers<unknown>()
    const reading = Promise.withResolvers<void>()
    const { url, errors } = await serving(async (got) => {
      reading.resolve()
      await got.arrayBuffer().catch(failed.resolve)
      return new Response()
    })
    const connection = await openUwsgi(url)
    await connection.write(packet(variables('POST', '/', [['CONTENT_LENGTH', '5']])))
    await connection.write('abc')
    await reading.promise
    if (how === 'resets') connection.destroy('reset')
    else connection.end()
    expect(await within('the failure', failed.promise)).toMatchObject({ code })
    expect(errors).toEqual([])
  })

  test('fails a body that is read after it, too', async () => {
    const started = Promise.withResolvers<void>()
    const failed = Promise.withResolvers<unknown>()
    const { url } = await serving(async (got) => {
      started.resolve()
      await new Promise((resolve) => got.signal.addEventListener('abort', resolve))
      await new Promise((resolve) => setTimeout(resolve, 10))
      await got.arrayBuffer().then(failed.resolve, failed.resolve)
      return new Response()
    })
    const connection = await openUwsgi(url)
    await connection.write(packet(variables('POST', '/', [['CONTENT_LENGTH', '5']])))
    await connection.write('abc')
    await started.promise
    connection.destroy('reset')
    expect(await within('the failure', failed.promise)).toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
  })

  test('before there is a response has its body cancelled', async () => {
    const started = Promise.withResolvers<void>()
    const cancelled = Promise.withResolvers<string>()
    const { url } = await serving(async ({ signal }) => {
      started.resolve()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      return new Response(new ReadableStream({ cancel: () => cancelled.resolve('cancelled') }))
    })
    const connection = await openUwsgi(url)
    await connection.write(packet(variables('GET', '/')))
    await started.promise
    connection.destroy()
    expect(await within('the cancellation', cancelled.promise)).toBe('cancelled')
  })
})

describe('the access log', () => {
  test('has a line for each request', async () => {
    const { url, lines } = await serving(fetchHandler)
    await request(url, 'GET', '/do/status?code=404')
    await request(url, 'POST', '/do/early', [], 'abc')
    await eventually('two lines', () => lines.length === 2)
    expect(lines[0]).toMatch(
      /^\d{4}-\d\d-\d\dT\S+Z 192\.0\.2\.1 "GET \/do\/status\?code=404 HTTP\/1\.1" 404 \d+\.\dms$/
    )
    expect(lines[1]).toContain('"POST /do/early HTTP/1.1" 413 ')
  })

  test('has 499 for a front that left, and nothing for a ping', async () => {
    const { url, lines } = await serving(() => new Promise<Response>(() => {}))
    await exchange(url, Uint8Array.of(100, 0, 0, 0))
    const connection = await openUwsgi(url)
    await connection.write(packet(variables('GET', '/left')))
    connection.end()
    await connection.reply()
    await eventually('a line', () => lines.length > 0)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('"GET /left HTTP/1.1" 499 ')
  })

  test('has what is refused, escaped (SEC-36)', async () => {
    const { url, lines } = await serving(ok)
    const more: Variables = [
      ['REQUEST_URI', '/\n" x\x1b'],
      ['HTTP_HOST', 'a/b'],
    ]
    expect((await request(url, 'GET', '/', more)).status).toBe(400)
    await eventually('a line', () => lines.length > 0)
    expect(lines[0]).toMatch(/^\S+ 192\.0\.2\.1 "GET \/\\x0a%22 x\\x1b HTTP\/1\.1" 400 \S+$/)
  })
})

describe('close()', () => {
  test('lets requests under way end, and takes no more', async () => {
    const { handler, started, release } = held()
    const { url, server } = await serving(handler, { closeTimeout: 10_000 })
    const reply = request(url, 'GET', '/')
    await started
    const closed = server.close()
    await expect(openUwsgi(url)).rejects.toThrow(/ECONNREFUSED/)
    release()
    expect((await reply).body).toBe('done')
    await within('the end', closed)
  })

  test('breaks them off after closeTimeout', async () => {
    const { handler, started } = held()
    const { url, server } = await serving(handler, { closeTimeout: SHORT_MS })
    const reply = request(url, 'GET', '/')
    await started
    await within('the end', server.close())
    expect(await reply).toMatchObject({ text: '', ending: 'reset' })
  })

  test('breaks off all that are left, whichever has ended before', async () => {
    const waiting: (() => void)[] = []
    const handler = (): Promise<Response> =>
      new Promise((resolve) => waiting.push(() => resolve(new Response('done'))))
    const { url, server } = await serving(handler, { closeTimeout: SHORT_MS })
    const replies: ReturnType<typeof request>[] = []
    for (let started = 1; started <= 4; started++) {
      replies.push(request(url, 'GET', '/'))
      await eventually('the request', async () => waiting.length === started)
    }
    waiting[1]?.()
    expect((await replies[1])?.body).toBe('done')
    waiting[3]?.()
    expect((await replies[3])?.body).toBe('done')
    await within('the end', server.close())
    expect([(await replies[0])?.ending, (await replies[2])?.ending]).toEqual(['reset', 'reset'])
  })

  test('can be called again', async () => {
    const { server } = await serving(ok)
    await expect(Promise.all([server.close(), server.close()])).resolves.toBeDefined()
    await expect(server.close()).resolves.toBeUndefined()
  })

  test('leaves the path of a unix socket free', async () => {
    const path = await unixPath()
    const first = await serving(ok, { listen: `unix:${path}` })
    expect(first.url).toBe(`unix:${path}`)
    expect((await request(first.url, 'GET', '/')).body).toBe('ok')
    await first.server.close()
    expect(existsSync(path)).toBe(false)
    const second = await serving(ok, { listen: `unix:${path}` })
    expect((await request(second.url, 'GET', '/')).body).toBe('ok')
  })
})

describe('a unix socket', () => {
  test('that a killed process left behind is replaced', async () => {
    const path = await unixPath()
    const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log(1))`
    const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'ignore'] })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(existsSync(path)).toBe(true)
    const { url } = await serving(ok, { listen: `unix:${path}` })
    expect((await request(url, 'GET', '/')).body).toBe('ok')
  })

  test('that somebody listens on is not', async () => {
    const path = await unixPath()
    const other: NetServer = createServer((socket) => socket.end()).listen(path)
    await once(other, 'listening')
    await expect(serving(ok, { listen: `unix:${path}` })).rejects.toThrow(/EADDRINUSE/)
    other.close()
  })

  test('is where its errors and log lines come from', async () => {
    const { url, errors } = await serving(() => Promise.reject(new Error('x')), {
      listen: `unix:${await unixPath()}`,
    })
    await request(url, 'GET', '/')
    expect(errors).toMatchObject([{ peer: 'unix:' }])
  })
})

test('a bridge of ours can be the front', async () => {
  const inner = await serving(fetchHandler)
  const outer = await serving(createBridge(inner.url))
  const body = Buffer.alloc(2_000_000, 'x')
  const more: Variables = [
    ['PATH_INFO', '/a/b'],
    ['HTTP_X', '1'],
  ]
  const reply = await request(outer.url, 'POST', '/a%2Fb?x=1', more, body)
  expect(reply.json()).toMatchObject({
    url: 'http://h.example/a%2Fb?x=1',
    bodyLength: body.length,
    headers: { x: '1' },
    meta: { remote: { addr: '192.0.2.1', port: 4711 } },
  })
  const early = await request(outer.url, 'POST', '/do/early', [], body)
  expect([early.status, early.body]).toEqual([413, 'too much'])
  expect((await request(outer.url, 'GET', '/do/fail?bytes=5')).ending).toBe('reset')
})

describe.each(['node', 'deno'] as const)('serveUwsgi() on %s', (runtime) => {
  test('closes on nginx without an error', async () => {
    const options = { closeTimeout: 60_000 }
    const responder = await startResponder(runtime, { stopSignal: 'SIGTERM', options })
    const nginx = await startNginx({ upstream: responder.url.fetch })
    try {
      const answer = send(nginx.origin, { target: '/do/hold?token=x' })
      // Before the end of new connections: the release needs one.
      const releasing = await openUwsgi(responder.url.fetch)
      await eventually('the request', async () => {
        const { body } = await request(responder.url.fetch, 'GET', '/do/fate?token=x')
        return body.includes('started')
      })
      const stopped = responder.stop()
      await eventually('the end of new connections', async () =>
        openUwsgi(responder.url.fetch).then(
          (connection) => void connection.destroy(),
          () => true
        )
      )
      await releasing.write(packet(variables('GET', '/do/release?token=x')))
      expect((await releasing.reply()).body).toBe('released')
      expect((await answer).text).toBe('released')
      await stopped
      expect(responder.log()).toMatch(/^Closed\n(?:.*\n)*Exited$/m)
    } finally {
      await Promise.all([nginx.stop(), responder.stop()])
    }
  })

  test('keeps to its options', async () => {
    const responder = await startResponder(runtime, {
      options: {
        maxVars: 20,
        maxBodyBytes: 5,
        clientHeaderTimeout: SHORT_MS,
        allowFrom: ['127.0.0.1'],
      },
    })
    const { fetch } = responder.url
    const many = Array.from({ length: 20 }, (_, i) => [`HTTP_X_${i}`, ''] as const)
    expect((await request(fetch, 'GET', '/', many)).status).toBe(431)
    expect((await request(fetch, 'POST', '/', [], '123456')).status).toBe(413)
    expect((await exchange(fetch)).status).toBe(408)
    await responder.stop()
    const strict = await startResponder(runtime, { options: { allowFrom: ['10.0.0.0/8'] } })
    expect((await request(strict.url.fetch, 'GET', '/')).status).toBe(403)
    await strict.stop()
  })
})

/** Makes the garbage collector run without asking for it on the command line. */
async function collectGarbage(): Promise<void> {
  const v8 = await import('node:v8')
  const vm = await import('node:vm')
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
