/**
 * What `serve` takes and gives back, the same on every runtime that listens.
 *
 * @module
 */
import { limit, timeout } from '../core/environ-options.ts'
import type { ResponderOptions } from '../responder/responder-options.ts'

/** Options of `serve`. Durations are milliseconds above 0; `Infinity` means no limit. */
export interface ServeOptions {
  /** `http://host:port` (port 0 takes a free one), or `unix:/path`. */
  listen: string
  /**
   * Longest wait of `close()` for the requests under way, in milliseconds; then they are broken off.
   *
   * @default 10000
   */
  closeTimeout?: number | undefined
  /**
   * Longest wait for the head of a request, in milliseconds; then 408 (nginx:
   * `client_header_timeout`). On Node, and on Deno for a bridge; `Deno.serve` has a limit of its own.
   *
   * @default 60000
   */
  clientHeaderTimeout?: number | undefined
  /**
   * Longest wait for another request on a connection, in milliseconds; then it is closed (nginx:
   * `keepalive_timeout`). On Node; Deno cannot be told one.
   *
   * @default 75000
   */
  clientKeepaliveTimeout?: number | undefined
  /**
   * Longest wait between two writes of a response that the client takes, in milliseconds; then the
   * connection is reset (nginx: `send_timeout`). On Node; Deno cannot be told one.
   *
   * @default 60000
   */
  clientSendTimeout?: number | undefined
  /**
   * Most connections at a time, above 0; one more is closed without an answer (nginx:
   * `worker_connections`). On Node; Deno cannot be told one.
   *
   * @default Infinity
   */
  maxConnections?: number | undefined
  /**
   * Most requests on one connection, above 0; the last is answered with `Connection: close` (nginx:
   * `keepalive_requests`). On Node; Deno cannot be told one.
   *
   * @default 1000
   */
  maxRequestsPerConnection?: number | undefined
  /** Receives one line a request, control characters escaped. */
  log?: ((line: string) => void) | undefined
}

/** Options of `serveUwsgi`. */
export interface ServeUwsgiOptions extends Omit<ResponderOptions, 'onAccess'> {
  /**
   * `uwsgi://host:port` (port 0 takes a free one), or `unix:/path`. Whoever reaches it says who the
   * client is: keep it on loopback, a unix socket or a private network.
   */
  listen: string
  /**
   * Longest wait of `close()` for the requests under way, in milliseconds; then they are broken off.
   *
   * @default 10000
   */
  closeTimeout?: number | undefined
  /** Receives one line a request, control characters escaped. */
  log?: ((line: string) => void) | undefined
}

/** A server that listens. */
export interface Server {
  /** `http://host:port`, `uwsgi://host:port` or `unix:/path`, with the port that was taken. */
  readonly url: string
  /** Takes no more requests, lets those under way end, and resolves when all is closed. */
  close(): Promise<void>
}

/** Where to listen. */
export type ListenAddress =
  | { readonly type: 'tcp'; readonly hostname: string; readonly port: number }
  | { readonly type: 'unix'; readonly path: string }

/** Default of {@link ServeOptions.closeTimeout}. */
export const CLOSE_TIMEOUT_MS = 10_000

/** nginx's default of `keepalive_timeout`. */
const CLIENT_KEEPALIVE_TIMEOUT_MS = 75_000
/** nginx's default of `keepalive_requests`. */
const MAX_REQUESTS_PER_CONNECTION = 1000

/** How long clients may take, and how much there may be of what: {@link ServeOptions}, checked. */
export interface ServeLimits {
  readonly clientHeaderTimeout: number
  readonly clientKeepaliveTimeout: number
  readonly clientSendTimeout: number
  readonly maxConnections: number
  readonly maxRequestsPerConnection: number
  readonly closeTimeout: number
}

/**
 * Checks the limits among options and fills in defaults.
 *
 * @throws {RangeError} naming the option, its value and what was wanted.
 */
export function resolveServeLimits(options: Partial<ServeOptions> = {}): ServeLimits {
  return {
    clientHeaderTimeout: timeout('clientHeaderTimeout', options.clientHeaderTimeout),
    clientKeepaliveTimeout: timeout(
      'clientKeepaliveTimeout',
      options.clientKeepaliveTimeout ?? CLIENT_KEEPALIVE_TIMEOUT_MS
    ),
    clientSendTimeout: timeout('clientSendTimeout', options.clientSendTimeout),
    maxConnections: atLeastOne('maxConnections', options.maxConnections ?? Infinity),
    maxRequestsPerConnection: atLeastOne(
      'maxRequestsPerConnection',
      options.maxRequestsPerConnection ?? MAX_REQUESTS_PER_CONNECTION
    ),
    closeTimeout: timeout('closeTimeout', options.closeTimeout ?? CLOSE_TIMEOUT_MS),
  }
}

/** A limit that leaves something: a server that takes nothing is a mistake. */
function atLeastOne(name: string, value: number): number {
  if (value > 0 && limit(name, value) > 0) return value
  throw new RangeError(
    `Cannot use ${name} ${value}: wanted a whole number above 0, or Infinity for no limit`
  )
}

const TCP = /^([a-z]+):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})\/?$/

/**
 * Parses where to listen.
 *
 * @throws {TypeError} when it is not `http://host:port` (or `uwsgi:`) or `unix:/path`.
 */
export function parseListen(text: string, scheme: 'http' | 'uwsgi' = 'http'): ListenAddress {
  if (text.startsWith('unix:/') && !text.includes('\0')) {
    return { type: 'unix', path: text.slice('unix:'.length) }
  }
  const [, given, ipv6, name, digits] = TCP.exec(text) ?? []
  const hostname = ipv6 ?? name
  if (given === scheme && hostname !== undefined && Number(digits) <= 65_535) {
    return { type: 'tcp', hostname, port: Number(digits) }
  }
  throw new TypeError(
    `Cannot listen on ${JSON.stringify(text)}: wanted "${scheme}://host:port" or "unix:/path"`
  )
}

/** The text form of an address that is listened on. */
export function formatListen(address: ListenAddress, scheme: 'http' | 'uwsgi' = 'http'): string {
  if (address.type === 'unix') return `unix:${address.path}`
  const { hostname, port } = address
  return `${scheme}://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`
}
