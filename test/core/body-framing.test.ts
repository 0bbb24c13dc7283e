import { expect, test } from 'vitest'
import { type BodyFraming, bodyFraming, bodyTooLarge } from '../../src/core/body-framing.ts'
import { type EnvironOptions, resolveEnvironOptions } from '../../src/core/environ-options.ts'
import { collectFields } from '../../src/core/header-field.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import { type HeadParts, rawHead, refusal } from './support.ts'

function framing(
  headers: readonly HeaderField[],
  parts: HeadParts = {},
  options: EnvironOptions = {}
): BodyFraming {
  const head = rawHead({ hasBody: true, method: 'POST', ...parts, headers })
  const resolved = resolveEnvironOptions(options)
  return bodyFraming(head, collectFields(head, resolved), resolved)
}

test.each([
  ['3', 3],
  ['0', 0],
  ['007', 7],
  [`${'0'.repeat(400)}12`, 12],
  [' \t3 ', 3],
  ['104857600', 104_857_600],
])('bodyFraming() reads Content-Length %j as %d (BODY-1, BODY-3)', (value, length) => {
  expect(framing([['Content-Length', value]])).toEqual({ type: 'known', length })
})

test.each(
  [
    '',
    '+3',
    '-3',
    '0x3',
    '3_0',
    '3.0',
    '3 0',
    '1 2',
    'abc',
    '3abc',
    '³',
    '3, 3',
    '3,4',
    '3;',
    '1e3',
  ].concat(['\x853', '3\x85', '\xa03', '"3"', 'Infinity'])
)('bodyFraming() refuses Content-Length %j (BODY-3, SEC-09, SEC-43)', (value) => {
  for (const hasBody of [true, false]) {
    const call = (): BodyFraming => framing([['Content-Length', value]], { hasBody })
    expect(refusal(call)).toBe('400 ERR_BAD_REQUEST')
  }
})

test.each(['\x0b3', '3\n', '3\0'])(
  'bodyFraming() never sees Content-Length %j (BODY-3, SEC-09)',
  (value) => {
    expect(refusal(() => framing([['Content-Length', value]]))).toBe('400 ERR_BAD_REQUEST')
  }
)

test.each(['٣', '３'])('bodyFraming() refuses the foreign digits %s (BODY-3)', (value) => {
  for (const headerEncoding of ['latin1', 'utf8'] as const) {
    const call = (): BodyFraming =>
      framing([['Content-Length', value]], { raw: false }, { headerEncoding })
    expect(refusal(call)).toBe('400 ERR_BAD_REQUEST')
  }
})

test.each(['104857601', '9007199254740991', '9007199254740992', '9'.repeat(400)])(
  'bodyFraming() refuses a Content-Length of %s (BODY-3)',
  (value) => {
    expect(refusal(() => framing([['Content-Length', value]]))).toBe('413 ERR_BODY_TOO_LARGE')
  }
)

test('bodyFraming() has no limit but 2^53-1 where maxBodyBytes is Infinity (BODY-3)', () => {
  const options = { maxBodyBytes: Infinity }
  const framed = framing([['Content-Length', '9007199254740991']], {}, options)
  expect(framed).toEqual({ type: 'known', length: Number.MAX_SAFE_INTEGER })
  const call = (): BodyFraming => framing([['Content-Length', '9007199254740992']], {}, options)
  expect(refusal(call)).toBe('413 ERR_BODY_TOO_LARGE')
})

test.each(['chunked', 'Chunked', 'CHUNKED', ' chunked\t'])(
  'bodyFraming() takes Transfer-Encoding %j as a length unknown (BODY-2, BODY-4)',
  (value) => {
    expect(framing([['Transfer-Encoding', value]])).toEqual({ type: 'unknown' })
  }
)

