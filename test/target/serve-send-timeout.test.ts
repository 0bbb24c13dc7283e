import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type Handler, serve } from '../../src/target/node/index.ts'
import { makeDirectory } from '../backend/process.ts'
import { openRaw } from '../security/raw-http.ts'
import { within } from '../support/deadline.ts'
import { cleanUp, cleanups, get, serving, SHORT_MS, silentReader } from './serving.ts'

afterEach(cleanUp)

/** One piece, large but for `/small`. */
const whole: Handler = ({ url }) => new Response(new Uint8Array(url.endsWith('/small') ? 9 : 3e7))
const page: Handler = () => new Response('x'.repeat(60_000))
const headOnly: Handler = () => new Response(null, { headers: { x: 'x'.repeat(10_000) } })
const halting: Handler = () =>
  new Response(
    new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode('early '))
        await sleep(SHORT_MS * 4)
        controller.enqueue(new TextEncoder().encode('late'))
        controller.close()
      },
    })
  )
const failing: Handler = () =>
  new Response(
    new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode('part'))
        await sleep(SHORT_MS)
        controller.error(new Error('the handler failed'))
      },
    })
  )

/** Endless, and tells when it is given up. */
function endless(chunkBytes = 65_536): { handler: Handler; cancelled: Promise<void> } {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>()
  const handler: Handler = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(chunkBytes)),
        cancel: () => resolve(),
      })
    )
  return { handler, cancelled }
}

describe('clientSendTimeout (SEC-48, SEC-80)', () => {
  test.each([
    ['1.1', 65_536],
    ['1.1', 1000],
    ['1.0', 65_536],
    ['1.0', 1000],
  ])(
    'resets the connection of a client that takes nothing over HTTP/%s, in chunks of %i bytes',
    async (version, chunkBytes) => {
      const { handler, cancelled } = endless(chunkBytes)
      const { port, idle } = await serving(handler, { clientSendTimeout: SHORT_MS })
      const client = await silentReader(port, get('/', version))
      await within('the cancellation', cancelled)
      expect(await client.isReset()).toBe(true)
      await idle()
    }
  )

  test('resets it inside a body that the handler made in one piece, and no other', async () => {
    const { port, origin, gone, idle } = await serving(whole, { clientSendTimeout: SHORT_MS })
    const client = await silentReader(port, get('/'))
    const other = await openRaw(origin)
    other.send(get('/small'))
    expect((await other.response()).body.length).toBe(9)
    await gone()
    expect(await client.isReset()).toBe(true)
    other.send(get('/small'))
    expect((await other.response()).body.length).toBe(9)
    other.reset()
    await idle()
  })

  test.each([
    ['in one write each', page],
    ['in a head each', headOnly],
  ])('resets it among responses that fit %s', async (_what, handler) => {
    const { port, seen, gone, idle } = await serving(handler, {
      clientSendTimeout: SHORT_MS,
      maxRequestsPerConnection: Infinity,
    })
    const client = await silentReader(port, get('/').repeat(5000))
    await gone()
    expect(await client.isReset()).toBe(true)
    expect(seen.length).toBeLessThan(5000)
    await idle()
  })

  test('does not count while the handler has nothing to send', async () => {
    const { origin, idle } = await serving(halting, { clientSendTimeout: SHORT_MS })
    const connection = await openRaw(origin)
    connection.send(get('/'))
    expect((await connection.response()).body.toString()).toBe('early late')
    connection.reset()
    await idle()
  })

  test('does not hurt a client that reads slowly but steadily', async () => {
    const PAUSE_MS = 25
    // The client is at it for several times as long, and never pauses for a tenth of it.
    const TIMEOUT_MS = 1000
    const { port, idle } = await serving(whole, { clientSendTimeout: TIMEOUT_MS })
    const { socket: client } = await silentReader(port, get('/', '1.0'))
    let total = 0
    let unread = 0
    client.on('data', (bytes) => {
      total += bytes.length
      unread += bytes.length
      if (unread < 200_000) return
      unread = 0
      client.pause()
      setTimeout(() => client.resume(), PAUSE_MS)
    })
    client.resume()
    await within('the end', once(client, 'end'))
    expect(total).toBeGreaterThan(3e7)
    await idle()
  })

  test('may be met through a unix socket', async () => {
    const { handler, cancelled } = endless()
    const directory = await makeDirectory()
    cleanups.push(() => rm(directory, { recursive: true }))
    const path = join(directory, 'http.sock')
    const server = await serve(handler, { listen: `unix:${path}`, clientSendTimeout: SHORT_MS })
    const client = connect(path)
    cleanups.push(() => client.destroy())
    await once(client, 'connect')
    client.pause()
    client.write(get('/'))
    await within('the cancellation', cancelled)
    client.resume()
    await within('the end', once(client, 'close'))
    await expect(within('the end', server.close())).resolves.toBeUndefined()
  })
})

describe('a response that breaks off', () => {
  test('is no complete one to HTTP/1.0, which knows its end by the connection’s', async () => {
    const { port, gone, idle } = await serving(failing)
    const client = await silentReader(port, get('/', '1.0'))
    await gone()
    expect(await client.isReset()).toBe(true)
    await idle()
  })
})
