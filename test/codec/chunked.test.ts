import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteByByte, cutAt, cutBytes, everyCut, octets, text } from './wire.ts'
import { decodeChunked } from './decode.ts'

/** Decodes whole, byte by byte and at every cut, and says that all agree. */
function decodeEveryWay(wire: string): ReturnType<typeof decodeChunked> {
  const bytes = octets(wire)
  const whole = decodeChunked([bytes])
  const ways = bytes.length < 200 ? [...everyCut(bytes), byteByByte(bytes)] : [byteByByte(bytes)]
  for (const chunks of ways) {
    const { used, ...outcome } = decodeChunked(chunks)
    expect({ ...outcome, used: whole.error === undefined ? used : whole.used }).toEqual(whole)
  }
  return whole
}

describe('ChunkedDecoder decodes', () => {
  test.each([
    ['no chunk but the last', '0\r\n\r\n', ''],
    ['one chunk', '3\r\nabc\r\n0\r\n\r\n', 'abc'],
    ['two chunks', '1\r\na\r\n1\r\nb\r\n0\r\n\r\n', 'ab'],
    [
      'a size in hexadecimal, either case',
      'a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n',
      '0123456789abcdefghij',
    ],
    ['leading zeros', '0003\r\nabc\r\n00000\r\n\r\n', 'abc'],
    [
      'CR LF, and what looks like chunks, as data',
      '7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n',
      '\r\n0\r\n\r\n',
    ],
    ['NUL and 0xFF as data', '2\r\n\0\xff\r\n0\r\n\r\n', '\0\xff'],
    ['an extension', '3;a=b\r\nabc\r\n0;c\r\n\r\n', 'abc'],
    ['an extension behind a space and a tab', '3 \t;a\r\nabc\r\n0\r\n\r\n', 'abc'],
    ['an extension with quotes and obs-text', '3;a="\\"x\xe9\r\nabc\r\n0\r\n\r\n', 'abc'],
    ['a size line of 4096 bytes', `3;${'x'.repeat(4092)}\r\nabc\r\n0\r\n\r\n`, 'abc'],
    [
      'SEC-21: trailers, which it passes over',
      '1\r\na\r\n0\r\nX-Auth: b\r\nContent-Length: 9\r\n\r\n',
      'a',
    ],
    ['trailers of 64 KiB', `0\r\n${'X: 1234567890123\r\n'.repeat(4096)}\r\n`, ''],
  ])('%s', (_what, wire, body) => {
    expect(decodeEveryWay(wire)).toEqual({ body, done: true, used: wire.length })
  })

  test('stops behind the end and says how many bytes it used', () => {
    expect(decodeEveryWay('1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n')).toMatchObject({
      body: 'a',
      used: 11,
    })
    expect(decodeEveryWay('0\r\nX: y\r\n\r\n\r\n')).toMatchObject({ used: 11 })
  })

  test.each([
    '',
    '3',
    '3\r',
    '3\r\n',
    '3\r\nab',
    '3\r\nabc',
    '3\r\nabc\r',
    '3\r\nabc\r\n',
    '0',
    '0\r\n',
    '0\r\n\r',
    '0\r\nX: y\r\n',
  ])('is not done after %j', (wire) => {
    expect(decodeEveryWay(wire)).toMatchObject({ done: false, used: wire.length })
    expect(decodeEveryWay(wire).error).toBeUndefined()
  })
})

