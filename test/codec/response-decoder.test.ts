import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ResponseDecoder } from '../../src/codec/response-decoder.ts'
import { codeOf, decodeResponse, type ResponseOutcome } from './decode.ts'
import { byteByByte, cutAt, cutBytes, everyCut, joined, octets, text } from './wire.ts'

/** Decodes whole, byte by byte and at every cut, and says that all agree. */
function decodeEveryWay(wire: string, method = 'GET', upgrade?: string): ResponseOutcome {
  const decode = (chunks: readonly Uint8Array[]): ResponseOutcome =>
    decodeResponse(chunks, method, undefined, upgrade)
  const bytes = octets(wire)
  const whole = decode([bytes])
  const ways = bytes.length < 1000 ? [...everyCut(bytes), byteByByte(bytes)] : [byteByByte(bytes)]
  for (const chunks of ways) expect(decode(chunks)).toEqual(whole)
  return whole
}

const OK = 'HTTP/1.1 200 OK\r\n'
const HELLO = `${OK}Content-Length: 5\r\n\r\nhello`
const REFUSED: ResponseOutcome = { error: 'ERR_UPSTREAM_PROTOCOL' }
const TRUNCATED = 'ERR_UPSTREAM_TRUNCATED'

describe('ResponseDecoder and a 101 that was asked for (UW-10)', () => {
  const SWITCHING = 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n'
  const FRAMES = '\x81\x05hello\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\x88\0'

  test.each([
    ['frames behind it', SWITCHING, FRAMES],
    ['nothing behind it', SWITCHING, undefined],
    ['an interim response before it', `HTTP/1.1 100 X\r\n\r\n${SWITCHING}`, FRAMES],
  ])('takes all to the end of the connection for the other protocol: %s', (_what, head, body) => {
    const wire = `${head}UPGRADE: WebSocket\r\nX-A: a\r\n\r\n${body ?? ''}`
    const outcome = decodeEveryWay(wire, 'GET', 'websocket')
    expect(outcome).toEqual({
      status: 101,
      reason: 'Switching',
      headers: [['X-A', 'a']],
      framing: 'eof',
      ...(body === undefined ? {} : { body }),
      end: 'with the connection',
    })
  })

  test.each([
    ['to nothing', ''],
    ['to something else', 'Upgrade: h2c\r\n'],
    ['to two things', 'Upgrade: websocket\r\nUpgrade: h2c\r\n'],
    ['with a length', 'Upgrade: websocket\r\nContent-Length: 0\r\n'],
    ['in chunks', 'Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n'],
  ])('refuses one %s', (_what, fields) => {
    expect(decodeEveryWay(`${SWITCHING}${fields}\r\n`, 'GET', 'websocket')).toEqual(REFUSED)
  })

  test('takes any other answer as it is', () => {
    expect(decodeEveryWay(HELLO, 'GET', 'websocket')).toEqual(decodeEveryWay(HELLO))
  })
})

describe('ResponseDecoder and interim responses (UW-10, SEC-77)', () => {
  const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
  const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nSet-Cookie: early=1\r\n\r\n'

  test.each([
    ['100', CONTINUE],
    ['103 with fields, of which none is kept', HINTS],
    ['102, 199, and one of CGI', 'HTTP/1.1 102 X\r\n\r\nHTTP/1.1 199 Y\r\n\r\nStatus: 103\n\n'],
    ['one with a length, which it cannot have', 'HTTP/1.1 100 X\r\nContent-Length: 9\r\n\r\n'],
    ['ten', CONTINUE.repeat(10)],
  ])('skips %s', (_what, interim) => {
    expect(decodeEveryWay(interim + HELLO)).toMatchObject({
      status: 200,
      headers: [['Content-Length', '5']],
      body: 'hello',
      end: 'in the bytes',
    })
  })

  test.each([
    ['eleven', CONTINUE.repeat(11) + HELLO],
    ['more and more', HINTS.repeat(500)],
    [
      '101, for which nobody asked',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\0',
    ],
    ['101 by Status', 'Status: 101 Switching Protocols\r\n\r\n'],
    ['101 behind 100', `${CONTINUE}HTTP/1.1 101 Switching Protocols\r\n\r\n`],
    ['a malformed one', `HTTP/1.1 100 Continue\r\nnonsense\r\n\r\n${HELLO}`],
    ['an empty line behind one', `${CONTINUE}\r\n${HELLO}`],
  ])('refuses %s', (_what, wire) => {
    expect(decodeEveryWay(wire)).toEqual(REFUSED)
  })

  test.each(['', 'HTTP/1.1 2', OK])(
    'ends inside the response behind an interim one: %j',
    (wire) => {
      expect(decodeEveryWay(CONTINUE + wire)).toEqual({ error: TRUNCATED })
    }
  )
})

