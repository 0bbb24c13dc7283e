import { expect, test } from 'vitest'
import { bytesSource, collect } from '../../src/core/body-source.ts'
import type { GatewayResponse } from '../../src/core/gateway-response.ts'
import { answerOf, type FetchHandler, fetchOf, type Handler } from '../../src/core/handler.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { refuseUnhandledRejections } from './application-support.ts'
import { octets, rawHead, refusalOf } from './support.ts'

refuseUnhandledRejections()

const { signal } = new AbortController()
const ENV = { requestMeta: {} }

async function textOf({ body }: GatewayResponse): Promise<string> {
  return body === undefined ? '' : octetsToNative(await collect(body))
}

/** What a fetch handler was called with. */
function recording(): { fetch: FetchHandler; calls: unknown[][] } {
  const calls: unknown[][] = []
  return {
    calls,
    fetch(...args) {
      calls.push(args)
      return new Response('fetched')
    },
  }
}

test('answerOf() calls a fetch function with the Request and the env', async () => {
  const { fetch, calls } = recording()
  const head = rawHead({ method: 'POST', url: 'http://h.example/a?b', headers: [['X-A', '1']] })
  const answering = answerOf(fetch)(head, bytesSource(octets('hi')), signal, ENV)
  expect(await textOf(await answering)).toBe('fetched')
  const [request, env] = calls[0] as [Request, unknown]
  expect(request).toBeInstanceOf(Request)
  expect([request.method, request.url]).toEqual(['POST', 'http://h.example/a?b'])
  expect(request.headers.get('x-a')).toBe('1')
  expect(await request.text()).toBe('hi')
  expect(env).toBe(ENV)
})

test('answerOf() calls the method of an object, which keeps its this', async () => {
  const app = {
    name: 'mine',
    fetch(_request: Request, env?: unknown) {
      return new Response(`${this.name} ${env === ENV}`)
    },
  }
  expect(await textOf(await answerOf(app)(rawHead(), undefined, signal, ENV))).toBe('mine true')
})

test('answerOf() takes handle() where there is one, with a fetch function and with an object', async () => {
  const head = rawHead()
  const body = bytesSource(octets('a'))
  const reply: GatewayResponse = { status: 200, reason: 'below', headers: [] }
  for (const base of [() => new Response('above'), { fetch: () => new Response('above') }]) {
    const calls: unknown[][] = []
    const handler: Handler = Object.assign(base, {
      async handle(...args: unknown[]) {
        calls.push(args)
        return reply
      },
    })
    expect(await answerOf(handler)(head, body, signal, ENV)).toBe(reply)
    expect(calls).toEqual([[head, body, signal]])
  }
})

test('answerOf() waits for a promise, and passes a failure on', async () => {
  const later = answerOf(async () => new Response('later'))
  expect(await textOf(await later(rawHead(), undefined, signal, ENV))).toBe('later')
  const error = new Error('oops')
  const failing = [
    () => {
      throw error
    },
    () => Promise.reject(error),
  ]
  for (const handler of failing) {
    await expect(answerOf(handler)(rawHead(), undefined, signal, ENV)).rejects.toBe(error)
  }
})

test.each([undefined, null, 'text', {}, { status: '200' }])(
  'answerOf() refuses what is no Response: %o (RSP-50)',
  async (result) => {
    const answering = answerOf((() => result) as never)(rawHead(), undefined, signal, ENV)
    expect(await refusalOf(answering)).toBe('500 ERR_APPLICATION')
  }
)

test('answerOf() lets the Request know when the client goes away', async () => {
  const gone = new AbortController()
  const aborted: boolean[] = []
  const handler: FetchHandler = async (request) => {
    aborted.push(request.signal.aborted)
    gone.abort()
    aborted.push(request.signal.aborted)
    return new Response(null)
  }
  await answerOf(handler)(rawHead(), undefined, gone.signal, ENV)
  expect(aborted).toEqual([false, true])
})

test('answerOf() sends no body to HEAD, and cancels it (RSP-40)', async () => {
  const cancelled = Promise.withResolvers<void>()
  const body = new ReadableStream({ cancel: () => cancelled.resolve() })
  const handler: FetchHandler = () => new Response(body, { headers: { 'content-length': '5' } })
  const response = await answerOf(handler)(rawHead({ method: 'HEAD' }), undefined, signal, ENV)
  await cancelled.promise
  expect(response).toMatchObject({ status: 200, headers: [['content-length', '5']] })
  expect(response.body).toBeUndefined()
})

test('fetchOf() gives a function as it is, and the method of an object bound', async () => {
  const { fetch, calls } = recording()
  expect(fetchOf(fetch)).toBe(fetch)
  const request = new Request('http://h.example/')
  await fetchOf({ fetch })(request, ENV)
  expect(calls).toEqual([[request, ENV]])
})

test.each([undefined, null, 5, 'text', {}, { fetch: 5 }, []])(
  'fetchOf() and answerOf() throw at once where there is nothing to call: %o',
  (handler) => {
    expect(() => fetchOf(handler as never)).toThrow(TypeError)
    expect(() => answerOf(handler as never)).toThrow(TypeError)
  }
)
