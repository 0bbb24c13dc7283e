import { describe, expect, test } from 'vitest'
import { type Application, runApplication } from '../../src/core/application.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { toApplication, uwsgiEnv } from '../../src/core/fetch-application.ts'
import { environHead } from '../../src/core/from-environ.ts'
import { gateway } from '../../src/core/gateway.ts'
import type { FetchHandler } from '../../src/core/handler.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import {
  answer,
  environFor,
  ErrorLog,
  PAGE_500,
  refuseUnhandledRejections,
  seen,
  serve,
  turn,
} from './application-support.ts'
import { chunkStream, fetchRequest, octets, refusalOf, type RequestParts } from './support.ts'

refuseUnhandledRejections()

test.each([undefined, null, 5, 'text', {}, { fetch: () => new Response() }])(
  'toApplication() throws at once where the handler is %o',
  (handler) => {
    expect(() => toApplication(handler as never)).toThrow(TypeError)
  }
)

const COOKIES: [string, string][] = [
  ['Set-Cookie', 'a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT'],
  ['X-A', '1'],
  ['Set-Cookie', 'b=2'],
  ['X-A', '2'],
]

function failing(): Response {
  return new Response(chunkStream(['a', 'b'], new Error('oops')))
}

/** Handlers that are to do the same called directly and as an application. */
const HANDLERS: readonly (readonly [string, FetchHandler])[] = [
  ['a text', () => new Response('hello')],
  ['bytes', () => new Response(Buffer.from('a\xff\0', 'latin1'))],
  ['a promise', async () => new Response('later')],
  ['a status and a reason', () => new Response('x', { status: 404, statusText: 'Nicht da' })],
  ['several cookies', () => new Response('x', { headers: COOKIES })],
  ['a null body', () => new Response(null)],
  ['a 204', () => new Response(null, { status: 204 })],
  ['a 205', () => new Response(null, { status: 205 })],
  ['a 304', () => new Response(null, { status: 304, headers: { etag: '"1"' } })],
  ['a redirect', () => Response.redirect('http://h.example/x', 307)],
  ['JSON', () => Response.json({ a: [1, 'é'] })],
  ['an empty text', () => new Response('')],
  ['a stream', () => new Response(chunkStream(['a', '', 'b', 'c']))],
  ['a stream that fails', failing],
  ['a length', () => new Response(chunkStream(['a', 'b']), { headers: { 'content-length': '2' } })],
  ['octets in a header', () => new Response('x', { headers: { 'x-a': 'caf\xe9' } })],
  [
    'an echo',
    async (request) => new Response(request.body, { headers: { 'x-method': request.method } }),
  ],
  [
    'what the request says',
    (request) => Response.json([request.method, request.url, [...request.headers]]),
  ],
]

/** The requests of those that want one of their own. */
const REQUESTS: Readonly<Record<string, RequestParts>> = {
  'an echo': { url: 'http://h.example/a', body: chunkStream(['one ', 'two']) },
  'what the request says': {
    url: 'http://h.example/%E3%81%82/a%2Fb?q=%zz',
    method: 'DELETE',
    headers: [
      ['host', 'h.example'],
      ['x-a', '1'],
      ['cookie', 'a=1; b=2'],
      ['authorization', 'Basic eA=='],
    ],
  },
}

/** The same parts twice, since a body is read once. */
function twice(parts: RequestParts = {}): [RequestParts, RequestParts] {
  const { body, ...rest } = parts
  if (body === undefined) return [rest, rest]
  const [one, other] = body.tee()
  return [
    { ...rest, body: one },
    { ...rest, body: other },
  ]
}

/** The headers without the length, which may be learned on the way. */
function withoutLength(headers: Headers): Record<string, string> {
  const { 'content-length': _, ...rest } = Object.fromEntries(headers)
  return rest
}

test.each(HANDLERS)(
  'toApplication() answers as the handler does: %s (RSP-50, RSP-51, RSP-52)',
  async (title, handler) => {
    const [one, other] = twice(REQUESTS[title])
    const direct = await seen(await handler(fetchRequest(one)))
    const indirect = await serve(toApplication(handler), other)
    const { status, body, broken } = direct
    expect(indirect).toMatchObject({ status, body, broken })
    if (direct.reason !== '') expect(indirect.reason).toBe(direct.reason)
    expect(withoutLength(indirect.headers)).toEqual(withoutLength(direct.headers))
    expect(indirect.headers.getSetCookie()).toEqual(direct.headers.getSetCookie())
    const length = indirect.headers.get('content-length')
    if (length !== null) expect(length).toBe(String(body.length))
    expect(indirect.log === '').toBe(title !== 'a stream that fails')
  }
)

