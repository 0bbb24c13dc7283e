import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type EnvironOptions, resolveEnvironOptions } from '../../src/core/environ-options.ts'
import type { HeaderField, RequestHead } from '../../src/core/request-head.ts'
import { cgiVars } from '../../src/core/vars.ts'
import { type HeadParts, rawHead, refusal, variables } from './support.ts'

/** Values the gateway gives, whatever the headers: only these two come from a header (INV-2). */
const FROM_HEADERS = /^(?:HTTP_[A-Z0-9_]+|CONTENT_TYPE|CONTENT_LENGTH)$/

const PROXY: HeadParts = { remote: { addr: '10.0.0.1', port: 5555 } }
const TRUSTED: EnvironOptions = { trustedProxies: ['10.0.0.1'], trustForwardedHost: true }

test('cgiVars() of the least request has these variables, and no other (STR-5, HDR-12)', () => {
  expect(cgiVars(rawHead(), resolveEnvironOptions())).toEqual({
    vars: [
      ['HTTP_HOST', 'h.example'],
      ['QUERY_STRING', ''],
      ['REQUEST_METHOD', 'GET'],
      ['REQUEST_URI', '/'],
      ['SCRIPT_NAME', ''],
      ['PATH_INFO', '/'],
      ['SERVER_PROTOCOL', 'HTTP/1.1'],
      ['REQUEST_SCHEME', 'http'],
      ['SERVER_NAME', 'h.example'],
      ['SERVER_PORT', '80'],
    ],
    scheme: 'http',
    framing: { type: 'none' },
  })
})

test('cgiVars() of a full request names each variable once, HTTP_* first (STR-6, SEC-06)', () => {
  const head = rawHead({
    url: 'https://h.example:8443/app/x?q',
    method: 'POST',
    httpVersion: '2',
    hasBody: true,
    remote: { addr: '::ffff:192.0.2.7', port: 5555 },
    tls: {
      protocol: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      serverName: 'h.example',
      clientVerify: 'SUCCESS',
      clientSubject: 'CN=bob',
      clientCert: '-----BEGIN CERTIFICATE-----\n',
    },
    headers: [
      ['Content-Type', 'text/plain'],
      ['X-A', ''],
      ['Content-Length', '03'],
    ],
  })
  const { vars, scheme, framing } = cgiVars(head, resolveEnvironOptions({ mount: '/app' }))
  expect(Object.fromEntries(vars)).toEqual({
    HTTP_HOST: 'h.example:8443',
    HTTP_X_A: '',
    QUERY_STRING: 'q',
    REQUEST_METHOD: 'POST',
    REQUEST_URI: '/app/x?q',
    SCRIPT_NAME: '/app',
    PATH_INFO: '/x',
    SERVER_PROTOCOL: 'HTTP/2.0',
    REQUEST_SCHEME: 'https',
    CONTENT_TYPE: 'text/plain',
    CONTENT_LENGTH: '3',
    SERVER_NAME: 'h.example',
    SERVER_PORT: '8443',
    HTTPS: 'on',
    REMOTE_ADDR: '192.0.2.7',
    REMOTE_PORT: '5555',
    SSL_PROTOCOL: 'TLSv1.3',
    SSL_CIPHER: 'TLS_AES_128_GCM_SHA256',
    SSL_TLS_SNI: 'h.example',
    SSL_CLIENT_VERIFY: 'SUCCESS',
    SSL_CLIENT_S_DN: 'CN=bob',
    SSL_CLIENT_CERT: '-----BEGIN CERTIFICATE-----\n',
  })
  const names = vars.map(([name]) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(names.findLastIndex((name) => name.startsWith('HTTP_'))).toBe(1)
  expect([scheme, framing]).toEqual(['https', { type: 'known', length: 3 }])
})

test.each([
  ['Remote-User', 'HTTP_REMOTE_USER', 'REMOTE_USER'],
  ['Remote-Addr', 'HTTP_REMOTE_ADDR', 'REMOTE_ADDR'],
  ['Auth-Type', 'HTTP_AUTH_TYPE', 'AUTH_TYPE'],
  ['Script-Name', 'HTTP_SCRIPT_NAME', undefined],
  ['Path-Info', 'HTTP_PATH_INFO', undefined],
  ['Https', 'HTTP_HTTPS', 'HTTPS'],
  ['Uwsgi-File', 'HTTP_UWSGI_FILE', 'UWSGI_FILE'],
  ['Document-Root', 'HTTP_DOCUMENT_ROOT', 'DOCUMENT_ROOT'],
  ['Http-Content-Length', 'HTTP_HTTP_CONTENT_LENGTH', 'HTTP_CONTENT_LENGTH'],
  ['Ssl-Client-Verify', 'HTTP_SSL_CLIENT_VERIFY', 'SSL_CLIENT_VERIFY'],
  ['Session', 'HTTP_SESSION', 'SESSION'],
  ['X-Middleware-Subrequest', 'HTTP_X_MIDDLEWARE_SUBREQUEST', undefined],
  ['CF-Connecting-IP', 'HTTP_CF_CONNECTING_IP', 'REMOTE_ADDR'],
])(
  'cgiVars() lets %s become %s and nothing else (INV-2, TRUST-6, MOUNT-4, SEC-05, SEC-06, SEC-19, SEC-37)',
  (name, variable, bare) => {
    const sent = variables({ headers: [[name, '/x:1.2.3.4']] })
    expect(sent).toEqual({ ...variables(), [variable]: '/x:1.2.3.4' })
    if (bare !== undefined) expect(sent).not.toHaveProperty(bare)
  }
)

test('cgiVars() lets the headers of a client reach these variables only (INV-2, SEC-05, TRUST-1)', () => {
  const known = fc.constantFrom('Remote-Addr', 'Script-Name', 'wsgi.url_scheme', 'X-Forwarded-For')
  const more = fc.constantFrom(
    'X-Forwarded-Proto',
    'Forwarded',
    'Content-Type',
    'HTTPS',
    'Content_Type'
  )
  const name = fc.oneof(known, more, fc.string(), fc.stringMatching(/^[a-zA-Z0-9_.-]{1,20}$/))
  const value = fc.oneof(fc.constantFrom('https', '1.2.3.4', 'on', '/x'), fc.string())
  const plain = Object.entries(variables(PROXY))
  let reached = 0
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), (headers) => {
      let vars: Record<string, string> = {}
      if (refusal(() => (vars = variables({ ...PROXY, headers }))) !== 'not refused') return
      const others = Object.entries(vars).filter(([key]) => !FROM_HEADERS.test(key))
      expect(others).toEqual(plain.filter(([key]) => !FROM_HEADERS.test(key)))
      if (Object.keys(vars).length > plain.length) reached++
    }),
    { numRuns: 500 }
  )
  expect(reached).toBeGreaterThan(50)
})

