/**
 * What this package reads of the things that runtimes hand their handlers, declared minimally and
 * structurally; the official types are compared with these in the tests.
 *
 * @module
 */

/** The part in use of node:http's `IncomingMessage`. */
export interface IncomingRequest {
  readonly url?: string | undefined
  readonly rawHeaders: readonly string[]
  readonly httpVersion: string
  readonly socket: IncomingSocket
}

/** The part in use of a `net.Socket`, and of the `TLSSocket` that it may be. */
export interface IncomingSocket {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly encrypted?: unknown
  readonly servername?: unknown
  getProtocol?(): string | null
  getCipher?(): { readonly standardName: string } | undefined
}

/** An address of a connection or a listener, as Deno has it. */
export type DenoAddr =
  | { readonly transport: 'tcp' | 'udp'; readonly hostname: string; readonly port: number }
  | { readonly transport: 'unix' | 'unixpacket'; readonly path: string }

/** What `request.cf` on Workers says of the TLS connection to the client. */
export interface WorkersCf {
  readonly tlsVersion?: string
  readonly tlsCipher?: string
}
