import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { type BodySource, collect } from '../../src/core/body-source.ts'
import { fromResponse } from '../../src/core/from-response.ts'
import type { GatewayResponse } from '../../src/core/gateway-response.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { refuseUnhandledRejections, turn } from './application-support.ts'
import { chunkStream, octets, refusalOf } from './support.ts'

refuseUnhandledRejections()

const REFUSED = '500 ERR_APPLICATION'

/** A response of a stream, which no Content-Type is invented for. */
function streaming(
  body: ReadableStream<Uint8Array>,
  headers: Record<string, string> = {}
): Response {
  return new Response(body, { headers })
}

/** A stream that keeps how it was treated. */
function watched(chunks: readonly string[]): {
  stream: ReadableStream<Uint8Array>
  cancelled: unknown[]
  pulls: () => number
} {
  const left = [...chunks]
  const cancelled: unknown[] = []
  let pulls = 0
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        pulls++
        const chunk = left.shift()
        if (chunk === undefined) controller.close()
        else controller.enqueue(octets(chunk))
      },
      cancel: (reason) => void cancelled.push(reason),
    },
    { highWaterMark: 0 }
  )
  return { stream, cancelled, pulls: () => pulls }
}

async function chunksOf(body: BodySource | undefined): Promise<string[]> {
  const chunks: string[] = []
  for (let chunk = await body?.read(); chunk !== undefined; chunk = await body?.read()) {
    chunks.push(octetsToNative(chunk))
  }
  return chunks
}

async function textOf({ body }: GatewayResponse): Promise<string> {
  return body === undefined ? '' : octetsToNative(await collect(body))
}

function lengthOf({ headers }: GatewayResponse): string | undefined {
  return headers.find(([name]) => name === 'content-length')?.[1]
}

test.each([
  [200, 'Fine', 'Fine'],
  [200, '', 'OK'],
  [404, '', 'Not Found'],
  [299, '', 'Unknown'],
  [599, '', 'Unknown'],
  [500, 'caf\xe9', 'caf\xe9'],
])('fromResponse() reads the status %d %j as %j (RSP-50)', async (status, statusText, reason) => {
  const response = await fromResponse(new Response(null, { status, statusText }), 'GET')
  expect(response).toMatchObject({ status, reason })
})

test.each<[string, unknown]>([
  ['Response.error(), whose status is 0', Response.error()],
  ['an upgrade', { status: 101, statusText: '', headers: new Headers(), body: null }],
  ['nothing', undefined],
  ['null', null],
  ['a text', 'hello'],
  ['an object', {}],
  ['a status that is no number', { status: '200' }],
  ['NaN', { status: Number.NaN }],
])('fromResponse() refuses %s (RSP-50)', async (_, response) => {
  expect(await refusalOf(fromResponse(response as Response, 'GET'))).toBe(REFUSED)
})

test('fromResponse() takes any class that looks like Response, as that of Hono', async () => {
  const { status, headers, body } = new Response('hello', { status: 201 })
  const response = { status, statusText: '', headers, body, url: '' }
  const converted = await fromResponse(response as Response, 'GET')
  expect(converted).toMatchObject({ status: 201, reason: 'Created' })
  expect(await textOf(converted)).toBe('hello')
})

test('fromResponse() keeps Set-Cookie lines apart, and the order of Fetch (RSP-18, RSP-51)', async () => {
  const headers = new Headers([
    ['X-B', '1'],
    ['Set-Cookie', 'a=1, x'],
    ['X-A', '2'],
    ['Set-Cookie', 'b=2'],
    ['X-B', '3'],
  ])
  const converted = await fromResponse(new Response(null, { headers }), 'GET')
  expect(converted.headers).toEqual([
    ['set-cookie', 'a=1, x'],
    ['set-cookie', 'b=2'],
    ['x-a', '2'],
    ['x-b', '1, 3'],
    ['content-length', '0'],
  ])
})