test('toApplication() gives HEAD the headers alone (RSP-40)', async () => {
  const app = toApplication(() => new Response('hello', { headers: { 'content-length': '5' } }))
  const head = await serve(app, { method: 'HEAD' })
  expect(head).toMatchObject({ status: 200, bodyless: true })
  expect(head.headers.get('content-length')).toBe('5')
})

test('toApplication() streams: the client has a piece before the next one is made', async () => {
  const gate = Promise.withResolvers<void>()
  let first = true
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!first) await gate.promise
        controller.enqueue(octets(first ? 'one' : 'two'))
        if (!first) controller.close()
        first = false
      },
    },
    { highWaterMark: 0 }
  )
  const app = toApplication(() => new Response(stream))
  const response = await runApplication(app, await environFor())
  const reader = response.body?.getReader()
  expect(octetsToNative((await reader?.read())?.value ?? octets(''))).toBe('one')
  gate.resolve()
  expect(octetsToNative((await reader?.read())?.value ?? octets(''))).toBe('two')
  expect(await reader?.read()).toMatchObject({ done: true })
})

test('toApplication() drops what is hop-by-hop, which no application may send (RSP-16, RSP-51)', async () => {
  const headers = {
    connection: 'close',
    'keep-alive': '5',
    'proxy-authenticate': 'Basic',
    'proxy-authorization': 'x',
    'transfer-encoding': 'chunked',
    upgrade: 'h2c',
    'x-a': '1',
  }
  const app = await serve(toApplication(() => new Response(null, { headers })))
  expect(app).toMatchObject({ status: 200, log: '' })
  expect(Object.fromEntries(app.headers)).toEqual({ 'content-length': '0', 'x-a': '1' })
})

describe('toApplication() answers 500, with a page that tells nothing (RSP-39, SEC-79)', () => {
  test.each<[string, () => unknown]>([
    [
      'to a failure',
      () => {
        throw new Error('secret')
      },
    ],
    ['to a rejection', () => Promise.reject(new Error('secret'))],
    ['to Response.error() (RSP-50)', () => Response.error()],
    ['to what is no Response', () => 'hello'],
    ['to nothing', () => undefined],
    ['to a body that fails at once', () => new Response(chunkStream([], new Error('secret')))],
    ['to a wrong length', () => new Response('x', { headers: { 'content-length': 'abc' } })],
    [
      'to a control character in a header',
      () => new Response('x', { headers: { 'x-a': 'a\x01' } }),
    ],
    ['to a header that has no variable', () => new Response('x', { headers: { 'x-a-': '1' } })],
  ])('%s', async (_, handler) => {
    const response = await serve(toApplication(handler as FetchHandler))
    expect(response).toMatchObject({ status: 500, body: PAGE_500 })
    expect(response.log).not.toBe('')
  })
})

test('toApplication() answers 400 for an environ that no Request stands for (REV-2, REV-4)', async () => {
  const calls: unknown[] = []
  const app = toApplication((request) => {
    calls.push(request)
    return new Response()
  })
  for (const [change, status] of [
    [{ PATH_INFO: '/a/../b', REQUEST_URI: '' }, 400],
    [{ HTTP_X_A: 'a\n' }, 400],
    [{ REQUEST_METHOD: 'TRACE' }, 405],
  ] as const) {
    const response = await runApplication(app, { ...(await environFor()), ...change })
    expect(response.status).toBe(status)
  }
  expect(calls).toEqual([])
})

test('toApplication() hands the handler what gateway() and Hono know', async () => {
  const seenEnvs: unknown[] = []
  const app = toApplication((_request, env) => {
    seenEnvs.push(env)
    return new Response()
  })
  const environ = {
    ...(await environFor({ url: 'http://h.example/app/x?q' })),
    SCRIPT_NAME: '/app',
    PATH_INFO: '/x',
    REMOTE_ADDR: '192.0.2.7',
    REMOTE_PORT: '5',
    SERVER_PROTOCOL: 'HTTP/2.0',
  }
  await runApplication(app, environ)
  const requestMeta = {
    rawTarget: '/app/x?q',
    httpVersion: '2.0',
    remote: { addr: '192.0.2.7', port: 5 },
    mount: '/app',
  }
  expect(seenEnvs).toEqual([{ environ, requestMeta }])
  expect(uwsgiEnv(environ, environHead(environ))).toEqual({ environ, requestMeta })
})

