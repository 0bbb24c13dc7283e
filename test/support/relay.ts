/**
 * A TCP relay in front of a backend: it counts connections, and breaks them at the moments at which a
 * network does.
 *
 * @module
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A running relay. */
export interface Relay {
  /** `uwsgi://127.0.0.1:PORT` */
  readonly address: string
  /** Connections that were opened so far. */
  readonly accepted: number
  /** Those that are open on both sides. */
  readonly open: number
  /** Those that the backend has closed. */
  readonly closedByBackend: number
  /** All that arrived on each connection, as latin-1. */
  readonly received: readonly string[]
  /**
   * How the end of the backend's connection shows: at once, or only when more arrives from this side,
   * as where both cross on the way.
   *
   * @default 'at once'
   */
  endShows: 'at once' | 'late'
  /** Decides whether a connection is dropped, without an answer, at what has arrived on it. */
  drops: (received: string) => boolean
  stop(): Promise<void>
}

/** Starts a relay to `uwsgi://127.0.0.1:PORT`. */
export async function startRelay(backend: string): Promise<Relay> {
  const port = Number(new URL(backend).port)
  const sockets = new Set<Socket>()
  const received: string[] = []
  let closedByBackend = 0
  let open = 0

  function serve(socket: Socket): void {
    const index = received.push('') - 1
    const upstream = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    let isOver = false
    let isOpen = true
    open++
    function close(): void {
      if (isOpen) open--
      isOpen = false
      socket.destroy()
      upstream.destroy()
    }
    for (const each of [socket, upstream]) {
      sockets.add(each)
      // A reset is one way of closing.
      each.on('error', () => {})
      each.on('close', () => sockets.delete(each))
    }
    socket.on('data', (bytes) => {
      received[index] += bytes.toString('latin1')
      if (isOver || relay.drops(received[index] ?? '')) close()
      else upstream.write(bytes)
    })
    socket.on('end', close).on('close', close)
    upstream.on('data', (bytes) => void socket.write(bytes))
    upstream.on('end', () => {
      closedByBackend++
      isOver = true
      if (relay.endShows === 'at once') socket.end()
    })
  }

  const server = createServer({ allowHalfOpen: true }, serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const relay: Relay = {
    address: `uwsgi://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get accepted() {
      return received.length
    },
    get open() {
      return open
    },
    get closedByBackend() {
      return closedByBackend
    },
    received,
    endShows: 'at once',
    drops: () => false,
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return relay
}
