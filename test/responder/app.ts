/**
 * The handlers that the fronts are put in front of, the same on every runtime.
 *
 * The fetch handler shows the request that it got, unless its path begins with `/do/`:
 *
 *     /do/cookies                        two Set-Cookie lines
 *     /do/status?code=N                  an empty response; 304 and 204 with an ETag
 *     /do/head?bytes=N                   a header field of N octets
 *     /do/body?bytes=N&length=N&at-once  N bytes; `length` announces as many, which may be a lie
 *     /do/fail?bytes=N&length=N          fails behind N bytes
 *     /do/early                          413, the body unread
 *     /do/throw, nothing, error, split   what no handler should do
 *     /do/hold?token=T                   says nothing until released
 *     /do/read?token=T                   reads the body and says nothing until released
 *     /do/first?token=T                  notes each chunk of the body
 *     /do/stream?token=T                 says `one` and, released, `two`
 *     /do/endless?token=T                goes on as long as somebody takes it
 *     /do/release?token=T                releases
 *     /do/fate?token=T                   what has become of the request T: a list of events
 *
 * @module
 */
import { Hono } from 'hono'
import { type Application, gateway, type UwsgiEnv } from '../../src/index.ts'
import type { Gateway } from '../../src/core/gateway.ts'
import { validator } from '../../src/core/validator.ts'

const CHUNK_BYTES = 65_536

/** The request as the handler got it. */
export interface Seen {
  readonly method: string
  readonly url: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly bodyLength: number
  readonly bodySha256: string
  readonly meta: UwsgiEnv['requestMeta']
  /** The variables that the front sent. */
  readonly environ: Readonly<Record<string, string>>
}

/** What is known of a request that a test follows. */
class Followed {
  readonly events: string[] = []
  readonly #released = Promise.withResolvers<void>()

  get released(): Promise<void> {
    return this.#released.promise
  }

  release(): void {
    this.#released.resolve()
  }
}

const followed = new Map<string, Followed>()

type Action = (request: Request, query: URLSearchParams) => Response | Promise<Response>

const ACTIONS: Readonly<Record<string, Action>> = {
  cookies: () =>
    new Response('ok', {
      headers: [
        ['Set-Cookie', 'a=1; Path=/'],
        ['Set-Cookie', 'b=2, 3; Expires=Sun, 06 Nov 1994 08:49:37 GMT'],
      ],
    }),
  status: (_request, query) =>
    new Response(null, { status: Number(query.get('code')), headers: { ETag: '"x"' } }),
  head: (_request, query) =>
    new Response('ok', { headers: { 'X-Big': 'a'.repeat(Number(query.get('bytes'))) } }),
  body: (_request, query) => {
    const bytes = Number(query.get('bytes'))
    const body = query.has('at-once') ? new Uint8Array(bytes).fill(97) : streamOf(bytes)
    return new Response(body, { headers: lengthHeader(query) })
  },
  fail: (_request, query) =>
    new Response(streamOf(Number(query.get('bytes')), new Error('as it was told')), {
      headers: lengthHeader(query),
    }),
  early: () => new Response('too much', { status: 413 }),
  throw: () => {
    throw new Error('as it was told')
  },
  nothing: () => undefined as never,
  error: () => Response.error(),
  hold: async (request, query) => {
    const { released } = follow(request, query)
    await released
    return new Response('released')
  },
  read: async (request, query) => {
    const { events, released } = follow(request, query)
    try {
      events.push(`read ${(await request.arrayBuffer()).byteLength}`)
    } catch {
      events.push('cut off')
    }
    await released
    return new Response('released')
  },
  first: async (request, query) => {
    const { events } = follow(request, query)
    let length = 0
    for await (const chunk of request.body ?? []) events.push(`read ${(length += chunk.length)}`)
    return Response.json(length)
  },
  stream: (request, query) => {
    const { events, released } = follow(request, query)
    const parts = ['one', 'two']
    const body = new ReadableStream(
      {
        async pull(controller) {
          if (parts.length === 1) await released
          const part = parts.shift()
          if (part === undefined) controller.close()
          else controller.enqueue(new TextEncoder().encode(part))
        },
        cancel: () => void events.push('cancelled'),
      },
      { highWaterMark: 0 }
    )
    // What nginx's documentation recommends for a stream; others hand it on.
    return new Response(body, { headers: { 'X-Accel-Buffering': 'no' } })
  },
  endless: (request, query) => {
    const { events } = follow(request, query)
    let sent = 0
    const counter = events.push('sent 0') - 1
    const body = new ReadableStream(
      {
        pull(controller) {
          controller.enqueue(new Uint8Array(CHUNK_BYTES))
          sent += CHUNK_BYTES
          events[counter] = `sent ${sent}`
        },
        cancel: () => void events.push('cancelled'),
      },
      { highWaterMark: 0 }
    )
    return new Response(body, { headers: { 'X-Accel-Buffering': 'no' } })
  },
  release: (_request, query) => {
    followed.get(tokenOf(query))?.release()
    return new Response('released')
  },
  fate: (_request, query) => Response.json(followed.get(tokenOf(query))?.events ?? []),
}