test.each([
  'Connection',
  'Keep-Alive',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Transfer-Encoding',
  'Upgrade',
])('fromResponse() drops the hop-by-hop header %s (RSP-51)', async (name) => {
  const response = new Response(null, { headers: { [name]: 'x', 'X-A': '1' } })
  expect((await fromResponse(response, 'HEAD')).headers).toEqual([['x-a', '1']])
})

test('fromResponse() leaves a Content-Encoding alone that the handler has made (RSP-51)', async () => {
  const packed = gzipSync('hello')
  const response = new Response(packed, {
    headers: { 'content-encoding': 'gzip', 'content-length': String(packed.length) },
  })
  const converted = await fromResponse(response, 'GET')
  expect(converted.headers).toEqual([
    ['content-encoding', 'gzip'],
    ['content-length', String(packed.length)],
  ])
  expect(await textOf(converted)).toBe(octetsToNative(packed))
})

/** What the upstream answers, by path, as `fetch()` gives it. */
async function fetched(path: string, method = 'GET'): Promise<Response> {
  const packed = gzipSync('hello')
  const server = createServer((incoming, outgoing) => {
    const plain = incoming.url === '/plain'
    const body = plain ? Buffer.from('hello') : packed
    outgoing.setHeader('content-length', body.length)
    if (!plain) outgoing.setHeader('content-encoding', 'gzip')
    outgoing.setHeader('x-a', '1')
    outgoing.setHeader('connection', 'close')
    outgoing.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method })
  server.close()
  return response
}

describe('fromResponse() of what fetch() got', () => {
  test('drops coding and length of a body that it has decoded (RSP-51)', async () => {
    const response = await fetched('/packed')
    expect(response.url).not.toBe('')
    expect(response.headers.get('content-encoding')).toBe('gzip')
    const converted = await fromResponse(response, 'GET')
    const names = converted.headers.map(([name]) => name)
    expect(names).toContain('x-a')
    expect(names).not.toContain('content-encoding')
    expect(names).not.toContain('connection')
    // A length may be learned of the decoded body, but never is it that of the coded one.
    expect(lengthOf(converted) ?? '5').toBe('5')
    expect(await textOf(converted)).toBe('hello')
  })

  test('keeps the length of a body that was not coded (RSP-51)', async () => {
    const converted = await fromResponse(await fetched('/plain'), 'GET')
    expect(lengthOf(converted)).toBe('5')
    expect(await textOf(converted)).toBe('hello')
  })

  test('keeps no coded length for HEAD either (RSP-51)', async () => {
    const converted = await fromResponse(await fetched('/packed', 'HEAD'), 'HEAD')
    expect(lengthOf(converted)).toBeUndefined()
    expect(converted.body).toBeUndefined()
  })
})

