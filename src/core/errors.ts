/**
 * The errors this package raises on purpose: one class, one stable code each, one table of statuses.
 *
 * A caller's mistake (a wrong option) is a `TypeError` or `RangeError`; the fault of a client, an
 * application or an upstream is a {@link GatewayError}.
 *
 * @module
 */

/** What each code means and the HTTP status a gateway answers with. */
export const ERROR_STATUS = {
  /** Not a fault: `OPTIONS *` addresses the gateway itself, which answers it (RFC 9110 §9.3.7). */
  ERR_ASTERISK_FORM: 204,
  /** The request breaks RFC 9110 or 9112, or carries what no environ may hold. */
  ERR_BAD_REQUEST: 400,
  /** The client sent fewer body bytes than its Content-Length announced. */
  ERR_BODY_TOO_SHORT: 400,
  /** The responder's front connects from an address that `allowFrom` does not list. */
  ERR_PEER_FORBIDDEN: 403,
  /** The path lies outside the mount. */
  ERR_MOUNT_MISMATCH: 404,
  /** CONNECT and TRACE are not for an application behind a gateway. */
  ERR_METHOD_NOT_ALLOWED: 405,
  /** The client stopped sending its body. */
  ERR_CLIENT_TIMEOUT: 408,
  /** A body without Content-Length, where the options refuse one. */
  ERR_LENGTH_REQUIRED: 411,
  /** The body is over `maxBodyBytes`, or over `maxBufferedBodyBytes` when its length is unknown. */
  ERR_BODY_TOO_LARGE: 413,
  /** The request-target is over 8 KiB. */
  ERR_TARGET_TOO_LONG: 414,
  /** An expectation other than `100-continue`. */
  ERR_EXPECTATION_FAILED: 417,
  /** Too many header fields, or too many bytes in them. */
  ERR_HEADERS_TOO_LARGE: 431,
  /** The variables do not fit in one uwsgi packet: 65535 bytes, or the configured count. */
  ERR_VARS_TOO_LARGE: 431,
  /** The client went away; nobody sees this status but the log (nginx's number). */
  ERR_CLIENT_CLOSED: 499,
  /** The application, or the fetch handler in its place, broke the contract of its gateway. */
  ERR_APPLICATION: 500,
  /** The application called `startResponse` twice without `excInfo` (PEP 3333). */
  ERR_RESPONSE_STARTED: 500,
  /**
   * A Transfer-Encoding other than `chunked`, a WebSocket where the target has no connection to give,
   * or a uwsgi packet that is neither a request nor a ping.
   */
  ERR_NOT_IMPLEMENTED: 501,
  /** The upstream refused the connection, or its name does not resolve. */
  ERR_UPSTREAM_CONNECT: 502,
  /** The upstream closed or reset the connection without a byte of an answer. */
  ERR_UPSTREAM_EMPTY: 502,
  /** The upstream closed or reset the connection in the middle of its answer. */
  ERR_UPSTREAM_TRUNCATED: 502,
  /** The upstream sent bytes that are not a response. */
  ERR_UPSTREAM_PROTOCOL: 502,
  /** Every upstream is `down`. */
  ERR_UPSTREAM_UNAVAILABLE: 502,
  /** Every upstream has `maxConns` requests under way, and the queue is full or took too long. */
  ERR_UPSTREAM_BUSY: 503,
  /** The bridge is closed. */
  ERR_CLOSED: 503,
  /** The upstream did not accept the connection in time. */
  ERR_CONNECT_TIMEOUT: 504,
  /** The upstream stopped taking the request. */
  ERR_SEND_TIMEOUT: 504,
  /** The upstream stopped answering, or nothing went through a tunnel. */
  ERR_READ_TIMEOUT: 504,
  /** An HTTP version that a gateway interface cannot express. */
  ERR_HTTP_VERSION: 505,
} as const

/** A stable, machine-readable error code. */
export type GatewayErrorCode = keyof typeof ERROR_STATUS

/** An error this package raises on purpose; anything else is a bug. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
  /** Stable code: match on this, never on `message`. */
  readonly code: GatewayErrorCode
  /** HTTP status the gateway answers with. */
  readonly status: number

  /**
   * @param code Key of {@link ERROR_STATUS}.
   * @param message What failed, what it was and what was wanted; for the operator, not the client.
   * @param options `cause`: the error underneath.
   */
  constructor(code: GatewayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.status = ERROR_STATUS[code]
  }
}

/** The client's fault, in the one code most rules end in. */
export function badRequest(message: string): GatewayError {
  return new GatewayError('ERR_BAD_REQUEST', message)
}

/** The fault of an application or a fetch handler: what it did and what was wanted, for its author. */
export function applicationError(message: string): GatewayError {
  return new GatewayError('ERR_APPLICATION', message)
}

/** The error for a response that ends before its Content-Length: it must not end cleanly. */
export function responseTooShort(left: number): GatewayError {
  return applicationError(`Cannot end response: it is ${left} bytes short of its Content-Length`)
}

/** The error for a client that left: nobody waits for what would come. */
export function clientGone(): GatewayError {
  return new GatewayError('ERR_CLIENT_CLOSED', 'The client closed the connection')
}

/** What stopped the reading of a request body: where it says nothing itself, its sender is gone. */
export function clientError(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  return new GatewayError('ERR_CLIENT_CLOSED', 'The client closed the connection inside its body', {
    cause,
  })
}
