import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { resolveEnvironOptions, type EnvironOptions } from '../../src/core/environ-options.ts'
import {
  trimWhitespace,
  collectFields,
  HOP_BY_HOP,
  MAX_FIELD_BYTES,
  MAX_HEADER_BYTES,
  removeHopByHop,
  variableName,
} from '../../src/core/header-field.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import { rawHead, refusal, repeated } from './support.ts'

function collected(headers: readonly HeaderField[], options: EnvironOptions = {}): object {
  const head = rawHead({ headers, host: null })
  return Object.fromEntries(collectFields(head, resolveEnvironOptions(options)))
}

/** The fields that are left of `headers` besides `Connection`. */
function kept(headers: readonly HeaderField[]): object {
  const fields = collectFields(rawHead({ headers, host: null }), resolveEnvironOptions())
  removeHopByHop(fields)
  return Object.fromEntries(fields)
}

test.each([
  ['X-Auth-User', 'x-auth-user'],
  ['x9-', 'x9-'],
  ['-', '-'],
  ['Constructor', 'constructor'],
])('collectFields() keeps %s as %s (HDR-1)', (name, lower) => {
  expect(collected([[name, 'v']])).toEqual({ [lower]: 'v' })
})

/** Fields of which every second one has no name to map. */
function halfDropped(count: number): HeaderField[] {
  return Array.from({ length: count }, (_, i) => [i % 2 === 0 ? `x-${i}` : `x_${i}`, ''])
}

const AMBIGUOUS = [...`!#$%&'*+._^\`|~`]
  .map((sign) => `X${sign}Auth`)
  .concat(['X-Auth_User', 'Content_Length', 'Transfer_Encoding', 'wsgi.url_scheme', '__proto__'])
  .concat([
    'X-É',
    'Straße',
    'ıd',
    'X-\u212a',
    '',
    ' X',
    'X ',
    'X:Y',
    ':path',
    'X\tY',
    'X\x7f',
    '\u0100',
  ])

test.each(AMBIGUOUS)(
  'collectFields() drops the name %j, or refuses it (HDR-1, SEC-02, SEC-03, SEC-04)',
  (name) => {
    const headers: HeaderField[] = [
      [name, 'admin'],
      ['X-Auth-User', 'bob'],
    ]
    expect(collected(headers)).toEqual({ 'x-auth-user': 'bob' })
    expect(refusal(() => collected(headers, { ambiguousHeaders: 'reject' }))).toBe(
      '400 ERR_BAD_REQUEST'
    )
  }
)

test.each(['X\r\nY', 'X\n', '\rX', 'X\0'])(
  'collectFields() refuses the name %j under either policy (HDR-6, SEC-08)',
  (name) => {
    for (const ambiguousHeaders of ['drop', 'reject'] as const) {
      const call = (): object => collected([[name, 'v']], { ambiguousHeaders })
      expect(refusal(call)).toBe('400 ERR_BAD_REQUEST')
    }
  }
)

test('variableName() is injective on the names that pass (HDR-1)', () => {
  const anyName = fc.stringMatching(/^[a-z0-9-]{1,8}$/)
  fc.assert(
    fc.property(anyName, anyName, (one, other) => {
      expect(variableName(one) === variableName(other)).toBe(one === other)
      expect(variableName(one)).toMatch(/^HTTP_[A-Z0-9_]+$/)
    })
  )
  expect(variableName('x-auth-user')).toBe('HTTP_X_AUTH_USER')
})

test('removeHopByHop() removes Proxy in any spelling (HDR-2, SEC-01)', () => {
  expect(kept([['Proxy', 'http://evil/']])).toEqual({})
  expect(kept([['pROXY', 'http://evil/']])).toEqual({})
})

test('removeHopByHop() removes what speaks of the connection, and only that (HDR-3)', () => {
  const named = ['Connection', 'Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Upgrade']
  const removed = [...named, 'Transfer-Encoding'].map((name): HeaderField => [name, 'x'])
  expect(kept([...removed, ['Proxy-Authorization', 'Basic eA==']])).toEqual({
    'proxy-authorization': 'Basic eA==',
  })
  expect(HOP_BY_HOP.size).toBe(removed.length)
})