describe('ResponseDecoder limits the head (SEC-77)', () => {
  /** A head of exactly `size` bytes. */
  function headOf(size: number): string {
    return `${OK}X: ${'x'.repeat(size - OK.length - 7)}\r\n\r\n`
  }

  test('to 64 KiB, counted with its empty line, by byte too: the work is linear', () => {
    expect(headOf(65_536)).toHaveLength(65_536)
    expect(decodeEveryWay(`${headOf(65_536)}hello`)).toMatchObject({ status: 200, body: 'hello' })
    expect(decodeEveryWay(`${headOf(65_537)}hello`)).toEqual(REFUSED)
  })

  test.each([
    ['a header bomb of 1 MB', OK + 'X-D: a\r\n'.repeat(125_000)],
    ['a line without end', OK + 'x'.repeat(100_000)],
    ['a status line without end', 'HTTP/1.1 200 '.padEnd(100_000, 'x')],
    ['empty lines of CR without end', '\r'.repeat(100_000)],
  ])('and refuses %s before its end', (_what, wire) => {
    expect(decodeEveryWay(wire)).toEqual(REFUSED)
  })

  test.each([
    ['in front of a value', `${' '.repeat(65_000)}b`, 'b'],
    ['inside a value', `a${' '.repeat(65_000)}b`, `a${' '.repeat(65_000)}b`],
    ['of spaces and tabs behind a value', `b${' \t'.repeat(32_500)}`, 'b'],
  ])('and takes 65000 bytes of whitespace %s (SEC-10)', (_what, written, value) => {
    expect(decodeEveryWay(`${OK}A: ${written}\r\nContent-Length: 0\r\n\r\n`)).toMatchObject({
      headers: [
        ['A', value],
        ['Content-Length', '0'],
      ],
      end: 'in the bytes',
    })
  })

  test('to maxHeadBytes, for each head alone', () => {
    const interim = 'HTTP/1.1 100 Continue\r\nX: yyyyyyyyyy\r\n\r\n'
    for (const chunks of [[octets(interim + HELLO)], byteByByte(octets(interim + HELLO))]) {
      expect(decodeResponse(chunks, 'GET', 39)).toEqual(REFUSED)
      expect(decodeResponse(chunks, 'GET', 40)).toMatchObject({ body: 'hello' })
    }
    // 38 bytes of head; what follows it does not count.
    expect(decodeResponse([octets(HELLO)], 'GET', 38)).toMatchObject({ body: 'hello' })
    expect(decodeResponse([octets(HELLO)], 'GET', 37)).toEqual(REFUSED)
  })
})

