import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesSource } from '../../src/core/body-source.ts'
import { type Environ, toEnviron } from '../../src/core/environ.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { uwsgiEnv } from '../../src/core/fetch-application.ts'
import {
  environBody,
  environHead,
  type EnvironLike,
  fromEnviron,
  toRequest,
} from '../../src/core/from-environ.ts'
import { WsgiInput } from '../../src/core/input.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { refuseUnhandledRejections } from './application-support.ts'
import { chunkStream, fetchRequest, octets, rawHead, refusal, refusalOf } from './support.ts'

refuseUnhandledRejections()

const REFUSED = '400 ERR_BAD_REQUEST'

/** A front's variables, with changes; `undefined` takes one away. */
function varsOf(changes: Record<string, unknown> = {}): EnvironLike {
  const vars: Record<string, unknown> = {
    REQUEST_METHOD: 'GET',
    SCRIPT_NAME: '',
    PATH_INFO: '/',
    QUERY_STRING: '',
    SERVER_NAME: 's.example',
    SERVER_PORT: '80',
    SERVER_PROTOCOL: 'HTTP/1.1',
    HTTP_HOST: 'h.example',
    ...changes,
  }
  for (const key of Object.keys(changes)) if (changes[key] === undefined) delete vars[key]
  return vars
}

/** The URL that variables stand for, or how they are refused. */
function urlOf(changes: Record<string, unknown>): string {
  let url = ''
  const refused = refusal(() => {
    url = fromEnviron(varsOf(changes)).url
  })
  return url || refused
}

/** The header fields, without Host. */
function headersOf(changes: Record<string, unknown>): Record<string, string> {
  const { host: _, ...headers } = Object.fromEntries(fromEnviron(varsOf(changes)).headers)
  return headers
}

function inputOf(...chunks: readonly string[]): WsgiInput {
  return new WsgiInput(bytesSource(octets(chunks.join(''))))
}

describe('fromEnviron() reconstructs the URL (REV-1)', () => {
  test.each<[string, string, string, string]>([
    ['', '/', '', 'http://h.example/'],
    ['', '', '', 'http://h.example/'],
    ['/app', '', '', 'http://h.example/app'],
    ['/app', '/', '', 'http://h.example/app/'],
    ['/app', '/x/y', 'a=b&c', 'http://h.example/app/x/y?a=b&c'],
    ['', '', 'q', 'http://h.example/?q'],
    ['', '/a', '?b?', 'http://h.example/a??b?'],
    ['', '//evil.com/p', '', 'http://h.example//evil.com/p'],
    ['', '/a//b///', '', 'http://h.example/a//b///'],
  ])('%j + %j ? %j', (SCRIPT_NAME, PATH_INFO, QUERY_STRING, url) => {
    expect(urlOf({ SCRIPT_NAME, PATH_INFO, QUERY_STRING })).toBe(url)
  })

  test('from nothing but a method', () => {
    expect(fromEnviron({ REQUEST_METHOD: 'GET' }).url).toBe('http://localhost/')
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['HTTP_HOST first', {}, 'http://h.example/'],
    ['a port', { HTTP_HOST: 'h.example:8080' }, 'http://h.example:8080/'],
    ['its default port', { HTTP_HOST: 'h.example:80' }, 'http://h.example/'],
    ['its canonical form', { HTTP_HOST: 'H.Example' }, 'http://h.example/'],
    ['IPv6', { HTTP_HOST: '[::1]:8' }, 'http://[::1]:8/'],
    ['no HTTP_HOST', { HTTP_HOST: undefined }, 'http://s.example/'],
    ['an empty HTTP_HOST', { HTTP_HOST: '' }, 'http://s.example/'],
    ['SERVER_PORT', { HTTP_HOST: '', SERVER_PORT: '81' }, 'http://s.example:81/'],
    ['no SERVER_PORT', { HTTP_HOST: '', SERVER_PORT: '' }, 'http://s.example/'],
    ['SERVER_PORT only without HTTP_HOST', { SERVER_PORT: '81' }, 'http://h.example/'],
    ['the port of https', { HTTP_HOST: '', SERVER_PORT: '443', HTTPS: 'on' }, 'https://s.example/'],
    ['an empty SERVER_NAME, as of nginx', { HTTP_HOST: '', SERVER_NAME: '' }, 'http://localhost/'],
    ['SERVER_NAME of IPv6', { HTTP_HOST: '', SERVER_NAME: '[::1]' }, 'http://[::1]/'],
  ])('with the authority of %s', (_, changes, url) => {
    expect(urlOf(changes)).toBe(url)
  })

  test.each(['a@b', 'a/b', 'a,b', 'h:99999', 'h:abc', 'h b', 'h"<x>', 'h?q', 'h#f', '::1', 'h\n'])(
    'and refuses the host %j (SEC-12)',
    (HTTP_HOST) => {
      expect(urlOf({ HTTP_HOST })).toBe(REFUSED)
    }
  )

  test.each(['a@b', 'a/b', 'a,b', '::1', '~^www\\d+$', '"', 'h\n', '\u0100'])(
    'and takes no SERVER_NAME for a host that is none, as a pattern of nginx: %j',
    (SERVER_NAME) => {
      expect(urlOf({ HTTP_HOST: undefined, SERVER_NAME })).toBe('http://localhost/')
    }
  )

  test.each(['abc', '99999', '80/x', '80@e', '-1', '\n'])(
    'and refuses SERVER_PORT %j where it is needed',
    (SERVER_PORT) => {
      expect(urlOf({ HTTP_HOST: undefined, SERVER_PORT })).toBe(REFUSED)
      expect(urlOf({ SERVER_PORT })).toBe('http://h.example/')
    }
  )

  test.each<[Record<string, unknown>, string]>([
    [{}, 'http'],
    [{ 'wsgi.url_scheme': 'https' }, 'https'],
    [{ 'wsgi.url_scheme': 'http', HTTPS: 'on' }, 'http'],
    [{ HTTPS: 'on' }, 'https'],
    [{ HTTPS: 'ON' }, 'https'],
    [{ HTTPS: '1' }, 'https'],
    [{ HTTPS: 'off' }, 'http'],
    [{ HTTPS: '' }, 'http'],
    [{ HTTPS: 'one' }, 'http'],
    [{ REQUEST_SCHEME: 'https' }, 'https'],
    [{ REQUEST_SCHEME: 'http', HTTPS: 'on' }, 'https'],
    [{ HTTP_HTTPS: 'on', HTTP_X_FORWARDED_PROTO: 'https' }, 'http'],
  ])('with the scheme of %j', (changes, scheme) => {
    expect(urlOf(changes)).toBe(`${scheme}://h.example/`)
  })

  test.each<[Record<string, unknown>]>([
    [{ 'wsgi.url_scheme': 'ftp' }],
    [{ 'wsgi.url_scheme': 'HTTPS' }],
    [{ 'wsgi.url_scheme': 'javascript' }],
    [{ REQUEST_SCHEME: 'ws' }],
    [{ 'wsgi.url_scheme': 1 }],
  ])('and refuses the scheme of %j', (changes) => {
    expect(urlOf(changes)).toBe(REFUSED)
  })
})

