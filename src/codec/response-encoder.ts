/**
 * The head of a response as a uwsgi front reads it: what uWSGI itself would write.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-4
 * @module
 */
import { applicationError } from '../core/errors.ts'
import { reasonPhrase } from '../core/gateway-response.ts'
import { HOP_BY_HOP } from '../core/header-field.ts'
import { nativeToOctets } from '../core/octets.ts'
import { remember } from '../core/remember.ts'
import { type HeaderField, TOKEN } from '../core/request-head.ts'

/** Status and header fields, as native strings. */
export interface ResponseHeadInit {
  /** 200 to 599. */
  readonly status: number
  /** @default the standard phrase */
  readonly reason?: string | undefined
  /** In order, duplicates kept. */
  readonly headers: readonly HeaderField[]
}

/**
 * A field name as its line begins, `''` for a hop-by-hop field. Remembered, since handlers send the same few.
 *
 * @throws {GatewayError} `ERR_APPLICATION` when it is no name.
 */
const fieldStart = remember((name) => {
  if (!TOKEN.test(name)) {
    throw applicationError(`Cannot encode response: ${JSON.stringify(name)} is no header name`)
  }
  return HOP_BY_HOP.has(name.toLowerCase()) ? '' : `${name}: `
})

const TEXT = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * Encodes a response head.
 *
 * @throws {GatewayError} as {@link responseHeadText}.
 */
export function encodeResponseHead(head: ResponseHeadInit): Uint8Array {
  return nativeToOctets(responseHeadText(head))
}

/**
 * A response head as a native string. The body that follows ends with its Content-Length, or with the
 * connection.
 *
 * Hop-by-hop fields are left out: the coding of the body towards the client is the front's (nginx and
 * Apache hand chunk framing on as if it were text).
 *
 * @throws {GatewayError} `ERR_APPLICATION` when the status, a name or a value cannot stand in a head:
 *   a CR LF in one would begin the next field (CVE-2023-27522).
 */
export function responseHeadText(head: ResponseHeadInit): string {
  const { status, headers } = head
  const reason = head.reason || reasonPhrase(status)
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw applicationError(`Cannot encode response: status ${status} is not between 200 and 599`)
  }
  if (!TEXT.test(reason)) throw notText('its reason phrase')
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  for (const [name, value] of headers) {
    const start = fieldStart(name)
    if (!TEXT.test(value)) throw notText(`header ${name}`)
    if (start !== '') text += `${start}${value}\r\n`
  }
  return `${text}\r\n`
}

function notText(what: string): Error {
  return applicationError(
    `Cannot encode response: ${what} holds a control character or one above U+00FF`
  )
}
