import { expect, test } from 'vitest'
import {
  type EnvironOptions,
  integer,
  limit,
  oneOf,
  resolveEnvironOptions,
} from '../../src/core/environ-options.ts'

const DEFAULTS = {
  mount: '',
  trustForwardedHost: false,
  serverName: undefined,
  serverPort: undefined,
  headerEncoding: 'latin1',
  maxHeaders: 100,
  maxBodyBytes: 104_857_600,
  maxBufferedBodyBytes: 16_777_216,
  unknownLength: 'buffer',
  encodedSlash: 'decode',
  decodedDotSegments: 'reject',
  collapseLeadingSlashes: false,
  ambiguousHeaders: 'drop',
  allowNul: false,
  asteriskForm: 'answer',
}

test('resolveEnvironOptions() fills in what is documented, for undefined too (TRUST-1)', () => {
  const { isTrusted, ...rest } = resolveEnvironOptions()
  expect(rest).toEqual(DEFAULTS)
  const absent = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, undefined]))
  expect(resolveEnvironOptions(absent)).toMatchObject(DEFAULTS)
  expect(['10.0.0.1', '127.0.0.1', '::1', 'unix:'].filter(isTrusted)).toEqual([])
})

test.each<[EnvironOptions, object]>([
  [{ mount: '/' }, { mount: '' }],
  [{ mount: '/app/' }, { mount: '/app' }],
  [{ mount: '/あpp' }, { mount: '/\xe3\x81\x82pp' }],
  [{ mount: '/a%41' }, { mount: '/a%41' }],
  [
    { serverName: '[::1]', serverPort: 65_535 },
    { serverName: '[::1]', serverPort: '65535' },
  ],
  [{ serverPort: 1 }, { serverPort: '1' }],
  [
    { maxHeaders: 0, maxBodyBytes: 0, maxBufferedBodyBytes: 0 },
    { maxHeaders: 0, maxBodyBytes: 0, maxBufferedBodyBytes: 0 },
  ],
  [{ maxBodyBytes: Infinity }, { maxBodyBytes: Infinity }],
  [{ asteriskForm: 'pass' }, { asteriskForm: 'pass' }],
])('resolveEnvironOptions() takes %o (MOUNT-3, STR-1, STR-6)', (options, resolved) => {
  expect(resolveEnvironOptions(options)).toMatchObject(resolved)
})

test.each<[string, unknown, typeof TypeError | typeof RangeError]>([
  ['mount', 'app', TypeError],
  ['mount', '/a/../b', TypeError],
  ['mount', '/a\0b', TypeError],
  ['serverName', '', TypeError],
  ['serverName', 'h\r\nX: y', TypeError],
  ['serverName', 'h/p', TypeError],
  ['serverName', 'hé', TypeError],
  ['serverPort', 0, RangeError],
  ['serverPort', 65_536, RangeError],
  ['serverPort', 1.5, RangeError],
  ['serverPort', '80', RangeError],
  ['headerEncoding', 'utf-8', TypeError],
  ['maxHeaders', -1, RangeError],
  ['maxHeaders', 1.5, RangeError],
  ['maxHeaders', NaN, RangeError],
  ['maxHeaders', '5', RangeError],
  ['maxBodyBytes', -Infinity, RangeError],
  ['maxBodyBytes', 2 ** 53, RangeError],
  ['maxBufferedBodyBytes', -1, RangeError],
  ['unknownLength', 'drop', TypeError],
  ['encodedSlash', true, TypeError],
  ['decodedDotSegments', 'allow', TypeError],
  ['ambiguousHeaders', 'keep', TypeError],
  ['asteriskForm', '', TypeError],
])('resolveEnvironOptions() refuses %s %j and names both', (name, value, kind) => {
  const call = (): unknown => resolveEnvironOptions({ [name]: value })
  expect(call).toThrow(kind)
  expect(call).toThrow(name)
  expect(call).toThrow(typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : `${value}`)
})

test.each([[['h.example']], [['10.0.0.0/33']], [['10.0.0.1', '']]])(
  'resolveEnvironOptions() refuses the trusted proxies %j (TRUST-2)',
  (trustedProxies) => {
    expect(() => resolveEnvironOptions({ trustedProxies })).toThrow(TypeError)
  }
)

// A string from an environment variable, where "false" would mean true.
test.each(['allowNul', 'trustForwardedHost', 'collapseLeadingSlashes'])(
  'resolveEnvironOptions() refuses %s that is no boolean (TRUST-4, PATH-6)',
  (name) => {
    for (const value of ['false', 0, 1, '']) {
      expect(() => resolveEnvironOptions({ [name]: value })).toThrow(TypeError)
    }
  }
)

test.each([
  ['serverName', 5],
  ['mount', 5],
  ['trustedProxies', '10.0.0.1'],
])('resolveEnvironOptions() refuses %s of another type, and names it (STR-6)', (name, value) => {
  const call = (): unknown => resolveEnvironOptions({ [name]: value })
  expect(call).toThrow(TypeError)
  expect(call).toThrow(name)
})

test('integer(), limit() and oneOf() give back what is right', () => {
  expect(integer('size', 3, 3, 3)).toBe(3)
  expect(limit('size', Infinity)).toBe(Infinity)
  expect(oneOf('word', 'a', ['a', 'b'])).toBe('a')
})

test('integer(), limit() and oneOf() say option, value and what was wanted', () => {
  expect(() => integer('size', 4, 1, 3)).toThrow(
    new RangeError('Cannot use size 4: wanted a whole number from 1 to 3')
  )
  expect(() => limit('size', -1)).toThrow(
    new RangeError('Cannot use size -1: wanted a whole number, or Infinity for no limit')
  )
  const words: readonly string[] = ['a', 'b']
  expect(() => oneOf('word', 'c', words)).toThrow(new TypeError('Cannot use word "c": wanted a, b'))
})
