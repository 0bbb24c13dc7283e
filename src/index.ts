/**
 * edge-wsgi: Fetch requests ⇄ WSGI environs, portable.
 *
 * The bridge to a uwsgi backend is in `edge-wsgi/workers`, `edge-wsgi/deno` and `edge-wsgi/node`.
 *
 * @module
 */
export { type Environ, toEnviron, type WsgiErrors } from './core/environ.ts'
export type { EnvironOptions } from './core/environ-options.ts'
export { ERROR_STATUS, GatewayError, type GatewayErrorCode } from './core/errors.ts'
export type { WsgiInput } from './core/input.ts'
export type { HeaderField, Peer, RequestMeta, TlsInfo } from './core/request-head.ts'
