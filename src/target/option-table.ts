/**
 * The options that have a text form, of a bridge, a responder and a server: one table for the
 * variables of a deployment and the flags of the command line.
 *
 * @module
 */
import type { BridgeOptions } from '../bridge/bridge-options.ts'
import { resolveBridgeOptions } from '../bridge/resolve-bridge-options.ts'
import { type ResponderOptions, resolveResponderOptions } from '../responder/responder-options.ts'
import { resolveServeLimits, type ServeLimits } from './serve-options.ts'

/** How the text of an option is read; a switch is a flag without a value. */
export type OptionKind = 'text' | 'number' | 'switch' | 'boolean' | 'list' | 'pairs'

/** One option. */
export interface OptionRow {
  readonly option: keyof BridgeOptions | keyof ResponderOptions | keyof ServeLimits
  /** Whether it shapes the environ, the exchange with a backend, a front, or clients. */
  readonly scope: 'environ' | 'bridge' | 'responder' | 'serve'
  readonly kind: OptionKind
  /** Stands for the value in help texts. */
  readonly value: string
  readonly help: string
}

type Cells = readonly [option: OptionRow['option'], kind: OptionKind, value: string, help: string]

/** Options that shape the environ. */
const ENVIRON_ROWS: readonly Cells[] = [
  ['mount', 'text', 'PATH', 'path the application is mounted under (SCRIPT_NAME)'],
  [
    'trustedProxies',
    'list',
    'LIST',
    'proxies to believe X-Forwarded-* or Forwarded of: addresses, ranges, unix:',
  ],
  ['trustForwardedHost', 'switch', '', 'believe their X-Forwarded-Host and X-Forwarded-Port too'],
  ['serverName', 'text', 'NAME', 'SERVER_NAME instead of the host of the URL'],
  ['serverPort', 'number', 'PORT', 'SERVER_PORT instead of the port of the URL'],
  ['maxBodyBytes', 'number', 'BYTES', 'largest request body (104857600)'],
  [
    'maxBufferedBodyBytes',
    'number',
    'BYTES',
    'largest body of unknown length held in memory (16777216)',
  ],
  ['unknownLength', 'text', 'buffer|reject', 'bodies of unknown length (buffer)'],
  ['maxHeaders', 'number', 'COUNT', 'most request header fields (100)'],
  ['encodedSlash', 'text', 'decode|reject|preserve', '%2F in a path (decode)'],
  ['decodedDotSegments', 'text', 'reject|pass', 'dot segments that decoding uncovers (reject)'],
  ['collapseLeadingSlashes', 'switch', '', 'collapse slashes at the start of a path to one'],
  ['ambiguousHeaders', 'text', 'drop|reject', 'header names with characters such as _ (drop)'],
  ['asteriskForm', 'text', 'answer|pass', 'OPTIONS * (answer)'],
]

