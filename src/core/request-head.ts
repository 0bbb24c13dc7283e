/**
 * The head of a request as every layer below sees it: values pulled out once, then handed to pure
 * functions. It comes from a Fetch `Request` plus what the adapter knows, or raw from a target.
 *
 * @module
 */
import { badRequest, GatewayError } from './errors.ts'

/** One header line: field name and field value. */
export type HeaderField = readonly [name: string, value: string]

/** The peer of a connection. */
export interface Peer {
  /** IP literal without brackets or port, or `unix:` for a peer on a unix socket (nginx's word). */
  readonly addr: string
  /** TCP port. */
  readonly port?: number | undefined
}

/** What the TLS layer in front of us established; each member becomes the variable it names. */
export interface TlsInfo {
  /** `SSL_PROTOCOL`, such as `TLSv1.3`. */
  readonly protocol?: string | undefined
  /** `SSL_CIPHER`. */
  readonly cipher?: string | undefined
  /** `SSL_TLS_SNI`, the server name the client asked for. */
  readonly serverName?: string | undefined
  /** `SSL_CLIENT_VERIFY`: `NONE`, `SUCCESS` or `FAILED:reason`. */
  readonly clientVerify?: string | undefined
  /** `SSL_CLIENT_S_DN`, the subject of the client's certificate. */
  readonly clientSubject?: string | undefined
  /** `SSL_CLIENT_CERT` in PEM form, where only in-process applications may receive line ends. */
  readonly clientCert?: string | undefined
}

/** What an adapter knows about a request and a Fetch `Request` does not say. */
export interface RequestMeta {
  /**
   * The URL, where the runtime's form of it is not one of HTTP.
   *
   * @default `request.url`
   */
  readonly url?: string | undefined
  /** The request-target exactly as on the wire, one code unit an octet. */
  readonly rawTarget?: string | undefined
  /** Header lines in wire order with duplicates, one code unit an octet. */
  readonly rawHeaders?: readonly HeaderField[] | undefined
  /**
   * `1.0`, `1.1`, `2.0` (or `2`), `3.0` (or `3`).
   *
   * @default '1.1'
   */
  readonly httpVersion?: string | undefined
  /** The peer; absent when unknown. */
  readonly remote?: Peer | null | undefined
  /** Lower-case names of the platform's own headers that were read into this and go no further. */
  readonly consumedHeaders?: readonly string[] | undefined
  /** Set when the connection is TLS. */
  readonly tls?: TlsInfo | undefined
  /**
   * What a code unit of a header value is on this runtime; as `headerEncoding` of `EnvironOptions`,
   * which wins. It does not concern `rawHeaders`.
   *
   * @default 'latin1'
   */
  readonly headerEncoding?: 'latin1' | 'utf8' | undefined
  /**
   * Path that a router in front has matched, decoded, without a slash at its end: `SCRIPT_NAME`,
   * unless the options have a `mount`.
   *
   * @default ''
   */
  readonly mount?: string | undefined
  /**
   * Whether a body follows, where `request.body` does not tell.
   *
   * @default whether `request.body` is there
   */
  readonly hasBody?: boolean | undefined
}

/** The parts of a parsed URL that the rules read; a `URL` is one. */
export interface UrlParts {
  readonly href: string
  readonly protocol: string
  readonly host: string
  readonly hostname: string
  readonly port: string
  readonly pathname: string
  readonly search: string
}

/** The head of one request. */
export interface RequestHead {
  readonly method: string
  /** WHATWG-parsed, so dot segments and backslashes are gone the same way on every runtime (PATH-1). */
  readonly url: UrlParts
  readonly headers: readonly HeaderField[]
  /** Whether `headers` are wire lines; otherwise a runtime joined and sorted them. */
  readonly raw: boolean
  readonly rawTarget?: string | undefined
  /** `1.0`, `1.1`, `2.0` or `3.0`. */
  readonly httpVersion: string
  readonly remote?: Peer | undefined
  readonly tls?: TlsInfo | undefined
  /** As in {@link RequestMeta}. */
  readonly mount?: string | undefined
  /** Whether a body follows, empty or not. */
  readonly hasBody: boolean
  /**
   * Whether the target can hand the connection over as a `Tunnel` behind a 101.
   *
   * @default false
   */
  readonly canTunnel?: boolean | undefined
}