describe('fromResponse() learns the length of a body that is there (RSP-52)', () => {
  test.each<[string, () => Response, string | undefined, string[]]>([
    ['a text', () => new Response('hello'), '5', ['hello']],
    ['bytes', () => new Response(Buffer.from('a\xff', 'latin1')), '2', ['a\xff']],
    ['nothing, as text', () => new Response(''), '0', []],
    ['JSON', () => Response.json({ a: 1 }), '7', ['{"a":1}']],
    ['a stream of one chunk', () => streaming(chunkStream(['abc'])), '3', ['abc']],
    ['a stream of none', () => streaming(chunkStream([])), '0', []],
    ['a stream of empty chunks', () => streaming(chunkStream(['', '', 'a', ''])), '1', ['a']],
    ['not a stream of two', () => streaming(chunkStream(['ab', 'c'])), undefined, ['ab', 'c']],
  ])('%s', async (_, make, length, chunks) => {
    const converted = await fromResponse(make(), 'GET')
    expect(lengthOf(converted)).toBe(length)
    expect(await chunksOf(converted.body)).toEqual(chunks)
    // A reader that asks again finds the end again.
    expect(await converted.body?.read()).toBeUndefined()
  })

  test('a null body is none, which says so', async () => {
    for (const headers of [{}, { 'content-length': '0' }]) {
      const converted = await fromResponse(new Response(null, { headers }), 'GET')
      expect(converted.body).toBeUndefined()
      expect(converted.headers).toEqual([['content-length', '0']])
    }
    const head = await fromResponse(new Response(null), 'HEAD')
    expect(head).toMatchObject({ headers: [] })
  })

  test('a null body of another length is refused but for HEAD (RSP-38)', async () => {
    const response = new Response(null, { headers: { 'content-length': '5' } })
    expect(await refusalOf(fromResponse(response, 'GET'))).toBe(REFUSED)
    expect(lengthOf(await fromResponse(response, 'HEAD'))).toBe('5')
  })

  test('and waits for nothing: a stream whose first chunk takes its time', async () => {
    const gate = Promise.withResolvers<void>()
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        // Let go only by whoever has got the head already.
        await gate.promise
        controller.enqueue(octets('late'))
        controller.close()
      },
    })
    const converted = await fromResponse(streaming(stream), 'GET')
    gate.resolve()
    expect(lengthOf(converted)).toBeUndefined()
    expect(await chunksOf(converted.body)).toEqual(['late'])
  })

  test('and waits for nothing: a stream whose second chunk takes its time', async () => {
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
    const converted = await fromResponse(streaming(stream), 'GET')
    expect(lengthOf(converted)).toBeUndefined()
    expect(octetsToNative((await converted.body?.read()) ?? octets(''))).toBe('one')
    gate.resolve()
    expect(await chunksOf(converted.body)).toEqual(['two'])
  })

  test('and reads two chunks ahead at most (RSP-35)', async () => {
    const { stream, pulls } = watched(['a', 'b', 'c', 'd'])
    const converted = await fromResponse(streaming(stream), 'GET')
    await turn()
    expect(pulls()).toBe(2)
    expect(await chunksOf(converted.body)).toEqual(['a', 'b', 'c', 'd'])
  })
})

test('fromResponse() fails where the body fails before its first byte', async () => {
  const error = new Error('oops')
  await expect(fromResponse(streaming(chunkStream([], error)), 'GET')).rejects.toBe(error)
  await expect(fromResponse(streaming(chunkStream([''], error)), 'GET')).rejects.toBe(error)
})

test('fromResponse() leaves a later failure behind the bytes before it (RSP-39)', async () => {
  const error = new Error('oops')
  for (const chunks of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
    const { body, headers } = await fromResponse(streaming(chunkStream(chunks, error)), 'GET')
    expect(headers).toEqual([])
    const got: string[] = []
    for (const _ of chunks) got.push(octetsToNative((await body?.read()) ?? octets('')))
    expect(got).toEqual(chunks)
    await expect(body?.read()).rejects.toBe(error)
  }
})

test('fromResponse() leaves no rejection to the runtime where nobody reads on', async () => {
  for (const chunks of [['a'], ['a', 'b']]) {
    const response = streaming(chunkStream(chunks, new Error('oops')))
    expect(await fromResponse(response, 'GET')).toMatchObject({ status: 200 })
    // The check is behind each test, after turns of the event loop.
    await turn()
  }
})