test('removeHopByHop() removes what Connection nominates, in every form of list (HDR-4)', () => {
  const sent = ['x-a', 'x-b', 'x-c', 'x-d', 'x-e'].map((name): HeaderField => [name, '1'])
  expect(
    kept([['Connection', 'close ,X-A,\tx-b\t,, X-C'], ['connection', 'x-d'], ...sent])
  ).toEqual({ 'x-e': '1' })
})

test.each(
  ['Host', 'Authorization', 'Cookie', 'Content-Type', 'Content-Length', 'Content-Encoding']
    .concat(['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Proto', 'X-Real-IP'])
    .concat(['CF-Connecting-IP', 'CF-Ray'])
)('removeHopByHop() keeps %s though Connection nominates it (HDR-4, SEC-20)', (name) => {
  const headers = [['Connection', `close, ${name}`] as const, [name, '1'] as const]
  expect(kept(headers)).toEqual({ [name.toLowerCase()]: '1' })
})

// The same kind of name as X-Real-IP: an address that a platform or proxy vouches for.
test.each(['True-Client-IP', 'X-Client-IP'])(
  'removeHopByHop() keeps the identity header %s though Connection nominates it (HDR-4, SEC-20)',
  (name) => {
    const headers = [['Connection', name] as const, [name, '1'] as const]
    expect(kept(headers)).toEqual({ [name.toLowerCase()]: '1' })
  }
)

test.each([
  ['latin1', 'caf\xc3\xa9', 'caf\xc3\xa9'],
  ['latin1', '\x80\xff', '\x80\xff'],
  ['utf8', 'café', 'caf\xc3\xa9'],
  ['utf8', 'あ😀', '\xe3\x81\x82\xf0\x9f\x98\x80'],
] as const)(
  'collectFields() reads %s value %j as %j (HDR-5, STR-1)',
  (headerEncoding, text, value) => {
    const head = rawHead({ raw: false, host: null, headers: [['x-a', text]] })
    const fields = collectFields(head, resolveEnvironOptions({ headerEncoding }))
    expect(fields.get('x-a')).toBe(value)
  }
)

test('collectFields() takes wire lines as octets on every runtime (HDR-5)', () => {
  expect(collected([['x-a', 'caf\xc3\xa9']], { headerEncoding: 'utf8' })).toEqual({
    'x-a': 'caf\xc3\xa9',
  })
})

test.each(['\u0100', '\u560d\u560aX: y', '\u010d\u010a', '😀', '\ud800'])(
  'collectFields() refuses the value %j, over U+00FF (HDR-5, SEC-11)',
  (value) => {
    expect(refusal(() => collected([['x-a', `a${value}b`]]))).toBe('400 ERR_BAD_REQUEST')
  }
)

test('collectFields() refuses every control octet in a value and passes the rest (HDR-6, SEC-08)', () => {
  for (let unit = 0; unit <= 0xff; unit++) {
    const value = `a${String.fromCharCode(unit)}b`
    const outcome = refusal(() => expect(collected([['x-a', value]])).toEqual({ 'x-a': value }))
    const control = (unit < 0x20 && unit !== 0x09) || unit === 0x7f
    expect([unit, outcome]).toEqual([unit, control ? '400 ERR_BAD_REQUEST' : 'not refused'])
  }
})

test.each(['a\r\n b', 'a\n\tb', 'a\r', '\na', 'a\0', '\x0ba', 'a\x0c', '\x07', 'a\r\nX-Inj: 1'])(
  'collectFields() refuses the value %j by either encoding (HDR-6, HDR-7, SEC-08)',
  (value) => {
    for (const headerEncoding of ['latin1', 'utf8'] as const) {
      expect(refusal(() => collected([['x-a', value]], { headerEncoding }))).toBe(
        '400 ERR_BAD_REQUEST'
      )
    }
  }
)

test.each([
  [' \t a\t b \t', 'a\t b'],
  ['', ''],
  [' \t ', ''],
  ['\x85a\x85', '\x85a\x85'],
  ['\xa0a\xa0', '\xa0a\xa0'],
])('collectFields() strips only SP and HTAB off %j (HDR-7, SEC-09)', (text, value) => {
  expect(collected([['x-a', text]])).toEqual({ 'x-a': value })
})