describe('fromEnviron() quotes the path over its octets (REV-2)', () => {
  test.each([
    ["/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"],
    ['/a b', '/a%20b'],
    ['/%', '/%25'],
    ['/%2F', '/%252F'],
    ['/a%zz', '/a%25zz'],
    ['/a?b', '/a%3Fb'],
    ['/a#b', '/a%23b'],
    ['/a;b=c', '/a;b=c'],
    ['/a\\b', '/a%5Cb'],
    ['/"<>[]^`{|}', '/%22%3C%3E%5B%5D%5E%60%7B%7C%7D'],
    ['/\xe3\x81\x82', '/%E3%81%82'],
    ['/\xff', '/%FF'],
    ['/\x80\x85', '/%80%85'],
    ['/a\r\nSet-Cookie:x', '/a%0D%0ASet-Cookie:x'],
    ['/\t\x1f\x7f', '/%09%1F%7F'],
    ['/a\0b', '/a%00b'],
    ['/%2e%2e/a', '/%252e%252e/a'],
    ['/...', '/...'],
    ['/.a/b./..c', '/.a/b./..c'],
  ])('%j as %s', (PATH_INFO, path) => {
    expect(urlOf({ PATH_INFO })).toBe(`http://h.example${path}`)
    expect(urlOf({ PATH_INFO: '', SCRIPT_NAME: PATH_INFO })).toBe(`http://h.example${path}`)
  })

  test.each([
    '/..',
    '/.',
    '/a/../b',
    '/a/./b',
    '/a/..',
    '/a/.',
    '/../../etc/passwd',
    '/./',
    '//..',
    'x',
    'evil.example/',
    '.evil.example/',
    ':80/',
    ':80@evil.example/',
    '@evil.example/',
    '?q',
    '#f',
    '*',
    ' /',
    '\\evil.example/',
  ])('and refuses what no URL addresses: %j', (PATH_INFO) => {
    expect(urlOf({ PATH_INFO })).toBe(REFUSED)
  })

  test.each(['/\u0100', '/あ', '/\ud800'])('and refuses what is no octet: %j (STR-1)', (path) => {
    expect(urlOf({ PATH_INFO: path })).toBe(REFUSED)
    expect(urlOf({ SCRIPT_NAME: path, PATH_INFO: '' })).toBe(REFUSED)
    expect(urlOf({ PATH_INFO: path, REQUEST_URI: path })).toBe(REFUSED)
  })
})