/** The fetch handler. */
export async function fetchHandler(request: Request, env?: unknown): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url)
  const action = pathname.startsWith('/do/') ? ACTIONS[pathname.slice('/do/'.length)] : undefined
  return action === undefined
    ? await show(request, env as UwsgiEnv)
    : await action(request, searchParams)
}

/** A Hono app, whose `c.env` is the second argument of a fetch handler. */
export const honoApp: Hono<{ Bindings: UwsgiEnv }> = new Hono<{ Bindings: UwsgiEnv }>()
honoApp.post('/hono/:name', async (c) => {
  const { environ, requestMeta } = c.env
  c.header('Set-Cookie', 'a=1', { append: true })
  c.header('Set-Cookie', 'b=2', { append: true })
  return c.json({
    name: c.req.param('name'),
    query: c.req.query('q'),
    text: await c.req.text(),
    client: requestMeta.remote?.addr,
    front: environ.REMOTE_ADDR,
  })
})

/** A gateway-interface application, which shows its environ and reads its input. */
const application: Application = async (environ, startResponse) => {
  const parts: Uint8Array[] = []
  for await (const line of environ['wsgi.input']) parts.push(line)
  const texts = Object.entries(environ).filter(([, value]) => typeof value === 'string')
  const bodyLength = parts.reduce((sum, { length }) => sum + length, 0)
  startResponse('299 Fine Thing', [
    ['Content-Type', 'application/json'],
    ['Set-Cookie', 'a=1'],
    ['Set-Cookie', 'b=2'],
  ])
  return [new TextEncoder().encode(JSON.stringify({ ...Object.fromEntries(texts), bodyLength }))]
}
export const gatewayHandler: Gateway = gateway(validator(application))

async function show(request: Request, env: UwsgiEnv): Promise<Response> {
  const body = new Uint8Array(await request.arrayBuffer())
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', body))
  const seen: Seen = {
    method: request.method,
    url: request.url,
    headers: Object.fromEntries(request.headers),
    bodyLength: body.length,
    bodySha256: Array.from(digest, (octet) => octet.toString(16).padStart(2, '0')).join(''),
    meta: env.requestMeta,
    environ: env.environ as Readonly<Record<string, string>>,
  }
  return Response.json(seen)
}

/** Notes when the client of a request goes. */
function follow(request: Request, query: URLSearchParams): Followed {
  const entry = new Followed()
  entry.events.push('started')
  followed.set(tokenOf(query), entry)
  request.signal.addEventListener('abort', () => {
    entry.events.push('aborted')
    entry.release()
  })
  return entry
}

function tokenOf(query: URLSearchParams): string {
  return query.get('token') ?? ''
}

function lengthHeader(query: URLSearchParams): Record<string, string> {
  const length = query.get('length')
  return length === null ? {} : { 'Content-Length': length }
}

/** So many bytes, made when they are wanted; then the end, or a failure. */
function streamOf(bytes: number, failure?: Error): ReadableStream<Uint8Array> {
  let left = bytes
  return new ReadableStream(
    {
      async pull(controller) {
        // A turn of the event loop: what comes before a failure is not to come together with it.
        if (failure !== undefined) await new Promise((resolve) => setTimeout(resolve))
        if (left > 0) {
          const size = Math.min(left, CHUNK_BYTES)
          left -= size
          controller.enqueue(new Uint8Array(size).fill(97))
        } else if (failure === undefined) controller.close()
        else controller.error(failure)
      },
    },
    { highWaterMark: 0 }
  )
}
