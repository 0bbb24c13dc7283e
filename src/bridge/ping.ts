/**
 * uWSGI's health check: packet type 100, answered by the ping plugin once a worker is free.
 *
 * @see https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
 * @module
 */
import { encodePacket, HEADER_SIZE, MODIFIER1_PING } from '../codec/uwsgi.ts'
import { concat } from '../core/body-source.ts'
import { GatewayError } from '../core/errors.ts'
import type { Connection } from './connection.ts'
import type { Guard } from './guard.ts'

/** `modifier2` of the answer. */
const PONG = 1

/**
 * Sends a ping and waits for the pong.
 *
 * @param connection Closed afterwards.
 * @param timeoutMs Longest wait for the answer, in milliseconds.
 * @param guard Watches over it, as it may have done over the opening; stopped in the end.
 * @throws {GatewayError} `ERR_READ_TIMEOUT`, `ERR_UPSTREAM_EMPTY` or `ERR_UPSTREAM_PROTOCOL`.
 */
export async function ping(connection: Connection, timeoutMs: number, guard: Guard): Promise<void> {
  let late: GatewayError | undefined
  guard.tell((error) => {
    late = error
    connection.close()
  })
  guard.start(timeoutMs, pingTimeout)
  try {
    await connection.write(encodePacket([], { modifier1: MODIFIER1_PING }))
    checkPong(await readHeader(connection))
  } catch (error) {
    if (late !== undefined) throw late
    if (error instanceof GatewayError) throw error
    throw new GatewayError(
      'ERR_UPSTREAM_EMPTY',
      'The upstream reset the connection instead of answering a ping',
      {
        cause: error,
      }
    )
  } finally {
    guard.stop()
    connection.close()
  }
}

function pingTimeout(timeoutMs: number): GatewayError {
  return new GatewayError(
    'ERR_READ_TIMEOUT',
    `The upstream did not answer a ping within ${timeoutMs} ms`
  )
}

async function readHeader(connection: Connection): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  while (total < HEADER_SIZE) {
    const chunk = await connection.read()
    if (chunk === undefined) break
    chunks.push(chunk)
    total += chunk.length
  }
  return concat(chunks, total)
}

function checkPong(bytes: Uint8Array): void {
  if (bytes.length === 0) {
    throw new GatewayError(
      'ERR_UPSTREAM_EMPTY',
      'The upstream closed the connection instead of answering a ping'
    )
  }
  if (bytes.length < HEADER_SIZE || bytes[0] !== MODIFIER1_PING || bytes[3] !== PONG) {
    throw new GatewayError(
      'ERR_UPSTREAM_PROTOCOL',
      'The upstream answered a ping with something else'
    )
  }
}
