/**
 * The requests that nginx and the bridge are compared by, as they go over the wire.
 *
 * @module
 */

/** One request. */
export interface WireRequest {
  readonly name: string
  /** One character an octet. */
  readonly bytes: string
  /** Sent behind the `100 Continue` that both must answer `bytes` with. */
  readonly afterContinue?: string
  /** What both answer, where no table of differences knows better. */
  readonly status: number
}

const HOST = 'Host: h.example'
const LARGE = Array.from({ length: 300_000 }, (_, i) => String.fromCharCode((i * 7) & 0xff)).join(
  ''
)

/** What both refuse, and how. */
const REFUSED: Readonly<Record<string, number>> = {
  'method in lower case': 400,
  'method no token': 400,
  TRACE: 405,
  'GET *': 400,
  'path with NUL': 400,
  'path with a space': 400,
  'path of no slash': 400,
  'path too long': 414,
  'Host empty': 400,
  'Host missing': 400,
  'Host twice': 400,
  'Host with slash': 400,
  'Authorization twice': 400,
  'name with space': 400,
  'header folded': 400,
  'value with NUL': 400,
  'length with a sign': 400,
  'length twice': 400,
  'length and chunks': 400,
  'unknown coding': 501,
  'chunks in HTTP/1.0': 400,
  'HTTP/2.0 as text': 505,
}