/** Options of the exchange with the backend. */
const BRIDGE_ROWS: readonly Cells[] = [
  ['connectTimeout', 'number', 'MS', 'longest wait for a connection to the backend (60000)'],
  ['sendTimeout', 'number', 'MS', 'longest wait between two writes to the backend (60000)'],
  ['readTimeout', 'number', 'MS', 'longest wait between two reads from the backend (60000)'],
  [
    'clientBodyTimeout',
    'number',
    'MS',
    "longest wait between two reads of the client's body (60000)",
  ],
  ['maxVars', 'number', 'COUNT', 'most variables in a packet, as uWSGI takes them (128)'],
  [
    'maxVarsBytes',
    'number',
    'BYTES',
    "largest vars block; set it to uWSGI's --buffer-size (65535)",
  ],
  ['bufferSize', 'number', 'BYTES', 'largest response head of the backend (65536)'],
  [
    'params',
    'pairs',
    'NAME=VALUE',
    'static variable for every request; HTTP_X= removes that header',
  ],
  ['modifier1', 'number', 'BYTE', 'packet type: 0 WSGI, 5 PSGI, 7 Rack, 9 CGI, 14 PHP (0)'],
  ['modifier2', 'number', 'BYTE', 'packet flags (0)'],
  ['backend', 'text', 'uwsgi|gunicorn', 'who speaks uwsgi at the other end (uwsgi)'],
  ['keepalive', 'number', 'COUNT', 'most idle connections to each gunicorn (32)'],
  ['keepaliveTimeout', 'number', 'MS', 'longest idle time of one (1500)'],
  [
    'balance',
    'text',
    'round_robin|least_conn|ip_hash|hash',
    'how one of several backends is chosen (round_robin)',
  ],
  ['hashHeader', 'text', 'NAME', 'request header that "hash" goes by'],
  ['maxConns', 'number', 'COUNT', 'most requests under way at each backend (Infinity)'],
  ['maxFails', 'number', 'COUNT', 'failures that take a backend out for a time (1)'],
  ['failTimeout', 'number', 'MS', 'that time, and the one in which failures count (10000)'],
  ['nextUpstream', 'list', 'LIST', 'when the next backend is tried (error, timeout)'],
  ['nextUpstreamTries', 'number', 'COUNT', 'most backends that are tried; 0 for all (0)'],
  ['nextUpstreamTimeout', 'number', 'MS', 'longest time in which the next is tried (Infinity)'],
  ['queue', 'number', 'COUNT', 'most requests that wait for a place at a backend (100)'],
  ['queueTimeout', 'number', 'MS', 'longest wait for one (60000)'],
  ['healthCheckInterval', 'number', 'MS', 'from one health check to the next (Infinity: none)'],
  ['healthCheckTimeout', 'number', 'MS', 'longest wait of a health check (5000)'],
  ['healthCheckPath', 'text', 'PATH', 'path that a health check gets, instead of a ping'],
  ['buffering', 'boolean', 'BOOLEAN', 'read backends ahead of slow clients (true)'],
  ['bufferBytes', 'number', 'BYTES', 'most bytes of a body that wait in memory (131072)'],
  [
    'maxTempFileBytes',
    'number',
    'BYTES',
    'most that wait in a temporary file besides (1073741824)',
  ],
  ['hideHeader', 'list', 'LIST', 'response headers to keep from clients'],
  ['passHeader', 'list', 'LIST', 'response headers to pass although hidden by default'],
  ['ignoreHeaders', 'list', 'LIST', 'response headers not to act on, such as X-Accel-Buffering'],
  ['tracing', 'boolean', 'BOOLEAN', 'pass on or make X-Request-Id and traceparent (true)'],
]

/** Options of a responder. */
const RESPONDER_ROWS: readonly Cells[] = [
  [
    'allowFrom',
    'list',
    'LIST',
    'fronts that may connect: addresses, ranges, unix: (loopback, unix:)',
  ],
  ['clientHeaderTimeout', 'number', 'MS', 'longest wait for a whole packet (60000)'],
  ['clientBodyTimeout', 'number', 'MS', 'longest wait between two reads of a body (60000)'],
  ['sendTimeout', 'number', 'MS', 'longest wait between two writes to the front (60000)'],
  ['maxVars', 'number', 'COUNT', 'most variables in a packet (1000)'],
  ['maxVarsBytes', 'number', 'BYTES', 'largest vars block (65535)'],
  ['maxBodyBytes', 'number', 'BYTES', 'largest request body (104857600)'],
]

/** Options of `serve`, the limits on clients. */
const SERVE_ROWS: readonly Cells[] = [
  ['clientHeaderTimeout', 'number', 'MS', 'longest wait for the head of a request (60000)'],
  [
    'clientKeepaliveTimeout',
    'number',
    'MS',
    'longest wait for another request on a connection (75000)',
  ],
  [
    'clientSendTimeout',
    'number',
    'MS',
    'longest wait between two writes that a client takes (60000)',
  ],
  ['maxConnections', 'number', 'COUNT', 'most connections at a time (Infinity)'],
  ['maxRequestsPerConnection', 'number', 'COUNT', 'most requests on one connection (1000)'],
]

/**
 * Every option of a bridge but its hooks, which are code, and `allowNul` and `headerEncoding`, which a
 * bridge settles itself.
 */