test('cgiVars() keeps names apart that a careless map would merge (HDR-1, SEC-02, SEC-03)', () => {
  const headers: HeaderField[] = [
    ['X-Auth-User', 'bob'],
    ['X-Auth_User', 'admin'],
    ['X_Auth-User', 'admin'],
    ['Content_Length', '5'],
    ['Transfer_Encoding', 'chunked'],
    ['wsgi.url_scheme', 'https'],
  ]
  expect(variables({ headers })).toEqual({ ...variables(), HTTP_X_AUTH_USER: 'bob' })
})

test('cgiVars() leaves out Proxy and what speaks of the connection (HDR-2, HDR-3, SEC-01, BODY-1)', () => {
  const names = [
    'Proxy',
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'TE',
    'Trailer',
    'Upgrade',
  ]
  const headers = names.map((name): HeaderField => [name, 'x'])
  headers.push(['Transfer-Encoding', 'chunked'], ['Proxy-Authorization', 'Basic eA=='])
  expect(variables({ headers })).toEqual({
    ...variables(),
    HTTP_PROXY_AUTHORIZATION: 'Basic eA==',
  })
})

test('cgiVars() says Upgrade and Connection anew for a WebSocket that can be tunnelled (HDR-3)', () => {
  const headers: HeaderField[] = [
    ['Connection', 'keep-alive, Upgrade, X-Hop, Cookie'],
    ['Upgrade', 'h2c, WebSocket'],
    ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
    ['Sec-WebSocket-Version', '13'],
    ['X-Hop', '1'],
    ['Cookie', 'a=1'],
  ]
  function varsOf(canTunnel: boolean, fields = headers): Record<string, string> {
    const head = { ...rawHead({ headers: fields }), canTunnel }
    return Object.fromEntries(cgiVars(head, resolveEnvironOptions()).vars)
  }
  const plain = {
    ...variables(),
    HTTP_SEC_WEBSOCKET_KEY: 'dGhlIHNhbXBsZSBub25jZQ==',
    HTTP_SEC_WEBSOCKET_VERSION: '13',
    HTTP_COOKIE: 'a=1',
  }
  expect(varsOf(true)).toEqual({ ...plain, HTTP_CONNECTION: 'Upgrade', HTTP_UPGRADE: 'websocket' })
  expect(varsOf(false)).toEqual(plain)
  const other = headers.map(([name, value]): HeaderField => [name, value.replace(/WebS.*/, 'x')])
  expect(varsOf(true, other)).toEqual(plain)
})

