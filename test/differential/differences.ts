/**
 * Where the bridge differs from nginx on purpose: by variable, and by status.
 *
 * @module
 */

/** The environ of one side. */
export type Seen = Readonly<Record<string, unknown>>

/** One kind of difference of one variable. */
export interface Difference {
  readonly key: string
  /** The rule that asks for ours. */
  readonly rule: string
  readonly reason: string
  /** First version of nginx that does as we do. */
  readonly until?: string
  /** Whether two values differ in this way and in no other; `undefined` is absence. */
  is(nginx: unknown, ours: unknown, environ: Seen): boolean
}

/** A request that one of the two refuses, or that they refuse in two ways. */
export interface Refusal {
  /** Name of the request. */
  readonly request: string
  readonly nginx: number
  readonly ours: number
  readonly rule: string
  readonly reason: string
}

/** Every difference between the environs. */
export const DIFFERENCES: readonly Difference[] = [
  {
    key: 'SCRIPT_NAME',
    rule: 'UW-14',
    reason: 'required by PEP 3333, and empty at the root',
    is: (nginx, ours) => nginx === undefined && ours === '',
  },
  {
    key: 'UWSGI_SCHEME',
    rule: 'UW-6',
    reason: 'the last word on the scheme is ours, whatever X-Forwarded-Proto says',
    is: (nginx, ours) => nginx === undefined && ours === 'http',
  },
  {
    key: 'wsgi.url_scheme',
    rule: 'UW-6',
    reason: 'uWSGI takes it from X-Forwarded-Proto, which nginx passes on from anybody',
    is: (nginx, ours) => nginx === 'https' && ours === 'http',
  },
  {
    key: 'DOCUMENT_ROOT',
    rule: 'SEC-37',
    reason: 'there are no documents, and uWSGI looks for files in it',
    is: (nginx, ours) => typeof nginx === 'string' && ours === undefined,
  },
  {
    key: 'SERVER_NAME',
    rule: '1.2 SERVER_NAME',
    reason: 'the host that was asked for, as nginx has none configured for us',
    is: (nginx, ours, environ) => nginx === 'localhost' && ours === hostOf(environ).hostname,
  },
  {
    key: 'SERVER_PORT',
    rule: '1.2 SERVER_PORT',
    reason: 'the port of the URL, so that the application links to what the client reached',
    is: (_nginx, ours, environ) => ours === (hostOf(environ).port || '80'),
  },
  {
    key: 'SERVER_PORT',
    rule: '1.2 SERVER_PORT',
    reason: 'without a Host, the port that listens; each side has its own',
    is: (_nginx, ours, environ) => environ['HTTP_HOST'] === undefined && /^[0-9]+$/.test(`${ours}`),
  },
  {
    key: 'CONTENT_TYPE',
    rule: '1.2 CONTENT_TYPE',
    reason: 'absent where the request has none',
    is: (nginx, ours) => nginx === '' && ours === undefined,
  },
  {
    key: 'CONTENT_LENGTH',
    rule: 'BODY-5',
    reason: 'absent where the request has none',
    is: (nginx, ours) => nginx === '' && ours === undefined,
  },
  {
    key: 'CONTENT_LENGTH',
    rule: 'BODY-3',
    reason: 'written without leading zeros',
    is: (nginx, ours) => /^0+/.test(`${nginx}`) && Number(nginx) === Number(ours),
  },
  {
    key: 'PATH_INFO',
    rule: 'PATH-10',
    reason: 'slashes are data; nginx merges them',
    is: (nginx, ours) => nginx === `${ours}`.replace(/\/{2,}/g, '/'),
  },
  {
    key: 'PATH_INFO',
    rule: 'PATH-1',
    reason: 'the URL standard reads a backslash as a slash, on every runtime',
    is: (nginx, ours) => `${nginx}`.replaceAll('\\', '/') === ours,
  },
  {
    key: 'REQUEST_URI',
    rule: '1.2 REQUEST_URI',
    reason: 'no fragment, as it names nothing on a server',
    is: (nginx, ours) => `${nginx}`.split('#', 1)[0] === ours,
  },
  {
    key: 'REQUEST_URI',
    rule: '1.2 REQUEST_URI',
    reason: 'origin-form: the path is never empty',
    is: (nginx, ours) => `${nginx}`.startsWith('?') && ours === `/${nginx}`,
  },
  {
    key: 'HTTP_HOST',
    rule: 'TGT-1',
    reason: 'the authority of an absolute target wins over the header',
    until: '1.29.5',
    is: (nginx, ours) => nginx === 'other' && ours === 'real.example:81',
  },
  joined('HTTP_X_DUP', ', '),
  joined('HTTP_ACCEPT', ', '),
  joined('HTTP_COOKIE', '; '),
  {
    key: 'HTTP_X',
    rule: 'HDR-7',
    reason: 'tabs around a value are no part of it (RFC 9110 §5.5); nginx trims spaces only',
    is: (nginx, ours) => `${nginx}`.replace(/^[ \t]+|[ \t]+$/g, '') === ours,
  },
  onlyNginx('HTTP_CONTENT_TYPE', '1.2 HTTP_CONTENT_*', 'wsgiref.validate forbids it'),
  onlyNginx('HTTP_CONTENT_LENGTH', '1.2 HTTP_CONTENT_*', 'wsgiref.validate forbids it'),
  onlyNginx('HTTP_PROXY', 'HDR-2', 'libraries take it for a setting (httpoxy)'),
  onlyNginx('HTTP_TRANSFER_ENCODING', 'BODY-1', 'the body is decoded: nobody may do it again'),
  ...['CONNECTION', 'KEEP_ALIVE', 'PROXY_CONNECTION', 'TE', 'TRAILER', 'UPGRADE'].map((name) =>
    onlyNginx(`HTTP_${name}`, 'HDR-3', 'it speaks of the connection to us')
  ),
  onlyNginx('HTTP_X_HOP', 'HDR-4', 'Connection nominates it'),
  ...['X_FORWARDED_FOR', 'X_FORWARDED_PROTO', 'X_FORWARDED_HOST', 'X_REAL_IP', 'FORWARDED'].map(
    (name) => onlyNginx(`HTTP_${name}`, 'TRUST-1', 'no proxy is trusted to say so')
  ),
]

