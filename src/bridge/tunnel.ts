/**
 * A connection behind a 101, as a tunnel.
 *
 * @module
 */
import { GatewayError } from '../core/errors.ts'
import type { Tunnel } from '../core/tunnel.ts'
import type { Connection } from './connection.ts'

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
    write: (bytes) => connection.write(bytes),
    end() {
      if (connection.end === undefined) connection.close()
      else connection.end()
    },
    close: () => connection.close(),
  }
}

/** A tunnel that tells, once, when it is closed and what went wrong. */
export function watchTunnel(tunnel: Tunnel, onClose: (error: unknown) => void): Tunnel {
  let closed = false
  return {
    idleTimeout: tunnel.idleTimeout,
    read: () => tunnel.read(),
    write: (bytes) => tunnel.write(bytes),
    end: () => tunnel.end(),
    close(error) {
      tunnel.close()
      if (!closed) onClose(error)
      closed = true
    },
  }
}