test('cgiVars() lets Connection remove nothing that the gateway adds (HDR-4, SEC-20)', () => {
  const nominated = 'https, remote-addr, server-name, request-scheme, script-name, http-host, host'
  const parts: HeadParts = { ...PROXY, url: 'https://h.example/' }
  const headers: HeaderField[] = [
    ['Connection', `close, X-Forwarded-For, Authorization, Cookie, X-A, ${nominated}`],
    ['X-Forwarded-For', '6.6.6.6'],
    ['Authorization', 'Basic eA=='],
    ['Cookie', 'a=1'],
    ['X-A', '1'],
  ]
  expect(variables({ ...parts, headers }, TRUSTED)).toEqual({
    ...Object.fromEntries(
      Object.entries(variables(parts)).filter(([key]) => key !== 'REMOTE_PORT')
    ),
    HTTP_X_FORWARDED_FOR: '6.6.6.6',
    HTTP_AUTHORIZATION: 'Basic eA==',
    HTTP_COOKIE: 'a=1',
    REMOTE_ADDR: '6.6.6.6',
  })
})

test('cgiVars() passes Authorization on (HDR-10)', () => {
  const headers: HeaderField[] = [['Authorization', 'Bearer x']]
  expect(variables({ headers })).toMatchObject({ HTTP_AUTHORIZATION: 'Bearer x' })
})

test('cgiVars() moves Content-Type and Content-Length out of HTTP_* (HDR-9, BODY-1)', () => {
  const headers: HeaderField[] = [
    ['Content-Type', 'text/plain; charset=x'],
    ['Content-Length', '3'],
  ]
  const vars = variables({ method: 'POST', hasBody: true, headers })
  expect(vars).toMatchObject({ CONTENT_TYPE: 'text/plain; charset=x', CONTENT_LENGTH: '3' })
  expect(vars).not.toHaveProperty('HTTP_CONTENT_TYPE')
  expect(vars).not.toHaveProperty('HTTP_CONTENT_LENGTH')
})

test('cgiVars() has an empty CONTENT_TYPE where the header is empty (HDR-7, STR-5)', () => {
  expect(variables({ headers: [['Content-Type', ' ']] })).toMatchObject({ CONTENT_TYPE: '' })
})

test.each(['100-continue', '100-Continue'])('cgiVars() passes Expect: %s on (HDR-13)', (value) => {
  expect(variables({ headers: [['Expect', value]] })).toMatchObject({ HTTP_EXPECT: value })
})

test.each(['x', '', '200-ok', '100-continue, x', '100-continue;x', '\xa0100-continue'])(
  'cgiVars() refuses Expect: %j (HDR-13, SEC-52)',
  (value) => {
    expect(refusal(() => variables({ headers: [['Expect', value]] }))).toBe(
      '417 ERR_EXPECTATION_FAILED'
    )
  }
)

