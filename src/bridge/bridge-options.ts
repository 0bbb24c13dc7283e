/**
 * The options of a bridge. Names are nginx's directives in camelCase.
 *
 * @see https://nginx.org/en/docs/http/ngx_http_uwsgi_module.html
 * @module
 */
import type { EnvironOptions } from '../core/environ-options.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Balance } from './balance.ts'
import type { ExchangeEvent } from './exchange-event.ts'
import type { NextUpstream } from './next-upstream.ts'
import type { InterceptErrors } from './response-policy.ts'

/** What a bridge was doing when an error struck. */
export interface ErrorContext {
  /** Request method. */
  readonly method: string
  /** Path as the client sent it: escape it before it goes into a log line. */
  readonly path: string
  /** Address of the backend that was tried last; empty when none was. */
  readonly upstream: string
}

/** Options of a bridge: {@link EnvironOptions}, and how the backend is spoken to. */
export interface BridgeOptions extends EnvironOptions {
  /**
   * Longest wait for a connection to the backend, in milliseconds; then 504.
   *
   * @default 60000
   */
  connectTimeout?: number | undefined
  /**
   * Longest wait between two writes to the backend, in milliseconds; then 504.
   *
   * @default 60000
   */
  sendTimeout?: number | undefined
  /**
   * Longest wait between two reads from the backend, in milliseconds, once it has the request; then
   * 504, or a broken-off response where its head was sent. A WebSocket ends after as long without a
   * byte in either direction.
   *
   * @default 60000
   */
  readTimeout?: number | undefined
  /**
   * Longest wait between two reads of the client's body, in milliseconds; then 408.
   *
   * @default 60000
   */
  clientBodyTimeout?: number | undefined
  /**
   * Largest response head the backend may send, in bytes; then 502.
   *
   * @default 65536
   */
  bufferSize?: number | undefined
  /**
   * Static variables for every request (nginx: `uwsgi_param`). One with the name of a request
   * variable replaces it; an `HTTP_*` one with an empty value removes it.
   *
   * @default {}
   */
  params?: Readonly<Record<string, string>> | undefined
  /**
   * Packet type: 0 for WSGI, or 5 (PSGI), 7 (Rack), 9 (CGI), 14 (PHP) where that plugin is meant.
   *
   * @default 0
   */
  modifier1?: number | undefined
  /**
   * Packet flags, 0 to 255.
   *
   * @default 0
   */
  modifier2?: number | undefined
  /**
   * Most variables in a packet; more is answered 431. uWSGI takes 128 unless `--max-vars` is set,
   * and drops a packet with more.
   *
   * @default 128
   */
  maxVars?: number | undefined
  /**
   * Largest vars block, in bytes; a larger one is answered 431. Set it to uWSGI's `--buffer-size`
   * (4096 by default), which drops a larger block without an answer.
   *
   * @default 65535 (what the packet can hold)
   */
  maxVarsBytes?: number | undefined
  /**
   * Who speaks uwsgi at the other end: uWSGI, or gunicorn with `--protocol uwsgi`. gunicorn decodes
   * `PATH_INFO` itself, so it gets it percent-encoded, and it keeps connections for more requests.
   *
   * @default 'uwsgi'
   */
  backend?: 'uwsgi' | 'gunicorn' | undefined
  /**
   * Most idle connections kept to each gunicorn (nginx: `keepalive` of an upstream); 0 for none. uWSGI
   * keeps none, and Workers may keep none.
   *
   * @default 32
   */
  keepalive?: number | undefined
  /**
   * Longest idle time of such a connection, in milliseconds: less than gunicorn's `--keep-alive`, 2 s
   * by default.
   *
   * @default 1500
   */
  keepaliveTimeout?: number | undefined
  /**
   * How a backend is chosen where there are several: in turn by weight, by the fewest requests under
   * way, or by a hash of the client's address (`ip_hash`) or of `hashHeader` (`hash`).
   *
   * @default 'round_robin'
   */
  balance?: Balance | undefined
  /**
   * Request header that `balance: 'hash'` goes by; a request without it gets its turn.
   *
   * @default ''
   */
  hashHeader?: string | undefined
  /**
   * Most requests under way at each backend, as far as this bridge knows; more wait in the queue.
   *
   * @default Infinity
   */
  maxConns?: number | undefined
  /**
   * Failures of a backend within `failTimeout` that take it out for `failTimeout`; 0 for never.
   *
   * @default 1
   */
  maxFails?: number | undefined
  /**
   * Both spans of `maxFails`, in milliseconds.
   *
   * @default 10000
   */
  failTimeout?: number | undefined
  /**
   * When a request is passed on to the next backend, in the words of `uwsgi_next_upstream`. One that is
   * not idempotent is never sent twice once some of it has been sent, but with `non_idempotent`.
   *
   * @default ['error', 'timeout']
   */
  nextUpstream?: readonly NextUpstream[] | undefined
  /**
   * Most backends that a request is tried on; 0 for all.
   *
   * @default 0
   */
  nextUpstreamTries?: number | undefined
  /**
   * Longest time in which a request may be passed on, in milliseconds.
   *
   * @default Infinity
   */
  nextUpstreamTimeout?: number | undefined
  /**
   * Most requests that wait while every backend has `maxConns` under way; more is answered 503.
   *
   * @default 100
   */
  queue?: number | undefined
  /**
   * Longest wait in the queue, in milliseconds; then 503.
   *
   * @default 60000
   */
  queueTimeout?: number | undefined
  /**
   * From one health check of each backend to the next, in milliseconds; `Infinity` for none. Not on
   * Workers, which have no time between requests.
   *
   * @default Infinity
   */
  healthCheckInterval?: number | undefined
  /**
   * Longest wait of a health check for its connection, and for its answer, in milliseconds.
   *
   * @default 5000
   */
  healthCheckTimeout?: number | undefined
  /**
   * Path that a health check gets, where a status below 400 is good; without one, uWSGI is pinged.
   *
   * @default '' (gunicorn: '/')
   */
  healthCheckPath?: string | undefined
  /**
   * Whether the backend is read ahead of a slow client (nginx: `uwsgi_buffering`). A response with
   * `X-Accel-Buffering: no` or of type `text/event-stream` never is.
   *
   * @default true
   */
  buffering?: boolean | undefined
  /**
   * Most bytes of a response that wait in memory for a slow client, and of a request body that may
   * have to be sent again or whose length must be learnt.
   *
   * @default 131072 (128 KiB)
   */
  bufferBytes?: number | undefined
  /**
   * Most bytes of a body that wait in a temporary file beyond `bufferBytes` (nginx:
   * `uwsgi_max_temp_file_size`); 0 for no file. Workers have no files.
   *
   * @default 1073741824 (1 GiB)
   */
  maxTempFileBytes?: number | undefined
  /**
   * Response headers to keep from the client.
   *
   * @default [] (and `X-Accel-*`, as in nginx)
   */
  hideHeader?: readonly string[] | undefined
  /**
   * Response headers to give to the client although they are hidden by default.
   *
   * @default []
   */
  passHeader?: readonly string[] | undefined
  /**
   * Response headers not to act on. `X-Accel-Buffering` is the only one that has an effect here.
   *
   * @default []
   */
  ignoreHeaders?: readonly string[] | undefined
  /**
   * Makes the answer in the place of an error, of the backend or of the bridge (nginx:
   * `uwsgi_intercept_errors` with `error_page`). When it fails, the error stays as it is.
   *
   * @default none
   */
  interceptErrors?: InterceptErrors | undefined
  /**
   * Whether `X-Request-Id` and `traceparent` are passed on, and made where the client sent none.
   *
   * @default true
   */
  tracing?: boolean | undefined
  /**
   * Receives one event a request, when its response has ended.
   *
   * @default none
   */
  onExchange?: ((event: ExchangeEvent) => void) | undefined
  /**
   * Receives every error that a client is answered with, or that breaks a response off.
   *
   * @default writes it to the console
   */
  onError?: ((error: GatewayError | Error, context: ErrorContext) => void) | undefined
}