describe('fromEnviron() prefers REQUEST_URI where it says the same (REV-1)', () => {
  const rows: readonly (readonly [string, Record<string, string>, string, string | undefined])[] = [
    [
      'its spelling of the path',
      { REQUEST_URI: '/%61%2Fb', PATH_INFO: '/a/b' },
      '/%61%2Fb',
      '/%61%2Fb',
    ],
    [
      'its spelling of the octets',
      { REQUEST_URI: '/%e3%81%82', PATH_INFO: '/\xe3\x81\x82' },
      '/%e3%81%82',
      '/%e3%81%82',
    ],
    [
      'path data that would mean something else unquoted',
      { REQUEST_URI: '/a%3Fb%23c%25d', PATH_INFO: '/a?b#c%d' },
      '/a%3Fb%23c%25d',
      '/a%3Fb%23c%25d',
    ],
    [
      'with a mount',
      { REQUEST_URI: '/%61pp/x?q', SCRIPT_NAME: '/app', PATH_INFO: '/x', QUERY_STRING: 'q' },
      '/%61pp/x?q',
      '/%61pp/x?q',
    ],
    ['a mark without a query', { REQUEST_URI: '/a?', PATH_INFO: '/a' }, '/a?', '/a?'],
    ['of an empty path', { REQUEST_URI: '/', PATH_INFO: '' }, '/', '/'],
    [
      'malformed escapes, which stand for themselves',
      { REQUEST_URI: '/a%zz', PATH_INFO: '/a%zz' },
      '/a%zz',
      '/a%zz',
    ],
    [
      'not a path that the front has resolved',
      { REQUEST_URI: '/x/../a', PATH_INFO: '/a' },
      '/a',
      '/x/../a',
    ],
    [
      'not a path that the front has rewritten',
      { REQUEST_URI: '/old', PATH_INFO: '/new' },
      '/new',
      '/old',
    ],
    [
      'not a query that the front has rewritten',
      { REQUEST_URI: '/a?x=1', PATH_INFO: '/a', QUERY_STRING: 'y=2' },
      '/a?y=2',
      undefined,
    ],
    [
      'not both, rewritten by nginx',
      { REQUEST_URI: '/old?x=1', PATH_INFO: '/new', QUERY_STRING: 'y=2&x=1' },
      '/new?y=2&x=1',
      undefined,
    ],
    [
      'its path beside another query',
      { REQUEST_URI: '/%61?x', PATH_INFO: '/a', QUERY_STRING: 'y' },
      '/%61?y',
      undefined,
    ],
    [
      'no query that the variables have not',
      { REQUEST_URI: '/a?x', PATH_INFO: '/a' },
      '/a',
      undefined,
    ],
    [
      'no fragment',
      { REQUEST_URI: '/a?x#f', PATH_INFO: '/a', QUERY_STRING: 'x' },
      '/a?x',
      undefined,
    ],
    [
      'not its absolute-form',
      { REQUEST_URI: 'http://evil.example/%61', PATH_INFO: '/a' },
      '/a',
      undefined,
    ],
    ['not an asterisk', { REQUEST_URI: '*', PATH_INFO: '/a' }, '/a', undefined],
    ['nothing', { REQUEST_URI: '', PATH_INFO: '/a' }, '/a', undefined],
    [
      'leading slashes',
      { REQUEST_URI: '//evil.com/p', PATH_INFO: '//evil.com/p' },
      '//evil.com/p',
      '//evil.com/p',
    ],
    [
      'a backslash, which a URL parser would turn',
      { REQUEST_URI: '/a\\b', PATH_INFO: '/a\\b' },
      '/a%5Cb',
      '/a\\b',
    ],
    [
      'octets that the front has let through',
      { REQUEST_URI: '/\xe3\x81\x82', PATH_INFO: '/\xe3\x81\x82' },
      '/%E3%81%82',
      '/\xe3\x81\x82',
    ],
  ]
  test.each(rows)('%s', (_, changes, path, rawTarget) => {
    expect(urlOf(changes)).toBe(`http://h.example${path}`)
    expect(environHead(varsOf(changes)).rawTarget).toBe(rawTarget)
  })

  test.each<[Record<string, string>]>([
    [{ REQUEST_URI: '/a/../b', PATH_INFO: '/a/../b' }],
    [{ REQUEST_URI: '/a/%2e%2e/b', PATH_INFO: '/a/../b' }],
    [{ REQUEST_URI: '/%2e', PATH_INFO: '/.' }],
  ])('but no dot segments of either: %j (REV-2)', (changes) => {
    expect(urlOf(changes)).toBe(REFUSED)
  })
})

describe('fromEnviron() keeps QUERY_STRING (REV-1)', () => {
  test.each([
    ['a=b&c=%20+d', 'a=b&c=%20+d'],
    ['%zz%00', '%zz%00'],
    ['a?b/c:@', 'a?b/c:@'],
    ['\xe3\x81\x82', '%E3%81%82'],
    ['a\xffb', 'a%FFb'],
    ['a#b', 'a%23b'],
  ])('%j as %s', (QUERY_STRING, query) => {
    const REQUEST_URI = `/?${QUERY_STRING}`
    expect(urlOf({ QUERY_STRING })).toBe(`http://h.example/?${query}`)
    expect(urlOf({ QUERY_STRING, REQUEST_URI })).toBe(`http://h.example/?${query}`)
  })

  test.each(['a\nb', 'a\r\nb', 'a\tb', '\0', 'a\x7f', '\u0100'])(
    'and refuses what a URL parser would lose or change: %j',
    (QUERY_STRING) => {
      expect(urlOf({ QUERY_STRING })).toBe(REFUSED)
      expect(urlOf({ QUERY_STRING, REQUEST_URI: `/?${QUERY_STRING}` })).toBe(REFUSED)
    }
  )
})