test.each<[string, HeadParts]>([
  ['405 ERR_METHOD_NOT_ALLOWED', { method: 'CONNECT', rawTarget: 'h:443' }],
  ['405 ERR_METHOD_NOT_ALLOWED', { method: 'TRACE' }],
  ['400 ERR_BAD_REQUEST', { method: 'GET / HTTP/1.1\r\nX: y' }],
  ['400 ERR_BAD_REQUEST', { rawTarget: 'h:443' }],
  ['400 ERR_BAD_REQUEST', { rawTarget: 'foo/bar' }],
  ['400 ERR_BAD_REQUEST', { rawTarget: '' }],
  ['400 ERR_BAD_REQUEST', { rawTarget: '/a\r\nX: y' }],
  ['400 ERR_BAD_REQUEST', { rawTarget: '/\u560d\u560a' }],
  ['400 ERR_BAD_REQUEST', { rawTarget: '*', url: 'http://h.example/*' }],
  ['414 ERR_TARGET_TOO_LONG', { rawTarget: '/'.padEnd(8193, 'a') }],
  ['414 ERR_TARGET_TOO_LONG', { url: `http://h.example/${'a'.repeat(8192)}` }],
  ['505 ERR_HTTP_VERSION', { httpVersion: '1.2' }],
])('cgiVars() answers %s (TGT-3, TGT-4, TGT-5, SEC-51, SEC-65): %#', (refused, parts) => {
  expect(refusal(() => variables(parts))).toBe(refused)
})

test('cgiVars() counts a target without the authority, raw or not (TGT-5)', () => {
  const path = '/'.padEnd(8192, 'a')
  const url = `http://h.example${path}`
  expect(variables({ url })).toMatchObject({ REQUEST_URI: path })
  expect(variables({ url, rawTarget: path })).toMatchObject({ REQUEST_URI: path })
})

test.each([
  ['http', 'http://h.example/', '80', undefined],
  ['https', 'https://h.example/', '443', 'on'],
  ['http', 'http://h.example:443/', '443', undefined],
])('cgiVars() has scheme %s for %s, port %s', (scheme, url, port, https) => {
  const vars = variables({ url })
  expect(vars).toMatchObject({ REQUEST_SCHEME: scheme, SERVER_PORT: port })
  expect(vars['HTTPS']).toBe(https)
})

test.each<[string, HeadParts, string | undefined]>([
  ['verbatim', { url: 'http://h.example:8080/', host: 'H.Example:8080' }, 'H.Example:8080'],
  ['the URL', { url: 'http://real.example:81/', host: 'evil.example' }, 'real.example:81'],
  ['absent', { host: null, httpVersion: '1.0' }, undefined],
  ['the URL', { host: null, httpVersion: '2.0' }, 'h.example'],
])('cgiVars() writes HTTP_HOST: %s (HOST-2, HOST-3): %#', (_, parts, value) => {
  expect(variables(parts)['HTTP_HOST']).toBe(value)
})

test.each(['evil.com/', 'a@h', 'a,b', 'a, b', 'h:99999', 'h"<x>', '', ' '])(
  'cgiVars() refuses Host %j (HOST-1, HOST-4, HOST-5, SEC-12)',
  (host) => {
    for (const raw of [true, false]) {
      expect(refusal(() => variables({ host, raw }))).toBe('400 ERR_BAD_REQUEST')
    }
  }
)

// Where a runtime makes the URL out of Host, nobody else has looked at it.
test.each<HeadParts>([{ host: null, httpVersion: '2.0' }, { host: null }, { host: 'h.example' }])(
  'cgiVars() refuses a URL whose host no Host may be (HOST-1, HOST-3, SEC-12): %#',
  (parts) => {
    for (const url of ['http://a,b/', 'http://h"x/', 'http://h`{}/']) {
      expect(refusal(() => variables({ ...parts, url }))).toBe('400 ERR_BAD_REQUEST')
    }
  }
)

test('cgiVars() lets no header choose SERVER_NAME and SERVER_PORT (HOST-2, SEC-13)', () => {
  const server = { SERVER_NAME: 'real.example', SERVER_PORT: '81' }
  const url = 'http://real.example:81/'
  expect(variables({ url, host: 'evil.example:9' })).toMatchObject(server)
  expect(variables({ url }, { serverName: 'srv', serverPort: 9 })).toMatchObject({
    HTTP_HOST: 'real.example:81',
    SERVER_NAME: 'srv',
    SERVER_PORT: '9',
  })
  expect(variables({ url: 'http://[::1]/' })).toMatchObject({ SERVER_NAME: '[::1]' })
})

