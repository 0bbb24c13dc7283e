/**
 * The options of a bridge, checked once when it is created. Names are nginx's directives in camelCase.
 *
 * @see https://nginx.org/en/docs/http/ngx_http_uwsgi_module.html
 * @module
 */
import {
  type EnvironOptions,
  integer,
  limit,
  resolveEnvironOptions,
  type ResolvedEnvironOptions,
  timeout,
} from '../core/environ-options.ts'
import type { GatewayError } from '../core/errors.ts'
import { reportToConsole } from '../core/log-text.ts'
import { isNative } from '../core/octets.ts'
import type { Variable } from '../core/vars.ts'

/** What a bridge was doing when an error struck. */
export interface ErrorContext {
  /** Request method. */
  readonly method: string
  /** Path as the client sent it: escape it before it goes into a log line. */
  readonly path: string
  /** Address of the backend. */
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
    environ: resolveEnvironOptions(options),
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
    onError:
      options.onError ??
      ((error, { method, path, upstream }) =>
        reportToConsole(`${method} ${path} ${upstream}`, error)),
  }
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
