/**
 * A response on its way to the client, before any runtime's form of it.
 *
 * @module
 */
import { type BodySource, bytesSource, sourceStream } from './body-source.ts'
import { GatewayError } from './errors.ts'
import { nativeToText } from './octets.ts'
import type { HeaderField } from './request-head.ts'
import type { Tunnel } from './tunnel.ts'

/** A response as the layers below a target hand it over. */
export interface GatewayResponse {
  readonly status: number
  /** Reason phrase, maybe empty, as a native string. */
  readonly reason: string
  /** In order, duplicates kept, values as native strings. */
  readonly headers: readonly HeaderField[]
  /** Absent where the response has none: HEAD, 204, 205, 304. */
  readonly body?: BodySource | undefined
  /**
   * Where the status is 101, and there only, as the answer to a head with `canTunnel`: the connection
   * from here on.
   */
  readonly tunnel?: Tunnel | undefined
}

/** What a runtime's `Response` wants done its way. */
export interface ResponseForm {
  /** How the runtime writes header strings on the wire; as `headerEncoding` of `EnvironOptions`. */
  readonly headerEncoding: 'latin1' | 'utf8'
  /**
   * Makes the body a stream.
   *
   * @param length The Content-Length, where there is one.
   */
  readonly bodyStream?:
    ((source: BodySource, length: number | undefined) => ReadableStream) | undefined
}

/** Reason phrases of RFC 9110 §15, for a response that came without one. */
const PHRASES: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  499: 'Client Closed Request',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
}

/** The standard phrase of a status; `Unknown` for one that has none. */
export function reasonPhrase(status: number): string {
  return PHRASES[status] ?? 'Unknown'
}

/** Whether a response has no body, whatever its maker has put there (RFC 9110 §6.4.1, §15.3.6). */
export function isBodyless(status: number, method: string): boolean {
  return method === 'HEAD' || status < 200 || status === 204 || status === 205 || status === 304
}

/** Methods that get through; RFC 9110 §15.5.6 wants them named beside a 405. */
const ALLOW = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/** Seconds after which a client may ask again: a full queue moves, a server that closes comes back. */
const RETRY_AFTER_S = '1'

/**
 * Workers would compress a body again whose Content-Encoding says that it is compressed; elsewhere the
 * member is unknown and means nothing.
 */
const ENCODED = { encodeBody: 'manual' }

/** Makes the runtime's `Response`. */
export function toResponse(response: GatewayResponse, form: ResponseForm): Response {
  const headers = new Headers()
  let length: number | undefined
  for (const [name, value] of response.headers) {
    if (name.toLowerCase() === 'content-length') length = Number(value)
    // A runtime that writes UTF-8 must be given the text whose UTF-8 form the octets are.
    headers.append(name, form.headerEncoding === 'utf8' ? (nativeToText(value) ?? value) : value)
  }
  const { body, status, reason } = response
  return new Response(bodyInit(body, length, form), {
    status,
    statusText: reason,
    headers,
    ...ENCODED,
  })
}

function bodyInit(
  body: BodySource | undefined,
  length: number | undefined,
  form: ResponseForm
): BodyInit | null {
  if (body === undefined) return null
  if (body.bytes !== undefined) return body.bytes as Uint8Array<ArrayBuffer>
  return (form.bodyStream ?? sourceStream)(body, length)
}

/**
 * The page for an error: the status and its name. What happened is for the operator, not the client.
 *
 * @param error Anything but a {@link GatewayError} is a bug and answered 500.
 */
export function errorResponse(error: unknown): GatewayResponse {
  const status = error instanceof GatewayError ? error.status : 500
  const reason = reasonPhrase(status)
  if (status === 204) return { status, reason, headers: [['Allow', ALLOW]] }
  const page = new TextEncoder().encode(`${status} ${reason}\n`)
  const headers: HeaderField[] = [
    ['Content-Type', 'text/plain; charset=utf-8'],
    ['Content-Length', String(page.length)],
    ['Cache-Control', 'no-store'],
  ]
  if (status === 405) headers.push(['Allow', ALLOW])
  if (status === 503) headers.push(['Retry-After', RETRY_AFTER_S])
  return { status, reason, headers, body: bytesSource(page) }
}