export const OPTION_TABLE: readonly OptionRow[] = [
  ...ENVIRON_ROWS.map((cells) => toRow('environ', cells)),
  ...BRIDGE_ROWS.map((cells) => toRow('bridge', cells)),
]

/** Every option of a responder but its hooks, which are code. */
export const RESPONDER_TABLE: readonly OptionRow[] = RESPONDER_ROWS.map((cells) =>
  toRow('responder', cells)
)

/** Every limit on the clients of a server. */
export const SERVE_TABLE: readonly OptionRow[] = SERVE_ROWS.map((cells) => toRow('serve', cells))

/**
 * Reads options of a bridge from their text forms.
 *
 * @param texts By option; an absent or empty one is left at its default.
 * @param nameOf What the user calls an option: the variable or flag that an error must name.
 * @throws {TypeError} naming the variable or flag, its value and what was wanted.
 */
export function readOptions(
  texts: (row: OptionRow) => string | undefined,
  nameOf: (row: OptionRow) => string
): BridgeOptions {
  return readRows(OPTION_TABLE, texts, nameOf, resolveBridgeOptions)
}

/** {@link readOptions} for a responder. */
export function readResponderOptions(
  texts: (row: OptionRow) => string | undefined,
  nameOf: (row: OptionRow) => string
): ResponderOptions {
  return readRows(RESPONDER_TABLE, texts, nameOf, resolveResponderOptions)
}

/** {@link readOptions} for the limits on the clients of a server. */
export function readServeLimits(
  texts: (row: OptionRow) => string | undefined,
  nameOf: (row: OptionRow) => string
): Partial<ServeLimits> {
  return readRows(SERVE_TABLE, texts, nameOf, resolveServeLimits)
}

function readRows(
  rows: readonly OptionRow[],
  texts: (row: OptionRow) => string | undefined,
  nameOf: (row: OptionRow) => string,
  check: (option: object) => unknown
): object {
  const options = {}
  for (const row of rows) {
    const text = texts(row)
    if (text === undefined || text === '') continue
    try {
      const option = { [row.option]: PARSERS[row.kind](text) }
      check(option)
      Object.assign(options, option)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new TypeError(`${nameOf(row)} is wrong: ${why}`, { cause })
    }
  }
  return options
}

/** The variable of an option: `readTimeout` → `READ_TIMEOUT`. */
export function variableOf({ option }: OptionRow): string {
  return option.replace(/[A-Z]/g, '_$&').toUpperCase()
}

/** The flag of an option: `readTimeout` → `--read-timeout`. */
export function flagOf({ option }: OptionRow): string {
  return `--${option.replace(/[A-Z]/g, '-$&').toLowerCase()}`
}

const PARSERS: Readonly<Record<OptionKind, (text: string) => unknown>> = {
  text: (text) => text,
  number: parseNumber,
  switch: parseBoolean,
  boolean: parseBoolean,
  list: (text) => text.split(/[\s,]+/).filter((item) => item !== ''),
  pairs: parsePairs,
}

function parseNumber(text: string): number {
  if (text === 'Infinity') return Infinity
  if (/^[0-9]{1,15}$/.test(text)) return Number(text)
  throw new TypeError(
    `Cannot read ${JSON.stringify(text)}: wanted a number in decimal digits, or Infinity`
  )
}

function parseBoolean(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  throw new TypeError(`Cannot read ${JSON.stringify(text)}: wanted true or false`)
}

/** One `NAME=VALUE` a line. */
function parsePairs(text: string): Record<string, string> {
  const pairs = text.split('\n').filter((line) => line.trim() !== '')
  return Object.fromEntries(
    pairs.map((line): [string, string] => {
      const equals = line.indexOf('=')
      if (equals > 0) return [line.slice(0, equals).trim(), line.slice(equals + 1)]
      throw new TypeError(`Cannot read ${JSON.stringify(line)}: wanted NAME=VALUE`)
    })
  )
}

function toRow(scope: OptionRow['scope'], [option, kind, value, help]: Cells): OptionRow {
  return { option, scope, kind, value, help }
}
