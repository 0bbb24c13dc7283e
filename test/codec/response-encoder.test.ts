import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeResponseHead } from '../../src/codec/response-encoder.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import { refusal } from '../core/support.ts'
import { decodeResponse } from './decode.ts'
import { octets, text } from './wire.ts'

const REFUSED = '500 ERR_APPLICATION'

/** The text of a head, one character a byte. */
function headOf(status: number, headers: readonly HeaderField[] = [], reason?: string): string {
  return text(encodeResponseHead({ status, headers, reason }))
}

/** How a head is refused. */
function refused(status: number, headers: readonly HeaderField[] = [], reason?: string): string {
  return refusal(() => encodeResponseHead({ status, headers, reason }))
}

test('encodeResponseHead() writes status line, lines in order and an empty line, to the byte', () => {
  const headers: HeaderField[] = [
    ['Content-Type', 'text/plain'],
    ['Set-Cookie', 'a=1'],
    ['X-A', 'caf\xc3\xa9\xff'],
    ['set-cookie', 'b=2, c'],
    ['X-Empty', ''],
    ['X-Blank', 'a\tb  c'],
  ]
  const bytes = encodeResponseHead({ status: 404, reason: 'Nicht da\xe9', headers })
  expect(bytes).toEqual(
    octets(
      'HTTP/1.1 404 Nicht da\xe9\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\n' +
        'X-A: caf\xc3\xa9\xff\r\nset-cookie: b=2, c\r\nX-Empty: \r\nX-Blank: a\tb  c\r\n\r\n'
    )
  )
})

test.each([
  [200, undefined, 'HTTP/1.1 200 OK\r\n\r\n'],
  [200, '', 'HTTP/1.1 200 OK\r\n\r\n'],
  [200, 'Fine', 'HTTP/1.1 200 Fine\r\n\r\n'],
  [204, undefined, 'HTTP/1.1 204 No Content\r\n\r\n'],
  [299, undefined, 'HTTP/1.1 299 Unknown\r\n\r\n'],
  [599, '', 'HTTP/1.1 599 Unknown\r\n\r\n'],
])('encodeResponseHead() writes %d with the reason %j', (status, reason, line) => {
  expect(headOf(status, [], reason)).toBe(line)
})

test.each([199, 100, 101, 600, 999, 0, -200, 200.5, NaN, Infinity])(
  'encodeResponseHead() refuses the status %d (RSP-12)',
  (status) => {
    expect(refused(status)).toBe(REFUSED)
  }
)

test.each(['OK\r\nX: y', 'OK\n', '\r', '\0', '\x01', '\x7f', '\u0100', '\u560d\u560a', 'あ'])(
  'encodeResponseHead() refuses the reason %j (SEC-70)',
  (reason) => {
    expect(refused(200, [], reason)).toBe(REFUSED)
  }
)

test.each([
  'a\r\nX: y',
  'a\r\n',
  '\n',
  '\r',
  '\0',
  '\x08',
  '\x0b',
  '\x1b',
  '\x1f',
  '\x7f',
  '\u0100',
  '\u560d\u560aX: y',
])('encodeResponseHead() refuses the value %j, also of what it leaves out (SEC-70)', (value) => {
  expect(refused(200, [['X-A', value]])).toBe(REFUSED)
  expect(refused(200, [['Connection', value]])).toBe(REFUSED)
})

test.each(['', ' ', 'X A', 'X:', 'X: y\r\nZ', 'X\r\n', 'X\n', '\0', 'X\x7f', 'X\xe9', 'あ', '(X)'])(
  'encodeResponseHead() refuses the name %j (SEC-70)',
  (name) => {
    expect(refused(200, [[name, 'v']])).toBe(REFUSED)
    expect(
      refused(200, [
        ['X-A', '1'],
        [name, 'v'],
      ])
    ).toBe(REFUSED)
  }
)

test('encodeResponseHead() quotes no value in its error (SEC-79)', () => {
  let message = ''
  try {
    encodeResponseHead({ status: 200, headers: [['X-A', 'secret\n']] })
  } catch (error) {
    message = (error as Error).message
  }
  expect(message).toContain('X-A')
  expect(message).not.toContain('secret')
})

test.each([
  'Connection',
  'Keep-Alive',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Transfer-Encoding',
  'Upgrade',
])('encodeResponseHead() leaves %s out, which is the matter of the front', (name) => {
  for (const spelled of [name, name.toLowerCase(), name.toUpperCase()]) {
    const headers: HeaderField[] = [
      ['X-A', '1'],
      [spelled, 'chunked'],
      ['X-B', '2'],
    ]
    expect(headOf(200, headers)).toBe('HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: 2\r\n\r\n')
  }
})

test('encodeResponseHead() does not change what it is given', () => {
  const head = Object.freeze({
    status: 200,
    headers: Object.freeze([Object.freeze(['Connection', 'x'] as const)]),
  })
  expect(text(encodeResponseHead(head))).toBe('HTTP/1.1 200 OK\r\n\r\n')
})

const name = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}$/)
const value = fc
  .stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,20}$/)
  .map((line) => line.replace(/^[ \t]+|[ \t]+$/g, ''))
const reason = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{1,20}$/)
/** Names that a decoder has its own ideas of: framing, hop-by-hop, CGI. */
const SPECIAL =
  /^(?:content-length|transfer-encoding|connection|keep-alive|proxy-connection|te|trailer|upgrade|status)$/i

test('ResponseDecoder reads what encodeResponseHead() has written', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 200, max: 599 }),
      reason,
      fc.array(
        fc.tuple(name, value).filter(([key]) => !SPECIAL.test(key)),
        { maxLength: 8 }
      ),
      (status, phrase, headers) => {
        const bytes = encodeResponseHead({ status, reason: phrase, headers })
        const outcome = decodeResponse([bytes])
        expect(outcome).toMatchObject({ status, reason: phrase, headers })
        expect(outcome.error).toBeUndefined()
      }
    ),
    { numRuns: 500 }
  )
})

test('encodeResponseHead() of anything is one head, or refused (SEC-70)', () => {
  const anyText = fc.oneof(
    fc.constantFrom('', 'X-A', 'a\r\nX: y', '\n', ': ', 'HTTP/1.1 200 OK', 'Set-Cookie'),
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.string({ maxLength: 8 })
  )
  const outcomes = { written: 0, refused: 0 }
  fc.assert(
    fc.property(
      fc.oneof(fc.integer({ min: 200, max: 599 }), fc.integer(), fc.double()),
      anyText,
      fc.array(fc.tuple(fc.oneof(name, anyText), fc.oneof(value, anyText)), { maxLength: 3 }),
      (status, phrase, headers) => {
        let head = ''
        const outcome = refusal(() => {
          head = headOf(status, headers, phrase)
        })
        if (outcome === REFUSED) outcomes.refused++
        else {
          outcomes.written++
          // As many lines as there can be, and none that nobody has asked for.
          expect(head.split('\r\n').length).toBeLessThanOrEqual(headers.length + 3)
          expect(head.replaceAll('\r\n', '')).not.toMatch(/[\r\n\0]/)
          expect(head.indexOf('\r\n\r\n')).toBe(head.length - 4)
        }
      }
    ),
    { numRuns: 1000 }
  )
  expect(outcomes.written).toBeGreaterThan(50)
  expect(outcomes.refused).toBeGreaterThan(50)
})
