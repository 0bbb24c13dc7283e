/**
 * The bridge options that have a text form: one table for the variables of a deployment and the
 * flags of the command line.
 *
 * @module
 */
import { type BridgeOptions, resolveBridgeOptions } from '../bridge/bridge-options.ts'

/** How the text of an option is read. */
export type OptionKind = 'text' | 'number' | 'switch' | 'list' | 'pairs'

/** One option. */
export interface OptionRow {
  readonly option: keyof BridgeOptions
  /** Whether it shapes the environ, or the exchange with the backend. */
  readonly scope: 'environ' | 'bridge'
  readonly kind: OptionKind
  /** Stands for the value in help texts. */
  readonly value: string
  readonly help: string
}

type Cells = readonly [option: keyof BridgeOptions, kind: OptionKind, value: string, help: string]

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
]

/**
 * Every option of a bridge but `onError`, which is code, and `allowNul` and `headerEncoding`, which a
 * bridge settles itself.
 */
export const OPTION_TABLE: readonly OptionRow[] = [
  ...ENVIRON_ROWS.map((cells) => toRow('environ', cells)),
  ...BRIDGE_ROWS.map((cells) => toRow('bridge', cells)),
]

/**
 * Reads options from their text forms.
 *
 * @param texts By option; an absent or empty one is left at its default.
 * @param nameOf What the user calls an option: the variable or flag that an error must name.
 * @throws {TypeError} naming the variable or flag, its value and what was wanted.
 */
export function readOptions(
  texts: (row: OptionRow) => string | undefined,
  nameOf: (row: OptionRow) => string
): BridgeOptions {
  const options: BridgeOptions = {}
  for (const row of OPTION_TABLE) {
    const text = texts(row)
    if (text === undefined || text === '') continue
    try {
      const option = { [row.option]: PARSERS[row.kind](text) }
      resolveBridgeOptions(option)
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
  switch: parseSwitch,
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

function parseSwitch(text: string): boolean {
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