test.each([
  ['chunked, chunked', '400 ERR_BAD_REQUEST'],
  ['chunked,CHUNKED', '400 ERR_BAD_REQUEST'],
  ['chunked, gzip, chunked', '400 ERR_BAD_REQUEST'],
  ['\x0bchunked', '400 ERR_BAD_REQUEST'],
  ['chunked\x0c', '400 ERR_BAD_REQUEST'],
  ['gzip, chunked', '501 ERR_NOT_IMPLEMENTED'],
  ['chunked, identity', '501 ERR_NOT_IMPLEMENTED'],
  ['identity', '501 ERR_NOT_IMPLEMENTED'],
  ['xchunked', '501 ERR_NOT_IMPLEMENTED'],
  ['chunked;x=y', '501 ERR_NOT_IMPLEMENTED'],
  ['"chunked"', '501 ERR_NOT_IMPLEMENTED'],
  ['chunked,', '501 ERR_NOT_IMPLEMENTED'],
  [',chunked', '501 ERR_NOT_IMPLEMENTED'],
  ['\x85chunked', '501 ERR_NOT_IMPLEMENTED'],
  ['chunked\xa0', '501 ERR_NOT_IMPLEMENTED'],
  ['', '501 ERR_NOT_IMPLEMENTED'],
])('bodyFraming() refuses Transfer-Encoding %j: %s (BODY-4, SEC-09, SEC-41)', (value, refused) => {
  for (const hasBody of [true, false]) {
    expect(refusal(() => framing([['Transfer-Encoding', value]], { hasBody }))).toBe(refused)
  }
})

test('bodyFraming() refuses chunked in two lines (BODY-4, SEC-41)', () => {
  const line: HeaderField = ['Transfer-Encoding', 'chunked']
  expect(refusal(() => framing([line, line]))).toBe('400 ERR_BAD_REQUEST')
})

test.each(['0', '3'])(
  'bodyFraming() refuses Transfer-Encoding beside Content-Length %s (BODY-4, SEC-40)',
  (length) => {
    const lines: HeaderField[] = [
      ['Content-Length', length],
      ['Transfer-Encoding', 'chunked'],
    ]
    for (const headers of [lines, lines.toReversed()]) {
      for (const hasBody of [true, false]) {
        expect(refusal(() => framing(headers, { hasBody }))).toBe('400 ERR_BAD_REQUEST')
      }
    }
  }
)

test.each(['1.0', '2.0', '2', '3.0'])(
  'bodyFraming() refuses Transfer-Encoding on HTTP/%s (BODY-4, SEC-42)',
  (httpVersion) => {
    const call = (): BodyFraming => framing([['Transfer-Encoding', 'chunked']], { httpVersion })
    expect(refusal(call)).toBe('400 ERR_BAD_REQUEST')
  }
)

test('bodyFraming() takes a body without a length as unknown, or answers 411 (BODY-2)', () => {
  for (const unknownLength of ['buffer', 'stream'] as const) {
    expect(framing([], { httpVersion: '2.0' }, { unknownLength })).toEqual({ type: 'unknown' })
  }
  const reject = { unknownLength: 'reject' } as const
  expect(refusal(() => framing([], {}, reject))).toBe('411 ERR_LENGTH_REQUIRED')
  expect(framing([['Content-Length', '3']], {}, reject)).toEqual({ type: 'known', length: 3 })
  expect(framing([], { hasBody: false }, reject)).toEqual({ type: 'none' })
})

test.each([
  [[], { type: 'none' }],
  [[['Content-Length', '0']], { type: 'known', length: 0 }],
  [[['Content-Length', '3']], { type: 'none' }],
  [[['Content-Length', '999999999']], { type: 'none' }],
  [[['Transfer-Encoding', 'chunked']], { type: 'none' }],
] as [HeaderField[], BodyFraming][])(
  'bodyFraming() promises nothing that a dropped body cannot give: %# (BODY-5, SEC-52)',
  (headers, framed) => {
    expect(framing(headers, { method: 'GET', hasBody: false })).toEqual(framed)
  }
)

test('bodyFraming() frames a GET with a body like any other (BODY-5, SEC-52)', () => {
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    const framed = framing([['Content-Length', '3']], { method })
    expect(framed).toEqual({ type: 'known', length: 3 })
  }
})

test('bodyTooLarge() says both sizes', () => {
  expect(bodyTooLarge(11, 10)).toMatchObject({
    code: 'ERR_BODY_TOO_LARGE',
    message: 'Cannot forward body: it is 11 bytes or more, limit is 10',
  })
})
