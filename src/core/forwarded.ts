/**
 * Who the client is, where proxies in front of us are trusted to say so (rules TRUST).
 *
 * By default nobody is trusted, and the whole family of forwarding headers is removed: uWSGI itself
 * would believe `HTTP_X_FORWARDED_PROTO` and take any word for the URL scheme.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7239
 * @module
 */
import ipaddr from 'ipaddr.js'
import { badRequest } from './errors.ts'
import { type HeaderFields, trimWhitespace } from './header-field.ts'
import { canonicalHost } from './host.ts'
import { remember } from './remember.ts'
import type { Peer, RequestHead } from './request-head.ts'

/** Tells whether an address is one of the trusted proxies. */
export type TrustCheck = (addr: string) => boolean

/** What the forwarding headers of a trusted proxy said, or the connection where none is trusted. */
export interface Origin {
  /** `REMOTE_ADDR`: an IP literal; absent when unknown. */
  readonly addr?: string | undefined
  /** `REMOTE_PORT`; absent where the address came from a header. */
  readonly port?: number | undefined
  readonly scheme: 'http' | 'https'
  /** The public authority, where `X-Forwarded-Host` is trusted and present. */
  readonly host?: string | undefined
  /** The public port, where `X-Forwarded-Port` is trusted and present. */
  readonly hostPort?: string | undefined
}

const FAMILY = new Set(['forwarded', 'x-real-ip', 'x-client-ip', 'true-client-ip'])
const FAMILY_PREFIX = 'x-forwarded-'
/** One `name=value` of a Forwarded element: the value a token or a quoted-string (RFC 7239 §4). */
const FORWARDED_PAIR =
  /[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z:[\]]+))[ \t]*(;|,|$)/y

/**
 * Compiles a list of peers, such as the `trustedProxies` option.
 *
 * @param proxies IP literals, CIDR ranges, or `unix:` for peers on a unix socket, as in nginx's
 *   `set_real_ip_from`.
 * @throws {TypeError} for anything else.
 */
export function compileTrust(proxies: readonly string[]): TrustCheck {
  const ranges = proxies.filter((proxy) => proxy !== 'unix:').map(parseRange)
  const trustsUnix = proxies.includes('unix:')
  return remember(function isTrusted(addr) {
    if (addr === 'unix:') return trustsUnix
    if (ranges.length === 0 || !isAddress(addr)) return false
    const parsed = ipaddr.process(addr)
    return ranges.some(
      ([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits)
    )
  })
}

/**
 * Finds the client's address and scheme, and leaves in `fields` only what may reach the application.
 *
 * @param trustHost Whether `X-Forwarded-Host` of a trusted proxy counts.
 * @throws {GatewayError} `ERR_BAD_REQUEST` when the headers of a trusted proxy contradict each other.
 */
export function resolveOrigin(
  head: RequestHead,
  fields: HeaderFields,
  isTrusted: TrustCheck,
  trustHost: boolean
): Origin {
  const scheme = head.url.protocol === 'https:' ? 'https' : 'http'
  const peer = head.remote
  if (peer === undefined || !isTrusted(peer.addr)) {
    removeFamily(fields)
    return { addr: peerAddress(peer), port: peer?.port, scheme }
  }
  const elements = readElements(fields)
  const addr = walkAddresses(elements.addresses, isTrusted)
  return {
    addr: addr ?? peerAddress(peer),
    port: addr === undefined ? peer.port : undefined,
    scheme: settleScheme(fields, elements.scheme) ?? scheme,
    ...(trustHost ? publicHost(fields, head.url.protocol) : {}),
  }
}

/** An IPv4 literal in its own form. */
const IPV4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/

/** An IP literal in its own form, IPv4 in IPv6 as IPv4; `undefined` when it is none. */
export function parseAddress(text: string): string | undefined {
  // Most peers: parsing and writing it again would give the same, and take 1 µs instead of 0.07.
  if (IPV4.test(text)) return text
  return isAddress(text) ? ipaddr.process(text).toString() : undefined
}

/**
 * ipaddr.js reads `127.1` and `0x7f.1` too, as inet_aton does, even behind `::ffff:`, and takes
 * `::127.0.0.1` for `127.0.0.1`; a forwarding header may not.
 */
function isAddress(text: string): boolean {
  const tail = text.slice(text.lastIndexOf(':') + 1)
  if (tail.includes('.') && !ipaddr.IPv4.isValidFourPartDecimal(tail)) return false
  return text.includes(':')
    ? ipaddr.IPv6.isValid(text) && !/^::[0-9]+\./.test(text)
    : tail.includes('.')
}

function parseRange(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  const [addr = '', bits, ...rest] = text.split('/')
  if (isAddress(addr) && rest.length === 0) {
    const network = ipaddr.process(addr)
    const width = network.kind() === 'ipv4' ? 32 : 128
    if (bits === undefined) return [network, width]
    if (/^[0-9]{1,3}$/.test(bits) && Number(bits) <= width) return [network, Number(bits)]
  }
  throw new TypeError(
    `Cannot trust peer ${JSON.stringify(text)}: wanted an IP address, a CIDR range such as "10.0.0.0/8", or "unix:"`
  )
}

function peerAddress(peer: Peer | undefined): string | undefined {
  return peer === undefined ? undefined : parseAddress(peer.addr)
}

function removeFamily(fields: HeaderFields): void {
  for (const name of fields.keys()) {
    if (FAMILY.has(name) || name.startsWith(FAMILY_PREFIX)) fields.delete(name)
  }
}

/**
 * The chain of addresses, nearest last, and the scheme of the nearest hop.
 *
 * `X-Forwarded-For` wins over `Forwarded`, which is then removed: a proxy writes one of the two and
 * passes the other on as the client sent it.
 */
function readElements(fields: HeaderFields): { addresses: string[]; scheme?: string | undefined } {
  const forwardedFor = fields.get('x-forwarded-for')
  const forwarded = fields.get('forwarded')
  if (forwardedFor !== undefined || forwarded === undefined) {
    fields.delete('forwarded')
    return { addresses: forwardedFor?.split(',').map(trimWhitespace) ?? [] }
  }
  const elements = parseForwarded(forwarded)
  return {
    addresses: elements.map((element) => element.get('for') ?? 'unknown'),
    scheme: elements.at(-1)?.get('proto'),
  }
}

/**
 * Parses a Forwarded value. A separator inside quotes does not separate (CVE-2026-32762).
 *
 * @throws {GatewayError} `ERR_BAD_REQUEST` when it does not follow RFC 7239 §4.
 */
export function parseForwarded(value: string): Map<string, string>[] {
  const elements: Map<string, string>[] = []
  let element = new Map<string, string>()
  FORWARDED_PAIR.lastIndex = 0
  while (FORWARDED_PAIR.lastIndex < value.length) {
    const match = FORWARDED_PAIR.exec(value)
    if (match === null)
      throw badRequest('Cannot read Forwarded header: wanted the form of RFC 7239 §4')
    const [, name = '', quoted, token, separator] = match
    if (element.has(name.toLowerCase())) {
      throw badRequest('Cannot read Forwarded header: a parameter stands twice in one element')
    }
    element.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? token ?? '')
    if (separator !== ';') {
      elements.push(element)
      element = new Map()
    }
  }
  if (element.size > 0) elements.push(element)
  return elements
}