test.each(['http://real.example:81/p?q', 'HTTP://u:p@REAL.example:81/p?q'])(
  'cgiVars() lets the authority of %s win over Host (TGT-1, SEC-13)',
  (rawTarget) => {
    const url = 'http://real.example:81/p?q'
    expect(variables({ url, rawTarget, host: 'evil.example' })).toMatchObject({
      HTTP_HOST: 'real.example:81',
      PATH_INFO: '/p',
      QUERY_STRING: 'q',
      REQUEST_URI: '/p?q',
    })
  }
)

test.each<[string, HeadParts]>([
  ['//evil.com/p', { url: 'http://evil.com/p', host: 'h.example' }],
  ['//evil.com/p', { url: 'http://evil.com/p', host: 'h.example:81' }],
  ['http://real.example/', { url: 'http://h.example/' }],
  ['http://real.example/', { url: 'http://h.example/', raw: false }],
  ['http://', { url: 'http://h.example/' }],
  ['http://a,b/', { url: 'http://a,b/', host: 'h' }],
])('cgiVars() refuses %s for a URL that names another host (PATH-11, SEC-14): %#', (...row) => {
  const [rawTarget, parts] = row
  expect(refusal(() => variables({ ...parts, rawTarget }))).toBe('400 ERR_BAD_REQUEST')
})

test('cgiVars() keeps host and slashes of //evil.com/p (PATH-10, PATH-11, SEC-14)', () => {
  const rawTarget = '//evil.com/p'
  expect(variables({ url: `http://h.example${rawTarget}`, rawTarget })).toMatchObject({
    HTTP_HOST: 'h.example',
    PATH_INFO: '//evil.com/p',
    REQUEST_URI: '//evil.com/p',
  })
})

test.each(['ftp://h.example/x', 'data:text/plain,x', 'foo:bar', 'blob:http://h.example/x'])(
  'cgiVars() refuses the URL %s, which is neither http nor https (STR-5, SEC-17)',
  (url) => {
    expect(refusal(() => variables({ url, host: null }))).toBe('400 ERR_BAD_REQUEST')
  }
)

test.each([
  ['/a/../b?x', 'http://h.example/b?x', '/b', '/a/../b?x', 'x'],
  ['/a', 'http://h.example/b', '/b', '/a', ''],
  ['/a?q=\'"<>', 'http://h.example/a?q=%27', '/a', '/a?q=\'"<>', 'q=\'"<>'],
  ['/a?b?c#d?e', 'http://h.example/a?b', '/a', '/a?b?c', 'b?c'],
  ['/a?', 'http://h.example/a', '/a', '/a?', ''],
  ['/a?q=\xe9', 'http://h.example/a?q=%E9', '/a', '/a?q=\xe9', 'q=%E9'],
  ["/\xe9?q='", 'http://h.example/%E9?q=%27', '/\xe9', "/\xe9?q='", "q='"],
  ['/a?+%00%zz;&', 'http://h.example/a', '/a', '/a?+%00%zz;&', '+%00%zz;&'],
])('cgiVars() takes query and URI of %j, the path of %s (PATH-1, PATH-2, PATH-12)', (...row) => {
  const [rawTarget, url, path, uri, query] = row
  expect(variables({ rawTarget, url })).toMatchObject({
    PATH_INFO: path,
    REQUEST_URI: uri,
    QUERY_STRING: query,
  })
})

test.each([
  ['http://h.example/a', '/a', ''],
  ['http://h.example/a?', '/a?', ''],
  ['http://h.example/a?#f', '/a?', ''],
  ['http://h.example/a#?f', '/a', ''],
  ['http://h.example', '/', ''],
  ['http://h.example?q', '/?q', 'q'],
  ['http://h.example/a?b?c=é+%2B%00', '/a?b?c=%C3%A9+%2B%00', 'b?c=%C3%A9+%2B%00'],
  ['http://u:p@h.example/a?@/', '/a?@/', '@/'],
])(
  'cgiVars() cuts the URI out of %s without a raw target (PATH-12, PATH-13)',
  (url, uri, query) => {
    expect(variables({ url })).toMatchObject({ REQUEST_URI: uri, QUERY_STRING: query })
  }
)