describe('ResponseDecoder finds the end (SEC-73)', () => {
  test.each<[string, string, string, ResponseOutcome]>([
    ['Content-Length', HELLO, 'GET', { body: 'hello', end: 'in the bytes' }],
    ['Content-Length 0', `${OK}Content-Length: 0\r\n\r\nX`, 'GET', { end: 'in the bytes' }],
    ['bytes over Content-Length', `${HELLO}EXTRA`, 'GET', { body: 'hello', end: 'in the bytes' }],
    ['a second response', HELLO + HELLO, 'GET', { body: 'hello', end: 'in the bytes' }],
    [
      'a second final head',
      `${OK}Content-Length: 0\r\n\r\nHTTP/1.1 500 X\r\n\r\n`,
      'GET',
      { status: 200, end: 'in the bytes' },
    ],
    [
      'a second head as a body',
      `${OK}\r\nHTTP/1.1 500 X\r\n\r\n`,
      'GET',
      { status: 200, body: 'HTTP/1.1 500 X\r\n\r\n', end: 'with the connection' },
    ],
    [
      'an interim response behind the end',
      `${HELLO}HTTP/1.1 100 X\r\n\r\n`,
      'GET',
      { status: 200, body: 'hello', end: 'in the bytes' },
    ],
    [
      'the last chunk',
      `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nEXTRA`,
      'GET',
      { body: 'ab', end: 'in the bytes' },
    ],
    [
      'trailers, not merged (SEC-21)',
      `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nX-Auth: a\r\n\r\n`,
      'GET',
      { headers: [], end: 'in the bytes' },
    ],
    ['EOF', `${OK}\r\nhello`, 'GET', { body: 'hello', end: 'with the connection' }],
    ['EOF, no body', `${OK}\r\n`, 'GET', { end: 'with the connection' }],
    ['HEAD', HELLO, 'HEAD', { headers: [['Content-Length', '5']], end: 'in the bytes' }],
    [
      'HEAD, garbage for a chunked body',
      `${OK}Transfer-Encoding: chunked\r\n\r\nzz`,
      'HEAD',
      { end: 'in the bytes' },
    ],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\nhello', 'GET', { end: 'in the bytes' }],
    ['205', 'HTTP/1.1 205 Reset Content\r\n\r\nhello', 'POST', { end: 'in the bytes' }],
    [
      '304',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
      'GET',
      { end: 'in the bytes' },
    ],
    [
      'SEC-75: a redirect to a local path, with its body',
      'Location: /internal\r\n\r\nbody',
      'GET',
      { status: 302, body: 'body', end: 'with the connection' },
    ],
  ])('%s', (_what, wire, method, expected) => {
    const outcome = decodeEveryWay(wire, method)
    expect(outcome).toMatchObject(expected)
    expect([outcome.body, outcome.error]).toEqual([expected.body, undefined])
  })

  test.each<[string, string, ResponseOutcome]>([
    ['UW-11: before the first byte', '', { error: 'ERR_UPSTREAM_EMPTY' }],
    ['in the status line', 'HTTP/1.', { error: TRUNCATED }],
    ['in a bare body without a line end', 'hello', { error: TRUNCATED }],
    ['behind the status line', OK, { error: TRUNCATED }],
    ['in the empty line', `${OK}\r`, { error: TRUNCATED }],
    ['before the body', `${OK}Content-Length: 5\r\n\r\n`, { status: 200, error: TRUNCATED }],
    [
      'a byte before the end',
      `${OK}Content-Length: 5\r\n\r\nhell`,
      { body: 'hell', error: TRUNCATED },
    ],
    [
      'before the first chunk',
      `${OK}Transfer-Encoding: chunked\r\n\r\n`,
      { status: 200, error: TRUNCATED },
    ],
    [
      'before the last chunk',
      `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n`,
      { body: 'ab', error: TRUNCATED },
    ],
    [
      'before the line end of the last chunk',
      `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n`,
      { error: TRUNCATED },
    ],
  ])('and EOF is an error %s', (_what, wire, expected) => {
    const outcome = decodeEveryWay(wire)
    expect(outcome).toMatchObject(expected)
    expect([outcome.body, outcome.end]).toEqual([expected.body, undefined])
  })

  test.each<[string, string, ResponseOutcome]>([
    ['UW-11: a body without a head', 'hello\r\n\r\n', {}],
    ['an empty head', '\r\nhello', {}],
    ['a line of one byte, which is not the empty one', `${OK}x\nA: b\r\n\r\n`, {}],
    ['a broken chunk', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0x1\r\n`, { body: 'ab' }],
    [
      'a chunk over its size',
      `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n`,
      { body: 'ab' },
    ],
    ['a body that is not chunked', `${OK}Transfer-Encoding: chunked\r\n\r\n{"a":1}\r\n`, {}],
  ])('and refuses %s', (_what, wire, expected) => {
    const outcome = decodeEveryWay(wire)
    expect(outcome).toMatchObject({ ...expected, ...REFUSED })
    expect([outcome.body, outcome.end]).toEqual([expected.body, undefined])
  })
})

/** The error for a connection that is closed behind `wire`. */
function errorAfter(wire: string): string {
  const decoder = new ResponseDecoder({ method: 'GET' })
  decoder.push(octets(wire))
  try {
    decoder.pushEnd()
  } catch (error) {
    return `${codeOf(error)} ${(error as Error).message}`
  }
  return ''
}

describe('ResponseDecoder', () => {
  test('tells whether a byte has arrived, and whether the response is complete', () => {
    const decoder = new ResponseDecoder({ method: 'GET' })
    const seen: boolean[][] = []
    for (const part of ['', HELLO.slice(0, 1), HELLO.slice(1, -1), 'o', 'EXTRA']) {
      decoder.push(octets(part))
      seen.push([decoder.received, decoder.complete])
    }
    expect(seen).toEqual([
      [false, false],
      [true, false],
      [true, false],
      [true, true],
      [true, true],
    ])
    decoder.pushEnd()
    expect(decoder.complete).toBe(true)
  })

  test('throws its first error again, whatever follows', () => {
    const decoder = new ResponseDecoder({ method: 'GET' })
    expect(() => decoder.push(octets('nonsense\r\n\r\n'))).toThrow('has no valid name')
    expect(() => decoder.push(octets(HELLO))).toThrow('has no valid name')
    expect(() => decoder.pushEnd()).toThrow('has no valid name')
    expect([decoder.next(), decoder.complete]).toEqual([undefined, false])
  })

  test('says where the connection was closed', () => {
    expect(errorAfter(OK)).toContain('inside the head of its response, after 17 bytes')
    expect(errorAfter(HELLO.slice(0, -2))).toContain('2 bytes before the end of its response')
    expect(errorAfter(`${OK}Transfer-Encoding: chunked\r\n\r\n`)).toContain('before the last chunk')
    expect(errorAfter('')).toContain('without an answer')
  })
})

describe('ResponseDecoder, any input', () => {
  const piece = fc.uint8Array({ minLength: 1, maxLength: 60 })
  const offsets = fc.array(fc.nat(900), { maxLength: 40 })

  test('no body byte is invented or lost under any framing, whatever the chunks', () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.constantFrom('length', 'chunked', 'eof'),
        piece,
        offsets,
        (pieces, framing, more, cuts) => {
          const body = joined(...pieces)
          const coded = pieces
            .map((data) => `${data.length.toString(16)}\r\n${text(data)}\r\n`)
            .join('')
          const wire = {
            length: `${OK}Content-Length: ${body.length}\r\n\r\n${text(body)}${text(more)}`,
            chunked: `${OK}Transfer-Encoding: chunked\r\n\r\n${coded}0\r\n\r\n${text(more)}`,
            eof: `${OK}\r\n${text(body)}`,
          }[framing]
          const bytes = octets(wire ?? '')
          const chunks = cutAt(
            bytes,
            cuts.filter((offset) => offset < bytes.length)
          )
          const outcome = decodeResponse(chunks)
          expect(outcome.body ?? '').toBe(text(body))
          expect(outcome.end).toBe(framing === 'eof' ? 'with the connection' : 'in the bytes')
        }
      )
    )
  })

  /** Lines that are valid, nearly valid, and not: what random bytes would never hit. */
  const line = fc.constantFrom(
    'HTTP/1.1 200 OK',
    'HTTP/1.1 100 X',
    'HTTP/1.1 204 X',
    'HTTP/1.1 999 X',
    'HTTP/1.1 101 X',
    'Status: 302',
    'Content-Length: 3',
    'Content-Length: 0',
    'Content-Length: x',
    'Transfer-Encoding: chunked',
    'A: b',
    'Location: /',
    'Connection: a',
    ' folded',
    'no colon',
    '',
    '',
    '',
    '3',
    'abc',
    '0',
    'a\0b',
    'a\rb: c'
  )
  const lineEnd = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r', '')
  const nearly = fc
    .array(fc.tuple(line, lineEnd), { maxLength: 12 })
    .map((lines) => octets(lines.flat().join('')))

  test('decodes or throws a GatewayError, the same for all cuts', () => {
    const seen = new Map<string, number>()
    fc.assert(
      fc.property(
        cutBytes(fc.oneof({ weight: 9, arbitrary: nearly }, fc.uint8Array({ maxLength: 300 }))),
        fc.constantFrom('GET', 'HEAD'),
        ({ bytes, chunks }, method) => {
          // decodeResponse() throws on what is not a GatewayError, and on events out of order.
          const whole = decodeResponse([bytes], method)
          expect(decodeResponse(chunks, method)).toEqual(whole)
          expect((whole.end === undefined) !== (whole.error === undefined)).toBe(true)
          const kind = whole.error ?? whole.end ?? ''
          seen.set(kind, (seen.get(kind) ?? 0) + 1)
        }
      ),
      { numRuns: 5000 }
    )
    // The inputs must come to every end, or the property proves little.
    expect([...seen.keys()].toSorted()).toEqual([
      'ERR_UPSTREAM_EMPTY',
      'ERR_UPSTREAM_PROTOCOL',
      'ERR_UPSTREAM_TRUNCATED',
      'in the bytes',
      'with the connection',
    ])
  })
})

/** What it says behind every byte, and at the end, for every cut of the bytes. */
function isReusable(wire: string, method = 'GET', end = false): boolean {
  const bytes = octets(wire)
  const answers = [...everyCut(bytes), byteByByte(bytes)].map((chunks) => {
    const decoder = new ResponseDecoder({ method })
    for (const chunk of chunks) {
      decoder.push(chunk)
      // Before its end a connection is in use, whatever the head said.
      if (!decoder.complete) expect(decoder.reusable).toBe(false)
    }
    if (end) decoder.pushEnd()
    expect(decoder.complete).toBe(true)
    return decoder.reusable
  })
  expect(new Set(answers).size).toBe(1)
  return answers[0] === true
}

describe('ResponseDecoder.reusable', () => {
  const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

  test.each<[string, string, string]>([
    ['Content-Length', HELLO, 'GET'],
    ['Content-Length 0', `${OK}Content-Length: 0\r\n\r\n`, 'GET'],
    ['chunks', `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, 'GET'],
    ['chunks and trailers', `${CHUNKED}0\r\nX-A: b\r\n\r\n`, 'GET'],
    ['nothing, to HEAD', `${OK}Content-Length: 5\r\n\r\n`, 'HEAD'],
    ['nothing, to HEAD, chunked', CHUNKED, 'HEAD'],
    ['nothing, by 204', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET'],
    ['nothing, by 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', 'GET'],
    ['Content-Length behind an interim response', `HTTP/1.1 100 Continue\r\n\r\n${HELLO}`, 'GET'],
  ])('behind a response that ends by %s', (_what, wire, method) => {
    expect(isReusable(wire, method)).toBe(true)
  })

  test.each<[string, string, string]>([
    ['Content-Length', `${HELLO}!`, 'GET'],
    ['Content-Length 0', `${OK}Content-Length: 0\r\n\r\n\r\n`, 'GET'],
    ['chunks', `${CHUNKED}0\r\n\r\n!`, 'GET'],
    ['a body to HEAD', HELLO, 'HEAD'],
    ['a body with 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello', 'GET'],
    ['another response', HELLO + HELLO, 'GET'],
  ])('not where bytes came behind it: %s', (_what, wire, method) => {
    expect(isReusable(wire, method)).toBe(false)
  })

  test.each<[string, string]>([
    ['Connection: close', HELLO.replace('\r\n', '\r\nConnection: close\r\n')],
    ['HTTP/1.0', HELLO.replace('1.1', '1.0')],
    ['no status line', 'Content-Length: 5\r\n\r\nhello'],
    ['HTTP/1.0 behind an interim HTTP/1.1', `HTTP/1.1 100 C\r\n\r\n${HELLO.replace('1.1', '1.0')}`],
  ])('not with %s', (_what, wire) => {
    expect(isReusable(wire)).toBe(false)
  })

  test('not where its end is the end of the connection', () => {
    expect(isReusable(`${OK}\r\nhello`, 'GET', true)).toBe(false)
  })

  test('not behind a response that is refused or cut', () => {
    const cut = new ResponseDecoder({ method: 'GET' })
    cut.push(octets(HELLO.slice(0, -1)))
    expect(() => cut.pushEnd()).toThrow('1 bytes before the end')
    const refused = new ResponseDecoder({ method: 'GET' })
    expect(() => refused.push(octets(`${OK}nonsense\r\n\r\n`))).toThrow('no valid name')
    expect([cut.reusable, refused.reusable]).toEqual([false, false])
  })
})