/**
 * Methods that no application behind a gateway may see: a tunnel, and two that mirror secrets. In any
 * case, since Django makes them upper case again.
 */
const REFUSED_METHOD = /^(?:CONNECT|TRACE|TRACK)$/i
/** A token (RFC 9110 §5.6.2): what a method and a field name are. */
export const TOKEN: RegExp = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const HTTP_VERSIONS: Readonly<Record<string, string>> = {
  '1.0': '1.0',
  '1.1': '1.1',
  '2': '2.0',
  '2.0': '2.0',
  '3': '3.0',
  '3.0': '3.0',
}

/**
 * Takes the head out of a Fetch `Request`.
 *
 * @param request Its body is not touched.
 * @param meta What the adapter knows besides.
 */
export function requestHead(request: Request, meta: RequestMeta = {}): RequestHead {
  // workerd and Deno hand over the path unnormalised: parsing again makes all runtimes agree.
  const url = URL.parse(meta.url ?? request.url)
  if (url === null) throw badRequest('Cannot read request: Host and request-target make no URL')
  return {
    method: request.method,
    url,
    headers: withoutConsumed(
      meta.rawHeaders ?? joinedHeaders(request.headers),
      meta.consumedHeaders
    ),
    raw: meta.rawHeaders !== undefined,
    rawTarget: meta.rawTarget,
    httpVersion: meta.httpVersion ?? '1.1',
    remote: meta.remote ?? undefined,
    tls: meta.tls,
    mount: meta.mount,
    hasBody: meta.hasBody ?? request.body !== null,
  }
}

/** Checks the method: a token (RFC 9110 §9.1), and none that a gateway must not forward. */
export function checkMethod(method: string): void {
  if (!TOKEN.test(method)) {
    throw badRequest(
      `Cannot forward method ${JSON.stringify(method)}: wanted a token of RFC 9110 §5.6.2`
    )
  }
  if (REFUSED_METHOD.test(method)) {
    throw new GatewayError(
      'ERR_METHOD_NOT_ALLOWED',
      `Cannot forward method ${method}: a gateway interface has no form for it`
    )
  }
}

/** Checks the Expect field: RFC 9110 §10.1.1 knows one, which the HTTP server in front of us meets. */
export function checkExpectation(expect: string | undefined): void {
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    throw new GatewayError('ERR_EXPECTATION_FAILED', 'Cannot meet Expect: wanted 100-continue')
  }
}

/**
 * `SERVER_PROTOCOL` for an HTTP version.
 *
 * @returns `HTTP/1.0`, `HTTP/1.1`, `HTTP/2.0` or `HTTP/3.0`: RFC 3875 §4.1.16 wants two digits.
 */
export function serverProtocol(httpVersion: string): string {
  const version = Object.hasOwn(HTTP_VERSIONS, httpVersion) ? HTTP_VERSIONS[httpVersion] : undefined
  if (version === undefined) {
    throw new GatewayError(
      'ERR_HTTP_VERSION',
      `Cannot express HTTP version ${JSON.stringify(httpVersion)}: wanted 1.0, 1.1, 2.0 or 3.0`
    )
  }
  return `HTTP/${version}`
}

/** A comma that a runtime put between two Cookie lines: what follows is the next `name=`. */
const JOINED_COOKIES = /, (?=[!#$%&'*+\-.^_`|~0-9A-Za-z]+=)/g

/**
 * Header pairs of a Fetch `Headers`. The Fetch standard joins even Cookie with `, ` (workerd does;
 * Node and Deno write `; `), which no cookie parser splits: RFC 6265 §4.2.1 wants `; `, and neither
 * a comma nor a space may stand in a cookie's value.
 */
function joinedHeaders(headers: Headers): HeaderField[] {
  const fields: HeaderField[] = []
  for (const [name, value] of headers) {
    fields.push([name, name === 'cookie' ? value.replace(JOINED_COOKIES, '; ') : value])
  }
  return fields
}

function withoutConsumed(
  headers: readonly HeaderField[],
  consumed: readonly string[] = []
): readonly HeaderField[] {
  if (consumed.length === 0) return headers
  return headers.filter(([name]) => !consumed.includes(name.toLowerCase()))
}
