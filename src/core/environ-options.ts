/**
 * The options of request → environ, checked once where they are given.
 *
 * @module
 */
import { compileTrust, type TrustCheck } from './forwarded.ts'
import { textToNative } from './octets.ts'
import { normalizeMount } from './path.ts'

/** How a request becomes an environ. Every member is optional; a wrong one throws at once. */
export interface EnvironOptions {
  /**
   * Path under which the application is mounted: it becomes `SCRIPT_NAME`. Ordinary text, not
   * percent-encoded. A request outside it is answered 404.
   *
   * @default the path that a router in front has matched, or the root
   */
  mount?: string | undefined
  /**
   * Proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` or `Forwarded` are believed: IP literals,
   * CIDR ranges, and `unix:` for peers on a unix socket. From anybody else the whole family of
   * headers is removed (nginx: `set_real_ip_from`).
   *
   * @default [] (nobody)
   */
  trustedProxies?: readonly string[] | undefined
  /**
   * Whether `X-Forwarded-Host` and `X-Forwarded-Port` of a trusted proxy set `HTTP_HOST`,
   * `SERVER_NAME` and `SERVER_PORT`.
   *
   * @default false
   */
  trustForwardedHost?: boolean | undefined
  /**
   * `SERVER_NAME`.
   *
   * @default the host name of the URL
   */
  serverName?: string | undefined
  /**
   * `SERVER_PORT`, 1 to 65535.
   *
   * @default the port of the URL, or its scheme's
   */
  serverPort?: number | undefined
  /**
   * What a code unit of a header value is: one octet (`latin1`: Node, Deno, browsers), or a
   * character whose UTF-8 form was on the wire (`utf8`: workerd).
   *
   * @default what the runtime's `requestMeta` says, or 'latin1'
   */
  headerEncoding?: 'latin1' | 'utf8' | undefined
  /**
   * Most header fields in one request; more is answered 431.
   *
   * @default 100
   */
  maxHeaders?: number | undefined
  /**
   * Largest request body, in bytes; a larger one is answered 413 (nginx: `client_max_body_size`).
   *
   * @default 104857600 (100 MiB)
   */
  maxBodyBytes?: number | undefined
  /**
   * Largest body of unknown length that is held in memory to learn its length, in bytes; a larger
   * one is answered 413. A bridge with temporary files goes by theirs.
   *
   * @default 16777216 (16 MiB)
   */
  maxBufferedBodyBytes?: number | undefined
  /**
   * What happens to a body without Content-Length: `buffer` holds it in memory and gives it one,
   * `reject` answers 411, `stream` passes it on without, which most frameworks read as empty.
   *
   * @default 'buffer'
   */
  unknownLength?: 'buffer' | 'reject' | 'stream' | undefined
  /**
   * `%2F` in a path: `decode` to `/` as WSGI servers do, `reject` with 400, or `preserve`.
   *
   * @default 'decode'
   */
  encodedSlash?: 'decode' | 'reject' | 'preserve' | undefined
  /**
   * `.` and `..` segments that appear only once the path is decoded: `reject` with 400, or `pass`.
   *
   * @default 'reject'
   */
  decodedDotSegments?: 'reject' | 'pass' | undefined
  /**
   * Whether slashes at the start of a path collapse to one.
   *
   * @default false
   */
  collapseLeadingSlashes?: boolean | undefined
  /**
   * Header names that have no unambiguous `HTTP_*` form, such as those with `_`: `drop` them as
   * nginx does, or `reject` the request with 400.
   *
   * @default 'drop'
   */
  ambiguousHeaders?: 'drop' | 'reject' | undefined
  /**
   * Whether `%00` may stand in a path. Only for an application in the same process: never over a
   * wire whose other end is written in C.
   *
   * @default false
   */
  allowNul?: boolean | undefined
  /**
   * `OPTIONS *`: answered 204 by the gateway (`answer`), or handed on with `PATH_INFO` `*` (`pass`).
   *
   * @default 'answer'
   */
  asteriskForm?: 'answer' | 'pass' | undefined
}

/** {@link EnvironOptions} with defaults filled in, checked, and compiled where that pays. */
export interface ResolvedEnvironOptions {
  readonly mount: string
  readonly isTrusted: TrustCheck
  readonly trustForwardedHost: boolean
  readonly serverName: string | undefined
  readonly serverPort: string | undefined
  readonly headerEncoding: 'latin1' | 'utf8'
  readonly maxHeaders: number
  readonly maxBodyBytes: number
  readonly maxBufferedBodyBytes: number
  readonly unknownLength: 'buffer' | 'reject' | 'stream'
  readonly encodedSlash: 'decode' | 'reject' | 'preserve'
  readonly decodedDotSegments: 'reject' | 'pass'
  readonly collapseLeadingSlashes: boolean
  readonly ambiguousHeaders: 'drop' | 'reject'
  readonly allowNul: boolean
  readonly asteriskForm: 'answer' | 'pass'
}

/** Characters a server name may hold: those of a Host, brackets of an IPv6 literal included. */
const SERVER_NAME = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~]+)$/

