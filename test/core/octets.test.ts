import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isAscii,
  isNative,
  nativeToOctets,
  nativeToText,
  octetsToNative,
  percentDecode,
  textToNative,
  writeNative,
} from '../../src/core/octets.ts'

const ALL_OCTETS = Uint8Array.from({ length: 256 }, (_, i) => i)

test.each([
  ['', true, true],
  ['a\0\x7f', true, true],
  ['\x80', true, false],
  ['é\xff', true, false],
  ['\u0100', false, false],
  ['a'.repeat(5000) + '\u010d', false, false],
  ['😀', false, false],
])('isNative() and isAscii() judge a text by its code units: %# (STR-1)', (text, native, ascii) => {
  expect([isNative(text), isAscii(text)]).toEqual([native, ascii])
})

test('octetsToNative() makes each octet one code unit (STR-1, STR-2)', () => {
  const text = octetsToNative(ALL_OCTETS)
  expect([...text].map((unit) => unit.charCodeAt(0))).toEqual([...ALL_OCTETS])
  expect(octetsToNative(Uint8Array.of(0xff, 0xfe, 0xc3, 0xa9))).toBe('\xff\xfe\xc3\xa9')
  expect(octetsToNative(ALL_OCTETS, 65, 68)).toBe('ABC')
})

test('nativeToOctets() undoes octetsToNative() at any length (STR-1)', () => {
  const anyBytes = fc.oneof(fc.uint8Array(), fc.uint8Array({ minLength: 4090, maxLength: 4200 }))
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      expect(nativeToOctets(octetsToNative(bytes))).toEqual(bytes)
    })
  )
})

test.each([
  ['\u560d\u560a', 'CR LF once truncated'],
  ['\u010d\u010aX: y', 'CR LF once truncated'],
  ['\u0100', 'NUL once truncated'],
  ['a'.repeat(1000) + '\u560a', 'behind the first 1000'],
  ['a'.repeat(70_000) + '\uffff', 'at the end of a long one'],
])('nativeToOctets() throws on a code unit over U+00FF: %# (STR-3, SEC-11)', (text) => {
  expect(() => nativeToOctets(text)).toThrow(RangeError)
})

test('writeNative() writes at its offset and never truncates a code unit (STR-3, SEC-11)', () => {
  const target = new Uint8Array(5)
  writeNative(target, 1, 'a\xff')
  expect([...target]).toEqual([0, 0x61, 0xff, 0, 0])
  expect(() => writeNative(target, 0, '\u560a')).toThrow(
    'Cannot write U+560A as one octet: wanted at most U+00FF'
  )
  expect([...target]).not.toContain(0x0a)
})

test.each([
  ['abc', 'abc'],
  ['é', '\xc3\xa9'],
  ['あ', '\xe3\x81\x82'],
  ['😀', '\xf0\x9f\x98\x80'],
  ['\ufeffa', '\xef\xbb\xbfa'],
])(
  'textToNative() gives the UTF-8 octets of %j, nativeToText() the text (STR-2)',
  (text, native) => {
    expect([textToNative(text), nativeToText(native)]).toEqual([native, text])
  }
)

test.each(['\xff\xfe', '\xc3', '\xc0\x80', '\xed\xa0\x80', '\xe9'])(
  'nativeToText() has no text for octets that are not UTF-8: %j (STR-2)',
  (native) => {
    expect(nativeToText(native)).toBeUndefined()
  }
)

test('nativeToText() undoes textToNative(), whose result is native (STR-1, STR-2)', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const native = textToNative(text)
      expect([isNative(native), nativeToText(native)]).toEqual([true, text])
    })
  )
})

test.each([
  ['/a', '/a'],
  ['/%41%c3%A9%ff', '/A\xc3\xa9\xff'],
  ['/%00%0d%0a', '/\0\r\n'],
  ['/%252e%2541', '/%2e%41'],
  ['/a%zz%4', '/a%zz%4'],
  ['%%41%', '%A%'],
  ['/%u0041+;x', '/%u0041+;x'],
])(
  'percentDecode() decodes %j once and leaves what is malformed (PATH-3, PATH-4)',
  (text, decoded) => {
    expect(percentDecode(text)).toBe(decoded)
  }
)

describe('octetsToNative() of many octets', () => {
  const ascii = 'x'.repeat(100)

  test.each([
    ['ASCII', ascii],
    ['a byte order mark', `\xef\xbb\xbf${ascii}`],
    ['UTF-8', `${ascii}\xc3\xa9`],
    ['what is no UTF-8', `${ascii}\xe9`],
    ['a sequence that is cut', `${ascii}\xe2\x82`],
    ['NUL and DEL', `\0${ascii}\x7f`],
  ])('gives one code unit an octet: %s', (_what, text) => {
    expect(octetsToNative(Uint8Array.from(text, (unit) => unit.charCodeAt(0)))).toBe(text)
  })

  test('of any value, from any offset', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(50), (bytes, from) => {
        const start = Math.min(from, bytes.length)
        const units = [...octetsToNative(bytes, start)].map((unit) => unit.charCodeAt(0))
        expect(units).toEqual([...bytes.subarray(start)])
      })
    )
  })
})
