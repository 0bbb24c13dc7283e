/**
 * A request head → the CGI variables: the one builder behind every dialect.
 *
 * Names that a client chooses only ever become `HTTP_*`; every other name is written here. `HTTP_*`
 * comes first, so that where a reader lets the last of two win, it is ours (UW-3).
 *
 * @see https://www.rfc-editor.org/rfc/rfc3875#section-4.1
 * @see https://peps.python.org/pep-3333/#environ-variables
 * @module
 */
import { bodyFraming, type BodyFraming } from './body-framing.ts'
import type { ResolvedEnvironOptions } from './environ-options.ts'
import { badRequest, GatewayError } from './errors.ts'
import { type Origin, resolveOrigin } from './forwarded.ts'
import { collectFields, type HeaderFields, removeHopByHop, variableName } from './header-field.ts'
import { canonicalHost, hostVariable, isHost } from './host.ts'
import { isNative } from './octets.ts'
import { checkTargetLength, decodePath, parseTarget, splitMount } from './path.ts'
import {
  checkExpectation,
  checkMethod,
  type RequestHead,
  serverProtocol,
  type TlsInfo,
  type UrlParts,
} from './request-head.ts'
import { isWebSocketRequest, WEBSOCKET } from './tunnel.ts'

/** One variable: name and value, both native strings. */
export type Variable = readonly [name: string, value: string]

/** The variables of a request, and what they were built from that a dialect needs again. */
export interface CgiVars {
  /** In order: `HTTP_*`, then the gateway's. `CONTENT_LENGTH` is absent while the length is unknown. */
  readonly vars: Variable[]
  readonly scheme: 'http' | 'https'
  readonly framing: BodyFraming
}

/** The four variables that say which resource is meant. */
interface Resource {
  readonly scriptName: string
  readonly pathInfo: string
  readonly query: string
  readonly requestUri: string
}

/**
 * Builds the CGI variables of a request.
 *
 * @param addFields Adds to the header fields that become `HTTP_*`, or takes from them.
 * @throws {GatewayError} when the request is one that no environ may stand for.
 */
export function cgiVars(
  head: RequestHead,
  options: ResolvedEnvironOptions,
  addFields?: (fields: HeaderFields) => void
): CgiVars {
  checkMethod(head.method)
  checkUrl(head.url)
  const protocol = serverProtocol(head.httpVersion)
  const fields = collectFields(head, options)
  const framing = bodyFraming(head, fields, options)
  checkExpectation(fields.get('expect'))
  removeHopByHop(fields)
  if (head.canTunnel === true && isWebSocketRequest(head)) {
    // Said anew, as each hop does: applications look for both (HDR-3).
    fields.set('connection', 'Upgrade')
    fields.set('upgrade', WEBSOCKET)
  }
  addFields?.(fields)
  const origin = resolveOrigin(head, fields, options.isTrusted, options.trustForwardedHost)
  const resource = readResource(head, fields, options)

  const vars: Variable[] = []
  const host = origin.host ?? hostVariable(fields.get('host'), head.url, head.httpVersion)
  if (host !== undefined) vars.push(['HTTP_HOST', host])
  const contentType = fields.get('content-type')
  for (const [name, value] of fields) {
    if (name !== 'host' && name !== 'content-type' && name !== 'content-length') {
      vars.push([variableName(name), value])
    }
  }
  vars.push(
    ['QUERY_STRING', resource.query],
    ['REQUEST_METHOD', head.method],
    ['REQUEST_URI', resource.requestUri],
    ['SCRIPT_NAME', resource.scriptName],
    ['PATH_INFO', resource.pathInfo],
    ['SERVER_PROTOCOL', protocol],
    ['REQUEST_SCHEME', origin.scheme]
  )
  if (contentType !== undefined) vars.push(['CONTENT_TYPE', contentType])
  if (framing.type === 'known') vars.push(['CONTENT_LENGTH', String(framing.length)])
  pushConnection(vars, head, origin, options)
  return { vars, scheme: origin.scheme, framing }
}

/** A `Request` may have a URL that no HTTP request has, and a URL a host that no Host may be. */
function checkUrl(url: UrlParts): void {
  const isHttp = url.protocol === 'http:' || url.protocol === 'https:'
  if (!isHttp || !isHost(url.host)) {
    throw badRequest('Cannot forward request: its URL is not one of HTTP')
  }
}