test('collectFields() joins duplicates once, in order, Cookie with "; " (HDR-8)', () => {
  const headers: HeaderField[] = [
    ['X-A', '1'],
    ['Cookie', 'a=1'],
    ['x-a', ''],
    ['cookie', 'b=2; c=3'],
    ['X-a', '2'],
    ['Set-Cookie', 'x=1'],
    ['Set-Cookie', 'y=2'],
  ]
  expect(collected(headers)).toEqual({
    'x-a': '1, , 2',
    cookie: 'a=1; b=2; c=3',
    'set-cookie': 'x=1, y=2',
  })
})

test.each(['Host', 'Content-Length', 'Content-Type', 'Authorization'])(
  'collectFields() refuses a second %s, the same or not (HDR-9, HOST-4, SEC-12, SEC-43)',
  (name) => {
    for (const second of ['3', '4', '']) {
      const lines = [[name, '3'] as const, [name.toLowerCase(), second] as const]
      expect(refusal(() => collected(lines))).toBe('400 ERR_BAD_REQUEST')
    }
  }
)

test('collectFields() stops at maxHeaders fields, dropped ones included (HDR-11, SEC-07)', () => {
  expect(Object.keys(collected(halfDropped(100)))).toHaveLength(50)
  expect(refusal(() => collected(halfDropped(101)))).toBe('431 ERR_HEADERS_TOO_LARGE')
  expect(refusal(() => collected(halfDropped(3), { maxHeaders: 2 }))).toBe(
    '431 ERR_HEADERS_TOO_LARGE'
  )
  expect(Object.keys(collected(halfDropped(3000), { maxHeaders: Infinity }))).toHaveLength(1500)
})

test('collectFields() stops at 16 KiB a field and 64 KiB in all (HDR-11, SEC-07)', () => {
  expect([MAX_FIELD_BYTES, MAX_HEADER_BYTES]).toEqual([16_384, 65_536])
  const longest = ['x-a', 'a'.repeat(16_384 - 3)] as const
  const over = ['x-a', `${longest[1]}a`] as const
  expect(refusal(() => collected([longest]))).toBe('not refused')
  expect(refusal(() => collected(repeated(longest, 4)))).toBe('not refused')
  for (const headers of [
    [over],
    [['x_dropped', 'a'.repeat(70_000)] as const],
    [['x-'.padEnd(65_536, 'a'), ''] as const],
    [...repeated(longest, 4), ['x', ''] as const],
  ]) {
    expect(refusal(() => collected(headers))).toBe('431 ERR_HEADERS_TOO_LARGE')
  }
})

test('collectFields() counts bytes where a code unit is more than one (HDR-11)', () => {
  const head = rawHead({ raw: false, host: null, headers: [['x-a', 'あ'.repeat(5500)]] })
  const options = resolveEnvironOptions({ headerEncoding: 'utf8' })
  expect(refusal(() => collectFields(head, options))).toBe('431 ERR_HEADERS_TOO_LARGE')
})

test.each([
  ['limited', {}],
  ['unlimited', { maxHeaders: Infinity }],
])(
  'collectFields() refuses 200000 lines of one name, the count %s (HDR-8, SEC-07)',
  (_, options) => {
    const headers = repeated(['X-D', 'a'], 200_000)
    expect(refusal(() => collected(headers, options))).toBe('431 ERR_HEADERS_TOO_LARGE')
  }
)

test('trimWhitespace() comes to an end on inner blanks that a backtracking pattern chokes on (SEC-10)', () => {
  // Quadratic time over two million blanks is hours, and the test runner's limit ends it as a failure.
  const text = `a${' \t'.repeat(1_000_000)}b`
  expect(trimWhitespace(` ${text}\t`)).toBe(text)
})

test('collectFields() does not depend on the order of names (HDR-12)', () => {
  const names = ['accept', 'cookie', 'connection', 'host', 'x-a', 'x-b', 'content-length']
  const lines = names.map((name): HeaderField => [name, '1'])
  fc.assert(
    fc.property(fc.shuffledSubarray(lines, { minLength: lines.length }), (shuffled) => {
      expect(collected(shuffled)).toEqual(collected(lines))
    })
  )
})
