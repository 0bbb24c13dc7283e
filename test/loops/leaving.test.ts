/**
 * What only shows when one end of the loop gives up: a client that leaves, a response that breaks off,
 * a front that is not ours.
 *
 * @module
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodePacket } from '../../src/codec/uwsgi.ts'
import { type Bridge, createBridge, type Server, serveUwsgi } from '../../src/target/node/index.ts'
import { eventually, within } from '../support/deadline.ts'
import { openRaw, type RawConnection } from '../support/http-client.ts'
import { streamOf } from './support.ts'

let server: Server
let bridge: Bridge
let called: PromiseWithResolvers<Request>
let answered: PromiseWithResolvers<Response>
const reported: string[] = []

beforeAll(async () => {
  server = await serveUwsgi(
    (request) => {
      called.resolve(request)
      return answered.promise
    },
    {
      listen: 'uwsgi://127.0.0.1:0',
      closeTimeout: 100,
      onError: ({ message }) => reported.push(message),
    }
  )
  // Without a file, a body that nobody reads stays where it is made.
  bridge = createBridge(server.url, { onError: () => {}, maxTempFileBytes: 0 })
})
afterAll(() => server.close())

function aborted({ signal }: Request): Promise<void> {
  return within(
    'an aborted signal',
    new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve())
      if (signal.aborted) resolve()
    })
  )
}

test.each([
  ['GET', 0],
  ['POST', 5],
])('a handler of %s that has not answered yet', async (method, size) => {
  called = Promise.withResolvers()
  answered = Promise.withResolvers()
  const client = new AbortController()
  const init: RequestInit = { method, signal: client.signal }
  if (size > 0) init.body = new Uint8Array(size)
  const response = bridge.fetch(new Request('http://h.example/', init))
  const request = await within('the call', called.promise)
  expect((await request.arrayBuffer()).byteLength).toBe(size)
  expect(request.signal.aborted).toBe(false)
  client.abort()
  await aborted(request)
  expect((await response).status).toBe(499)
  expect(reported).toEqual([])
})

test('a body that is being sent', async () => {
  called = Promise.withResolvers()
  const cancelled = Promise.withResolvers<void>()
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(5)),
    cancel: () => cancelled.resolve(),
  })
  answered = Promise.withResolvers()
  answered.resolve(new Response(body))
  const response = await bridge.fetch(new Request('http://h.example/'))
  const reader = response.body?.getReader()
  expect((await reader?.read())?.value?.length).toBe(5)
  await reader?.cancel()
  await within('the end of the stream', cancelled.promise)
  await aborted(await called.promise)
  expect(reported).toEqual([])
})

test('a body that nobody reads on is not made either', async () => {
  called = Promise.withResolvers()
  answered = Promise.withResolvers()
  let made = 0
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        made++
        if (made > 2000) controller.close()
        else controller.enqueue(new Uint8Array(65_536))
      },
    },
    { highWaterMark: 0 }
  )
  answered.resolve(new Response(body))
  const response = await bridge.fetch(new Request('http://h.example/'))
  const reader = response.body?.getReader()
  await reader?.read()
  let before = -1
  await eventually('a stop', async () => {
    const isSame = made === before
    before = made
    await new Promise((resolve) => setTimeout(resolve, 100))
    return isSame && made === before
  })
  // What the sockets between us hold is a few megabytes.
  expect(made).toBeLessThan(1000)
  await reader?.cancel()
})

/** A front that says what it likes, and hears every byte. */
async function frontWith(vars: Record<string, string>): Promise<RawConnection> {
  const front = await openRaw(server.url.replace('uwsgi:', 'http:'))
  const named = { REQUEST_METHOD: 'POST', PATH_INFO: '/', HTTP_HOST: 'h.example', ...vars }
  await front.write(encodePacket(Object.entries(named)))
  return front
}

test('a front that sends what it has not announced, and leaves', async () => {
  called = Promise.withResolvers()
  answered = Promise.withResolvers()
  const front = await frontWith({})
  const request = await within('the call', called.promise)
  void front.write(new Uint8Array(1_000_000))
  expect(request.body).toBe(null)
  front.destroy()
  await aborted(request)
})

test('a body that its front hands on in chunks', async () => {
  called = Promise.withResolvers()
  answered = Promise.withResolvers()
  const front = await frontWith({ HTTP_TRANSFER_ENCODING: 'chunked' })
  void front.write('2\r\nab\r\n1\r\nc\r\n0\r\n\r\n')
  const request = await within('the call', called.promise)
  expect(await request.text()).toBe('abc')
  expect(request.headers.has('transfer-encoding')).toBe(false)
  answered.resolve(new Response('done'))
  await front.until(/done/)
  front.destroy()
})

test.each([
  ['abcdef', /\r\n\r\nabcd$/, []],
  ['abc', /\r\n\r\nabc$/, [/1 bytes short of its Content-Length/]],
])('a response of %s with Content-Length 4', async (text, heard, wrongs) => {
  called = Promise.withResolvers()
  answered = Promise.withResolvers()
  const headers = { 'content-length': '4', 'keep-alive': 'x', connection: 'x-a', 'x-a': '1' }
  answered.resolve(new Response(streamOf([Buffer.from(text)], true), { headers }))
  const front = await frontWith({})
  const all = await front.until(heard)
  expect(all).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-length: 4\r\nx-a: 1\r\n\r\n/)
  await front.closed()
  expect(reported.splice(0)).toEqual(wrongs.map((wrong) => expect.stringMatching(wrong)))
})

test('nobody is left behind by a handler that reads nothing', async () => {
  called = Promise.withResolvers()
  answered = Promise.withResolvers()
  answered.resolve(new Response('early'))
  const init: RequestInit & { duplex: 'half' } = {
    method: 'POST',
    headers: { 'content-length': '200000' },
    body: streamOf([new Uint8Array(100_000), new Uint8Array(100_000)], true),
    duplex: 'half',
  }
  const response = await bridge.fetch(new Request('http://h.example/', init))
  expect([response.status, await response.text()]).toEqual([200, 'early'])
})
