/**
 * What the requests of one client connection have in common: how many they are, and whose turn it is.
 *
 * @module
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** A connection to a client. */
export class ClientConnection {
  readonly #socket: Socket
  readonly #waiting: (() => void)[] = []
  #requests = 0
  #isBusy = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /**
   * Counts a request, and ends the connection behind the last that it may carry. Node's own limit
   * answers 503 to what is pipelined behind, which the client takes for the answer; unanswered, it is
   * sent again elsewhere (RFC 9112 §9.3.1).
   *
   * @returns Whether it may be answered.
   */
  admit(outgoing: ServerResponse, most: number): boolean {
    this.#requests++
    if (this.#requests >= most) outgoing.shouldKeepAlive = false
    if (this.#requests <= most) return true
    // Nobody parses what comes behind: a million small requests would keep the process for minutes.
    if (this.#requests === most + 1) this.#socket.removeAllListeners('data').on('data', () => {})
    return false
  }

  /** Whether all that it may carry has come. */
  isFull(most: number): boolean {
    return this.#requests >= most
  }

  /**
   * Takes the requests of a connection one after the other: only safe methods may be processed side by
   * side (RFC 9112 §9.3.2), and behind an answer that ends the connection nothing is dispatched, which
   * the client would send again (CVE-2024-49768).
   *
   * @param run Called when the answers to all requests before have ended; {@link next} says that its own has.
   */
  inTurn(run: () => void): void {
    this.#waiting.push(run)
    if (!this.#isBusy) this.next()
  }

  /** The answer to the request whose turn it was has ended. */
  next(): void {
    const run = this.#isOpen ? this.#waiting.shift() : undefined
    this.#isBusy = run !== undefined
    run?.()
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
