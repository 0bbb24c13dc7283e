/**
 * edge-wsgi: Fetch requests ⇄ WSGI environs ⇄ applications, portable.
 *
 * The bridge to a uwsgi backend is in `edge-wsgi/workers`, `edge-wsgi/deno` and `edge-wsgi/node`.
 *
 * @module
 */
export { type Application, type ApplicationResult, runApplication } from './core/application.ts'
export type { BodySource } from './core/body-source.ts'
export type { ClientSignal } from './core/client-signal.ts'
export { type Environ, toEnviron, type WsgiErrors } from './core/environ.ts'
export type { EnvironOptions } from './core/environ-options.ts'
export { ERROR_STATUS, GatewayError, type GatewayErrorCode } from './core/errors.ts'
export { toApplication } from './core/fetch-application.ts'
export { type EnvironLike, fromEnviron } from './core/from-environ.ts'
export { type Gateway, gateway, type GatewayOptions } from './core/gateway.ts'
export type { GatewayResponse, ResponseForm } from './core/gateway-response.ts'
export type { FetchHandler, Handler, HeadHandler } from './core/handler.ts'
export type { WsgiInput } from './core/input.ts'
export type { HeaderField, Peer, RequestHead, RequestMeta, TlsInfo } from './core/request-head.ts'
export type { UwsgiEnv } from './core/request-meta.ts'
export type { ExcInfo, StartResponse, Write } from './core/start-response.ts'