/** Every difference between the statuses. */
export const REFUSALS: readonly Refusal[] = [
  refusal('method unknown', 200, 400, 'SEC-51', "Node's parser takes the methods it knows"),
  refusal('CONNECT', 400, 405, 'TGT-3', 'the target is right, the method is not for us'),
  refusal('OPTIONS *', 400, 204, 'TGT-2', 'it addresses the gateway, which answers'),
  refusal('path of raw UTF-8', 200, 400, 'TGT-4', 'a URI is ASCII (RFC 3986 §2)'),
  refusal('query with raw UTF-8', 200, 400, 'TGT-4', 'a URI is ASCII (RFC 3986 §2)'),
  refusal('path above the root', 400, 200, 'PATH-1', 'the URL standard ends the climb at the root'),
  refusal('path with dots behind an encoded slash', 200, 400, 'PATH-8', 'nginx resolves them'),
  refusal('path with malformed percent', 400, 200, 'PATH-3', 'it stays as it is'),
  refusal('path that ends in percent', 400, 200, 'PATH-3', 'it stays as it is'),
  refusal('absolute-form with user', 400, 200, 'TGT-1', 'the user is left out of HTTP_HOST'),
  refusal('absolute-form of another scheme', 200, 400, 'TGT-4', 'no gateway from HTTP to FTP'),
  refusal('Host with user', 200, 400, 'HOST-1', 'an application would build links from it'),
  refusal('Host with a comma', 200, 400, 'HOST-1', 'an application would build links from it'),
  refusal('Host with a port too high', 200, 400, 'HOST-1', 'no such port'),
  refusal('header without colon', 200, 400, 'SEC-46', 'nginx skips the line'),
  refusal('value with a control', 200, 400, 'HDR-6', 'RFC 9110 §5.5'),
  refusal('too many headers', 200, 431, 'HDR-11', 'uWSGI drops a packet of more than 128 vars'),
  refusal('Content-Type twice', 200, 400, 'HDR-9', 'nobody can tell which one counts'),
  refusal('Expect: x', 200, 417, 'HDR-13', 'nginx passes it on unmet'),
  refusal('HTTP/1.2', 200, 400, 'SEC-51', 'there is no such version'),
  refusal('HTTP/9.9', 505, 400, 'SEC-51', "Node's parser answers before we can"),
  refusal(
    'lines behind bare LF',
    200,
    400,
    'SEC-45',
    'RFC 9112 §2.2 lets a server take it; smugglers do'
  ),
]

function onlyNginx(key: string, rule: string, reason: string): Difference {
  return { key, rule, reason, is: (nginx, ours) => nginx !== undefined && ours === undefined }
}

/** nginx sent a line each, of which uWSGI kept the last. */
function joined(key: string, separator: string): Difference {
  return {
    key,
    rule: 'HDR-8',
    reason: 'lines of one name are one value',
    until: '1.23.0',
    is: (nginx, ours) => `${ours}`.endsWith(`${separator}${nginx}`),
  }
}

function refusal(
  request: string,
  nginx: number,
  ours: number,
  rule: string,
  reason: string
): Refusal {
  return { request, nginx, ours, rule, reason }
}

/** What the Host says; without one, the address that listens. */
function hostOf(environ: Seen): URL {
  return new URL(`http://${(environ['HTTP_HOST'] as string | undefined) ?? '127.0.0.1'}`)
}