describe('fromResponse() holds a body to its Content-Length (RSP-37, RSP-38)', () => {
  test('that is right', async () => {
    const response = streaming(chunkStream(['ab', 'c']), { 'content-length': '3' })
    const converted = await fromResponse(response, 'GET')
    expect(converted.headers).toEqual([['content-length', '3']])
    expect(await chunksOf(converted.body)).toEqual(['ab', 'c'])
  })

  test('and cuts one that is longer, which it gives up', async () => {
    const { stream, cancelled, pulls } = watched(['ab', 'cd', 'ef'])
    const converted = await fromResponse(streaming(stream, { 'content-length': '3' }), 'GET')
    expect(await chunksOf(converted.body)).toEqual(['ab', 'c'])
    expect(cancelled).toHaveLength(1)
    expect(pulls()).toBe(2)
  })

  test('and fails one that is shorter', async () => {
    const response = streaming(chunkStream(['ab']), { 'content-length': '3' })
    const { body } = await fromResponse(response, 'GET')
    expect(octetsToNative((await body?.read()) ?? octets(''))).toBe('ab')
    expect(await refusalOf(Promise.resolve(body?.read()))).toBe(REFUSED)
  })

  test('of zero, giving the body up', async () => {
    const { stream, cancelled } = watched(['ab'])
    const converted = await fromResponse(streaming(stream, { 'content-length': '0' }), 'GET')
    expect(await chunksOf(converted.body)).toEqual([])
    await converted.body?.cancel(undefined)
    expect(cancelled).toHaveLength(1)
  })

  test('and does not read before it is asked', async () => {
    const { stream, pulls } = watched(['abc'])
    await fromResponse(streaming(stream, { 'content-length': '3' }), 'GET')
    await turn()
    expect(pulls()).toBe(0)
  })

  test.each(['abc', '-1', '+3', '3.0', '3, 3', '1e1', '0x3', '', '9007199254740992'])(
    'and refuses one that is none, giving the body up: %j (RSP-17)',
    async (length) => {
      const { stream, cancelled } = watched(['abc'])
      const response = streaming(stream, { 'content-length': length })
      expect(await refusalOf(fromResponse(response, 'GET'))).toBe(REFUSED)
      await turn()
      expect(cancelled).toHaveLength(1)
    }
  )
})

test('fromResponse() cancels the body for HEAD, and keeps its length (RSP-40)', async () => {
  const { stream, cancelled, pulls } = watched(['abc'])
  const converted = await fromResponse(streaming(stream, { 'content-length': '3' }), 'HEAD')
  await turn()
  expect(converted).toEqual({ status: 200, reason: 'OK', headers: [['content-length', '3']] })
  expect(cancelled).toHaveLength(1)
  expect(pulls()).toBe(0)
})

test('fromResponse() measures nothing for HEAD', async () => {
  const converted = await fromResponse(new Response('hello'), 'HEAD')
  expect(converted.body).toBeUndefined()
  expect(lengthOf(converted)).toBeUndefined()
})

test.each([204, 205, 304])('fromResponse() gives a %d no body (RSP-41)', async (status) => {
  expect(await fromResponse(new Response(null, { status }), 'GET')).toMatchObject({ headers: [] })
  // Of a class that, unlike that of Fetch, allows one.
  const { stream, cancelled } = watched(['abc'])
  const response = { status, statusText: '', headers: new Headers(), body: stream, url: '' }
  const converted = await fromResponse(response as Response, 'GET')
  await turn()
  expect(converted.body).toBeUndefined()
  expect(cancelled).toHaveLength(1)
})

test('cancel() of a body from fromResponse() reaches the stream, its reason too (RSP-52)', async () => {
  const reason = new Error('gone')
  for (const headers of [{}, { 'content-length': '6' }]) {
    const { stream, cancelled } = watched(['ab', 'cd', 'ef'])
    const { body } = await fromResponse(streaming(stream, headers), 'GET')
    await body?.cancel(reason)
    await body?.cancel(reason)
    expect(cancelled).toEqual([reason])
  }
})

test('fromResponse() fails on a body that somebody else reads', async () => {
  const response = new Response('hello')
  await response.text()
  await expect(fromResponse(response, 'GET')).rejects.toThrow(TypeError)
})

test('fromResponse() reads no further in a body that comes late until it is asked (RSP-52)', async () => {
  const first = Promise.withResolvers<void>()
  let pulls = 0
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        pulls++
        await first.promise
        if (pulls === 3) controller.close()
        else controller.enqueue(octets(`${pulls}`))
      },
    },
    { highWaterMark: 0 }
  )
  const { body } = await fromResponse(streaming(stream), 'GET')
  first.resolve()
  await turn()
  expect(pulls).toBe(1)
  expect(await chunksOf(body)).toEqual(['1', '2'])
})
