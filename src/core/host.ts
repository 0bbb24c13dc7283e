/**
 * The Host header against the URL's authority (rules HOST).
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-7.2
 * @module
 */
import { badRequest } from './errors.ts'
import { remember } from './remember.ts'
import type { UrlParts } from './request-head.ts'

/** What may stand in a Host value; a comma would be two of them, joined. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+;=]+)(?::[0-9]*)?$/

/** What the origin of a URL says. */
export type OriginParts = Pick<URL, 'origin' | 'protocol' | 'host' | 'hostname' | 'port'>

/**
 * Remembered by scheme and host, since a site has few and each request asks for its own two or three
 * times. Not by the two as one text, which V8 would put together and hash each time.
 */
function partsUnder(protocol: 'http:' | 'https:'): (host: string) => OriginParts | null {
  return remember((text) => {
    const url = isHost(text) ? URL.parse(`${protocol}//${text}`) : null
    if (url === null) return null
    const { origin, host, hostname, port } = url
    return { origin, protocol, host, hostname, port }
  })
}

const httpParts = partsUnder('http:')
const httpsParts = partsUnder('https:')

/**
 * The parts of `http://HOST` or `https://HOST`.
 *
 * @param protocol `http:` or `https:`.
 * @param host With or without a port, as {@link isHost}.
 * @returns `null` where it is no host.
 */
export function originParts(protocol: string, host: string): OriginParts | null {
  return protocol === 'https:' ? httpsParts(host) : httpParts(host)
}

/** Whether a text has the form of a host, with or without a port. */
export function isHost(text: string): boolean {
  return HOST.test(text)
}

/**
 * The canonical form of a Host value: as WHATWG URL parsing writes it, default port left out.
 *
 * @param value Host header, or the authority of an absolute-form target.
 * @param protocol `http:` or `https:`, which says what the default port is.
 * @throws {GatewayError} `ERR_BAD_REQUEST` when it is no host.
 */
export function canonicalHost(value: string, protocol: string): string {
  const host = originParts(protocol, value)?.host
  if (host !== undefined) return host
  // The value is a client's and stays out of the message (it may reach a log unescaped).
  throw badRequest(
    `Cannot use Host of ${value.length} bytes: wanted a host name or address, and at most a port`
  )
}

/**
 * `HTTP_HOST`: the header verbatim when it names the host of the URL, that host otherwise.
 *
 * The two differ for an absolute-form target, whose authority wins (RFC 9112 §3.2.2), and where a
 * platform rewrote one of them.
 *
 * @param header Host header, `undefined` when there is none.
 * @param httpVersion HTTP/1.0 needs no Host; later versions have an authority elsewhere.
 */
export function hostVariable(
  header: string | undefined,
  url: UrlParts,
  httpVersion: string
): string | undefined {
  if (header === undefined) return httpVersion === '1.0' ? undefined : url.host
  if (header === url.host && isHost(header)) return header
  return canonicalHost(header, url.protocol) === url.host ? header : url.host
}
