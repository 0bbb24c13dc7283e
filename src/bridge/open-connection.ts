/**
 * Connecting, with a timeout and a client that may go away meanwhile.
 *
 * @module
 */
import { clientGone, GatewayError } from '../core/errors.ts'
import { type Address, formatAddress } from './address.ts'
import type { Connect, Connection } from './connection.ts'
import { Deadline } from './deadline.ts'

/**
 * Opens a connection to a backend.
 *
 * @param timeoutMs Longest wait, in milliseconds.
 * @param signal Aborted when the client goes away.
 * @throws {GatewayError} `ERR_UPSTREAM_CONNECT`, `ERR_CONNECT_TIMEOUT` or `ERR_CLIENT_CLOSED`.
 */
export async function openConnection(
  connect: Connect,
  address: Address,
  timeoutMs: number,
  signal?: AbortSignal
): Promise<Connection> {
  const name = formatAddress(address)
  const controller = new AbortController()
  const given = Promise.withResolvers<never>()
  function giveUp(error: GatewayError): void {
    controller.abort(error)
    given.reject(error)
  }
  const onAbort = (): void => giveUp(clientGone())
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  const deadline = new Deadline(timeoutMs, () =>
    giveUp(
      new GatewayError(
        'ERR_CONNECT_TIMEOUT',
        `${name} did not accept a connection within ${timeoutMs} ms`
      )
    )
  )
  deadline.start()
  const opening = connect(address, controller.signal)
  try {
    return await Promise.race([opening, given.promise])
  } catch (error) {
    // A connection that comes after all has nobody left to use it.
    opening.then((connection) => connection.close()).catch(() => {})
    if (error instanceof GatewayError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new GatewayError('ERR_UPSTREAM_CONNECT', `Cannot connect to ${name}: ${reason}`, {
      cause: error,
    })
  } finally {
    deadline.stop()
    signal?.removeEventListener('abort', onAbort)
  }
}
