/**
 * The options of a bridge, checked once when it is created. Names are nginx's directives in camelCase.
 *
 * @see https://nginx.org/en/docs/http/ngx_http_uwsgi_module.html
 * @module
 */
import {
  type EnvironOptions,
  flag,
  integer,
  limit,
  list,
  oneOf,
  resolveEnvironOptions,
  type ResolvedEnvironOptions,
  timeout,
} from '../core/environ-options.ts'
import type { GatewayError } from '../core/errors.ts'
import { reportToConsole } from '../core/log-text.ts'
import { isNative } from '../core/octets.ts'
import { variableName } from '../core/header-field.ts'
import type { Variable } from '../core/vars.ts'
import { type Balance, BALANCES } from './balance.ts'
import type { ExchangeEvent } from './exchange-event.ts'
import { NEXT_UPSTREAM_WORDS, type NextUpstream } from './next-upstream.ts'
import { headerNames, hiddenHeaders, type InterceptErrors } from './response-policy.ts'
import { maxConns } from './upstream-server.ts'

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

/** {@link BridgeOptions} with defaults filled in, and checked. */
export interface ResolvedBridgeOptions {
  readonly environ: ResolvedEnvironOptions
  readonly connectTimeout: number
  readonly sendTimeout: number
  readonly readTimeout: number
  readonly clientBodyTimeout: number
  readonly bufferSize: number
  readonly params: readonly Variable[]
  readonly modifier1: number
  readonly modifier2: number
  readonly maxVars: number
  readonly maxVarsBytes: number
  readonly backend: 'uwsgi' | 'gunicorn'
  readonly keepalive: number
  readonly keepaliveTimeout: number
  readonly balance: Balance
  /** Name of the variable. */
  readonly hashVariable: string
  readonly maxConns: number
  readonly maxFails: number
  readonly failTimeout: number
  readonly nextUpstream: ReadonlySet<NextUpstream>
  readonly nextUpstreamTries: number
  readonly nextUpstreamTimeout: number
  readonly queue: number
  readonly queueTimeout: number
  readonly healthCheckInterval: number
  readonly healthCheckTimeout: number
  readonly healthCheckPath: string
  readonly buffering: boolean
  readonly bufferBytes: number
  readonly maxTempFileBytes: number
  /** Lower-case names. */
  readonly hiddenHeaders: ReadonlySet<string>
  /** Lower-case names. */
  readonly ignoredHeaders: ReadonlySet<string>
  readonly interceptErrors: InterceptErrors | undefined
  readonly tracing: boolean
  readonly onExchange: ((event: ExchangeEvent) => void) | undefined
  readonly onError: (error: GatewayError | Error, context: ErrorContext) => void
}

/** Plugins that take a request; others run code, spool jobs or reload the server (UW-2). */
const MODIFIERS1 = [0, 5, 7, 9, 14]

/**
 * Checks options and fills in defaults.
 *
 * @throws {TypeError | RangeError} naming the option, its value and what was wanted.
 */
export function resolveBridgeOptions(options: BridgeOptions = {}): ResolvedBridgeOptions {
  refuseImpossible(options)
  return {
    ...resolveExchange(options),
    ...resolveGroup(options),
    ...resolveBuffers(options),
    environ: resolveEnvironOptions(options),
    hiddenHeaders: hiddenHeaders(
      list('hideHeader', options.hideHeader ?? []),
      list('passHeader', options.passHeader ?? [])
    ),
    ignoredHeaders: new Set(
      headerNames('ignoreHeaders', list('ignoreHeaders', options.ignoreHeaders ?? []))
    ),
    interceptErrors: options.interceptErrors,
    tracing: flag('tracing', options.tracing ?? true),
    onExchange: options.onExchange,
    onError:
      options.onError ??
      ((error, { method, path, upstream }) =>
        reportToConsole(`${method} ${path} ${upstream}`.trimEnd(), error)),
  }
}

/** How one request goes over one connection. */
function resolveExchange(options: BridgeOptions) {
  return {
    connectTimeout: timeout('connectTimeout', options.connectTimeout),
    sendTimeout: timeout('sendTimeout', options.sendTimeout),
    readTimeout: timeout('readTimeout', options.readTimeout),
    clientBodyTimeout: timeout('clientBodyTimeout', options.clientBodyTimeout),
    bufferSize: limit('bufferSize', options.bufferSize ?? 65_536),
    params: resolveParams(options.params ?? {}),
    modifier1: resolveModifier1(options.modifier1 ?? 0),
    modifier2: integer('modifier2', options.modifier2 ?? 0, 0, 255),
    maxVars: limit('maxVars', options.maxVars ?? 128),
    maxVarsBytes: integer('maxVarsBytes', options.maxVarsBytes ?? 65_535, 1, 65_535),
    backend: oneOf('backend', options.backend ?? 'uwsgi', ['uwsgi', 'gunicorn']),
    keepalive: limit('keepalive', options.keepalive ?? 32),
    keepaliveTimeout: timeout('keepaliveTimeout', options.keepaliveTimeout ?? 1500),
  }
}

