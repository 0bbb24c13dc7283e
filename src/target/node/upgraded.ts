/**
 * A client that asked for a WebSocket: its socket, of which node:http has let go, and the tunnel
 * between it and the backend.
 *
 * @module
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { MAX_DELAY_MS } from '../../bridge/deadline.ts'
import { GatewayError } from '../../core/errors.ts'
import type { GatewayResponse } from '../../core/gateway-response.ts'
import { type Tunnel, WEBSOCKET } from '../../core/tunnel.ts'
import { drained } from './drained.ts'
import { ReadQueue } from './read-queue.ts'

/** How long a client has to close after its backend has: as long as an unread body may pause. */
const LINGERING_TIMEOUT_MS = 5000

/**
 * Whether node:http asks which upgrades are to be taken: since 22.21 and 24.9. Before, it takes all
 * of them or none, and one that is only ignored must stay a request like any other.
 */
export function choosesUpgrades(server: Server): boolean {
  return 'shouldUpgradeCallback' in server
}

/** The socket of a client that asked for a WebSocket. */
export class UpgradedSocket {
  readonly #socket: Socket
  readonly #arrived: ReadQueue
  #tunnelled = false

  /** @param head What has been read behind the request: the first frames of a hasty client. */
  constructor(socket: Socket, head: Uint8Array) {
    this.#socket = socket
    this.#arrived = new ReadQueue(socket)
    if (head.length > 0) this.#arrived.push(head)
    // Read from the start, or nothing would tell that the client has gone.
    socket.on('data', (bytes: Uint8Array) => {
      if (!this.#arrived.push(bytes)) socket.pause()
    })
    socket.on('end', () => {
      // Who ends before the answer does not want it; behind it, one direction may end first.
      if (this.#tunnelled) this.#arrived.end()
      else socket.destroy()
    })
    socket.on('error', (error) => this.#arrived.end(error))
    socket.on('close', () => this.#arrived.end())
  }

  /** Sends the 101 and pumps until both sides have ended, one broke, or both fell silent. */
  async run(response: GatewayResponse, tunnel: Tunnel): Promise<void> {
    const socket = this.#socket
    const { idleTimeout } = tunnel
    this.#tunnelled = true
    // Also when the server is closed: then nobody is left to read what the backend says.
    socket.on('close', () => tunnel.close())
    if (socket.destroyed) tunnel.close()
    socket.setTimeout(idleTimeout === Infinity ? 0 : Math.min(idleTimeout, MAX_DELAY_MS), () => {
      const message = `Nothing went through the tunnel for ${idleTimeout} ms`
      tunnel.close(new GatewayError('ERR_READ_TIMEOUT', message))
      socket.destroy()
    })
    socket.write(switchingHead(response), 'latin1')
    void this.#toBackend(tunnel)
    try {
      await this.#toClient(tunnel)
      this.#linger()
      tunnel.close()
    } catch (error) {
      tunnel.close(error)
      socket.destroy()
    }
  }

  async #toBackend(tunnel: Tunnel): Promise<void> {
    let wanted = true
    try {
      for (let bytes = await this.#arrived.read(); bytes; bytes = await this.#arrived.read()) {
        if (!wanted) continue
        await tunnel.write(bytes).catch(() => {
          // What the backend has said before it left is still on its way to the client.
          wanted = false
        })
      }
      tunnel.end()
    } catch {
      // The client has reset the connection; 'close' follows.
    }
  }

  async #toClient(tunnel: Tunnel): Promise<void> {
    const socket = this.#socket
    for (let bytes = await tunnel.read(); bytes; bytes = await tunnel.read()) {
      if (!socket.write(bytes) && !socket.destroyed) await drained(socket)
      if (socket.destroyed) return
    }
    socket.end()
  }

  /** Waits for the client's end, since closing on bytes of its would reset what it has not read. */
  #linger(): void {
    const socket = this.#socket
    if (socket.destroyed) return
    const timer = setTimeout(() => socket.destroy(), LINGERING_TIMEOUT_MS)
    socket.on('close', () => clearTimeout(timer))
  }
}

/** The head of a 101, with the two fields that each hop says anew. */
function switchingHead({ reason, headers }: GatewayResponse): string {
  const fields = [['Connection', 'Upgrade'], ['Upgrade', WEBSOCKET], ...headers]
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 101 ${reason}\r\n${lines.join('')}\r\n`
}
