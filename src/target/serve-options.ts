/**
 * What `serve` takes and gives back, the same on every runtime that listens.
 *
 * @module
 */
import type { Bridge } from '../bridge/bridge.ts'
import { logText } from '../core/log-text.ts'

/** A function from Request to Response. */
export type FetchHandler = (request: Request, env?: unknown) => Response | Promise<Response>

/** What can be served: a bridge, an object with `fetch` such as a Hono app, or the function itself. */
export type Handler = Bridge | { fetch: FetchHandler } | FetchHandler

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
   * `client_header_timeout`). On Node; Deno has a limit of its own.
   *
   * @default 60000
   */
  clientHeaderTimeout?: number | undefined
  /** Receives one line a request, control characters escaped. */
  log?: ((line: string) => void) | undefined
}

/** A server that listens. */
export interface Server {
  /** `http://host:port` or `unix:/path`, with the port that was taken. */
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

const LISTEN = /^http:\/\/(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})\/?$/

/**
 * Parses where to listen.
 *
 * @throws {TypeError} when it is not `http://host:port` or `unix:/path`.
 */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith('unix:/') && !text.includes('\0')) {
    return { type: 'unix', path: text.slice('unix:'.length) }
  }
  const [, ipv6, name, digits] = LISTEN.exec(text) ?? []
  const hostname = ipv6 ?? name
  if (hostname !== undefined && Number(digits) <= 65_535) {
    return { type: 'tcp', hostname, port: Number(digits) }
  }
  throw new TypeError(
    `Cannot listen on ${JSON.stringify(text)}: wanted "http://host:port" or "unix:/path"`
  )
}

/** The text form of an address that is listened on. */
export function formatListen(address: ListenAddress): string {
  if (address.type === 'unix') return `unix:${address.path}`
  const { hostname, port } = address
  return `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`
}

/** The fetch function of a handler. */
export function fetchOf(handler: Handler): FetchHandler {
  return typeof handler === 'function' ? handler : (request, env) => handler.fetch(request, env)
}

/** What an access log line tells. */
export interface AccessLogEntry {
  readonly remote: string | undefined
  readonly method: string
  readonly target: string
  readonly protocol: string
  /** Status sent, `undefined` when the client left before it. */
  readonly status: number | undefined
  readonly durationMs: number
}

/** One access log line: time, client, request line, status, duration. */
export function formatAccessLog(entry: AccessLogEntry): string {
  const { remote = '-', method, target, protocol, status = 499, durationMs } = entry
  const requestLine = `${method} ${target} ${protocol}`.replaceAll('"', '%22')
  return logText(
    `${new Date().toISOString()} ${remote} "${requestLine}" ${status} ${durationMs.toFixed(1)}ms`
  )
}