describe('environHead() finds the mount (REV-1)', () => {
  const rows: readonly (readonly [string, Record<string, string>, string, string])[] = [
    ['none', { PATH_INFO: '/app' }, '', '/app'],
    ['SCRIPT_NAME', { SCRIPT_NAME: '/app', PATH_INFO: '/x' }, '/app', '/app/x'],
    ['hit exactly', { SCRIPT_NAME: '/app', PATH_INFO: '' }, '/app', '/app'],
    ['of octets', { SCRIPT_NAME: '/\xe3\x81\x82', PATH_INFO: '/' }, '/\xe3\x81\x82', '/%E3%81%82/'],
    ['with the slash of Apache', { SCRIPT_NAME: '/app/', PATH_INFO: '/' }, '/app', '/app/'],
    ['with the slash of Apache and more', { SCRIPT_NAME: '/a/', PATH_INFO: '/x' }, '/a', '/a/x'],
    ['that is a slash', { SCRIPT_NAME: '/', PATH_INFO: '/x' }, '', '/x'],
    [
      'that nginx repeats in PATH_INFO',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '/app/x?q', QUERY_STRING: 'q' },
      '/app',
      '/app/x?q',
    ],
    [
      'that nginx repeats, hit exactly',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app', REQUEST_URI: '/app' },
      '/app',
      '/app',
    ],
    [
      'that nginx repeats, escapes resolved',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/a b', REQUEST_URI: '/app/a%20b' },
      '/app',
      '/app/a%20b',
    ],
    [
      'that nginx repeats, dot segments resolved',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '/y/../app/./x' },
      '/app',
      '/app/x',
    ],
    [
      'that nginx repeats, slashes merged',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '//app///x' },
      '/app',
      '/app/x',
    ],
    [
      'that the path has once more by itself',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '/app/app/x' },
      '/app',
      '/app/app/x',
    ],
    [
      'that nobody can tell to be repeated',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/x' },
      '/app',
      '/app/app/x',
    ],
    [
      'that only begins like the path',
      { SCRIPT_NAME: '/app', PATH_INFO: '/apple', REQUEST_URI: '/apple' },
      '/app',
      '/app/apple',
    ],
    [
      'that an absolute-form does not show to be repeated',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: 'http://h.example/app/x' },
      '/app',
      '/app/app/x',
    ],
  ]
  test.each(rows)('%s', (_, changes, mount, path) => {
    const head = environHead(varsOf(changes))
    expect(head.mount).toBe(mount)
    expect(head.url.href).toBe(`http://h.example${path}`)
  })
})

describe('fromEnviron() maps header variables (REV-3)', () => {
  test('back to names, with - for every _', () => {
    expect(
      headersOf({ HTTP_ACCEPT: '*/*', HTTP_X_A__B: '1', HTTP_X_: '2', HTTP_COOKIE: 'a=1; b=2' })
    ).toEqual({ accept: '*/*', 'x-a--b': '1', 'x-': '2', cookie: 'a=1; b=2' })
  })

  test('CONTENT_TYPE and CONTENT_LENGTH too', () => {
    expect(headersOf({ CONTENT_TYPE: 'text/plain', CONTENT_LENGTH: '0' })).toEqual({
      'content-type': 'text/plain',
      'content-length': '0',
    })
    expect(headersOf({ CONTENT_TYPE: '', CONTENT_LENGTH: '' })).toEqual({})
  })

  test.each([
    'HTTP_CONTENT_TYPE',
    'HTTP_CONTENT_LENGTH',
    'HTTP_PROXY',
    'HTTP_EXPECT',
    'HTTP_CONNECTION',
    'HTTP_KEEP_ALIVE',
    'HTTP_PROXY_CONNECTION',
    'HTTP_TE',
    'HTTP_TRAILER',
    'HTTP_TRANSFER_ENCODING',
    'HTTP_UPGRADE',
  ])('but not %s (SEC-01, HDR-2, HDR-3)', (key) => {
    expect(headersOf({ [key]: '5' })).toEqual({})
  })

  test.each([
    'HTTP_',
    'HTTP',
    'http_x_a',
    'HTTP_x',
    'HTTP_X-A',
    'HTTP_X.A',
    'XHTTP_A',
    'HTTP_X_A\n',
    'HTTP_É',
    'X_A',
    'REMOTE_USER',
    'HTTPS',
    'UWSGI_FILE',
    'edge.key',
  ])('nor what is no header variable: %j', (key) => {
    expect(headersOf({ [key]: 'on' })).toEqual({})
  })

  test('a native value as it is, and an empty one', () => {
    expect(headersOf({ HTTP_X_A: 'caf\xc3\xa9\xff', HTTP_X_B: '', HTTP_X_C: 'a\tb' })).toEqual({
      'x-a': 'caf\xc3\xa9\xff',
      'x-b': '',
      'x-c': 'a\tb',
    })
  })

  test.each(['a\r\nX: y', 'a\n', '\r', '\0', '\x01', '\x1b', '\x7f', '\u0100', '\u560d\u560a'])(
    'and refuses the value %j (SEC-08, SEC-11)',
    (value) => {
      for (const key of ['HTTP_X_A', 'HTTP_COOKIE', 'CONTENT_TYPE', 'HTTP_HOST']) {
        expect(refusal(() => fromEnviron(varsOf({ [key]: value })))).toBe(REFUSED)
      }
    }
  )

  test.each([5, null, true, ['a'], {}, octets('a')])(
    'and refuses a variable that is no string: %o (STR-6)',
    (value) => {
      for (const key of ['HTTP_X_A', 'CONTENT_TYPE', 'CONTENT_LENGTH', 'PATH_INFO', 'HTTP_HOST']) {
        expect(refusal(() => fromEnviron(varsOf({ [key]: value })))).toBe(REFUSED)
      }
    }
  )

  test.each([
    'abc',
    '-1',
    '+3',
    '3.0',
    ' 3',
    '3 ',
    '3, 3',
    '0x3',
    '1e3',
    '٣',
    '3\n',
    '1234567890123456',
  ])('and refuses CONTENT_LENGTH %j (BODY-3)', (CONTENT_LENGTH) => {
    expect(refusal(() => fromEnviron(varsOf({ CONTENT_LENGTH })))).toBe(REFUSED)
  })
})

