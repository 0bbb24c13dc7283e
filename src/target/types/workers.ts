/**
 * What this package reads of the Workers runtime, declared minimally; a test compiles it against
 * `@cloudflare/workers-types`, which stays out of the public types.
 *
 * @see https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/
 * @module
 */

/** `Socket` of `cloudflare:sockets`. */
export interface WorkersSocket {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  readonly opened: Promise<unknown>
  close(): Promise<void>
}

/** `connect` of `cloudflare:sockets`, or of a VPC Networks binding, which knows no options. */
export type WorkersConnect = (
  address: { hostname: string; port: number },
  options?: { secureTransport: 'on' | 'off'; allowHalfOpen: boolean }
) => WorkersSocket
