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

/**
 * The host of `http://HOST` as a URL writes it, `''` where there is none. Remembered, since a site has
 * few, each request asks for its own two or three times, and parsing takes 0.4 µs.
 */
const hostOf = remember((origin) => {
  const isOne = isHost(origin.slice(origin.indexOf('//') + 2))
  return (isOne ? URL.parse(origin)?.host : undefined) ?? ''
})

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
  const host = hostOf(`${protocol}//${value}`)
  if (host !== '') return host
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