/**
 * Checks options and fills in defaults.
 *
 * @throws {TypeError | RangeError} naming the option, its value and what was wanted.
 */
export function resolveEnvironOptions(options: EnvironOptions = {}): ResolvedEnvironOptions {
  const { serverName, serverPort } = options
  if (serverName !== undefined && !SERVER_NAME.test(text('serverName', serverName))) {
    throw new TypeError(
      `Cannot use serverName ${JSON.stringify(serverName)}: wanted a host name or address`
    )
  }
  return {
    mount: normalizeMount(textToNative(text('mount', options.mount ?? ''))),
    isTrusted: peers('trustedProxies', options.trustedProxies ?? []),
    trustForwardedHost: flag('trustForwardedHost', options.trustForwardedHost ?? false),
    serverName,
    serverPort:
      serverPort === undefined ? undefined : String(integer('serverPort', serverPort, 1, 65_535)),
    headerEncoding: oneOf('headerEncoding', options.headerEncoding ?? 'latin1', ['latin1', 'utf8']),
    maxHeaders: limit('maxHeaders', options.maxHeaders ?? 100),
    maxBodyBytes: limit('maxBodyBytes', options.maxBodyBytes ?? 104_857_600),
    maxBufferedBodyBytes: limit('maxBufferedBodyBytes', options.maxBufferedBodyBytes ?? 16_777_216),
    unknownLength: oneOf('unknownLength', options.unknownLength ?? 'buffer', [
      'buffer',
      'reject',
      'stream',
    ]),
    encodedSlash: oneOf('encodedSlash', options.encodedSlash ?? 'decode', [
      'decode',
      'reject',
      'preserve',
    ]),
    decodedDotSegments: oneOf('decodedDotSegments', options.decodedDotSegments ?? 'reject', [
      'reject',
      'pass',
    ]),
    collapseLeadingSlashes: flag('collapseLeadingSlashes', options.collapseLeadingSlashes ?? false),
    ambiguousHeaders: oneOf('ambiguousHeaders', options.ambiguousHeaders ?? 'drop', [
      'drop',
      'reject',
    ]),
    allowNul: flag('allowNul', options.allowNul ?? false),
    asteriskForm: oneOf('asteriskForm', options.asteriskForm ?? 'answer', ['answer', 'pass']),
  }
}

/**
 * An option that must be a whole number between two bounds.
 *
 * @throws {RangeError} naming option, value and range.
 */
export function integer(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new RangeError(
    `Cannot use ${name} ${value}: wanted a whole number from ${least} to ${most}`
  )
}

/**
 * An option that bounds something: a whole number, or `Infinity` for no limit.
 *
 * @throws {RangeError} naming option and value.
 */
export function limit(name: string, value: number): number {
  if (value === Infinity || (Number.isSafeInteger(value) && value >= 0)) return value
  throw new RangeError(
    `Cannot use ${name} ${value}: wanted a whole number, or Infinity for no limit`
  )
}

/** nginx's default for each of its timeouts. */
const TIMEOUT_MS = 60_000

/**
 * An option that is a duration in milliseconds.
 *
 * @throws {RangeError} naming option and value.
 */
export function timeout(name: string, value: number = TIMEOUT_MS): number {
  if (value > 0 && limit(name, value) > 0) return value
  throw new RangeError(
    `Cannot use ${name} ${value}: wanted milliseconds above 0, or Infinity for no limit`
  )
}

/**
 * An option with a fixed set of words.
 *
 * @throws {TypeError} naming option, value and words.
 */
export function oneOf<const Word extends string>(
  name: string,
  value: Word,
  words: readonly Word[]
): Word {
  if (words.includes(value)) return value
  throw new TypeError(`Cannot use ${name} ${JSON.stringify(value)}: wanted ${words.join(', ')}`)
}

/**
 * An option that is true or false: the text "false" of an environment variable is neither.
 *
 * @throws {TypeError} naming option and value.
 */
export function flag(name: string, value: boolean): boolean {
  if (typeof value === 'boolean') return value
  throw new TypeError(`Cannot use ${name} ${JSON.stringify(value)}: wanted true or false`)
}

/**
 * An option that lists addresses and ranges.
 *
 * @throws {TypeError} naming the option and the element that is wrong.
 */
export function peers(name: string, value: readonly string[]): TrustCheck {
  return compileTrust(list(name, value))
}

/**
 * An option that lists strings.
 *
 * @throws {TypeError} naming option and value.
 */
export function list<Item extends string>(name: string, value: readonly Item[]): readonly Item[] {
  if (Array.isArray(value) && value.every((item: unknown) => typeof item === 'string')) {
    return value as unknown as readonly Item[]
  }

  throw new TypeError(`Cannot use ${name} ${JSON.stringify(value)}: wanted an array of strings`)
}

function text(name: string, value: string): string {
  if (typeof value === 'string') return value
  throw new TypeError(`Cannot use ${name} ${JSON.stringify(value)}: wanted a string`)
}