/** What a request with this input reads as its body. */
async function bodyOf(changes: Record<string, unknown>): Promise<string> {
  const request = fromEnviron(varsOf({ REQUEST_METHOD: 'POST', ...changes }))
  return request.body === null ? 'none' : octetsToNative(await request.bytes())
}

describe('fromEnviron() attaches the body (REV-4)', () => {
  test('as long as CONTENT_LENGTH says', async () => {
    const input = inputOf('abcdef')
    expect(await bodyOf({ CONTENT_LENGTH: '3', 'wsgi.input': input })).toBe('abc')
    // And no byte more is given away.
    expect(await bodyOf({ CONTENT_LENGTH: '003', 'wsgi.input': inputOf('abcdef') })).toBe('abc')
  })

  test('and fails where the input is shorter (BODY-6)', async () => {
    const request = fromEnviron(
      varsOf({ REQUEST_METHOD: 'POST', CONTENT_LENGTH: '9', 'wsgi.input': inputOf('abc') })
    )
    expect(await refusalOf(request.bytes())).toBe('400 ERR_BODY_TOO_SHORT')
  })

  test('to its end where the input says that it ends', async () => {
    const input = inputOf('a'.repeat(200_000))
    const body = await bodyOf({ 'wsgi.input': input, 'wsgi.input_terminated': true })
    expect(body).toHaveLength(200_000)
  })

  test('that comes from an input of any kind with read()', async () => {
    const chunks = [octets('ab'), octets('c'), octets('')]
    const sizes: unknown[] = []
    const input = {
      read(size: unknown) {
        sizes.push(size)
        return chunks.shift()
      },
    }
    expect(await bodyOf({ 'wsgi.input': input, 'wsgi.input_terminated': true })).toBe('abc')
    expect(new Set(sizes)).toEqual(new Set([65_536]))
  })

  test.each<[string, Record<string, unknown>]>([
    ['a length of zero', { CONTENT_LENGTH: '0' }],
    ['an empty length', { CONTENT_LENGTH: '' }],
    ['no length', {}],
    ['an input that does not say that it ends', { 'wsgi.input_terminated': 'true' }],
  ])('or none: %s', async (_, changes) => {
    const input = inputOf('abc')
    expect(await bodyOf({ 'wsgi.input': input, ...changes })).toBe('none')
    expect(octetsToNative(await input.read())).toBe('abc')
  })

  test('or none where there is no input', async () => {
    expect(await bodyOf({ CONTENT_LENGTH: '3' })).toBe('none')
  })

  test.each(['GET', 'HEAD', 'get', 'head'])('and never to %s, its length kept', (method) => {
    const request = fromEnviron(
      varsOf({ REQUEST_METHOD: method, CONTENT_LENGTH: '3', 'wsgi.input': inputOf('abc') })
    )
    expect(request.body).toBeNull()
    expect(request.headers.get('content-length')).toBe('3')
  })

  test.each(['DELETE', 'OPTIONS', 'PATCH', 'M-SEARCH', 'patch', 'put'])(
    'to %s as to POST',
    async (REQUEST_METHOD) => {
      const changes = { REQUEST_METHOD, CONTENT_LENGTH: '3', 'wsgi.input': inputOf('abc') }
      expect(await bodyOf(changes)).toBe('abc')
    }
  )
})

test.each<[unknown, string]>([
  ['CONNECT', '405 ERR_METHOD_NOT_ALLOWED'],
  ['TRACE', '405 ERR_METHOD_NOT_ALLOWED'],
  ['TRACK', '405 ERR_METHOD_NOT_ALLOWED'],
  ['trace', '405 ERR_METHOD_NOT_ALLOWED'],
  ['', REFUSED],
  [undefined, REFUSED],
  ['G T', REFUSED],
  ['GET / HTTP/1.1\r\nX: y', REFUSED],
  ['É', REFUSED],
  [5, REFUSED],
])('fromEnviron() refuses the method %j (REV-4)', (REQUEST_METHOD, refused) => {
  expect(refusal(() => fromEnviron(varsOf({ REQUEST_METHOD })))).toBe(refused)
})

