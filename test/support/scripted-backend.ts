/**
 * A backend that answers with given bytes and sees what becomes of its connections.
 *
 * @module
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { within } from './deadline.ts'

/** What the backend does on one connection. */
export interface Script {
  /** Written once the packet has arrived: latin-1 text, or bytes. */
  reply?: string | Uint8Array
  /**
   * What follows the reply: the end of the connection, a reset, or nothing until the peer closes.
   *
   * @default 'end'
   */
  ending?: 'end' | 'reset' | 'hold'
}

/** A connection that the backend got. */
export interface SeenConnection {
  /** All that has arrived, as latin-1. */
  received(): string
  /** Resolves when `pattern` matches what has arrived. */
  until(pattern: RegExp): Promise<void>
  /** Writes more. */
  write(text: string): void
  /** Resolves when the peer writes no more; our side stays open. */
  ended(): Promise<void>
  /** Resolves when the connection is gone, whoever closed it. */
  closed(): Promise<void>
}

/** A running backend. */
export interface ScriptedBackend {
  /** `uwsgi://127.0.0.1:PORT` */
  readonly address: string
  /**
   * Answers requests whose target contains `name` by a script.
   *
   * @param name Letters, digits and `-`.
   */
  on(name: string, script: Script): void
  /** The next connection whose request names `name`. */
  connection(name: string): Promise<SeenConnection>
  stop(): Promise<void>
}

const HEADER_SIZE = 4

/** Starts a backend on a free port. */
export async function startScriptedBackend(): Promise<ScriptedBackend> {
  const scripts = new Map<string, Script>()
  const seen = new Map<string, PromiseWithResolvers<SeenConnection>>()
  const sockets = new Set<Socket>()

  function waiter(name: string): PromiseWithResolvers<SeenConnection> {
    const known = seen.get(name) ?? Promise.withResolvers<SeenConnection>()
    seen.set(name, known)
    return known
  }

  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    void serve(socket, (packet) => {
      const name = /\/script\/([a-z0-9-]+)/.exec(packet)?.[1] ?? ''
      return [scripts.get(name) ?? {}, waiter(name).resolve] as const
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    address: `uwsgi://127.0.0.1:${(server.address() as AddressInfo).port}`,
    on: (name, script) => void scripts.set(name, script),
    async connection(name) {
      const connection = await within(`a connection for ${name}`, waiter(name).promise)
      seen.delete(name)
      return connection
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

async function serve(
  socket: Socket,
  find: (packet: string) => readonly [Script, (connection: SeenConnection) => void]
): Promise<void> {
  let received = ''
  let wake: (() => void) | undefined
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => {
    received += text
    wake?.()
  })
  socket.on('error', () => {}) // The peer resets when it has given up, which is often the point.
  socket.on('end', () => wake?.())
  const gone = new Promise<void>((resolve) => socket.on('close', () => resolve()))

  async function until(met: () => boolean): Promise<void> {
    while (!met()) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      await within('bytes from the gateway', promise)
    }
  }
  await until(() => received.length >= HEADER_SIZE && received.length >= packetSize(received))

  const [script, announce] = find(received)
  announce({
    received: () => received,
    until: (pattern) => until(() => pattern.test(received)),
    write: (text) => void socket.write(text, 'latin1'),
    ended: () => until(() => socket.readableEnded),
    async closed() {
      // Half-open: the peer's end alone does not close, as uWSGI's socket would not while it works.
      socket.resume()
      socket.once('end', () => socket.end())
      if (socket.readableEnded) socket.end()
      await within('the end of the connection', gone)
    },
  })
  const { reply = '', ending = 'end' } = script
  const bytes = typeof reply === 'string' ? Buffer.from(reply, 'latin1') : reply
  if (bytes.length > 0) await new Promise<void>((resolve) => socket.write(bytes, () => resolve()))
  if (ending === 'end') socket.end()
  if (ending === 'reset') socket.resetAndDestroy()
}

function packetSize(received: string): number {
  return HEADER_SIZE + received.charCodeAt(1) + received.charCodeAt(2) * 256
}