describe('ChunkedDecoder refuses (SEC-44, SEC-45, SEC-72)', () => {
  test.each([
    ['0x3', '0x3\r\nabc\r\n'],
    ['a plus', '+3\r\nabc\r\n'],
    ['a minus', '-3\r\nabc\r\n'],
    ['minus zero', '-0\r\n\r\n'],
    ['a space before', ' 3\r\nabc\r\n'],
    ['a space behind', '3 \r\nabc\r\n'],
    ['a tab behind', '3\t\r\nabc\r\n'],
    ['a vertical tab before', '\x0b3\r\nabc\r\n'],
    ['a letter that is no digit', 'g\r\nabc\r\n'],
    ['an underscore', '1_0\r\nabcdefghijklmnop\r\n'],
    ['a digit of another script in UTF-8', '\xd9\xa3\r\nabc\r\n'],
    ['two sizes', '3 3\r\nabc\r\n'],
    ['a comma', '3,a\r\nabc\r\n'],
    ['a decimal point', '3.0\r\nabc\r\n'],
    ['an exponent sign', '1e+1\r\nabcdefghij\r\n'],
    ['nothing', '\r\nabc\r\n'],
    ['an extension alone', ';a=b\r\nabc\r\n'],
    ['14 digits', '00000000000003\r\nabc\r\n'],
    ['20 digits', 'ffffffffffffffffffff\r\nabc\r\n'],
    ['17 digits, 3 in 64 bits', '10000000000000003\r\nabc\r\n'],
    ['NUL', '3\0\r\nabc\r\n'],
    ['a bare CR in an extension', '3;a\rb\r\nabc\r\n'],
    ['CR CR LF', '3\r\r\nabc\r\n'],
    ['NUL in an extension', '3;a\0\r\nabc\r\n'],
    ['DEL in an extension', '3;a\x7f\r\nabc\r\n'],
    ['LF alone behind a size', '3\nabc\r\n0\r\n\r\n'],
    ['LF alone behind data', '3\r\nabc\n0\r\n\r\n'],
    ['LF alone behind the last size', '3\r\nabc\r\n0\n\r\n'],
    ['LF alone at the end', '0\r\n\n'],
    ['LF alone behind a trailer', '0\r\nX: y\n\r\n'],
    ['LF in an extension', '3;a\nb\r\nabc\r\n'],
    ['data longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
    ['no line end behind data', '3\r\nabc3\r\nabc\r\n0\r\n\r\n'],
    ['CR alone behind data', '3\r\nabc\r0\r\n\r\n'],
    ['an endless size line', '3;'.padEnd(5000, 'x')],
    ['a size line of 4097 bytes', `3;${'x'.repeat(4093)}\r\nabc\r\n`],
    ['endless digits', '0'.repeat(5000)],
    ['a trailer of 4097 bytes', `0\r\n${'x'.repeat(4095)}\r\n`],
    ['SEC-77: endless trailers', `0\r\n${'X: 1234567890123\r\n'.repeat(4200)}`],
  ])('%s', (_what, wire) => {
    expect(decodeEveryWay(wire).error).toBe('ERR_UPSTREAM_PROTOCOL')
  })
})

describe('ChunkedDecoder, any input', () => {
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 8 })
  const extension = fc.constantFrom('', ';a', ';a=b', ' ;a="b c"')

  test('no body byte is invented or lost, whatever the chunks of either kind', () => {
    fc.assert(
      fc.property(pieces, extension, fc.array(fc.nat(500)), (body, ext, offsets) => {
        const coded = body.map((data) => `${data.length.toString(16)}${ext}\r\n${text(data)}\r\n`)
        const bytes = octets(`${coded.join('')}0\r\n\r\n`)
        const chunks = cutAt(
          bytes,
          offsets.filter((offset) => offset < bytes.length)
        )
        expect(decodeChunked(chunks)).toEqual({
          body: body.map(text).join(''),
          done: true,
          used: bytes.length,
        })
      })
    )
  })

  const line = fc.constantFrom(
    '0\r\n',
    '1\r\n',
    '3\r\n',
    'a\r\n',
    '\r\n',
    '\n',
    'abc',
    'x',
    '0',
    ';',
    ' '
  )
  const noise = fc.oneof(
    fc.array(line, { maxLength: 10 }).map((lines) => octets(lines.join(''))),
    fc.uint8Array()
  )

  test('decodes or throws a GatewayError, the same for all cuts', () => {
    fc.assert(
      fc.property(cutBytes(noise), ({ bytes, chunks }) => {
        const { used, ...whole } = decodeChunked([bytes])
        const { used: usedCut, ...cut } = decodeChunked(chunks)
        expect(cut).toEqual(whole)
        if (whole.error === undefined) expect(usedCut).toBe(used)
        expect(isSubsequence(whole.body, text(bytes))).toBe(true)
      }),
      { numRuns: 3000 }
    )
  })
})

/** Whether `part` is `whole` with some of it left out. */
function isSubsequence(part: string, whole: string): boolean {
  let from = 0
  return Array.from(part).every((unit) => (from = whole.indexOf(unit, from) + 1) > 0)
}