test.each([
  ['GET', 'GET'],
  ['OPTIONS', 'OPTIONS'],
  ['patch', 'patch'],
  ['M-SEARCH', 'M-SEARCH'],
])('fromEnviron() keeps the method %s (REV-4)', (REQUEST_METHOD, method) => {
  expect(fromEnviron(varsOf({ REQUEST_METHOD })).method).toBe(method)
})

test('fromEnviron() gives the Request a signal', () => {
  const gone = new AbortController()
  const request = fromEnviron(varsOf(), gone.signal)
  expect(request.signal.aborted).toBe(false)
  gone.abort()
  expect(request.signal.aborted).toBe(true)
  expect(fromEnviron(varsOf()).signal.aborted).toBe(false)
})

test('toRequest() keeps header lines apart that have one name', () => {
  const head = rawHead({
    headers: [
      ['X-A', '1'],
      ['X-A', '2'],
    ],
  })
  expect(toRequest(head, undefined).headers.get('x-a')).toBe('1, 2')
})

test('environHead() says what a front knows of a request', () => {
  const vars = varsOf({
    REQUEST_METHOD: 'POST',
    SERVER_PROTOCOL: 'HTTP/2.0',
    REMOTE_ADDR: '192.0.2.7',
    REMOTE_PORT: '5555',
    CONTENT_LENGTH: '3',
  })
  expect(environHead(vars)).toMatchObject({
    method: 'POST',
    raw: false,
    httpVersion: '2.0',
    remote: { addr: '192.0.2.7', port: 5555 },
    mount: '',
    hasBody: true,
  })
})

test.each<[Record<string, unknown>, unknown]>([
  [{}, undefined],
  [{ REMOTE_PORT: '5' }, undefined],
  [{ REMOTE_ADDR: '' }, undefined],
  [{ REMOTE_ADDR: '::1' }, { addr: '::1' }],
  [{ REMOTE_ADDR: '::1', REMOTE_PORT: '' }, { addr: '::1' }],
  [{ REMOTE_ADDR: '::1', REMOTE_PORT: '123456' }, { addr: '::1' }],
  [{ REMOTE_ADDR: '::1', REMOTE_PORT: '5x' }, { addr: '::1' }],
  [
    { REMOTE_ADDR: 'unix:', REMOTE_PORT: '0' },
    { addr: 'unix:', port: 0 },
  ],
])('environHead() knows the peer of %j', (changes, remote) => {
  expect(environHead(varsOf(changes)).remote).toEqual(remote)
})

test.each([
  ['HTTP/1.0', '1.0'],
  ['HTTP/3.0', '3.0'],
  ['HTTP/9.9', '9.9'],
  ['', '1.1'],
  ['INCLUDED', '1.1'],
  ['HTTP/1.0\nX', '1.1'],
])('environHead() reads SERVER_PROTOCOL %j', (SERVER_PROTOCOL, httpVersion) => {
  expect(environHead(varsOf({ SERVER_PROTOCOL })).httpVersion).toBe(httpVersion)
})

test.each<[Record<string, unknown>, boolean]>([
  [{}, false],
  [{ CONTENT_LENGTH: '' }, false],
  [{ CONTENT_LENGTH: '0' }, false],
  [{ CONTENT_LENGTH: '00' }, false],
  [{ CONTENT_LENGTH: '1' }, true],
  [{ 'wsgi.input': inputOf('a') }, false],
  [{ 'wsgi.input': inputOf('a'), 'wsgi.input_terminated': true }, true],
  [{ 'wsgi.input': inputOf('a'), 'wsgi.input_terminated': true, CONTENT_LENGTH: '0' }, false],
  [{ 'wsgi.input_terminated': true }, false],
])('environHead() knows whether a body follows: %#', (changes, follows) => {
  expect(environHead(varsOf(changes)).hasBody).toBe(follows)
})

test('environBody() reads nothing until it is asked, and leaves the input open', async () => {
  let reads = 0
  const input = {
    read() {
      reads++
      return octets('a')
    },
  }
  const vars = varsOf({ REQUEST_METHOD: 'POST', CONTENT_LENGTH: '5', 'wsgi.input': input })
  const body = environBody(vars, environHead(vars))
  expect(reads).toBe(0)
  expect(octetsToNative((await body?.read()) ?? octets(''))).toBe('a')
  await body?.cancel(undefined)
  expect(reads).toBe(1)
})

test('fromEnviron() of an environ is the request that it was made of', async () => {
  const request = fetchRequest({
    url: 'https://h.example:8443/a%2Fb/%E3%81%82?q=%zz&r',
    method: 'PUT',
    headers: [
      ['host', 'h.example:8443'],
      ['x-a', '1, 2'],
      ['cookie', 'a=1; b=2'],
      ['content-type', 'text/plain'],
      ['content-length', '3'],
    ],
    body: chunkStream(['a', 'bc']),
  })
  const again = fromEnviron(await toEnviron(request))
  expect([again.method, again.url]).toEqual([request.method, request.url])
  expect([...again.headers]).toEqual([...request.headers])
  expect(octetsToNative(await again.bytes())).toBe('abc')
})

