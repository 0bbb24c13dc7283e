import { expect, test } from 'vitest'
import { checkMethod, requestHead, serverProtocol } from '../../src/core/request-head.ts'
import { fetchRequest, refusal } from './support.ts'

test('requestHead() takes the parts of a Request and what the adapter adds', () => {
  const request = fetchRequest({ url: 'https://h.example:8443/a/../b?c#d' })
  const head = requestHead(request, {
    rawTarget: '/a/../b?c',
    httpVersion: '2.0',
    remote: { addr: '192.0.2.7', port: 1 },
    tls: { protocol: 'TLSv1.3' },
  })
  expect(head).toMatchObject({
    method: 'GET',
    headers: [['host', 'h.example']],
    raw: false,
    rawTarget: '/a/../b?c',
    httpVersion: '2.0',
    remote: { addr: '192.0.2.7', port: 1 },
    tls: { protocol: 'TLSv1.3' },
    hasBody: false,
  })
  expect(head.url).toMatchObject({ host: 'h.example:8443', pathname: '/b', search: '?c' })
})

test('requestHead() supposes HTTP/1.1, an unknown peer and no TLS (STR-5)', () => {
  const head = requestHead(fetchRequest(), { remote: null })
  expect(head).toMatchObject({ httpVersion: '1.1' })
  expect([head.remote, head.tls, head.rawTarget]).toEqual([undefined, undefined, undefined])
})

test('requestHead() parses a URL again that its runtime left as on the wire (PATH-1)', () => {
  const request = fetchRequest()
  Object.defineProperty(request, 'url', { value: 'http://H.example/a/./b/../%2e%2e/c\\d' })
  expect(requestHead(request).url).toMatchObject({ host: 'h.example', pathname: '/c/d' })
})

test('requestHead() prefers wire lines and leaves the body alone (HDR-8)', () => {
  const lines = [['Cookie', 'a=1'] as const, ['cookie', 'b=2'] as const]
  const request = fetchRequest({ body: new Blob(['x']).stream(), headers: [['cookie', 'x']] })
  const head = requestHead(request, { rawHeaders: lines })
  expect(head).toMatchObject({ headers: lines, raw: true, hasBody: true })
  expect([request.bodyUsed, request.body?.locked]).toEqual([false, false])
})

test('requestHead() leaves out the headers an adapter has read (TRUST-6)', () => {
  const headers = [['cf-connecting-ip', '192.0.2.1'] as const, ['x-a', '1'] as const]
  const head = requestHead(fetchRequest({ headers }), { consumedHeaders: ['cf-connecting-ip'] })
  expect(head.headers).toEqual([['x-a', '1']])
})

test('requestHead() leaves them out of wire lines too, in any spelling (TRUST-6)', () => {
  const rawHeaders = [['CF-Connecting-IP', '192.0.2.1'] as const, ['X-A', '1'] as const]
  const consumedHeaders = ['cf-connecting-ip']
  expect(requestHead(fetchRequest(), { rawHeaders, consumedHeaders }).headers).toEqual([
    ['X-A', '1'],
  ])
})

test.each([
  ['a=1, b=2', 'a=1; b=2'],
  ['a=1; b=2', 'a=1; b=2'],
  ['a=1, b=2, __Host-c=', 'a=1; b=2; __Host-c='],
  ['a="x, y"', 'a="x, y"'],
  ['a=1,b=2', 'a=1,b=2'],
])('requestHead() puts a semicolon where a runtime joined cookies: %s (HDR-8)', (value, cookie) => {
  const headers = [['cookie', value] as const]
  expect(requestHead(fetchRequest({ headers })).headers).toEqual([['cookie', cookie]])
})

test.each(['GET', 'patch', 'M-SEARCH', "X!#$%&'*+-.^_`|~9"])(
  'checkMethod() lets the token %s pass',
  (method) => {
    expect(refusal(() => checkMethod(method))).toBe('not refused')
  }
)

test.each([
  '',
  'GET ',
  'GET / HTTP/1.1\r\nX: y',
  'GÉT',
  'G\u0100T',
  'A:B',
  'a\0',
  '"GET"',
  'GET\n',
])('checkMethod() refuses %j, which is no token (SEC-65)', (method) => {
  expect(refusal(() => checkMethod(method))).toBe('400 ERR_BAD_REQUEST')
})

test.each(['CONNECT', 'TRACE', 'TRACK'])('checkMethod() refuses %s (TGT-3)', (method) => {
  expect(refusal(() => checkMethod(method))).toBe('405 ERR_METHOD_NOT_ALLOWED')
})

test.each([
  ['1.0', 'HTTP/1.0'],
  ['1.1', 'HTTP/1.1'],
  ['2', 'HTTP/2.0'],
  ['2.0', 'HTTP/2.0'],
  ['3', 'HTTP/3.0'],
  ['3.0', 'HTTP/3.0'],
])('serverProtocol() writes %s as %s (SEC-51)', (version, protocol) => {
  expect(serverProtocol(version)).toBe(protocol)
})

test.each(
  [
    '',
    '1',
    '1.2',
    '9.9',
    '01.1',
    '1.1 ',
    'HTTP/1.1',
    'http/1.1',
    '1.1\r\nX-I: 1',
    'toString',
  ].concat('__proto__')
)('serverProtocol() refuses the version %j (SEC-51, SEC-65)', (version) => {
  expect(refusal(() => serverProtocol(version))).toBe('505 ERR_HTTP_VERSION')
})