/** Which backend gets a request, and which the next. */
function resolveGroup(options: BridgeOptions) {
  const { balance = 'round_robin', hashHeader = '', backend, healthCheckPath = '' } = options
  const [hashName] = hashHeader === '' ? [] : headerNames('hashHeader', [hashHeader])
  return {
    balance: oneOf('balance', balance, BALANCES),
    hashVariable: hashName === undefined ? '' : variableName(hashName),
    maxConns: maxConns(options.maxConns ?? Infinity),
    maxFails: limit('maxFails', options.maxFails ?? 1),
    failTimeout: timeout('failTimeout', options.failTimeout ?? 10_000),
    nextUpstream: resolveNextUpstream(options.nextUpstream ?? ['error', 'timeout']),
    nextUpstreamTries: limit('nextUpstreamTries', options.nextUpstreamTries ?? 0) || Infinity,
    nextUpstreamTimeout: timeout('nextUpstreamTimeout', options.nextUpstreamTimeout ?? Infinity),
    queue: limit('queue', options.queue ?? 100),
    queueTimeout: timeout('queueTimeout', options.queueTimeout),
    healthCheckInterval: timeout('healthCheckInterval', options.healthCheckInterval ?? Infinity),
    healthCheckTimeout: timeout('healthCheckTimeout', options.healthCheckTimeout ?? 5000),
    healthCheckPath: resolveHealthCheckPath(healthCheckPath, backend),
  }
}

/** What of a body waits, and where. */
function resolveBuffers(options: BridgeOptions) {
  return {
    buffering: flag('buffering', options.buffering ?? true),
    bufferBytes: limit('bufferBytes', options.bufferBytes ?? 131_072),
    maxTempFileBytes: limit('maxTempFileBytes', options.maxTempFileBytes ?? 1_073_741_824),
  }
}

function resolveNextUpstream(words: readonly NextUpstream[]): ReadonlySet<NextUpstream> {
  for (const word of list('nextUpstream', words)) {
    oneOf('nextUpstream', word, NEXT_UPSTREAM_WORDS)
  }
  if (words.includes('off') && words.length > 1) {
    throw new TypeError('Cannot use nextUpstream "off" with other words: wanted it alone')
  }
  return new Set(words)
}

function resolveHealthCheckPath(path: string, backend: BridgeOptions['backend']): string {
  if (path === '') return backend === 'gunicorn' ? '/' : ''
  if (/^\/[\x21-\x7e]*$/.test(path) && !path.includes('#')) return path
  throw new TypeError(
    `Cannot use healthCheckPath ${JSON.stringify(path)}: wanted a path such as "/health"`
  )
}

/** Two options of the environ that a uwsgi packet has no form for. */
function refuseImpossible({ unknownLength, allowNul }: BridgeOptions): void {
  if (unknownLength === 'stream') {
    throw new TypeError(
      'Cannot use unknownLength "stream" in a bridge: a uwsgi packet announces the length of its body; wanted "buffer" or "reject"'
    )
  }
  if (allowNul === true) {
    throw new TypeError('Cannot use allowNul in a bridge: uWSGI ends a string at NUL')
  }
}

function resolveModifier1(value: number): number {
  if (MODIFIERS1.includes(value)) return value
  throw new RangeError(`Cannot use modifier1 ${value}: wanted one of ${MODIFIERS1.join(', ')}`)
}

function resolveParams(params: Readonly<Record<string, string>>): Variable[] {
  return Object.entries(params).map(([name, value]) => {
    if (!/^[A-Za-z0-9_.]+$/.test(name)) {
      throw new TypeError(
        `Cannot use params ${JSON.stringify(name)}: wanted a name of letters, digits, "_" and "."`
      )
    }
    if (name === 'CONTENT_LENGTH') {
      throw new TypeError('Cannot use params CONTENT_LENGTH: it is the length of each body')
    }
    if (typeof value !== 'string') {
      throw new TypeError(`Cannot use params ${name}: its value is no string, wanted a string`)
    }
    if (/[\r\n\0]/.test(value) || !isNative(value)) {
      throw new TypeError(
        `Cannot use params ${name}: its value holds CR, LF, NUL or a character above U+00FF`
      )
    }
    return [name, value]
  })
}
