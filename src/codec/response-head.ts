/**
 * The head of a response as uWSGI, gunicorn or a CGI program writes it → status and header fields.
 *
 * Nothing is repaired: a head that RFC 9112 does not allow is refused whole, since the lines a
 * lenient reader skips are where responses get split (CVE-2023-27522).
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-4
 * @see https://www.rfc-editor.org/rfc/rfc3875#section-6.3
 * @module
 */
import { GatewayError } from '../core/errors.ts'
import { isBodyless } from '../core/gateway-response.ts'
import { HOP_BY_HOP, trimWhitespace } from '../core/header-field.ts'
import { remember } from '../core/remember.ts'
import { type HeaderField, TOKEN } from '../core/request-head.ts'

/** How the end of a response body is found. */
export type ResponseFraming =
  | { readonly type: 'none' }
  | { readonly type: 'length'; readonly length: number }
  | { readonly type: 'chunked' }
  | { readonly type: 'eof' }

/** A response head, checked and cleaned of what concerns the connection to the backend only. */
export interface ResponseHead {
  /** 200 to 599, or 100 to 199 for an interim response. */
  readonly status: number
  /** Reason phrase, maybe empty, as a native string. */
  readonly reason: string
  /** In wire order, duplicates kept; names as the backend spelled them, values as native strings. */
  readonly headers: readonly HeaderField[]
  readonly framing: ResponseFraming
  /** Whether the backend offers its connection for another request (RFC 9112 §9.3). */
  readonly persistent: boolean
  /** What a 101 switches to, in lower case; on a 101 only. */
  readonly upgrade?: string | undefined
}

/** A header line, its name also in lower case: each question below asks every line. */
interface Field {
  readonly name: string
  readonly lower: string
  readonly value: string
}

const STATUS_LINE = /^HTTP\/[0-9]+(?:\.[0-9]+)? +([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?$/
const STATUS_FIELD = /^([0-9]{3})(?:[ \t]+([\t\x20-\x7e\x80-\xff]*))?$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * Parses a response head.
 *
 * @param text Native string up to and including the empty line; lines end in CRLF or LF.
 * @param method Of the request: an answer to HEAD has no body.
 * @throws {GatewayError} `ERR_UPSTREAM_PROTOCOL`.
 */
export function parseResponseHead(text: string, method: string): ResponseHead {
  const lines = text.split('\n')
  const first = withoutCr(lines[0] ?? '')
  const hasStatusLine = first.startsWith('HTTP/')
  const fields: Field[] = []
  // Up to the empty line, which split() puts before the nothing behind it.
  for (let i = hasStatusLine ? 1 : 0; i < lines.length - 2; i++) {
    fields.push(parseField(lines[i] ?? ''))
  }
  if (!hasStatusLine && fields.length === 0) throw protocolError('its head is empty')
  const statusField = single(fields, 'status')
  const { status, reason } = hasStatusLine ? parseStatusLine(first) : cgiStatus(fields, statusField)
  if (status < 100 || status > 599) throw protocolError(`its status is ${status}`)
  const framing = responseFraming(status, method, fields)
  const nominated = connectionOptions(fields)
  const persistent = first.startsWith('HTTP/1.1 ') && nominated?.has('close') !== true
  const head = { status, reason, headers: endToEnd(fields, status, nominated), framing, persistent }
  return status === 101 ? { ...head, upgrade: single(fields, 'upgrade')?.toLowerCase() } : head
}

/** The error for bytes that are not a response. */
export function protocolError(what: string): GatewayError {
  return new GatewayError('ERR_UPSTREAM_PROTOCOL', `Cannot read the upstream's response: ${what}`)
}

/** Remembered, as the names below: backends write the same few. */
const parseStatusLine = remember((line): { status: number; reason: string } => {
  const match = STATUS_LINE.exec(line)
  if (match === null) throw protocolError('its status line is malformed')
  return { status: Number(match[1]), reason: match[2] ?? '' }
})

/** Without a status line: `Status`, else 302 for a `Location`, else 200, as nginx and RFC 3875 have it. */
function cgiStatus(
  fields: readonly Field[],
  value: string | undefined
): { status: number; reason: string } {
  if (value === undefined) {
    const location = fields.some(({ lower }) => lower === 'location')
    return location ? { status: 302, reason: 'Found' } : { status: 200, reason: 'OK' }
  }
  const match = STATUS_FIELD.exec(value)
  if (match === null) throw protocolError('its Status field is malformed')
  return { status: Number(match[1]), reason: match[2] ?? '' }
}

function parseField(line: string): Field {
  const text = withoutCr(line)
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(colon, 0))
  const lower = lowerName(name)
  const value = trimWhitespace(text.slice(colon + 1))
  if (!VALUE.test(value)) throw protocolError(`header ${name} holds a control character`)
  return { name, lower, value }
}

/** The lower-case form of a field name. */
const lowerName = remember((name): string => {
  // A folded line begins with a space, which no name does.
  if (!TOKEN.test(name)) throw protocolError('a header line has no valid name')
  return name.toLowerCase()
})

/** Body length by RFC 9112 §6.3, with every ambiguity refused. */
function responseFraming(
  status: number,
  method: string,
  fields: readonly Field[]
): ResponseFraming {
  const coding = single(fields, 'transfer-encoding')
  const length = single(fields, 'content-length')
  if (coding !== undefined && length !== undefined) {
    throw protocolError('it has both Transfer-Encoding and Content-Length')
  }
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw protocolError('its Transfer-Encoding is not "chunked"')
  }
  if (length !== undefined && !(/^[0-9]+$/.test(length) && Number.isSafeInteger(Number(length)))) {
    throw protocolError('its Content-Length is not one number in decimal digits')
  }
  if (status === 101) {
    // RFC 9110 §8.6, RFC 9112 §6.1: neither, and a client that believes one loses the first frames.
    if (coding !== undefined || length !== undefined) throw protocolError('a 101 announces a body')
    return { type: 'eof' }
  }
  if (isBodyless(status, method)) return { type: 'none' }
  if (coding !== undefined) return { type: 'chunked' }
  return length === undefined ? { type: 'eof' } : { type: 'length', length: Number(length) }
}

/** Leaves out `Status` and what is hop-by-hop; 204 and 205 lose a length that they must not have. */
function endToEnd(
  fields: readonly Field[],
  status: number,
  nominated: ReadonlySet<string> | undefined
): HeaderField[] {
  const kept: HeaderField[] = []
  for (const { name, lower, value } of fields) {
    const isKept =
      lower === 'content-length'
        ? status !== 204 && status !== 205
        : lower !== 'status' && !HOP_BY_HOP.has(lower) && nominated?.has(lower) !== true
    if (isKept) kept.push([name, value])
  }
  return kept
}

/** The tokens of Connection, in lower case: `close`, and names of fields that end here. */
function connectionOptions(fields: readonly Field[]): Set<string> | undefined {
  let tokens: Set<string> | undefined
  for (const { lower, value } of fields) {
    if (lower !== 'connection') continue
    tokens ??= new Set()
    for (const token of value.toLowerCase().split(',')) tokens.add(token.trim())
  }
  return tokens
}

function single(fields: readonly Field[], wanted: string): string | undefined {
  let found: string | undefined
  for (const { lower, value } of fields) {
    if (lower !== wanted) continue
    if (found !== undefined) throw protocolError(`it has more than one ${wanted} field`)
    found = value
  }
  return found
}

function withoutCr(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line
}
