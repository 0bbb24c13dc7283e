/**
 * What `serve` takes and gives back, the same on every runtime that listens.
 *
 * @module
 */
import type { ResponderOptions } from '../responder/responder-options.ts'

/** Options of `serve`. */
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

/** Default of {@link ServeOptions.clientHeaderTimeout}. */
export const CLIENT_HEADER_TIMEOUT_MS = 60_000
/** Default of {@link ServeOptions.closeTimeout}. */
export const CLOSE_TIMEOUT_MS = 10_000

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
