/**
 * An environ, or the variables of a uwsgi packet → a request (rules REV): the way back.
 *
 * @see https://peps.python.org/pep-3333/#url-reconstruction
 * @module
 */
import { type BodySource, exactly, sourceStream } from './body-source.ts'
import type { ClientSignal } from './client-signal.ts'
import type { Environ } from './environ.ts'
import { badRequest } from './errors.ts'
import { HOP_BY_HOP } from './header-field.ts'
import { canonicalHost, isHost } from './host.ts'
import { WsgiInput } from './input.ts'
import { isNative, percentDecode } from './octets.ts'
import { parseUrl } from './parse-url.ts'
import { remember } from './remember.ts'
import {
  checkMethod,
  type HeaderField,
  type Peer,
  type RequestHead,
  type UrlParts,
} from './request-head.ts'

/** The variables of an environ; any of them may be absent. */
export type EnvironLike = Readonly<Partial<Environ>>

/** Octets of a path that a URL quotes: all but the unreserved and `!$&'()*+,;=:@/` (REV-2). */
const QUOTED = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g
/** What a URL parser would turn, encode as UTF-8, or take for a fragment, where it was spelled so. */
const NOT_IN_PATH = /[^\x21-\x7e]|[\\#]/g
const NOT_IN_QUERY = /[^\x21-\x7e]|#/g
const CONTROL = /[\x00-\x1f\x7f]/

/** `HTTP_` and what a header name maps to. */
const HEADER_VARIABLE = /^HTTP_[A-Z0-9_]+$/

/**
 * Variables that no request has as a header: two that gateways wrongly repeat, one that would be taken
 * for a setting (httpoxy), and an expectation that the server in front has met.
 */
const NOT_A_HEADER = new Set([
  'HTTP_CONTENT_TYPE',
  'HTTP_CONTENT_LENGTH',
  'HTTP_PROXY',
  'HTTP_EXPECT',
])

const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const HTTP_PROTOCOL = /^HTTP\/(.*)$/
const DIGITS = /^[0-9]{1,15}$/

/** Bytes asked at a time of a `wsgi.input` that is not ours. */
const CHUNK_BYTES = 65_536

/**
 * Converts an environ back to a request.
 *
 * @param environ Its `wsgi.input` becomes the body and must not be read elsewhere.
 * @param signal Becomes the signal of the request.
 * @throws {GatewayError} `ERR_BAD_REQUEST` or `ERR_METHOD_NOT_ALLOWED` when no `Request` may stand for it.
 */
export function fromEnviron(environ: EnvironLike, signal?: AbortSignal): Request {
  const head = environHead(environ)
  const request = toRequest(head, environBody(environ, head), signal)
  if (signal !== undefined) holdForAbort(request, signal)
  return request
}

/**
 * Keeps a request in memory: Node lets the signal of one that nobody holds any more miss the abort.
 *
 * @param signal What the request was made with.
 * @returns Ends that. Node holds the signal until it next collects old objects, and without this all
 *   that the request leads to as well, which took a fifth of a server's time.
 */
export function holdForAbort(request: Request, signal: ClientSignal): () => void {
  const hold = (): void => void request.signal
  signal.addEventListener('abort', hold)
  return () => signal.removeEventListener('abort', hold)
}

/**
 * Makes the `Request` of a head.
 *
 * @param body Dropped for GET and HEAD, for which Fetch knows none.
 * @param signal See {@link holdForAbort}.
 */
export function toRequest(
  head: RequestHead,
  body: BodySource | undefined,
  signal?: AbortSignal
): Request {
  const { method } = head
  const init: RequestInit & { duplex: 'half' } = { method, duplex: 'half' }
  if (signal !== undefined) init.signal = signal
  // In any case: Fetch makes `get` upper case before it refuses the body.
  if (body !== undefined && !/^(?:get|head)$/i.test(method)) init.body = sourceStream(body)
  const request = new Request(head.url.href, init)
  // Behind it: as part of `init`, each would be copied and converted again.
  for (const [name, value] of head.headers) request.headers.append(name, value)
  return request
}

/**
 * The head of the request that an environ stands for.
 *
 * @throws {GatewayError} `ERR_BAD_REQUEST` or `ERR_METHOD_NOT_ALLOWED`.
 */
export function environHead(environ: EnvironLike): RequestHead {
  const method = textOf(environ.REQUEST_METHOD, 'REQUEST_METHOD')
  if (method === '') throw badRequest('Cannot read environ: it has no REQUEST_METHOD')
  checkMethod(method)
  const path = pathOf(environ)
  const protocol = textOf(environ.SERVER_PROTOCOL, 'SERVER_PROTOCOL')
  return {
    method,
    url: urlOf(environ, path),
    headers: headersOf(environ),
    raw: false,
    rawTarget: path.rawTarget,
    httpVersion: HTTP_PROTOCOL.exec(protocol)?.[1] ?? '1.1',
    remote: remoteOf(environ),
    mount: path.mount,
    hasBody: hasBody(environ),
  }
}

/** Where the path of a request comes from, and how much of it is the mount. */
interface EnvironPath {
  /** As a URL spells it; maybe empty. */
  readonly quoted: string
  /** The same, and the query. */
  readonly pathAndQuery: string
  /** Decoded, a native string. */
  readonly mount: string
  /** `REQUEST_URI`, where it says what the other variables say. */
  readonly rawTarget: string | undefined
}

/**
 * The path: as `REQUEST_URI` spells it where that decodes to `SCRIPT_NAME` + `PATH_INFO`, else quoted
 * from those (REV-1): a front that has resolved dot segments, or rewritten, applied its rules to them.
 */
function pathOf(environ: EnvironLike): EnvironPath {
  const query = textOf(environ.QUERY_STRING, 'QUERY_STRING')
  const requestUri = textOf(environ.REQUEST_URI, 'REQUEST_URI')
  const pathInfo = textOf(environ.PATH_INFO, 'PATH_INFO')
  // Apache leaves a slash at its end where PATH_INFO is one (PEP 3333: neither may repeat it).
  const mount = textOf(environ.SCRIPT_NAME, 'SCRIPT_NAME').replace(/\/$/, '')
  const path = repeats(mount, pathInfo, requestUri) ? pathInfo : mount + pathInfo
  const mark = requestUri.indexOf('?')
  const rawPath = mark < 0 ? requestUri : requestUri.slice(0, mark)
  const rawQuery = mark < 0 ? '' : requestUri.slice(mark + 1)
  const spelled = rawPath.startsWith('/') && percentDecode(rawPath) === (path || '/')
  const rawTarget = rawPath.startsWith('/') && rawQuery === query ? requestUri : undefined
  const quoted = spelled ? quote(rawPath, NOT_IN_PATH) : quote(path, QUOTED)
  const pathAndQuery =
    spelled && requestUri === `${rawPath}?` ? `${quoted}?` : withQuery(quoted, query)
  return { quoted, pathAndQuery, mount, rawTarget }
}

/** Whether `PATH_INFO` has the mount too, as it has beside the usual `uwsgi_param SCRIPT_NAME` of nginx. */
function repeats(mount: string, pathInfo: string, requestUri: string): boolean {
  if (mount === '' || !`${pathInfo}/`.startsWith(`${mount}/`)) return false
  const url = requestUri.startsWith('/') ? URL.parse(`http://localhost${requestUri}`) : null
  return url !== null && mergeSlashes(percentDecode(url.pathname)) === mergeSlashes(pathInfo)
}

function mergeSlashes(path: string): string {
  return path.replace(/\/{2,}/g, '/')
}

function withQuery(path: string, query: string): string {
  if (CONTROL.test(query)) {
    // A URL parser would leave out some of them.
    throw badRequest('Cannot read QUERY_STRING: it holds a control character')
  }
  return query === '' ? path : `${path}?${quote(query, NOT_IN_QUERY)}`
}

function quote(text: string, pattern: RegExp): string {
  if (!isNative(text)) {
    throw badRequest('Cannot make a URL: the path or the query holds a character above U+00FF')
  }
  if (text.search(pattern) < 0) return text
  return text.replace(
    pattern,
    (unit) => `%${unit.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  )
}

function urlOf(environ: EnvironLike, { quoted, pathAndQuery }: EnvironPath): UrlParts {
  const protocol = schemeOf(environ) === 'https' ? 'https:' : 'http:'
  const authority = canonicalHost(authorityOf(environ), protocol)
  const url = parseUrl(protocol, authority, pathAndQuery || '/')
  // A URL parser resolves dot segments: it would address another resource than the environ does.
  if (
    url === null ||
    url.host !== authority ||
    percentDecode(url.pathname) !== percentDecode(quoted || '/')
  ) {
    throw badRequest(
      'Cannot make a URL: SCRIPT_NAME and PATH_INFO are no absolute path without dot segments'
    )
  }
  return url
}

/** `wsgi.url_scheme` in an environ; a front writes `HTTPS`, which may be set for TLS before it. */
function schemeOf(environ: EnvironLike): 'http' | 'https' {
  const scheme = textOf(environ['wsgi.url_scheme'], 'wsgi.url_scheme')
  if (scheme === '' && /^(?:on|1)$/i.test(textOf(environ.HTTPS, 'HTTPS'))) return 'https'
  const named = scheme || textOf(environ.REQUEST_SCHEME, 'REQUEST_SCHEME') || 'http'
  if (named === 'http' || named === 'https') return named
  throw badRequest('Cannot make a URL: the scheme of the environ is neither http nor https')
}

/** HTTP/1.0 needs no Host, and nginx's `server_name` may be empty or a pattern. */
function authorityOf(environ: EnvironLike): string {
  const host = textOf(environ.HTTP_HOST, 'HTTP_HOST')
  if (host !== '') return host
  const port = textOf(environ.SERVER_PORT, 'SERVER_PORT')
  const named = textOf(environ.SERVER_NAME, 'SERVER_NAME')
  const name = isHost(named) ? named : 'localhost'
  return port === '' ? name : `${name}:${port}`
}

/** `HTTP_X_Y` → `x-y`: whether it was `-` or `_`, the environ does not say (REV-3). `''` of what is no header. */
const headerName = remember((key) => {
  if (!HEADER_VARIABLE.test(key) || NOT_A_HEADER.has(key)) return ''
  const name = key.slice('HTTP_'.length).toLowerCase().replaceAll('_', '-')
  return HOP_BY_HOP.has(name) ? '' : name
})

function headersOf(environ: EnvironLike): HeaderField[] {
  const headers: HeaderField[] = []
  for (const key of Object.keys(environ)) {
    const name = headerName(key)
    if (name !== '') headers.push([name, fieldValue(environ, key)])
  }
  const type = fieldValue(environ, 'CONTENT_TYPE')
  const length = textOf(environ.CONTENT_LENGTH, 'CONTENT_LENGTH')
  if (type !== '') headers.push(['content-type', type])
  if (length !== '') {
    if (!DIGITS.test(length)) {
      throw badRequest('Cannot read CONTENT_LENGTH: wanted one number in decimal digits')
    }
    headers.push(['content-length', length])
  }
  return headers
}

function fieldValue(environ: EnvironLike, key: string): string {
  const value = textOf(environ[key], key)
  if (VALUE.test(value)) return value
  throw badRequest(`Cannot read ${key}: it holds a control character or one above U+00FF`)
}

function remoteOf(environ: EnvironLike): Peer | undefined {
  const addr = textOf(environ.REMOTE_ADDR, 'REMOTE_ADDR')
  const port = textOf(environ.REMOTE_PORT, 'REMOTE_PORT')
  if (addr === '') return undefined
  return /^[0-9]{1,5}$/.test(port) ? { addr, port: Number(port) } : { addr }
}

/** A body follows where its length is known, or where the input says that it ends. */
function hasBody(environ: EnvironLike): boolean {
  const length = textOf(environ.CONTENT_LENGTH, 'CONTENT_LENGTH')
  if (length !== '') return Number(length) > 0
  return environ['wsgi.input'] !== undefined && environ['wsgi.input_terminated'] === true
}

/** The body of the request that an environ stands for, which its `wsgi.input` yields. */
export function environBody(environ: EnvironLike, head: RequestHead): BodySource | undefined {
  const input = environ['wsgi.input']
  if (input === undefined || !head.hasBody) return undefined
  const length = textOf(environ.CONTENT_LENGTH, 'CONTENT_LENGTH')
  const source = readInput(input)
  return length === '' ? source : exactly(source, Number(length))
}

function readInput(input: Pick<WsgiInput, 'read'>): BodySource {
  return {
    async read() {
      if (input instanceof WsgiInput) return await WsgiInput.readChunk(input)
      const chunk = await input.read(CHUNK_BYTES)
      return chunk.length > 0 ? chunk : undefined
    },
    // The input is the gateway's, and has no close().
    cancel: async () => {},
  }
}

/**
 * The value of a variable as text; what is absent counts as empty. Callers look it up by its name: where
 * one function looks up whatever name it is told, V8 takes 130 instructions for each.
 */
function textOf(value: unknown, key: string): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value
  throw badRequest(`Cannot read ${key}: it is ${typeof value}, wanted a string`)
}