test('cgiVars() answers or passes OPTIONS *, whatever the mount (TGT-2)', () => {
  const parts: HeadParts = { method: 'OPTIONS', rawTarget: '*', url: 'http://h.example/*' }
  expect(refusal(() => variables(parts))).toBe('204 ERR_ASTERISK_FORM')
  expect(variables(parts, { asteriskForm: 'pass', mount: '/app' })).toMatchObject({
    SCRIPT_NAME: '',
    PATH_INFO: '*',
    QUERY_STRING: '',
    REQUEST_URI: '*',
  })
  expect(variables({ url: 'http://h.example/*', rawTarget: '/*' })).toMatchObject({
    PATH_INFO: '/*',
  })
})

test.each([
  ['/app', '/app', ''],
  ['/app/x', '/app', '/x'],
  ['/app%2Fx', '/app', '/x'],
  ['/%61pp/x', '/app', '/x'],
  ['/%E3%81%82pp/x', '/あpp', '/x'],
  ['/あpp/', '/あpp/', '/'],
  ['/app/x%0a', '/app', '/x\n'],
])(
  'cgiVars() mounts %s at %s by the decoded path (MOUNT-1, MOUNT-3, SEC-32, SEC-33, SEC-34)',
  (...row) => {
    const [path, mount, pathInfo] = row
    const vars = variables({ url: `http://h.example${path}` }, { mount })
    expect(vars['PATH_INFO']).toBe(pathInfo)
    const text = decodeURIComponent(escapeAll(vars['SCRIPT_NAME'] ?? ''))
    expect(text).toBe(mount.replace(/\/$/, ''))
  }
)

test.each([
  ['/apple', '404 ERR_MOUNT_MISMATCH'],
  ['/', '404 ERR_MOUNT_MISMATCH'],
  ['/app%0a', '404 ERR_MOUNT_MISMATCH'],
  ['/app%00', '400 ERR_BAD_REQUEST'],
  ['/app/..%2f', '400 ERR_BAD_REQUEST'],
  ['/app/%2e%2e%2fx', '400 ERR_BAD_REQUEST'],
  ['/app/../x', '404 ERR_MOUNT_MISMATCH'],
  ['/App/x', '404 ERR_MOUNT_MISMATCH'],
])(
  'cgiVars() refuses %s under /app: %s (MOUNT-1, MOUNT-2, SEC-30, SEC-31, SEC-33)',
  (path, refused) => {
    const parts = { url: `http://h.example${path}` }
    expect(refusal(() => variables(parts, { mount: '/app' }))).toBe(refused)
  }
)

test.each([{}, TRUSTED])(
  'cgiVars() never takes the mount from a header (MOUNT-4): %#',
  (options) => {
    const headers: HeaderField[] = [
      ['Script-Name', '/x'],
      ['X-Script-Name', '/x'],
      ['X-Forwarded-Prefix', '/x'],
    ]
    expect(variables({ ...PROXY, url: 'http://h.example/x/y', headers }, options)).toMatchObject({
      SCRIPT_NAME: '',
      PATH_INFO: '/x/y',
    })
  }
)

test('cgiVars() keeps the resource: SCRIPT_NAME + PATH_INFO, encoded anew, is it (INV-1, MOUNT-5)', () => {
  const octet = fc.nat(255).map((unit) => `%${unit.toString(16).padStart(2, '0')}`)
  const sign = fc.constantFrom(
    '/',
    '//',
    '%2f',
    ';',
    '+',
    '%',
    '%4',
    '.',
    'あ',
    'a',
    '~',
    "'",
    '\\'
  )
  const path = fc.array(fc.oneof(octet, sign)).map((parts) => parts.join(''))
  let kept = 0
  fc.assert(
    fc.property(path, fc.constantFrom('', '/app', '/あ', '/a b'), (rest, mount) => {
      const url = `http://h.example${mount}/${rest}`
      let vars: Record<string, string> = {}
      const allowNul = { mount, allowNul: true }
      if (refusal(() => (vars = variables({ url }, allowNul))) !== 'not refused') return
      kept++
      const resource = `${vars['SCRIPT_NAME']}${vars['PATH_INFO']}`
      expect(resource).toBe(octetsOf(new URL(url).pathname))
      const again = variables({ url: `http://h.example${escapeAll(resource)}` }, allowNul)
      expect(again).toMatchObject({
        SCRIPT_NAME: vars['SCRIPT_NAME'],
        PATH_INFO: vars['PATH_INFO'],
      })
    }),
    { numRuns: 500 }
  )
  expect(kept).toBeGreaterThan(250)
})