/** Every request; names are unique. */
export const REQUESTS: readonly WireRequest[] = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'M-SEARCH'].map(
    (method) => plain(`method ${method}`, `${method} / HTTP/1.1`, HOST)
  ),
  plain('method in lower case', 'get / HTTP/1.1', HOST),
  plain('method unknown', 'FOO / HTTP/1.1', HOST),
  plain('method no token', 'G{T / HTTP/1.1', HOST),
  plain('TRACE', 'TRACE / HTTP/1.1', HOST),
  plain('CONNECT', 'CONNECT h.example:443 HTTP/1.1', HOST),
  plain('OPTIONS *', 'OPTIONS * HTTP/1.1', HOST),
  plain('GET *', 'GET * HTTP/1.1', HOST),

  get('path plain', '/a/b.c/d~e-f_g/'),
  get('path of UTF-8', '/caf%C3%A9/%E3%81%82'),
  get('path of other octets', '/%FF%80'),
  get('path of raw UTF-8', '/caf\xc3\xa9'),
  get('path with percent', '/a%20b%3Fc%23d%25e%41'),
  get('path encoded twice', '/a%252Fb%253F'),
  get('path with encoded slash', '/a%2Fb%2fc'),
  get('path with plus', '/a+b'),
  get('path with double slash', '/a//b'),
  get('path that begins with double slash', '//evil.example/p'),
  get('path with dot segments', '/a/./b/../c'),
  get('path above the root', '/../x'),
  get('path with encoded dots', '/a/%2e%2E/b'),
  get('path that ends in dots', '/a/b/..'),
  get('path with dots behind an encoded slash', '/a/..%2fb'),
  get('path with params', '/a;p=1/b;q'),
  get('path with dots and params', '/a/..;/b'),
  get('path with CR LF', '/a%0d%0ab'),
  get('path with NUL', '/a%00b'),
  get('path with malformed percent', '/a%zz'),
  get('path that ends in percent', '/a%4'),
  get('path with delimiters', '/!$&\'()*,:=@|^[]`{}<>"'),
  get('path with backslash', '/a\\b'),
  get('path with fragment', '/a#b?c'),
  get('path with a space', '/a b'),
  get('path of no slash', 'a/b'),
  get('long path', `/${'a'.repeat(6000)}`),
  get('path too long', `/${'a'.repeat(9000)}`),

  get('query empty', '/a?'),
  get('query with question marks', '/?a?b?'),
  get('query with quotes', '/?a=\'b\'&c="d"&e=<f>'),
  get('query with plus and percent', '/?a=b+c%20d%2B%00%zz%'),
  get('query with raw UTF-8', '/?\xc3\xa9'),
  get('query with brackets', '/?a[]=1&b={2}|3^4`5'),
  get('query with slashes and dots', '/a?/../b//c'),

  plain('absolute-form', 'GET http://h.example/a?b HTTP/1.1', HOST),
  plain('absolute-form of another host', 'GET http://real.example:81/a HTTP/1.1', 'Host: other'),
  plain('absolute-form without path', 'GET http://h.example HTTP/1.1', HOST),
  plain('absolute-form with query alone', 'GET http://h.example?a HTTP/1.1', HOST),
  plain('absolute-form with user', 'GET http://u:p@h.example/ HTTP/1.1', HOST),
  plain('absolute-form of another scheme', 'GET ftp://h.example/ HTTP/1.1', HOST),

  plain('Host in upper case', 'GET / HTTP/1.1', 'Host: H.EXAMPLE'),
  plain('Host with port', 'GET / HTTP/1.1', 'Host: h.example:8080'),
  plain('Host with default port', 'GET / HTTP/1.1', 'Host: h.example:80'),
  plain('Host of IPv4', 'GET / HTTP/1.1', 'Host: 127.0.0.1:8080'),
  plain('Host of IPv6', 'GET / HTTP/1.1', 'Host: [::1]:8080'),
  plain('Host with a dot at the end', 'GET / HTTP/1.1', 'Host: h.example.'),
  plain('Host with underscore', 'GET / HTTP/1.1', 'Host: h_1.example'),
  plain('Host empty', 'GET / HTTP/1.1', 'Host:'),
  plain('Host missing', 'GET / HTTP/1.1'),
  plain('Host twice', 'GET / HTTP/1.1', HOST, HOST),
  plain('Host with user', 'GET / HTTP/1.1', 'Host: a@h'),
  plain('Host with slash', 'GET / HTTP/1.1', 'Host: h/x'),
  plain('Host with a comma', 'GET / HTTP/1.1', 'Host: a,b'),
  plain('Host with a port too high', 'GET / HTTP/1.1', 'Host: h:99999'),

  plain('header twice', 'GET / HTTP/1.1', HOST, 'X-Dup: a', 'x-dup: b', 'X-Dup: c'),
  plain('Cookie twice', 'GET / HTTP/1.1', HOST, 'Cookie: a=1; b=2', 'Cookie: c="3, 4"'),
  plain('Cookie once', 'GET / HTTP/1.1', HOST, 'Cookie: a=1; b=2, c=3'),
  plain('Accept twice', 'GET / HTTP/1.1', HOST, 'Accept: a/b', 'Accept: c/d;q=0.1'),
  plain('Authorization twice', 'GET / HTTP/1.1', HOST, 'Authorization: a', 'Authorization: b'),
  plain('name with underscore', 'GET / HTTP/1.1', HOST, 'X_Auth: a', 'X-Auth_User: b'),
  plain('name with dot', 'GET / HTTP/1.1', HOST, 'X.Dot: a', 'wsgi.input: b'),
  plain('name with other token characters', 'GET / HTTP/1.1', HOST, "X!#$%&'*+^`|~: a"),
  plain('name in odd case', 'GET / HTTP/1.1', HOST, 'x-OdD-cAsE1: a', '1: b', '-: c'),
  plain('name with space', 'GET / HTTP/1.1', HOST, 'X : a'),
  plain('header without colon', 'GET / HTTP/1.1', HOST, 'X'),
  plain('header folded', 'GET / HTTP/1.1', HOST, 'X: a', ' b'),
  plain('Proxy', 'GET / HTTP/1.1', HOST, 'Proxy: http://evil'),
  plain(
    'variables as names',
    'GET / HTTP/1.1',
    HOST,
    'Remote-User: a',
    'Https: on',
    'Script-Name: /x'
  ),
  plain('Connection: close', 'GET / HTTP/1.1', HOST, 'Connection: close'),
  plain(
    'Connection nominates',
    'GET / HTTP/1.1',
    HOST,
    'Connection: X-Hop, Cookie',
    'X-Hop: a',
    'Cookie: a=b'
  ),
  plain(
    'hop-by-hop',
    'GET / HTTP/1.1',
    HOST,
    'Keep-Alive: 5',
    'Proxy-Connection: close',
    'Trailer: X'
  ),
  plain('TE', 'GET / HTTP/1.1', HOST, 'Connection: TE', 'TE: trailers'),
  plain(
    'Upgrade',
    'GET / HTTP/1.1',
    HOST,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: a'
  ),
  plain('value of latin-1', 'GET / HTTP/1.1', HOST, 'X: caf\xe9\x80\xff'),
  plain('value of UTF-8', 'GET / HTTP/1.1', HOST, 'X: caf\xc3\xa9 \xe3\x81\x82'),
  plain('value between spaces', 'GET / HTTP/1.1', HOST, 'X:   a  b   '),
  plain('value between tabs', 'GET / HTTP/1.1', HOST, 'X:\t a\tb \t'),
  plain('value without space', 'GET / HTTP/1.1', HOST, 'X:a:b'),
  plain('value empty', 'GET / HTTP/1.1', HOST, 'X:', 'Y:   '),
  plain('value with a control', 'GET / HTTP/1.1', HOST, 'X: a\x01b'),
  plain('value with NUL', 'GET / HTTP/1.1', HOST, 'X: a\0b'),
  plain('many headers', 'GET / HTTP/1.1', HOST, ...lines(90, (i) => `X-${i}: ${i}`)),
  plain('too many headers', 'GET / HTTP/1.1', HOST, ...lines(100, (i) => `X-${i}: ${i}`)),
  plain('large header', 'GET / HTTP/1.1', HOST, `X: ${'a'.repeat(7000)}`),
  plain(
    'Authorization',
    'GET / HTTP/1.1',
    HOST,
    'Authorization: Basic dTpw',
    'Proxy-Authorization: x'
  ),
  plain(
    'Range and conditions',
    'GET / HTTP/1.1',
    HOST,
    'Range: bytes=0-1',
    'If-None-Match: "a", W/"b"',
    'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT'
  ),
  plain(
    'X-Forwarded-*',
    'GET / HTTP/1.1',
    HOST,
    'X-Forwarded-For: 1.2.3.4',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: evil',
    'X-Real-IP: 1.2.3.4',
    'Forwarded: for=1.2.3.4'
  ),

  body('body with length', 'POST / HTTP/1.1', ['Content-Length: 3'], 'abc'),
  body('body of length 0', 'POST / HTTP/1.1', ['Content-Length: 0'], ''),
  body('body without length', 'POST / HTTP/1.1', [], ''),
  body('length with leading zeros', 'POST / HTTP/1.1', ['Content-Length: 003'], 'abc'),
  body('length with a sign', 'POST / HTTP/1.1', ['Content-Length: +3'], 'abc'),
  body('length twice', 'POST / HTTP/1.1', ['Content-Length: 3', 'Content-Length: 3'], 'abc'),
  body(
    'length and chunks',
    'POST / HTTP/1.1',
    ['Content-Length: 3', 'Transfer-Encoding: chunked'],
    '0\r\n\r\n'
  ),
  body(
    'body in chunks',
    'POST / HTTP/1.1',
    ['Transfer-Encoding: chunked'],
    '3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'
  ),
  body(
    'body in chunks with trailer',
    'POST / HTTP/1.1',
    ['Transfer-Encoding: chunked', 'Trailer: X-T'],
    '3\r\nabc\r\n0\r\nX-T: a\r\n\r\n'
  ),
  body('body in no chunk', 'POST / HTTP/1.1', ['Transfer-Encoding: Chunked'], '0\r\n\r\n'),
  body('unknown coding', 'POST / HTTP/1.1', ['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
  body('chunks in HTTP/1.0', 'POST / HTTP/1.0', ['Transfer-Encoding: chunked'], '0\r\n\r\n'),
  body('GET with body', 'GET / HTTP/1.1', ['Content-Length: 3'], 'abc'),
  body(
    'GET with chunks',
    'GET / HTTP/1.1',
    ['Transfer-Encoding: chunked'],
    '3\r\nabc\r\n0\r\n\r\n'
  ),
  body('DELETE with body', 'DELETE / HTTP/1.1', ['Content-Length: 3'], 'abc'),
  body('large body', 'POST / HTTP/1.1', [`Content-Length: ${LARGE.length}`], LARGE),
  body(
    'large body in chunks',
    'POST / HTTP/1.1',
    ['Transfer-Encoding: chunked'],
    `${LARGE.length.toString(16)}\r\n${LARGE}\r\n0\r\n\r\n`
  ),
  body(
    'Content-Type verbatim',
    'POST / HTTP/1.1',
    ['Content-Type: Multipart/Form-Data;  BOUNDARY="a b"; x=\xe9', 'Content-Length: 3'],
    'abc'
  ),
  body('Content-Type without body', 'GET / HTTP/1.1', ['Content-Type: text/plain'], ''),
  body(
    'Content-Type twice',
    'POST / HTTP/1.1',
    ['Content-Type: a/b', 'Content-Type: c/d', 'Content-Length: 3'],
    'abc'
  ),
  body(
    'Content-Encoding',
    'POST / HTTP/1.1',
    ['Content-Encoding: gzip', 'Content-Length: 3'],
    'abc'
  ),
  {
    name: 'Expect: 100-continue',
    bytes: head('POST / HTTP/1.1', HOST, 'Expect: 100-continue', 'Content-Length: 3'),
    afterContinue: 'abc',
    status: 200,
  },
  body('Expect: x', 'POST / HTTP/1.1', ['Expect: x', 'Content-Length: 3'], 'abc'),
  body(
    'Expect in HTTP/1.0',
    'POST / HTTP/1.0',
    ['Expect: 100-continue', 'Content-Length: 3'],
    'abc'
  ),

  plain('HTTP/1.0', 'GET /a HTTP/1.0', HOST),
  plain('HTTP/1.0 without Host', 'GET /a HTTP/1.0'),
  plain('HTTP/1.0 kept alive', 'GET /a HTTP/1.0', HOST, 'Connection: keep-alive'),
  plain('HTTP/1.2', 'GET / HTTP/1.2', HOST),
  plain('HTTP/2.0 as text', 'GET / HTTP/2.0', HOST),
  plain('HTTP/9.9', 'GET / HTTP/9.9', HOST),
  request('lines behind bare LF', `GET / HTTP/1.1\n${HOST}\n\n`),
  request('empty lines before', `\r\n\r\n${head('GET / HTTP/1.1', HOST)}`),
]

function request(name: string, bytes: string): WireRequest {
  return { name, bytes, status: REFUSED[name] ?? 200 }
}

function head(...headLines: string[]): string {
  return `${headLines.join('\r\n')}\r\n\r\n`
}

function plain(name: string, ...headLines: string[]): WireRequest {
  return request(name, head(...headLines))
}

function get(name: string, target: string): WireRequest {
  return plain(name, `GET ${target} HTTP/1.1`, HOST)
}

function body(name: string, line: string, headers: string[], bytes: string): WireRequest {
  return request(name, head(line, HOST, ...headers) + bytes)
}

function lines(count: number, line: (index: number) => string): string[] {
  return Array.from({ length: count }, (_, index) => line(index))
}
