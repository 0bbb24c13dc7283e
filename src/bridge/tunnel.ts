/**
 * A connection behind a 101, as a tunnel.
 *
 * @module
 */
import { GatewayError } from '../core/errors.ts'
import type { Tunnel } from '../core/tunnel.ts'
import { type Connection, endConnection } from './connection.ts'

/**
 * Makes a tunnel of a connection.
 *
 * @param first What has been read behind the 101 already.
 * @param idleTimeout In milliseconds; `Infinity` for no limit.
 */
export function connectionTunnel(
  connection: Connection,
  first: Uint8Array[],
  idleTimeout: number
): Tunnel {
  return {
    idleTimeout,
    async read() {
      const bytes = first.shift()
      if (bytes !== undefined) return bytes
      try {
        return await connection.read()
      } catch (cause) {
        throw new GatewayError('ERR_UPSTREAM_TRUNCATED', 'The upstream reset the tunnel', { cause })
      }
    },
    async write(bytes) {
      await connection.write(bytes)
    },
    end: () => endConnection(connection),
    close: () => connection.close(),
  }
}

/** Who wants to know what becomes of a tunnel; sizes in bytes. */
export interface TunnelWatch {
  /** The backend sent this much. */
  onChunk?(size: number): void
  /** The client sent this much. */
  onSent?(size: number): void
  /** Called once, when the tunnel is closed, with what went wrong. */
  onEnd(error: unknown): void
}

/** A tunnel that tells how it goes. */
export function watchTunnel(tunnel: Tunnel, watch: TunnelWatch): Tunnel {
  let closed = false
  return {
    idleTimeout: tunnel.idleTimeout,
    async read() {
      const bytes = await tunnel.read()
      if (bytes !== undefined) watch.onChunk?.(bytes.length)
      return bytes
    },
    write(bytes) {
      watch.onSent?.(bytes.length)
      return tunnel.write(bytes)
    },
    end: () => tunnel.end(),
    close(error) {
      tunnel.close()
      if (!closed) watch.onEnd(error)
      closed = true
    },
  }
}
