/**
 * Request header fields → `HTTP_*` variables (rules HDR).
 *
 * Only names of letters, digits and `-` are mapped: on that alphabet the map to `HTTP_*` is
 * injective, so `X-Auth_User` can never pose as `X-Auth-User` (CVE-2015-0219).
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5
 * @see https://www.rfc-editor.org/rfc/rfc3875#section-4.1.18
 * @module
 */
import { badRequest, GatewayError } from './errors.ts'
import { codeUnitAt, LINE_BREAK_OR_NUL, textToNative } from './octets.ts'
import { remember } from './remember.ts'
import type { RequestHead } from './request-head.ts'

/** Header fields by lower-case name, duplicates joined, values as native strings. */
export type HeaderFields = Map<string, string>

/** How header fields are read; the names are those of `EnvironOptions`. */
export interface HeaderOptions {
  readonly headerEncoding: 'latin1' | 'utf8'
  readonly ambiguousHeaders: 'drop' | 'reject'
  readonly maxHeaders: number
}

/** Largest header line, name and value, in bytes. */
export const MAX_FIELD_BYTES = 16_384
/** Largest sum of all header lines, in bytes. */
export const MAX_HEADER_BYTES = 65_536

const NAME = /^[A-Za-z0-9-]+$/
/** RFC 9110 §5.5: HTAB, SP, visible ASCII and obs-text; no other control, above all no CR, LF, NUL. */
const NOT_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/
/** The same, and what no octet stands for. */
const NOT_NATIVE_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/
/** Fields of which a second line is an attack, or a client nobody can understand. */
const SINGLETONS = new Set(['host', 'content-length', 'content-type', 'authorization'])

/** Fields that speak of this connection, not of the request (RFC 9110 §7.6.1). */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Fields that `Connection` cannot nominate away (CVE-2022-31813): identity and framing. */
const PROTECTED = new Set([
  'host',
  'authorization',
  'cookie',
  'forwarded',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
])
const PROTECTED_PREFIXES = ['content-', 'x-forwarded-', 'cf-']

/**
 * Validates and joins the header fields of a request.
 *
 * @returns Every field that has a name to map, hop-by-hop ones included: framing is read from them.
 * @throws {GatewayError} `ERR_BAD_REQUEST` or `ERR_HEADERS_TOO_LARGE`.
 */
export function collectFields(head: RequestHead, options: HeaderOptions): HeaderFields {
  const { headers } = head
  if (headers.length > options.maxHeaders) {
    throw tooLarge(`${headers.length} fields, limit is ${options.maxHeaders}`)
  }
  // Wire lines are octets already, whatever form the runtime gives its own headers.
  const encoding = head.raw ? 'latin1' : options.headerEncoding
  const fields: HeaderFields = new Map()
  let total = 0
  for (const [name, text] of headers) {
    checkFieldSize(name, text)
    const value = fieldValue(name, text, encoding)
    // Again, since UTF-8 takes more bytes than the text had code units.
    total += checkFieldSize(name, value)
    if (total > MAX_HEADER_BYTES) throw tooLarge(`over ${MAX_HEADER_BYTES} bytes in all`)
    const lower = mappedName(name)
    if (lower !== '') addField(fields, lower, value)
    else refuseAmbiguous(name, options.ambiguousHeaders)
  }
  return fields
}

/**
 * Removes what must not travel on: hop-by-hop fields, those that `Connection` nominates, and `Proxy`,
 * whose variable would be taken for a setting (httpoxy, CVE-2016-5385).
 */
export function removeHopByHop(fields: HeaderFields): void {
  const nominated = fields.get('connection')
  if (nominated !== undefined) {
    for (const token of nominated.split(',')) {
      const name = trimWhitespace(token).toLowerCase()
      if (!isProtected(name)) fields.delete(name)
    }
  }
  for (const name of fields.keys()) {
    if (HOP_BY_HOP.has(name) || name === 'proxy') fields.delete(name)
  }
}

/** The lower-case form of a name that has a variable, `''` of any other. */
const mappedName = remember((name) => (NAME.test(name) ? name.toLowerCase() : ''))

/** `HTTP_` and the name in upper case, with `_` for `-`. */
export const variableName: (lowerName: string) => string = remember(
  (lowerName) => `HTTP_${lowerName.toUpperCase().replaceAll('-', '_')}`
)

/**
 * Strips SP and HTAB at both ends, and those only: cutting more, such as U+0085, made `chunked` out
 * of what is not (CVE-2019-16789). A loop, since `/[ \t]+$/` takes quadratic time on inner blanks.
 */
export function trimWhitespace(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isBlank(codeUnitAt(text, start))) start++
  while (start < end && isBlank(codeUnitAt(text, end - 1))) end--
  return text.slice(start, end)
}

function isBlank(unit: number): boolean {
  return unit === 0x20 || unit === 0x09
}

function isProtected(name: string): boolean {
  return PROTECTED.has(name) || PROTECTED_PREFIXES.some((prefix) => name.startsWith(prefix))
}

function addField(fields: HeaderFields, name: string, value: string): void {
  const present = fields.get(name)
  if (present === undefined) {
    fields.set(name, value)
    return
  }
  if (SINGLETONS.has(name)) throw badRequest(`Cannot forward request: more than one ${name} header`)
  // RFC 6265 §5.4 writes cookies in one line with "; ", as nginx joins them.
  fields.set(name, present + (name === 'cookie' ? '; ' : ', ') + value)
}

function fieldValue(name: string, text: string, encoding: HeaderOptions['headerEncoding']): string {
  const value = trimWhitespace(text)
  const isText = encoding === 'utf8'
  if ((isText ? NOT_VALUE : NOT_NATIVE_VALUE).test(value)) {
    const what = NOT_VALUE.test(value) ? 'control character' : 'character above U+00FF'
    throw badRequest(`Cannot forward header ${JSON.stringify(name)}: its value holds a ${what}`)
  }
  return isText ? textToNative(value) : value
}

function checkFieldSize(name: string, value: string): number {
  const size = name.length + value.length
  if (size > MAX_FIELD_BYTES) {
    throw tooLarge(`one field of ${size} bytes, limit is ${MAX_FIELD_BYTES}`)
  }
  return size
}

function refuseAmbiguous(name: string, policy: HeaderOptions['ambiguousHeaders']): void {
  if (LINE_BREAK_OR_NUL.test(name)) {
    throw badRequest('Cannot forward header: its name holds a line break or NUL')
  }
  if (policy === 'reject') {
    throw badRequest(
      `Cannot forward header ${JSON.stringify(name)}: wanted a name of letters, digits and hyphens`
    )
  }
}

function tooLarge(what: string): GatewayError {
  return new GatewayError('ERR_HEADERS_TOO_LARGE', `Cannot forward request header: ${what}`)
}