/** Keys of an environ that REV-2 and REV-3 keep, and what must be known of the request besides. */
const KEPT_BY_URL_AND_HEADERS = [
  'REQUEST_METHOD',
  'SCRIPT_NAME',
  'PATH_INFO',
  'QUERY_STRING',
  'CONTENT_TYPE',
  'CONTENT_LENGTH',
  'HTTP_HOST',
  'HTTPS',
  'REQUEST_SCHEME',
  'SERVER_NAME',
  'SERVER_PORT',
  'wsgi.url_scheme',
] as const
const KEPT_BY_META = ['REQUEST_URI', 'SERVER_PROTOCOL', 'REMOTE_ADDR', 'REMOTE_PORT'] as const
/** Besides, every `HTTP_*` but these, of which an environ of ours may hold the one. */
const NOT_KEPT = new Set(['HTTP_EXPECT'])

/** What says the same as its absence: nginx's empty type, and the length of a body that is empty. */
function isNothing(key: string, text: unknown): boolean {
  return (key === 'CONTENT_TYPE' && text === '') || (key === 'CONTENT_LENGTH' && text === '0')
}

/** The part of an environ that has to come back. */
function kept(environ: Environ, keys: readonly string[]): Record<string, unknown> {
  const found = Object.entries(environ).filter(
    ([key, text]) =>
      !isNothing(key, text) &&
      (keys.includes(key) || (key.startsWith('HTTP_') && !NOT_KEPT.has(key)))
  )
  return Object.fromEntries(found)
}

const MOUNTS = ['', '/app', '/a/b', '/\xe3\x81\x82', '/a b', '/%41', '/a?b']
const segment = fc.oneof(
  fc.constantFrom('a', 'app', '%2F', '%2f', '%25', '%3F', '%23', '%0a', '%E3%81%82', '%ff', '%zz'),
  fc.constantFrom(';p=1', '+', '%20', "'", '[', '|', '%5C', '*', ':', '@', '...', '%252e', '~'),
  fc.stringMatching(/^[A-Za-z0-9._-]{1,8}$/)
)
const path = fc
  .array(
    fc.array(segment, { maxLength: 3 }).map((parts) => parts.join('')),
    { maxLength: 4 }
  )
  .map((segments) => segments.map((text) => `/${text}`).join(''))
const query = fc.oneof(
  fc.constantFrom('', '?', '?a=b', '??', "?a='b'", '?%zz', '?%00', '?a/b?c', '?[|]^`{}', '?+%2B'),
  fc.stringMatching(/^\?[A-Za-z0-9=&%+;.]{0,12}$/)
)
const value = fc.oneof(
  fc.constantFrom('', 'a, b', 'caf\xc3\xa9', '\xff', 'a\tb', '"q"', 'a=1; b=2', 'text/plain'),
  fc.stringMatching(/^[!-~\x80-\xff]{1,12}$/)
)
const name = fc.oneof(
  fc.constantFrom('accept', 'cookie', 'x-a', 'x-a-b', 'referer', 'authorization', 'content-type'),
  fc.constantFrom('proxy', 'expect', 'te', 'connection', 'x-forwarded-for', 'content-encoding'),
  fc.stringMatching(/^x-[a-z0-9-]{1,8}$/)
)
const anyRequest = fc.record({
  scheme: fc.constantFrom('http', 'https'),
  host: fc.constantFrom('h.example', 'h.example:8080', '127.0.0.1:81', '[::1]', '[::1]:8', 'xn--x'),
  mount: fc.constantFrom(...MOUNTS),
  path,
  query,
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'M-SEARCH'),
  headers: fc.dictionary(name, value, { maxKeys: 6 }),
  body: fc.option(fc.string({ unit: 'binary-ascii', maxLength: 20 }), { nil: undefined }),
  httpVersion: fc.constantFrom('1.0', '1.1', '2.0', '3.0'),
  remote: fc.option(
    fc.record({ addr: fc.constantFrom('192.0.2.7', '2001:db8::1'), port: fc.nat(65_535) }),
    { nil: undefined }
  ),
  rawTarget: fc.boolean(),
})

type AnyRequest = typeof anyRequest extends fc.Arbitrary<infer T> ? T : never

/** The environ that a server of ours makes of it, and the body that it carries. */
async function environOf(parts: AnyRequest): Promise<{ environ: Environ; body: string }> {
  const { scheme, host, mount, method, headers, httpVersion, remote } = parts
  const quoted = mount.replace(/[^/a-z]/g, (unit) => `%${unit.charCodeAt(0).toString(16)}`)
  const target = `${quoted}${parts.path || '/'}${parts.query}`
  const hasBody = parts.body !== undefined && method !== 'GET' && method !== 'HEAD'
  const request = fetchRequest({
    url: `${scheme}://${host}${target}`,
    method,
    headers: [['host', host], ...Object.entries(headers)],
    ...(hasBody ? { body: chunkStream([parts.body ?? '']) } : {}),
  })
  const rawTarget = parts.rawTarget ? target : undefined
  const environ = await toEnviron(request, { rawTarget, httpVersion, remote, mount })
  return { environ, body: hasBody ? (parts.body ?? '') : '' }
}