test('gateway() inside toApplication() inside gateway() sees the same environ', async () => {
  const environs: Record<string, unknown>[] = []
  const inner: Application = (environ, startResponse) => {
    environs.push(environ)
    startResponse('200 OK', [])
    return []
  }
  const fetch = gateway(toApplication(gateway(inner)), { mount: '/app' })
  const direct = gateway(inner, { mount: '/app' })
  const meta = {
    requestMeta: { remote: { addr: '192.0.2.7', port: 5 }, rawTarget: "/app/%61?q='" },
  }
  const parts = { url: "http://h.example/app/%61?q='" }
  await fetch(fetchRequest(parts), meta)
  await direct(fetchRequest(parts), meta)
  const [through, straight] = environs.map((environ) =>
    Object.fromEntries(Object.entries(environ).filter(([key]) => !key.startsWith('wsgi.')))
  )
  expect(through).toEqual(straight)
})

/** A stream without end that keeps how it was given up. */
function watched(): { stream: ReadableStream<Uint8Array>; cancelled: unknown[] } {
  const cancelled: unknown[] = []
  const stream = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => controller.enqueue(octets('a')),
      cancel: (reason) => void cancelled.push(reason),
    },
    { highWaterMark: 0 }
  )
  return { stream, cancelled }
}

describe('toApplication() lets go of the body (RSP-42, RSP-52)', () => {
  test('when the client goes away, and tells the handler', async () => {
    const { stream, cancelled } = watched()
    const signals: AbortSignal[] = []
    const app = toApplication((request) => {
      signals.push(request.signal)
      return new Response(stream)
    })
    const { body } = await answer(app)
    await body?.read()
    expect(signals[0]?.aborted).toBe(false)
    await body?.cancel(undefined)
    expect(cancelled).toHaveLength(1)
    expect(signals[0]?.aborted).toBe(true)
  })

  test('when its Content-Length is reached', async () => {
    const { stream, cancelled } = watched()
    const headers = { 'content-length': '3' }
    const response = await serve(toApplication(() => new Response(stream, { headers })))
    expect(response).toMatchObject({ status: 200, body: 'aaa', broken: false })
    await turn()
    expect(cancelled).toHaveLength(1)
  })

  test('when its head is refused', async () => {
    const { stream, cancelled } = watched()
    const headers = { 'x-a': 'a\x01' }
    const response = await serve(toApplication(() => new Response(stream, { headers })))
    expect(response.status).toBe(500)
    await turn()
    expect(cancelled).toHaveLength(1)
  })

  test('for HEAD', async () => {
    const { stream, cancelled } = watched()
    await serve(
      toApplication(() => new Response(stream)),
      { method: 'HEAD' }
    )
    await turn()
    expect(cancelled).toHaveLength(1)
  })
})

test('toApplication() is an application like any other: one that is called by hand', async () => {
  const app = toApplication(() => new Response('hello', { status: 201 }))
  const started: unknown[] = []
  const log = new ErrorLog()
  const result = await app(await environFor({}, log), (...args) => {
    started.push(args)
    return async () => {}
  })
  expect(started).toEqual([
    [
      '201 Created',
      [
        ['content-type', 'text/plain;charset=UTF-8'],
        ['content-length', '5'],
      ],
    ],
  ])
  const chunks: string[] = []
  for await (const chunk of result) chunks.push(octetsToNative(chunk))
  expect(chunks).toEqual(['hello'])
  await result.close?.()
  expect(log.text).toBe('')
})

test('toApplication() of a null body is an empty iterable (RSP-52)', async () => {
  for (const method of ['GET', 'HEAD']) {
    const app = toApplication(() => new Response(null))
    const result = await app(await environFor({ method }), () => async () => {})
    const chunks: Uint8Array[] = []
    for await (const chunk of result) chunks.push(chunk)
    expect(chunks).toEqual([])
  }
})

test('toApplication() rejects with the error of its handler, as an application does', async () => {
  const error = new GatewayError('ERR_BAD_REQUEST', 'no')
  const app = toApplication(() => {
    throw error
  })
  const environ = await environFor()
  const calling = Promise.resolve(app(environ, () => async () => {}))
  expect(await refusalOf(calling)).toBe('400 ERR_BAD_REQUEST')
})
