/**
 * uwsgi in, on Node and on Deno: its own listener cannot reset a connection, that of node:net can.
 *
 * @module
 */
import { createServer, type Server as NetServer, Socket } from 'node:net'
import { formatAccessLog } from '../../core/access-log.ts'
import type { Handler } from '../../core/handler.ts'
import type { Peer } from '../../core/request-head.ts'
import type { AcceptedConnection } from '../../responder/accepted-connection.ts'
import { createResponder } from '../../responder/responder.ts'
import {
  CLOSE_TIMEOUT_MS,
  formatListen,
  parseListen,
  type ServeUwsgiOptions,
  type Server,
} from '../serve-options.ts'
import { drained } from './drained.ts'
import { listenOn } from './listen.ts'
import { ReadQueue } from './read-queue.ts'
import { type SocketOwner, tellOwner } from './socket-owner.ts'

/**
 * Serves a handler to nginx, Apache or another front that speaks uwsgi.
 *
 * @param handler A Hono app or any fetch handler, which gets `{ environ, requestMeta }` as `env`; a
 *   `gateway(app)`; or a bridge.
 * @returns Once it listens.
 * @throws {TypeError | RangeError} when an option is wrong, and what node:net throws when the address
 *   is taken.
 */
export async function serveUwsgi(handler: Handler, options: ServeUwsgiOptions): Promise<Server> {
  const { log, closeTimeout = CLOSE_TIMEOUT_MS } = options
  const address = parseListen(options.listen, 'uwsgi')
  const respond = createResponder(handler, {
    ...options,
    onAccess: log === undefined ? undefined : (entry) => log(formatAccessLog(entry)),
  })
  const underWay: SocketConnection[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const isUnix = address.type === 'unix'
    // Health checks reset what they have just opened: nobody is left to be answered.
    if (!isUnix && socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    // Not from the socket: one that is gone already has no address, and would pass for a unix socket.
    const connection = new SocketConnection(socket, isUnix)
    connection.place = underWay.push(connection) - 1
    connection.over = respond(connection)
    void connection.over.then(() => remove(connection, underWay))
  })
  const taken = await listenOn(server, address)
  return {
    url: formatListen(taken, 'uwsgi'),
    close: () => closeServer(server, underWay, closeTimeout),
  }
}

/**
 * Takes a connection out of those under way. They are an array, not a Map or Set: V8 makes a new table for
 * one of those after so many deletions, and the one before, which is old by then, keeps what was in it, and
 * all that it leads to, until the next full collection.
 */
function remove(connection: SocketConnection, underWay: SocketConnection[]): void {
  const last = underWay.pop()
  if (last === undefined || last === connection) return
  underWay[connection.place] = last
  last.place = connection.place
}

/** Lets requests under way end for `timeoutMs`, then breaks them off. */
async function closeServer(
  server: NetServer,
  underWay: readonly SocketConnection[],
  timeoutMs: number
): Promise<void> {
  const closed = Promise.withResolvers<void>()
  server.close(() => closed.resolve())
  const timer = setTimeout(() => {
    for (const connection of underWay) connection.reset()
  }, timeoutMs)
  await Promise.all(underWay.map((connection) => connection.over))
  clearTimeout(timer)
  await closed.promise
}

/** One for all: every connection closes in the end, mostly behind its last read. */
const CLOSED = new Error('the connection was closed')

class SocketConnection implements AcceptedConnection, SocketOwner {
  readonly remote: Peer
  readonly ended: Promise<void>
  /** Its index among those under way. */
  place = 0
  /** Resolves when it has been answered and is closed. */
  over: Promise<void> | undefined
  readonly #socket: Socket
  readonly #isUnix: boolean
  readonly #arrived: ReadQueue
  readonly #ended = Promise.withResolvers<void>()
  #failure: Error | undefined
  #hasWritten = false
  #hasEnded = false

  constructor(socket: Socket, isUnix: boolean) {
    this.#socket = socket
    this.#isUnix = isUnix
    this.#arrived = new ReadQueue(socket)
    this.remote = isUnix
      ? { addr: 'unix:' }
      : { addr: socket.remoteAddress ?? '', port: socket.remotePort }
    this.ended = this.#ended.promise
    tellOwner(socket, this, ['data', 'end', 'error', 'close'])
  }

  onData(bytes: Uint8Array): void {
    if (!this.#arrived.push(bytes)) this.#socket.pause()
  }

  onEnd(): void {
    this.#arrived.end()
    this.#end()
  }

  /** Once: V8 looks into a promise that is resolved again, which takes it 2000 instructions. */
  #end(): void {
    if (!this.#hasEnded) this.#ended.resolve()
    this.#hasEnded = true
  }

  onError(error: Error): void {
    this.#failure = error
  }

  onClose(): void {
    this.#failure ??= CLOSED
    this.#arrived.end(this.#failure)
    this.#end()
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#arrived.read()
  }

  interrupt(error: Error): void {
    this.#arrived.interrupt(error)
  }

  discard(onBytes: () => void): void {
    this.#arrived.discard(onBytes)
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    // The first write waits for nothing, and most responses have no second.
    if (this.#hasWritten) this.#socket.setNoDelay(true)
    this.#hasWritten = true
    return this.#socket.write(bytes) ? undefined : this.#taken()
  }

  end(): Promise<void> | undefined {
    if (this.#socket.writableLength === 0) {
      this.#socket.end()
      return undefined
    }
    return new Promise((resolve) => {
      this.#socket.once('close', resolve)
      this.#socket.end(resolve)
    })
  }

  allocate(bytes: number): Uint8Array {
    return Buffer.allocUnsafe(bytes)
  }

  reset(): void {
    if (this.#isUnix) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }

  close(): void {
    this.#socket.destroy()
  }

  async #taken(): Promise<void> {
    await drained(this.#socket)
    if (this.#failure !== undefined) throw this.#failure
  }
}