test('toEnviron() of fromEnviron() keeps every key of REV-2 and REV-3, and the body', async () => {
  const outcomes = { same: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(anyRequest, async (parts) => {
      const { environ, body } = await environOf(parts).catch((error: unknown) => {
        // What no environ may stand for is no case of this.
        if (!(error instanceof GatewayError)) throw error
        outcomes.refused++
        return { environ: undefined, body: '' }
      })
      if (environ === undefined) return
      const head = environHead(environ)
      // All of what a front knows, as a handler gets it.
      const whole = await toEnviron(fromEnviron(environ), uwsgiEnv(environ, head).requestMeta)
      const keys = [...KEPT_BY_URL_AND_HEADERS, ...KEPT_BY_META]
      expect(kept(whole, keys)).toEqual(kept(environ, keys))
      expect(octetsToNative(await whole['wsgi.input'].read())).toBe(body)
      outcomes.same++
    }),
    { numRuns: 500 }
  )
  expect(outcomes.same).toBeGreaterThan(300)
})

test('toEnviron() of fromEnviron() needs no more than the mount for REV-2 and REV-3', async () => {
  let same = 0
  await fc.assert(
    fc.asyncProperty(anyRequest, async (parts) => {
      const { environ } = await environOf(parts).catch((error: unknown) => {
        if (!(error instanceof GatewayError)) throw error
        return { environ: undefined }
      })
      if (environ === undefined) return
      const again = await toEnviron(fromEnviron(environ), { mount: environ.SCRIPT_NAME })
      const before = kept(environ, KEPT_BY_URL_AND_HEADERS)
      // What a URL parser writes its own way is the same query; its spelling is a matter of the meta.
      delete before['QUERY_STRING']
      // HTTP/1.0 may have no Host; the URL has one.
      expect(kept(again, KEPT_BY_URL_AND_HEADERS)).toMatchObject(before)
      same++
    }),
    { numRuns: 300 }
  )
  expect(same).toBeGreaterThan(150)
})

const anyText = fc.oneof(
  fc.constantFrom('', '/', '/app', '/app/x', '/a/../b', '//', '*', '?', '%', 'x', ':80', '@e'),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.string({ maxLength: 6 }).map((text) => `/${text}`)
)
const anyVars = fc.record(
  {
    REQUEST_METHOD: fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom('GET', 'POST', 'get', 'put', 'patch', 'HEAD') },
      anyText
    ),
    SCRIPT_NAME: anyText,
    PATH_INFO: anyText,
    QUERY_STRING: anyText,
    REQUEST_URI: anyText,
    HTTP_HOST: fc.oneof(fc.constantFrom('h.example', '[::1]:8', 'H:80'), anyText),
    SERVER_NAME: anyText,
    SERVER_PORT: fc.oneof(fc.constantFrom('80', '443', '99999'), anyText),
    HTTPS: fc.constantFrom('on', 'off'),
    HTTP_X_A: anyText,
    CONTENT_LENGTH: fc.oneof(fc.constantFrom('', '0', '3', '-1'), anyText),
    CONTENT_TYPE: anyText,
    'wsgi.input': fc.constant(0).map(() => inputOf('abcdef')),
    'wsgi.input_terminated': fc.boolean(),
  },
  { requiredKeys: ['REQUEST_METHOD'] }
)

test('fromEnviron() of any variables is a Request for that path, or a GatewayError (REV-2, SEC-11)', () => {
  const outcomes = { request: 0, refused: 0 }
  fc.assert(
    fc.property(anyVars, (vars) => {
      let request: Request
      try {
        request = fromEnviron(vars as EnvironLike)
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error
        outcomes.refused++
        return
      }
      outcomes.request++
      const { pathname } = new URL(request.url)
      const decoded = pathname.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16))
      )
      const { SCRIPT_NAME = '', PATH_INFO = '' } = vars
      expect([SCRIPT_NAME.replace(/\/$/, '') + PATH_INFO || '/', PATH_INFO || '/']).toContain(
        decoded
      )
    }),
    { numRuns: 2000 }
  )
  expect(outcomes.request).toBeGreaterThan(50)
  expect(outcomes.refused).toBeGreaterThan(50)
})

test('fromEnviron() hands on the body as it arrives, without waiting for more (REV-4)', async () => {
  const arriving = new TransformStream<Uint8Array, Uint8Array>()
  const writer = arriving.writable.getWriter()
  const init = { method: 'POST', body: arriving.readable, duplex: 'half' } as RequestInit
  const environ = await toEnviron(new Request('http://h/', init), {}, { unknownLength: 'stream' })
  const reader = fromEnviron(environ).body!.getReader()
  for (const text of ['one', 'two']) {
    void writer.write(new TextEncoder().encode(text))
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(text)
  }
  await writer.close()
  expect((await reader.read()).done).toBe(true)
})