test.each<[HeaderField[], object]>([
  [[['X-Forwarded-Proto', 'https']], { SERVER_PORT: '443', HTTPS: 'on', REQUEST_SCHEME: 'https' }],
  [
    [['X-Forwarded-Host', 'Pub.example']],
    { HTTP_HOST: 'Pub.example', SERVER_NAME: 'pub.example', SERVER_PORT: '80' },
  ],
  [
    [
      ['X-Forwarded-Host', '[::1]:8443'],
      ['X-Forwarded-Proto', 'https'],
    ],
    { HTTP_HOST: '[::1]:8443', SERVER_NAME: '[::1]', SERVER_PORT: '8443' },
  ],
  [
    [
      ['X-Forwarded-Host', 'pub.example'],
      ['X-Forwarded-Port', '8443'],
    ],
    { HTTP_HOST: 'pub.example', SERVER_NAME: 'pub.example', SERVER_PORT: '8443' },
  ],
  [[['X-Forwarded-Port', '8443']], { SERVER_NAME: 'h.example', SERVER_PORT: '8443' }],
])(
  'cgiVars() takes the public host and scheme from a trusted proxy (TRUST-3, TRUST-4): %#',
  (...row) => {
    const [headers, expected] = row
    expect(variables({ ...PROXY, headers }, TRUSTED)).toMatchObject(expected)
    expect(variables({ ...PROXY, headers })).toEqual(variables(PROXY))
  }
)

test('cgiVars() writes REMOTE_PORT beside the address it belongs to only (TRUST-2, STR-5)', () => {
  const headers: HeaderField[] = [['X-Forwarded-For', '6.6.6.6']]
  expect(variables(PROXY)).toMatchObject({ REMOTE_ADDR: '10.0.0.1', REMOTE_PORT: '5555' })
  const behind = variables({ ...PROXY, headers }, TRUSTED)
  expect([behind['REMOTE_ADDR'], behind['REMOTE_PORT']]).toEqual(['6.6.6.6', undefined])
  const unix = variables({ remote: { addr: 'unix:', port: 1 } })
  expect([unix['REMOTE_ADDR'], unix['REMOTE_PORT']]).toEqual([undefined, undefined])
})

test('cgiVars() makes octets of a TLS member, or refuses it (STR-1, SEC-11)', () => {
  let vars: Record<string, string> = {}
  const refused = refusal(() => (vars = variables({ tls: { clientSubject: 'CN=\u560d\u560a' } })))
  expect(vars['SSL_CLIENT_S_DN'] ?? '').toMatch(/^[\0-\xff]*$/)
  expect(refused).toBeOneOf(['not refused', '400 ERR_BAD_REQUEST'])
})

test.each<[string, Partial<RequestHead>, HeaderField[]]>([
  ['no body', {}, []],
  ['a dropped body', {}, [['Content-Length', '3']]],
  ['a chunked body', { hasBody: true }, [['Transfer-Encoding', 'chunked']]],
])('cgiVars() promises no CONTENT_LENGTH for %s (BODY-1, BODY-2, BODY-5)', (_, parts, headers) => {
  const { vars } = cgiVars({ ...rawHead({ headers }), ...parts }, resolveEnvironOptions())
  expect(vars.map(([name]) => name)).not.toContain('CONTENT_LENGTH')
  expect(vars.map(([name]) => name)).not.toContain('HTTP_TRANSFER_ENCODING')
})

/** Each octet of a native string as `%HH`, `/` as it is. */
function escapeAll(native: string): string {
  return native.replace(/[^/]/gs, (unit) => `%${unit.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** The octets of a path, decoded by a loop of its own. */
function octetsOf(pathname: string): string {
  let decoded = ''
  for (let i = 0; i < pathname.length; i++) {
    const hex = pathname.slice(i + 1, i + 3)
    if (pathname[i] === '%' && /^[0-9a-f]{2}$/i.test(hex)) {
      decoded += String.fromCharCode(Number(`0x${hex}`))
      i += 2
    } else decoded += pathname[i]
  }
  return decoded
}