function pushConnection(
  vars: Variable[],
  head: RequestHead,
  origin: Origin,
  options: ResolvedEnvironOptions
): void {
  const server = serverOf(head, origin)
  vars.push(
    ['SERVER_NAME', options.serverName ?? server.name],
    ['SERVER_PORT', options.serverPort ?? server.port]
  )
  if (origin.scheme === 'https') vars.push(['HTTPS', 'on'])
  if (origin.addr !== undefined) vars.push(['REMOTE_ADDR', origin.addr])
  if (origin.addr !== undefined && origin.port !== undefined) {
    vars.push(['REMOTE_PORT', String(origin.port)])
  }
  if (head.tls !== undefined) pushTls(vars, head.tls)
}

function pushTls(vars: Variable[], tls: TlsInfo): void {
  const named: readonly (readonly [string, string | undefined])[] = [
    ['SSL_PROTOCOL', tls.protocol],
    ['SSL_CIPHER', tls.cipher],
    ['SSL_TLS_SNI', tls.serverName],
    ['SSL_CLIENT_VERIFY', tls.clientVerify],
    ['SSL_CLIENT_S_DN', tls.clientSubject],
    ['SSL_CLIENT_CERT', tls.clientCert],
  ]
  for (const [name, value] of named) {
    if (value === undefined) continue
    if (!isNative(value)) {
      throw badRequest(`Cannot forward ${name}: it holds a character above U+00FF`)
    }
    vars.push([name, value])
  }
}

/** `SERVER_NAME` and `SERVER_PORT` where no option sets them: never empty (PEP 3333). */
function serverOf(head: RequestHead, origin: Origin): { name: string; port: string } {
  const defaultPort = origin.scheme === 'https' ? '443' : '80'
  if (origin.host !== undefined) {
    const url = new URL(`${origin.scheme}://${origin.host}`)
    return { name: url.hostname, port: origin.hostPort ?? (url.port || defaultPort) }
  }
  return { name: head.url.hostname, port: origin.hostPort ?? (head.url.port || defaultPort) }
}

/**
 * Path, mount and query. The path comes from the parsed URL on every runtime; the raw target gives
 * `REQUEST_URI` and the query, byte for byte, which a signed URL needs (PATH-2, PATH-12).
 */
function readResource(
  head: RequestHead,
  fields: HeaderFields,
  options: ResolvedEnvironOptions
): Resource {
  const { url } = head
  const raw = rawPathAndQuery(head, fields, options)
  if (raw === '*') return { scriptName: '', pathInfo: '*', query: '', requestUri: '*' }
  const path = decodePath(url.pathname, options)
  const requestUri = raw ?? originForm(url)
  if (raw === undefined) checkTargetLength(requestUri.length)
  const mark = requestUri.indexOf('?')
  const query = mark < 0 ? '' : requestUri.slice(mark + 1)
  return {
    ...splitMount(path, options.mount || (head.mount ?? '')),
    query: VISIBLE_ASCII.test(query) ? query : url.search.slice(1),
    requestUri,
  }
}

/** Path and query as the URL writes them: `href` keeps a bare `?`, which `search` loses. */
function originForm(url: UrlParts): string {
  const hash = url.href.indexOf('#')
  const end = hash < 0 ? url.href.length : hash
  return url.href.slice(url.href.indexOf('/', `${url.protocol}//`.length), end)
}

const VISIBLE_ASCII = /^[\x21-\x7e]*$/

/** The target in origin-form, `*`, or `undefined` where the adapter does not know it. */
function rawPathAndQuery(
  head: RequestHead,
  fields: HeaderFields,
  options: ResolvedEnvironOptions
): string | undefined {
  if (head.rawTarget === undefined) return undefined
  const target = parseTarget(head.rawTarget, head.method)
  if (target.type === 'asterisk') {
    if (options.asteriskForm === 'pass') return '*'
    throw new GatewayError('ERR_ASTERISK_FORM', 'OPTIONS * is for the gateway, which answers it')
  }
  const { host, protocol } = head.url
  // Where the lines are the wire's own, a URL for another host was built wrongly: `//evil.com/p`
  // resolved against a base is such a one (PATH-11).
  const authority =
    target.type === 'absolute' ? target.authority : head.raw ? fields.get('host') : undefined
  const isOther = authority !== undefined && authority !== host
  if (isOther && canonicalHost(authority, protocol) !== host) {
    throw badRequest('Cannot forward request: its URL names another host than its head does')
  }
  return target.pathAndQuery
}
