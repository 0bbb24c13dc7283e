/**
 * What the requests of one client connection have in common: how many they are, and whose turn it is.
 *
 * @module
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** A connection to a client. */
export class ClientConnection {
  /** Requests that have come on it. */
  requests = 0
  readonly #socket: Socket
  readonly #waiting: (() => void)[] = []
  #isBusy = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /**
   * Takes the requests of a connection one after the other: only safe methods may be processed side by
   * side (RFC 9112 §9.3.2), and behind an answer that ends the connection nothing is dispatched, which
   * the client would send again (CVE-2024-49768).
   *
   * @param run Called when the answers to all requests before have ended.
   */
  inTurn(outgoing: ServerResponse, run: () => void): void {
    const start = (): void => {
      this.#isBusy = true
      outgoing.on('close', () => {
        this.#isBusy = false
        if (this.#isOpen) this.#waiting.shift()?.()
      })
      run()
    }
    if (this.#isBusy) this.#waiting.push(start)
    else if (this.#isOpen) start()
  }

  get #isOpen(): boolean {
    return !this.#socket.writableEnded && !this.#socket.destroyed
  }
}

const connections = new WeakMap<Socket, ClientConnection>()

/** The connection that a socket is. */
export function clientConnection(socket: Socket): ClientConnection {
  let connection = connections.get(socket)
  if (connection === undefined) {
    connection = new ClientConnection(socket)
    connections.set(socket, connection)
  }
  return connection
}
