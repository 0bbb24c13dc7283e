/**
 * Peers that do not read: who sends to them is held back, and nobody's memory fills up.
 *
 * @module
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { SuiteContext } from './context.ts'

/** What a sender offers, and what buffers of kernel and runtime may take of it when nobody reads. */
const OFFERED_BYTES = 90 * 1024 * 1024
const HELD_BYTES = 32 * 1024 * 1024

const CHUNK = Buffer.alloc(65_536)
const POLL_MS = 100
/** So many polls without a byte of progress mean that a sender is held back. */
const STILL_POLLS = 10

/** Describes back-pressure in both directions. */
export function describeBackPressure(context: SuiteContext): void {
  describe('back-pressure', () => {
    test('a client that does not read holds the backend back', async () => {
      const sent = Promise.withResolvers<number>()
      const backend = await listen((socket) => {
        socket.once('data', () => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${OFFERED_BYTES}\r\n\r\n`)
          void offer(socket).then(sent.resolve, sent.reject)
        })
      })
      const client = await clientOf(context, backend)
      client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      expect(await sent.promise).toBeLessThan(HELD_BYTES)
      await stop(client, backend)
    })

    test('a backend that does not read holds the client back', async () => {
      const backend = await listen((socket) => socket.pause())
      const client = await clientOf(context, backend)
      client.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${OFFERED_BYTES}\r\n\r\n`)
      expect(await offer(client)).toBeLessThan(HELD_BYTES)
      await stop(client, backend)
    })
  })
}

/** Writes as much as the peer takes; resolves with that once it takes no more. */
async function offer(socket: Socket): Promise<number> {
  let taken = 0
  function fill(): void {
    while (taken < OFFERED_BYTES && !socket.destroyed) {
      taken += CHUNK.length
      if (!socket.write(CHUNK)) return
    }
  }
  socket.on('drain', fill)
  fill()
  const still: number[] = []
  while (still.length < STILL_POLLS) {
    await sleep(POLL_MS)
    if (still.at(-1) !== taken) still.length = 0
    still.push(taken)
  }
  if (socket.destroyed) throw new Error('The connection was closed instead of held back')
  return taken
}

/** A server whose paused connections would never see that their peer has gone. */
interface Backend {
  readonly server: Server
  readonly sockets: Set<Socket>
}

async function listen(onConnection: (socket: Socket) => void): Promise<Backend> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    // What a peer does at the end of a test is not what the test is about.
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, sockets }
}

/** A client of a deployment in front of `backend`, which never reads. */
async function clientOf(context: SuiteContext, backend: Backend): Promise<Socket> {
  const { port } = backend.server.address() as AddressInfo
  // With a temporary file, it is the disk that holds a response.
  const { origin } = await context.deployment({
    UPSTREAM: `uwsgi://127.0.0.1:${port}`,
    MAX_TEMP_FILE_BYTES: '0',
  })
  const client = connect(Number(new URL(origin).port), '127.0.0.1')
  client.pause().on('error', () => {})
  await once(client, 'connect')
  return client
}

async function stop(client: Socket, { server, sockets }: Backend): Promise<void> {
  client.destroy()
  for (const socket of sockets) socket.destroy()
  server.close()
  await once(server, 'close')
}