/** What the nearest proxy says the client asked for; a list is one hop an element, as everywhere. */
function publicHost(fields: HeaderFields, protocol: string): Pick<Origin, 'host' | 'hostPort'> {
  const host = lastElement(fields.get('x-forwarded-host'))
  if (host !== undefined) canonicalHost(host, protocol)
  const hostPort = lastElement(fields.get('x-forwarded-port'))
  if (
    hostPort !== undefined &&
    !(/^[1-9][0-9]{0,4}$/.test(hostPort) && Number(hostPort) <= 65_535)
  ) {
    throw badRequest('Cannot use X-Forwarded-Port: wanted a port number')
  }
  return { host, hostPort }
}

function lastElement(list: string | undefined): string | undefined {
  return list === undefined ? undefined : trimWhitespace(list.slice(list.lastIndexOf(',') + 1))
}

/** Walks the chain from the nearest hop outward and stops at the first address nobody vouches for. */
function walkAddresses(addresses: readonly string[], isTrusted: TrustCheck): string | undefined {
  let last: string | undefined
  for (const text of addresses.toReversed()) {
    const addr = parseAddress(withoutPort(text))
    if (addr === undefined) return last
    last = addr
    if (!isTrusted(addr)) return last
  }
  return last
}

function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::[0-9]{1,5})?$/.exec(text)
  if (bracketed !== null) return bracketed[1] ?? ''
  return /^[0-9.]+:[0-9]{1,5}$/.test(text) ? text.slice(0, text.indexOf(':')) : text
}

/** What `X-Forwarded-Ssl` says of the scheme. */
const SSL_SCHEME = new Map<string, 'http' | 'https'>([
  ['on', 'https'],
  ['off', 'http'],
])

/**
 * The scheme that the trusted headers agree on. What is not `http` or `https` is ignored and removed.
 */
function settleScheme(
  fields: HeaderFields,
  forwardedProto: string | undefined
): 'http' | 'https' | undefined {
  const proto = schemeOf(lastElement(fields.get('x-forwarded-proto')))
  const ssl = fields.get('x-forwarded-ssl')?.toLowerCase()
  const said = [proto, SSL_SCHEME.get(ssl ?? ''), schemeOf(forwardedProto)].filter(
    (word) => word !== undefined
  )
  if (new Set(said).size > 1) {
    throw badRequest(
      'Cannot tell the scheme: the forwarding headers of the proxy contradict each other'
    )
  }
  // uWSGI reads these two and takes the words as they are: leave it only what was understood.
  fields.delete('x-forwarded-ssl')
  if (proto === undefined) fields.delete('x-forwarded-proto')
  else fields.set('x-forwarded-proto', proto)
  return said[0]
}

function schemeOf(text: string | undefined): 'http' | 'https' | undefined {
  const scheme = text?.toLowerCase()
  return scheme === 'http' || scheme === 'https' ? scheme : undefined
}
