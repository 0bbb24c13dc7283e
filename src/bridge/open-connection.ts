/**
 * Connecting, with a timeout and a client that may go away meanwhile.
 *
 * @module
 */
import { clientGone, GatewayError } from '../core/errors.ts'
import { type Address, formatAddress } from './address.ts'
import type { Connect, Connection, Opening } from './connection.ts'
import { Deadline } from './deadline.ts'

/**
 * Opens a connection to a backend.
 *
 * @param timeoutMs Longest wait, in milliseconds.
 * @param signal Aborted when the client goes away.
 * @param shared Keeps the time, and is paused when the connection is there.
 * @throws {GatewayError} `ERR_UPSTREAM_CONNECT`, `ERR_CONNECT_TIMEOUT` or `ERR_CLIENT_CLOSED`.
 */
export function openConnection(
  connect: Connect,
  address: Address,
  timeoutMs: number,
  signal?: AbortSignal,
  shared?: Deadline
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw clientGone()
    const opening = begin(connect, address)
    function giveUp(error: GatewayError): void {
      end()
      opening.close()
      reject(error)
    }
    function take(connection: Connection): void {
      if (shared === undefined) deadline.stop()
      else deadline.pause()
      signal?.removeEventListener('abort', onAbort)
      resolve(connection)
    }
    function fail(error: unknown): void {
      end()
      reject(cannotConnect(address, error))
    }
    function end(): void {
      deadline.stop()
      signal?.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => giveUp(clientGone())
    const onLate = (): void => giveUp(connectTimeout(address, timeoutMs))
    const deadline = shared?.aim(timeoutMs, onLate) ?? new Deadline(timeoutMs, onLate)
    deadline.start()
    signal?.addEventListener('abort', onAbort)
    opening.opened.then(take, fail)
  })
}

function begin(connect: Connect, address: Address): Opening {
  try {
    return connect(address)
  } catch (error) {
    throw cannotConnect(address, error)
  }
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
