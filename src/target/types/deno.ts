/**
 * What this package reads of the Deno namespace, declared minimally; `deno check` compares it with
 * the real one in the tests.
 *
 * @see https://docs.deno.com/api/deno/network
 * @module
 */
import type { DenoAddr } from '../../core/runtime-types.ts'

/** `Deno.Conn`. */
export interface DenoConn {
  read(buffer: Uint8Array): Promise<number | null>
  write(bytes: Uint8Array): Promise<number>
  /** Sends a FIN, behind a close_notify under TLS. */
  closeWrite(): Promise<void>
  close(): void
}

/** Second argument of a `Deno.serve` handler. */
export interface DenoServeInfo {
  readonly remoteAddr: DenoAddr
  /** Settles when the response has been delivered, or its client has gone. */
  readonly completed: Promise<void>
}

/** What `Deno.serve` returns. */
export interface DenoHttpServer {
  readonly addr: DenoAddr
  readonly finished: Promise<void>
}

/** TLS options of `Deno.connectTls` and `Deno.startTls`. */
export interface DenoTlsOptions {
  hostname?: string
  caCerts?: string[]
  cert?: string
  key?: string
}

/** The part of the namespace in use. */
export interface DenoNamespace {
  readonly permissions: {
    query(
      wanted: { name: 'env'; variable: string } | { name: 'read' | 'write'; path: string }
    ): Promise<{ readonly state: string }>
  }
  connect(options: {
    hostname: string
    port: number
  }): Promise<DenoConn & { setNoDelay(on: boolean): void }>
  connect(options: { transport: 'unix'; path: string }): Promise<DenoConn>
  connectTls(options: DenoTlsOptions & { hostname: string; port: number }): Promise<DenoConn>
  startTls(conn: DenoConn, options: DenoTlsOptions): Promise<DenoConn>
  serve(
    options: {
      hostname?: string
      port?: number
      path?: string
      signal?: AbortSignal
      onListen: (addr: DenoAddr) => void
    },
    handler: (request: Request, info: DenoServeInfo) => Response | Promise<Response>
  ): DenoHttpServer
  removeSync(path: string): void
  readonly errors: {
    readonly ConnectionRefused: new () => Error
    readonly UnexpectedEof: new () => Error
  }
}
