/**
 * What a WebSocket needs of a gateway: a request that may switch protocols, and behind a 101 the bare
 * connection. Frames are nobody's business but the client's and the application's.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-4
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-7.8
 * @module
 */
import { badRequest, GatewayError } from './errors.ts'
import type { RequestHead } from './request-head.ts'

/**
 * Bytes in both directions, behind a 101. Whoever is given one pumps, and calls `close()` in the end:
 * until then the request counts as under way.
 */
export interface Tunnel {
  /** Longest time without a byte either way, in milliseconds; whoever pumps keeps it. */
  readonly idleTimeout: number
  /** The next bytes, `undefined` at the end. Rejects when the connection broke. */
  read(): Promise<Uint8Array | undefined>
  /** Resolves when more may be written; one at a time. Rejects when nobody reads any more. */
  write(bytes: Uint8Array): Promise<void>
  /** Says that no more will be written; what comes back can still be read. */
  end(): void
  /**
   * Drops both directions at once. Idempotent; never throws.
   *
   * @param error What went wrong, if anything did.
   */
  close(error?: unknown): void
}

/** The one protocol that is switched to: the value of `Upgrade`, and of `HTTP_UPGRADE`. */
export const WEBSOCKET = 'websocket'

/**
 * Whether a request asks for a WebSocket (RFC 6455 §4.1). Any other Upgrade is one that a server may
 * ignore, and we do.
 */
export function isWebSocketRequest({
  method,
  httpVersion,
  headers,
}: Pick<RequestHead, 'method' | 'httpVersion' | 'headers'>): boolean {
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    names(headers, 'upgrade', WEBSOCKET) &&
    names(headers, 'connection', 'upgrade') &&
    names(headers, 'sec-websocket-key') &&
    names(headers, 'sec-websocket-version')
  )
}

/**
 * Whether a request is to be forwarded with its Upgrade.
 *
 * @throws {GatewayError} `ERR_BAD_REQUEST` for a WebSocket request with a body, `ERR_NOT_IMPLEMENTED`
 *   where the target has no bare connection to give.
 */
export function wantsTunnel(head: RequestHead): boolean {
  if (!isWebSocketRequest(head)) return false
  // Where such a body ends and the first frame begins, two servers may disagree.
  if (head.hasBody) throw badRequest('Cannot forward WebSocket request: it has a body')
  if (head.canTunnel) return true
  throw new GatewayError(
    'ERR_NOT_IMPLEMENTED',
    'Cannot forward WebSocket request: this server gives no connection behind a 101; wanted a bridge as the handler of serve(), on Node 22.21, 24.9 or later, or on Deno'
  )
}

/** Whether a field is there, and names `token` in its list. */
function names(headers: RequestHead['headers'], field: string, token?: string): boolean {
  return headers.some(
    ([name, value]) =>
      name.toLowerCase() === field &&
      (token === undefined || value.split(',').some((part) => part.trim().toLowerCase() === token))
  )
}
