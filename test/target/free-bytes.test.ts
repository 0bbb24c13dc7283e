import { once } from 'node:events'
import {
  type AddressInfo,
  connect as connectTcp,
  createServer,
  type Server,
  type Socket,
} from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { Connection } from '../../src/bridge/connection.ts'
import { StoredBody } from '../../src/bridge/stored-body.ts'
import type { BodySource } from '../../src/core/body-source.ts'
import { connect } from '../../src/target/node/connect.ts'
import { freeBytes } from '../../src/target/node/free-bytes.ts'
import { serve } from '../../src/target/node/index.ts'
import { eventually } from '../support/deadline.ts'
import { send } from '../support/http-client.ts'

/** Long enough for what must not happen to happen, on most runs; it is no bound on anything. */
const WHILE_MS = 100

let cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanUp) await end()
  cleanUp = []
})

/** A connection, and its other end. */
async function connected(): Promise<{ connection: Connection; socket: Socket }> {
  const server: Server = createServer()
  const accepted = once(server, 'connection').then(([socket]) => socket as Socket)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const connection = await connect({ type: 'tcp', hostname: '127.0.0.1', port, tls: false }).opened
  const socket = await accepted
  cleanUp.push(
    () => connection.close(),
    () => socket.destroy(),
    () => server.close()
  )
  return { connection, socket }
}

/** Bytes that say where they stand. */
function numbered(size: number, from = 0): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = ((from + i) * 7) % 251
  return bytes
}

describe('freeBytes()', () => {
  test('frees memory that holds nothing else', () => {
    const bytes = new Uint8Array(65_536)
    freeBytes(bytes)
    expect([bytes.length, bytes.buffer.byteLength]).toEqual([0, 0])
  })

  test('leaves alone what others may look at, and what is not worth it', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(65_536))
    const buffer = new ArrayBuffer(65_536)
    const parts = [new Uint8Array(buffer, 0, 65_535), new Uint8Array(buffer, 1)]
    const small = new Uint8Array(100)
    const pooled = Buffer.allocUnsafe(100)
    for (const bytes of [shared, ...parts, small, pooled]) freeBytes(bytes)
    expect([shared.length, buffer.byteLength, small.length, pooled.length]).toEqual([
      65_536, 65_536, 100, 100,
    ])
  })
})

describe('a connection on Node', () => {
  test('reads each chunk into memory of its own, so that one can be freed', async () => {
    const { connection, socket } = await connected()
    const sent = numbered(1_000_000)
    socket.end(sent)
    let at = 0
    let before: Uint8Array | undefined
    for (let chunk = await connection.read(); chunk; chunk = await connection.read()) {
      if (before !== undefined) connection.free?.(before)
      expect(sent.subarray(at, at + chunk.length).equals(chunk)).toBe(true)
      at += chunk.length
      before = chunk
    }
    expect(at).toBe(sent.length)
  })

  test('says that what it wrote has been taken when the system has it, and not before', async () => {
    const { connection, socket } = await connected()
    socket.pause()
    let taken = 0
    const chunks = Array.from({ length: 100 }, () => new Uint8Array(262_144))
    for (const chunk of chunks) void connection.write(chunk, () => void taken++)
    await eventually('some to be taken', () => taken > 0)
    expect(taken).toBeLessThan(chunks.length)
    socket.resume()
    await eventually('all to be taken', () => taken === chunks.length)
  })

  test('says nothing of what it could not write', async () => {
    const { connection, socket } = await connected()
    socket.pause()
    let taken = 0
    for (let i = 0; i < 100; i++) {
      connection.write(new Uint8Array(262_144), () => void taken++)?.catch(() => {})
    }
    await eventually('some to be taken', () => taken > 0)
    const before = taken
    connection.close()
    expect(await connection.read().catch(() => undefined)).toBeUndefined()
    expect(taken).toBe(before)
  })
})

/** A body of many chunks, and those of them that were given back. */
function countedBody(count: number): {
  body: BodySource
  freed: number[]
  isCancelled(): boolean
} {
  const freed: number[] = []
  const chunks: Uint8Array[] = Array.from({ length: count }, (_, i) => numbered(50_000, i))
  let next = 0
  let cancelled = false
  return {
    freed,
    isCancelled: () => cancelled,
    body: {
      read: async () => chunks[next++],
      async cancel() {
        cancelled = true
      },
      free(chunk) {
        freed.push(chunks.indexOf(chunk))
        freeBytes(chunk)
      },
    },
  }
}

async function serveBody(body: BodySource): Promise<string> {
  const server = await serve(
    {
      fetch: () => new Response(),
      handle: async () => ({ status: 200, reason: 'OK', headers: [], body }),
    },
    { listen: 'http://127.0.0.1:0', closeTimeout: 1 }
  )
  cleanUp.push(() => server.close())
  return server.url
}

describe('serve() on Node', () => {
  test('gives each chunk back once it has been sent', async () => {
    const { body, freed } = countedBody(40)
    const response = await send(await serveBody(body), { target: '/' })
    const whole = Buffer.concat(Array.from({ length: 40 }, (_, i) => numbered(50_000, i)))
    expect(response.body.equals(whole)).toBe(true)
    expect(freed).toEqual(Array.from({ length: 40 }, (_, i) => i))
  })

  test('keeps what its client does not take', async () => {
    const { body, freed, isCancelled } = countedBody(2000)
    const { hostname, port } = new URL(await serveBody(body))
    const client = connectTcp({ host: hostname, port: Number(port) })
    cleanUp.push(() => client.destroy())
    client.pause()
    client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n')
    let before = 0
    await eventually('the buffers of both systems to be full', async () => {
      before = freed.length
      await sleep(WHILE_MS)
      return before > 0 && before === freed.length
    })
    client.resetAndDestroy()
    await eventually('the response to be given up', isCancelled)
    await sleep(WHILE_MS)
    expect(freed.length).toBe(before)
  })
})

test('a body that may be sent again gives no chunk back', async () => {
  const { body, freed } = countedBody(3)
  const stored = new StoredBody(body, {
    bufferBytes: 1_000_000,
    maxTempFileBytes: 0,
    maxBufferedBodyBytes: 1_000_000,
    openTempFile: undefined,
  })
  const first = stored.start()
  for (let chunk = await first.read(); chunk; chunk = await first.read()) first.free?.(chunk)
  const again = stored.start()
  const sizes: number[] = []
  for (let chunk = await again.read(); chunk; chunk = await again.read()) sizes.push(chunk.length)
  expect([sizes, freed]).toEqual([[50_000, 50_000, 50_000], []])
  stored.close(undefined)
})
