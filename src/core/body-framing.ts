/**
 * How long the body of a request is (rules BODY).
 *
 * One length is decided here and everything after keeps to it: two readers that disagree on where a
 * body ends is what request smuggling is (RFC 9112 §11.2).
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-6.3
 * @module
 */
import type { ResolvedEnvironOptions } from './environ-options.ts'
import { badRequest, GatewayError } from './errors.ts'
import type { HeaderFields } from './header-field.ts'
import type { RequestHead } from './request-head.ts'

/** The body of a request as its head announces it. */
export type BodyFraming =
  | { readonly type: 'none' }
  | { readonly type: 'known'; readonly length: number }
  | { readonly type: 'unknown' }

const DIGITS = /^[0-9]+$/

/**
 * Reads the framing of a request body.
 *
 * @param fields All header fields, hop-by-hop ones included.
 * @throws {GatewayError} for framing that is malformed, contradictory, refused or over the limit.
 */
export function bodyFraming(
  head: RequestHead,
  fields: HeaderFields,
  options: Pick<ResolvedEnvironOptions, 'maxBodyBytes' | 'unknownLength'>
): BodyFraming {
  const coding = fields.get('transfer-encoding')
  const announced = parseContentLength(fields.get('content-length'))
  if (coding !== undefined) checkTransferCoding(coding, announced !== undefined, head.httpVersion)
  if (!head.hasBody) {
    // A runtime that drops the body of a GET still shows its length, which must not be promised.
    return announced === 0 ? { type: 'known', length: 0 } : { type: 'none' }
  }
  if (announced !== undefined) {
    if (announced > options.maxBodyBytes) throw bodyTooLarge(announced, options.maxBodyBytes)
    return { type: 'known', length: announced }
  }
  if (options.unknownLength === 'reject') {
    throw new GatewayError('ERR_LENGTH_REQUIRED', 'Cannot forward body: it has no Content-Length')
  }
  return { type: 'unknown' }
}

/** The error for a body over a limit. */
export function bodyTooLarge(bytes: number, most: number): GatewayError {
  return new GatewayError(
    'ERR_BODY_TOO_LARGE',
    `Cannot forward body: it is ${bytes} bytes or more, limit is ${most}`
  )
}

function parseContentLength(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (!DIGITS.test(value)) {
    throw badRequest('Cannot read Content-Length: wanted one number in decimal digits')
  }
  const length = Number(value)
  if (!Number.isSafeInteger(length)) throw bodyTooLarge(length, Number.MAX_SAFE_INTEGER)
  return length
}

/** Only `chunked`, once, on a version that has it; the runtime has decoded it already. */
function checkTransferCoding(coding: string, hasLength: boolean, httpVersion: string): void {
  if (hasLength) {
    throw badRequest('Cannot frame body: both Transfer-Encoding and Content-Length are present')
  }
  if (httpVersion !== '1.1') {
    throw badRequest(`Cannot frame body: HTTP/${httpVersion} has no Transfer-Encoding`)
  }
  const codings = coding.toLowerCase().split(',')
  if (codings.length === 1 && codings[0] === 'chunked') return
  if (codings.filter((name) => name.trim() === 'chunked').length > 1) {
    throw badRequest('Cannot frame body: it is chunked more than once')
  }
  throw new GatewayError(
    'ERR_NOT_IMPLEMENTED',
    'Cannot decode Transfer-Encoding: wanted "chunked" and nothing else'
  )
}
