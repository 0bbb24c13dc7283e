/**
 * The options of a responder, checked once when it is created.
 *
 * @module
 */
import type { AccessLogEntry } from '../core/access-log.ts'
import { integer, limit, peers, timeout } from '../core/environ-options.ts'
import type { TrustCheck } from '../core/forwarded.ts'
import { reportToConsole } from '../core/log-text.ts'

/** What a responder was doing when an error struck. */
export interface ResponderErrorContext {
  /** Request method, `''` while there is no request. */
  readonly method: string
  /** `REQUEST_URI`, `''` while there is no request: escape it before it goes into a log line. */
  readonly path: string
  /** Address of the front, or `unix:`. */
  readonly peer: string
}

/** Options of a responder. Times are milliseconds, sizes bytes; `Infinity` means no limit. */
export interface ResponderOptions {
  /**
   * Fronts that may connect: IP literals, CIDR ranges, and `unix:` for a unix socket. Anybody else is
   * answered 403 unread (gunicorn: `uwsgi_allow_ips`): a front's word on who the client is counts.
   *
   * @default ['127.0.0.0/8', '::1', 'unix:']
   */
  allowFrom?: readonly string[] | undefined
  /**
   * Longest wait for the whole packet, then 408.
   *
   * @default 60000
   */
  clientHeaderTimeout?: number | undefined
  /**
   * Longest wait between two reads of the body, then 408.
   *
   * @default 60000
   */
  clientBodyTimeout?: number | undefined
  /**
   * Longest wait between two writes to the front, then the response is broken off.
   *
   * @default 60000
   */
  sendTimeout?: number | undefined
  /**
   * Most variables in a packet; more is answered 431.
   *
   * @default 1000 (gunicorn's)
   */
  maxVars?: number | undefined
  /**
   * Largest vars block; a larger one is answered 431.
   *
   * @default 65535 (what the packet can hold)
   */
  maxVarsBytes?: number | undefined
  /**
   * Largest request body; a larger one is answered 413.
   *
   * @default 104857600 (100 MiB)
   */
  maxBodyBytes?: number | undefined
  /**
   * Receives every error that a front is answered with, or that breaks a response off.
   *
   * @default writes it to the console
   */
  onError?: ((error: Error, context: ResponderErrorContext) => void) | undefined
  /** Receives what an access log line tells, once for each request. */
  onAccess?: ((entry: AccessLogEntry) => void) | undefined
}

/** {@link ResponderOptions} with defaults filled in, and checked. */
export interface ResolvedResponderOptions {
  readonly isAllowed: TrustCheck
  readonly clientHeaderTimeout: number
  readonly clientBodyTimeout: number
  readonly sendTimeout: number
  readonly maxVars: number
  readonly maxVarsBytes: number
  readonly maxBodyBytes: number
  readonly onError: (error: Error, context: ResponderErrorContext) => void
  readonly onAccess: ((entry: AccessLogEntry) => void) | undefined
}

const LOOPBACK = ['127.0.0.0/8', '::1', 'unix:']

/**
 * Checks options and fills in defaults.
 *
 * @throws {TypeError | RangeError} naming the option, its value and what was wanted.
 */
export function resolveResponderOptions(options: ResponderOptions = {}): ResolvedResponderOptions {
  return {
    isAllowed: peers('allowFrom', options.allowFrom ?? LOOPBACK),
    clientHeaderTimeout: timeout('clientHeaderTimeout', options.clientHeaderTimeout),
    clientBodyTimeout: timeout('clientBodyTimeout', options.clientBodyTimeout),
    sendTimeout: timeout('sendTimeout', options.sendTimeout),
    maxVars: limit('maxVars', options.maxVars ?? 1000),
    maxVarsBytes: integer('maxVarsBytes', options.maxVarsBytes ?? 65_535, 1, 65_535),
    maxBodyBytes: limit('maxBodyBytes', options.maxBodyBytes ?? 104_857_600),
    onError:
      options.onError ??
      ((error, { method, path, peer }) => reportToConsole(`${method} ${path} ${peer}`, error)),
    onAccess: options.onAccess,
  }
}
