/**
 * Connecting, with a timeout and a client that may go away meanwhile.
 *
 * @module
 */
import { GatewayError } from '../core/errors.ts'
import { type Address, formatAddress } from './address.ts'
import type { Connect, Connection } from './connection.ts'
import type { Guard } from './guard.ts'

/**
 * Opens a connection to a backend.
 *
 * @param timeoutMs Longest wait, in milliseconds.
 * @param guard Paused when the connection is there, stopped when there is none.
 * @throws {GatewayError} `ERR_UPSTREAM_CONNECT`, `ERR_CONNECT_TIMEOUT` or `ERR_CLIENT_CLOSED`.
 */
export function openConnection(
  connect: Connect,
  address: Address,
  timeoutMs: number,
  guard: Guard
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    function take(connection: Connection): void {
      guard.pause()
      resolve(connection)
    }
    function fail(error: unknown): void {
      guard.stop()
      reject(cannotConnect(address, error))
    }
    try {
      guard.check()
      const opening = connect(address)
      guard.tell((error) => {
        opening.close()
        reject(error)
      })
      guard.start(timeoutMs, () => connectTimeout(address, timeoutMs))
      opening.opened.then(take, fail)
    } catch (error) {
      fail(error)
    }
  })
}

function connectTimeout(address: Address, timeoutMs: number): GatewayError {
  return new GatewayError(
    'ERR_CONNECT_TIMEOUT',
    `${formatAddress(address)} did not accept a connection within ${timeoutMs} ms`
  )
}

function cannotConnect(address: Address, error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new GatewayError(
    'ERR_UPSTREAM_CONNECT',
    `Cannot connect to ${formatAddress(address)}: ${reason}`,
    { cause: error }
  )
}
