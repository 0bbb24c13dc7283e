/**
 * When a request is passed on to the next backend.
 *
 * @see https://nginx.org/en/docs/http/ngx_http_uwsgi_module.html#uwsgi_next_upstream
 * @module
 */
import type { GatewayErrorCode } from '../core/errors.ts'

/** The words of `nextUpstream`: nginx's, and two that its `proxy_next_upstream` has besides. */
export const NEXT_UPSTREAM_WORDS = [
  'error',
  'timeout',
  'invalid_header',
  'http_500',
  'http_502',
  'http_503',
  'http_504',
  'http_403',
  'http_404',
  'http_429',
  'non_idempotent',
  'off',
] as const

/** A condition under which a request is passed on; `off` stands for none. */
export type NextUpstream = (typeof NEXT_UPSTREAM_WORDS)[number]

/** What of an attempt's end is the backend's fault, by nginx's names. */
const CONDITIONS: Partial<Record<GatewayErrorCode, NextUpstream>> = {
  ERR_UPSTREAM_CONNECT: 'error',
  ERR_UPSTREAM_EMPTY: 'error',
  ERR_UPSTREAM_TRUNCATED: 'error',
  ERR_CONNECT_TIMEOUT: 'timeout',
  ERR_SEND_TIMEOUT: 'timeout',
  ERR_READ_TIMEOUT: 'timeout',
  ERR_UPSTREAM_PROTOCOL: 'invalid_header',
}

/** Methods that may be carried out twice (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** The condition that an error meets; `undefined` when it is not the backend's. */
export function conditionOf(code: GatewayErrorCode): NextUpstream | undefined {
  return CONDITIONS[code]
}

/** The condition that a status meets, whether or not it is one of the words. */
export function conditionOfStatus(status: number): NextUpstream {
  return `http_${status}` as NextUpstream
}

/** Whether a status that passes a request on counts as a failure: 403 and 404 are answers. */
export function isFailure(status: number): boolean {
  return status !== 403 && status !== 404
}

/** Whether a request may be sent a second time once some of it has been sent. */
export function isRepeatable(method: string, conditions: ReadonlySet<NextUpstream>): boolean {
  return IDEMPOTENT.has(method) || conditions.has('non_idempotent')
}

/** Whether a method is idempotent. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method)
}
