/**
 * A response → node:http's `ServerResponse`.
 *
 * @module
 */
import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'
import type { BodySource } from '../../core/body-source.ts'
import type { GatewayResponse } from '../../core/gateway-response.ts'

/**
 * Writes a response. A body that fails destroys the connection, so that the client sees it broken
 * off and never takes the part for the whole.
 *
 * @returns Number of body bytes written.
 */
export async function writeResponse(
  outgoing: ServerResponse,
  response: GatewayResponse
): Promise<number> {
  const { status, reason, headers, body } = response
  outgoing.writeHead(status, reason, headers.flat())
  if (body === undefined) {
    outgoing.end()
    return 0
  }
  outgoing.on('close', () => void body.cancel(undefined))
  try {
    return await writeBody(outgoing, body)
  } catch {
    // Whoever made the body has reported why.
    outgoing.destroy()
    return 0
  }
}

async function writeBody(outgoing: ServerResponse, body: BodySource): Promise<number> {
  let total = 0
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
    total += chunk.length
    if (!outgoing.write(chunk) && !outgoing.destroyed) await drained(outgoing)
    if (outgoing.destroyed) return total
  }
  outgoing.end()
  return total
}

/** Resolves when a stream takes more, or has been closed. */
export function drained(outgoing: Writable): Promise<void> {
  return new Promise((resolve) => {
    function settle(): void {
      outgoing.off('drain', settle)
      outgoing.off('close', settle)
      resolve()
    }
    outgoing.on('drain', settle)
    outgoing.on('close', settle)
  })
}
