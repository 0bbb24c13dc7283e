/**
 * The request and the response that the loops work on: what a browser sends, ten header fields.
 *
 * @module
 */
import type { Variable } from '../../../src/core/vars.ts'

export const TARGET = '/articles/2026/november?page=2&sort=date'
export const ORIGIN = 'http://www.example.com'

export const HEADERS: readonly (readonly [string, string])[] = [
  ['Host', 'www.example.com'],
  ['User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0'],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
  ['Accept-Language', 'en-GB,en;q=0.7,de;q=0.3'],
  ['Accept-Encoding', 'gzip, deflate, br, zstd'],
  ['Referer', 'http://www.example.com/articles/2026/november'],
  ['Cookie', 'sessionid=3v9x1l0c8k2m5n7p4q6r8s0t; csrftoken=a1b2c3d4e5f6g7h8i9j0'],
  ['Cache-Control', 'max-age=0'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['Upgrade-Insecure-Requests', '1'],
]

export const RESPONSE: Uint8Array = new TextEncoder().encode(
  [
    'HTTP/1.1 200 OK',
    'Content-Type: text/html; charset=utf-8',
    'X-Frame-Options: DENY',
    'Vary: Accept-Language, Cookie',
    'Content-Language: en-gb',
    'X-Content-Type-Options: nosniff',
    'Referrer-Policy: same-origin',
    'Set-Cookie: sessionid=3v9x1l0c8k2m5n7p4q6r8s0t; HttpOnly; Path=/; SameSite=Lax',
    'Cache-Control: private',
    'Content-Length: 13',
    '',
    'Hello, world\n',
  ].join('\r\n')
)

/** The variables of that request, for loops over a codec alone. */
export const VARS: readonly Variable[] = [
  ...HEADERS.map(([name, value]): Variable => [
    `HTTP_${name.toUpperCase().replaceAll('-', '_')}`,
    value,
  ]),
  ['QUERY_STRING', 'page=2&sort=date'],
  ['REQUEST_METHOD', 'GET'],
  ['REQUEST_URI', TARGET],
  ['SCRIPT_NAME', ''],
  ['PATH_INFO', '/articles/2026/november'],
  ['SERVER_PROTOCOL', 'HTTP/1.1'],
  ['REQUEST_SCHEME', 'http'],
  ['SERVER_NAME', 'www.example.com'],
  ['SERVER_PORT', '80'],
  ['REMOTE_ADDR', '192.0.2.7'],
  ['REMOTE_PORT', '54321'],
]
