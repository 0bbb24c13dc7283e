/**
 * edge-wsgi on Node: backends over TCP, unix sockets and TLS; HTTP and uwsgi in on TCP and unix
 * sockets.
 *
 * @module
 */
import { type Bridge, createBridgeOn, type UpstreamConfig } from '../../bridge/bridge.ts'
import type { BridgeOptions } from '../../bridge/bridge-options.ts'
import { checkSslOptions, type SslOptions } from '../ssl-options.ts'
import { connectWith } from './connect.ts'
import { every } from './every.ts'
import { requestMeta } from './incoming.ts'
import { openTempFile } from './temp-file.ts'

export { connect } from './connect.ts'
export { requestMeta } from './incoming.ts'
export { serve } from './serve.ts'
export { serveUwsgi } from './serve-uwsgi.ts'
export type { Bridge, UpstreamConfig } from '../../bridge/bridge.ts'
export type { BridgeOptions, ErrorContext } from '../../bridge/bridge-options.ts'
export type { ClientSignal } from '../../core/client-signal.ts'
export type { FetchHandler, Handler, HeadHandler } from '../../core/handler.ts'
export type { UwsgiEnv } from '../../core/request-meta.ts'
export type { ResponderErrorContext } from '../../responder/responder-options.ts'
export type { ServeOptions, Server, ServeUwsgiOptions } from '../serve-options.ts'
export type { SslOptions } from '../ssl-options.ts'

/**
 * Creates a bridge to a uwsgi backend, or to a group of them.
 *
 * @param upstream `uwsgi://host:port`, `suwsgi://host:port` (TLS) or `unix:/path`; or a list of those,
 *   each alone or with its options.
 * @throws {TypeError | RangeError} when an address or an option is wrong.
 * @example
 * ```ts
 * import { createBridge, serve } from 'edge-wsgi/node'
 * await serve(createBridge('unix:/run/uwsgi/app.sock'), { listen: 'http://127.0.0.1:8080' })
 * ```
 */
export function createBridge(
  upstream: UpstreamConfig,
  options: BridgeOptions & SslOptions = {}
): Bridge {
  checkSslOptions(options, upstream)
  const connect = connectWith(options)
  return createBridgeOn(
    {
      connect: () => connect,
      requestMeta,
      headerEncoding: 'latin1',
      openTempFile,
      allocate: (bytes) => Buffer.allocUnsafe(bytes),
      every,
    },
    upstream,
    options
  )
}
