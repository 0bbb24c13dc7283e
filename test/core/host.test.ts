import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalHost, hostVariable } from '../../src/core/host.ts'
import { refusal } from './support.ts'

test.each([
  ['H.Example:8080', 'h.example:8080'],
  ['h.example:80', 'h.example'],
  ['h.example:', 'h.example'],
  ['h.example:00081', 'h.example:81'],
  ['h.example.', 'h.example.'],
  ['a_b~c', 'a_b~c'],
  ['h%2eexample', 'h.example'],
  ['0x7f.1', '127.0.0.1'],
  ['[0:0::1]:81', '[::1]:81'],
  ['[::FFFF:1.2.3.4]', '[::ffff:102:304]'],
])('canonicalHost() writes %s as %s (HOST-1)', (value, host) => {
  expect(canonicalHost(value, 'http:')).toBe(host)
})

test('canonicalHost() leaves out the default port of its own scheme only (HOST-2)', () => {
  expect(canonicalHost('h:443', 'https:')).toBe('h')
  expect(canonicalHost('h:443', 'http:')).toBe('h:443')
})

const HOSTILE = [
  '',
  ' ',
  'evil.com/',
  'evil.com/p',
  'h?q',
  'h#f',
  'a@h',
  'u:p@h',
  'a,b',
  'a, b',
  'h"<x>',
  'h`x',
  'h:99999',
  'h:abc',
  'h:-1',
  'h:1:2',
  'h\\x',
  'h x',
  'h\tx',
  'h\n',
  'h\r\nX: y',
  'h\0',
  'h%00',
  'h%0a',
  'h%2fx',
  'h%40x',
  'h%zz',
  'é.example',
  '\u560d\u560a',
  '[::1',
  '::1',
  '[::1%25eth0]',
  '[h]',
  '[::1]x',
  '999.1.1.1',
]

test.each(HOSTILE)('canonicalHost() refuses %j (HOST-1, HOST-5, SEC-12)', (value) => {
  expect(refusal(() => canonicalHost(value, 'http:'))).toBe('400 ERR_BAD_REQUEST')
})

test('canonicalHost() throws nothing but GatewayError, and never says the value (SEC-12)', () => {
  const anyHost = fc.oneof(fc.string({ unit: 'binary' }), fc.webAuthority(), fc.domain())
  fc.assert(
    fc.property(anyHost, (value) => {
      expect(refusal(() => canonicalHost(value, 'https:'))).toBeOneOf([
        'not refused',
        '400 ERR_BAD_REQUEST',
      ])
    })
  )
  expect(() => canonicalHost('evil\n.com', 'http:')).toThrow(/^(?!.*evil)/s)
})

test.each([
  ['H.Example:8080', 'http://h.example:8080/', 'H.Example:8080'],
  ['h.example:80', 'http://h.example/', 'h.example:80'],
  ['h.example', 'http://h.example/', 'h.example'],
  ['[0::1]', 'http://[::1]/', '[0::1]'],
  ['evil.example', 'http://real.example:81/', 'real.example:81'],
  ['h.example:443', 'http://h.example/', 'h.example'],
])('hostVariable() of %s for %s is %s (HOST-2)', (header, url, value) => {
  expect(hostVariable(header, new URL(url), '1.1')).toBe(value)
})

test.each([
  ['1.0', undefined],
  ['2.0', 'h.example:81'],
  ['3.0', 'h.example:81'],
])('hostVariable() without a header on HTTP/%s is %s (HOST-3)', (httpVersion, value) => {
  expect(hostVariable(undefined, new URL('http://h.example:81/'), httpVersion)).toBe(value)
})

test.each(HOSTILE)(
  'hostVariable() refuses %j whatever the URL (HOST-1, HOST-4, HOST-5)',
  (value) => {
    const url = new URL('http://h.example/')
    expect(refusal(() => hostVariable(value, url, '1.1'))).toBe('400 ERR_BAD_REQUEST')
  }
)

// A runtime that makes the URL out of Host lets these through: a URL may have such a host.
test.each(['a,b', 'h"x', 'h`x', 'h{x}'])(
  'hostVariable() refuses %j though the URL says the same (HOST-1, HOST-4, SEC-12)',
  (value) => {
    const url = new URL(`http://${value}/`)
    expect(url.host).toBe(value)
    expect(refusal(() => hostVariable(value, url, '1.1'))).toBe('400 ERR_BAD_REQUEST')
  }
)
