/**
 * The options of a bridge, checked once when it is created, and with defaults filled in.
 *
 * @module
 */
import {
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
import { isNative, LINE_BREAK_OR_NUL } from '../core/octets.ts'
import { variableName } from '../core/header-field.ts'
import type { Variable } from '../core/vars.ts'
import { type Balance, BALANCES } from './balance.ts'
import type { ExchangeEvent } from './exchange-event.ts'
import { NEXT_UPSTREAM_WORDS, type NextUpstream } from './next-upstream.ts'
import { headerNames, hiddenHeaders, type InterceptErrors } from './response-policy.ts'
import { maxConns } from './upstream-server.ts'
import type { BridgeOptions, ErrorContext } from './bridge-options.ts'

/** {@link BridgeOptions} with defaults filled in, and checked. */
export interface ResolvedBridgeOptions {
  readonly environ: ResolvedEnvironOptions
  readonly connectTimeout: number
  readonly sendTimeout: number
  readonly readTimeout: number
  readonly clientBodyTimeout: number
  readonly bufferSize: number
  /** Variables that every packet ends with. */
  readonly params: readonly Variable[]
  /** Names of the variables of a request that do not go into its packet. */
  readonly withheld: ReadonlySet<string>
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
    ...resolveParams(options.params ?? {}),
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

/** Variables no packet carries: the line ends of PEM cannot stand in one. */
const NOT_ON_THE_WIRE = ['SSL_CLIENT_CERT']

function resolveParams(given: Readonly<Record<string, string>>) {
  for (const [name, value] of Object.entries(given)) checkParam(name, value)
  return {
    // An empty one removes a header.
    params: Object.entries(given).filter(
      ([name, value]) => value !== '' || !name.startsWith('HTTP_')
    ),
    withheld: new Set([...NOT_ON_THE_WIRE, ...Object.keys(given)]),
  }
}

function checkParam(name: string, value: string): void {
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
  if (LINE_BREAK_OR_NUL.test(value) || !isNative(value)) {
    throw new TypeError(
      `Cannot use params ${name}: its value holds CR, LF, NUL or a character above U+00FF`
    )
  }
}
