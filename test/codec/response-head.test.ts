import { describe, expect, test } from 'vitest'
import { parseResponseHead, type ResponseHead } from '../../src/codec/response-head.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import { codeOf } from './decode.ts'

/** The head of these lines. */
function parse(lines: readonly string[], method = 'GET'): ResponseHead | string {
  try {
    return parseResponseHead(`${lines.join('\r\n')}\r\n\r\n`, method)
  } catch (error) {
    return codeOf(error)
  }
}

/** What is left of the fields behind a status line. */
function headersOf(lines: readonly string[], status = '200 OK'): readonly HeaderField[] | string {
  const head = parse([`HTTP/1.1 ${status}`, ...lines])
  return typeof head === 'string' ? head : head.headers
}

const REFUSED = 'ERR_UPSTREAM_PROTOCOL'

describe('parseResponseHead() reads the status line (UW-10)', () => {
  test.each<[string, number, string]>([
    ['HTTP/1.1 200 OK', 200, 'OK'],
    ['HTTP/1.0 404 Not Found', 404, 'Not Found'],
    ['HTTP/2.0 200 OK', 200, 'OK'],
    ['HTTP/2 200 OK', 200, 'OK'],
    ['HTTP/1.1   200 OK', 200, 'OK'],
    ['HTTP/1.1 200', 200, ''],
    ['HTTP/1.1 200 ', 200, ''],
    ['HTTP/1.1 200  two spaces', 200, ' two spaces'],
    ['HTTP/1.1 200 caf\xe9\tand \xc3\xa9', 200, 'caf\xe9\tand \xc3\xa9'],
    ['HTTP/1.1 200 Status: 404', 200, 'Status: 404'],
    ['HTTP/1.1 100 Continue', 100, 'Continue'],
    ['HTTP/1.1 599 Own', 599, 'Own'],
  ])('%j', (line, status, reason) => {
    expect(parse([line])).toMatchObject({ status, reason, headers: [] })
  })

  test.each([
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 abc OK',
    'HTTP/1.1 None',
    'HTTP/1.1 2 00',
    'HTTP/1.1 +20 OK',
    'HTTP/1.1 0x0 OK',
    'HTTP/1.1 099 Low',
    'HTTP/1.1 000 Zero',
    'HTTP/1.1 600 High',
    'HTTP/1.1 999 High',
    'HTTP/1.1 200OK',
    'HTTP/1.1 200\tOK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1200 OK',
    'HTTP/1.1',
    'HTTP/1.1 ',
    'HTTP/ 200 OK',
    'HTTP/1. 200 OK',
    'HTTP/.1 200 OK',
    'HTTP/1.1.1 200 OK',
    'HTTP/x 200 OK',
    'HTTP/1.1 200 OK\r',
    'HTTP/1.1 200 O\rK',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 O\x7fK',
    'HTTP/1.1 200 O\x1bK',
    ' HTTP/1.1 200 OK',
    'http/1.1 200 OK',
    'ICY 200 OK',
    '200 OK',
    'GET / HTTP/1.1',
    '<!doctype html>',
    '',
  ])('SEC-70, SEC-74: refuses %j', (line) => {
    expect(parse([line, 'Content-Type: text/plain'])).toBe(REFUSED)
  })

  test('SEC-74: refuses an empty head', () => {
    for (const text of ['\r\n', '\n']) {
      expect(() => parseResponseHead(text, 'GET')).toThrow('its head is empty')
    }
  })
})

describe('parseResponseHead() without a status line (CGI-2)', () => {
  test.each<[string, string[], number, string]>([
    ['Status', ['Status: 404 Not Found'], 404, 'Not Found'],
    ['Status behind other fields', ['A: b', 'Location: /x', 'Status: 201 Created'], 201, 'Created'],
    ['Status in another case', ['sTaTuS:404'], 404, ''],
    ['Status without a reason', ['Status: 200'], 200, ''],
    ['Status between tabs', ['Status:\t200\tOK\t'], 200, 'OK'],
    [
      'Status wins over Location',
      ['Location: http://h/', 'Status: 303 See Other'],
      303,
      'See Other',
    ],
    ['an absolute Location', ['Location: http://h/'], 302, 'Found'],
    ['SEC-75: a local Location is a redirect too', ['location: /internal'], 302, 'Found'],
    ['an empty Location', ['Location:'], 302, 'Found'],
    ['neither', ['Content-Type: text/plain'], 200, 'OK'],
    ['an interim Status', ['Status: 103 Early Hints'], 103, 'Early Hints'],
  ])('%s', (_what, lines, status, reason) => {
    const headers = lines
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()])
      .filter(([name]) => name?.toLowerCase() !== 'status')
    expect(parse(lines)).toMatchObject({ status, reason, headers })
  })

  test.each([
    ['two Status (CGI-3)', ['Status: 200 OK', 'status: 200 OK']],
    ['a word', ['Status: OK']],
    ['nothing', ['Status:']],
    ['two digits', ['Status: 20']],
    ['four digits', ['Status: 2000']],
    ['099', ['Status: 099']],
    ['600', ['Status: 600']],
    ['no space behind the digits', ['Status: 200OK']],
    ['a status line as value', ['Status: HTTP/1.1 200 OK']],
    ['CR in its reason', ['Status: 200 O\rK']],
  ])('refuses Status: %s', (_what, lines) => {
    expect(parse(lines)).toBe(REFUSED)
  })

  test('a status line wins over Status, which is not forwarded (CGI-3)', () => {
    expect(parse(['HTTP/1.1 200 OK', 'Status: 404 Not Found', 'A: b'])).toMatchObject({
      status: 200,
      headers: [['A', 'b']],
    })
    expect(parse(['HTTP/1.1 200 OK', 'Location: /x'])).toMatchObject({ status: 200 })
  })
})

describe('parseResponseHead() reads header fields', () => {
  test.each<[string, string[], HeaderField[]]>([
    [
      'several Set-Cookie in order',
      ['Set-Cookie: a=1', 'X: y', 'Set-Cookie: b=2, c', 'set-cookie: a=1'],
      [
        ['Set-Cookie', 'a=1'],
        ['X', 'y'],
        ['Set-Cookie', 'b=2, c'],
        ['set-cookie', 'a=1'],
      ],
    ],
    ['names as they were spelled', ['x-A_b.c: d'], [['x-A_b.c', 'd']]],
    ['every character of a token', ["!#$%&'*+-.^_`|~09azAZ: v"], [["!#$%&'*+-.^_`|~09azAZ", 'v']]],
    [
      'an empty value',
      ['A:', 'B:  \t '],
      [
        ['A', ''],
        ['B', ''],
      ],
    ],
    ['space around a value, and inside', ['A: \t b \t c \t '], [['A', 'b \t c']]],
    ['no more than SP and HTAB is trimmed (SEC-09)', ['A: \xa0b\x85'], [['A', '\xa0b\x85']]],
    ['colons in a value', ['A: b:c: d'], [['A', 'b:c: d']]],
    ['octets above 0x7F', ['A: caf\xe9 \xc3\xa9\xff'], [['A', 'caf\xe9 \xc3\xa9\xff']]],
    [
      'X- fields, X-Accel- among them',
      ['X-Accel-Redirect: /x', 'X-Frame-Options: DENY'],
      [
        ['X-Accel-Redirect', '/x'],
        ['X-Frame-Options', 'DENY'],
      ],
    ],
    ['Proxy-Authenticate', ['Proxy-Authenticate: Basic'], [['Proxy-Authenticate', 'Basic']]],
    [
      'a name that every object has',
      ['__proto__: a', 'constructor: b'],
      [
        ['__proto__', 'a'],
        ['constructor', 'b'],
      ],
    ],
  ])('keeps %s', (_what, lines, headers) => {
    expect(headersOf(lines)).toEqual(headers)
  })

  test.each<[string, string[], string[]]>([
    [
      'hop-by-hop fields',
      [
        'Connection: close',
        'Keep-Alive: timeout=5',
        'Proxy-Connection: x',
        'TE: trailers',
        'Trailer: X',
        'Upgrade: h2c',
        'A: b',
      ],
      ['A'],
    ],
    ['them in any case', ['CONNECTION: close', 'keep-alive: 5', 'A: b'], ['A']],
    ['Transfer-Encoding', ['Transfer-Encoding: chunked', 'A: b'], ['A']],
    [
      'what Connection nominates',
      ['X-Hop: 1', 'Connection: close, x-hop ,\tX-Other', 'X-Hop: 2', 'X-Other: 3', 'X-Kept: 4'],
      ['X-Kept'],
    ],
    [
      'what the second Connection nominates',
      ['Connection: close', 'Connection: X-Hop', 'X-Hop: 1', 'A: b'],
      ['A'],
    ],
    [
      'but Content-Length, which Connection cannot nominate',
      ['Connection: Content-Length', 'Content-Length: 3'],
      ['Content-Length'],
    ],
  ])('leaves out %s', (_what, lines, names) => {
    const headers = headersOf(lines)
    expect(Array.isArray(headers) && headers.map(([name]) => name)).toEqual(names)
  })

  test.each([
    ['SEC-70: obs-fold', ['A: b', ' c']],
    ['SEC-70: obs-fold with a tab', ['A: b', '\tc: d']],
    ['a folded first line', [' A: b']],
    ['SEC-71: a line without a colon', ['A']],
    ['SEC-71: a line without a colon between others', ['A: b', 'nonsense', 'C: d']],
    ['an empty name', [': b']],
    ['a space before the colon', ['A : b']],
    ['a tab before the colon', ['A\t: b']],
    ['a space in a name', ['A B: c']],
    ['a slash in a name', ['A/B: c']],
    ['an octet above 0x7F in a name', ['Caf\xe9: c']],
    ['NUL in a name', ['A\0: b']],
    ['CR in a name', ['A\r: b']],
    ['SEC-70: NUL in a value', ['A: b\0c']],
    ['SEC-70: bare CR in a value', ['A: b\rc']],
    ['SEC-70: bare CR and a field behind it', ['A: b\rSet-Cookie: c']],
    ['CR CR LF', ['A: b\r']],
    ['CR before a value', ['A:\rb']],
    ['SEC-09: a vertical tab behind a value', ['A: b\x0b']],
    ['BEL', ['A: \x07']],
    ['ESC', ['A: \x1b[0m']],
    ['DEL', ['A: \x7f']],
  ])('refuses %s', (_what, lines) => {
    expect(headersOf(lines)).toBe(REFUSED)
    expect(parse(['Status: 200', ...lines])).toBe(REFUSED)
  })

  test('CGI-1: lines may end in LF, in CR LF, or in both by turns', () => {
    for (const text of [
      'Status: 201\nA: b\n\n',
      'Status: 201\r\nA: b\n\r\n',
      'Status: 201\nA: b\r\n\n',
    ]) {
      expect(parseResponseHead(text, 'GET')).toMatchObject({ status: 201, headers: [['A', 'b']] })
    }
  })

  test('names the field but never its value in an error', () => {
    expect(() => parseResponseHead('Status: 200\nX-Key: secret\0\n\n', 'GET')).toThrow(
      /^Cannot read the upstream's response: header X-Key holds a control character$/
    )
  })
})

describe('parseResponseHead() finds the framing', () => {
  const LENGTH_5 = 'Content-Length: 5'
  const CHUNKED = 'Transfer-Encoding: chunked'

  test.each<[string, string[], string, ResponseHead['framing']]>([
    ['200 OK', [LENGTH_5], 'GET', { type: 'length', length: 5 }],
    ['200 OK', ['content-length:\t0 '], 'GET', { type: 'length', length: 0 }],
    ['200 OK', ['Content-Length: 005'], 'GET', { type: 'length', length: 5 }],
    [
      '200 OK',
      ['Content-Length: 9007199254740991'],
      'GET',
      { type: 'length', length: Number.MAX_SAFE_INTEGER },
    ],
    ['200 OK', [CHUNKED], 'GET', { type: 'chunked' }],
    ['200 OK', ['transfer-encoding: CHUNKED'], 'GET', { type: 'chunked' }],
    ['200 OK', ['Transfer-Encoding: \tchunked '], 'GET', { type: 'chunked' }],
    ['200 OK', [], 'GET', { type: 'eof' }],
    ['200 OK', [], 'head', { type: 'eof' }],
    ['500 Oops', [], 'POST', { type: 'eof' }],
    ['302 Found', ['Location: /x'], 'GET', { type: 'eof' }],
    ['200 OK', [LENGTH_5], 'HEAD', { type: 'none' }],
    ['200 OK', [CHUNKED], 'HEAD', { type: 'none' }],
    ['404 Not Found', [], 'HEAD', { type: 'none' }],
    ['204 No Content', [], 'GET', { type: 'none' }],
    ['204 No Content', [LENGTH_5], 'GET', { type: 'none' }],
    ['204 No Content', [CHUNKED], 'GET', { type: 'none' }],
    ['205 Reset Content', [LENGTH_5], 'POST', { type: 'none' }],
    ['304 Not Modified', [LENGTH_5], 'GET', { type: 'none' }],
    ['304 Not Modified', [], 'HEAD', { type: 'none' }],
    ['100 Continue', [LENGTH_5], 'GET', { type: 'none' }],
  ])('SEC-73: %s %j to %s: %j', (status, lines, method, framing) => {
    expect(parse([`HTTP/1.1 ${status}`, ...lines], method)).toMatchObject({ framing })
  })

  test.each<[string, string[], string, string[]]>([
    ['200 OK', [LENGTH_5], 'HEAD', ['5']],
    ['304 Not Modified', [LENGTH_5], 'GET', ['5']],
    ['204 No Content', [LENGTH_5], 'GET', []],
    ['205 Reset Content', ['Content-Length: 0'], 'GET', []],
  ])('Content-Length of %s %j to %s is kept where it is legal', (status, lines, method, kept) => {
    expect(parse([`HTTP/1.1 ${status}`, ...lines], method)).toMatchObject({
      headers: kept.map((length) => ['Content-Length', length]),
    })
  })

  test.each([
    ['CGI-3: two Content-Length, equal', [LENGTH_5, LENGTH_5]],
    ['CGI-3: two Content-Length, different', [LENGTH_5, 'content-length: 6']],
    ['a list of equal lengths', ['Content-Length: 5, 5']],
    ['a plus', ['Content-Length: +5']],
    ['a minus', ['Content-Length: -5']],
    ['hexadecimal', ['Content-Length: 0x5']],
    ['an underscore', ['Content-Length: 5_0']],
    ['a decimal point', ['Content-Length: 5.0']],
    ['an exponent', ['Content-Length: 5e0']],
    ['a space inside', ['Content-Length: 5 0']],
    ['a digit of latin-1', ['Content-Length: \xb3']],
    ['a no-break space behind', ['Content-Length: 5\xa0']],
    ['a word', ['Content-Length: abc']],
    ['nothing', ['Content-Length:']],
    ['a length over 2^53-1', ['Content-Length: 9007199254740992']],
    ['20 digits', ['Content-Length: 18446744073709551621']],
    ['a thousand digits', [`Content-Length: ${'9'.repeat(1000)}`]],
    ['SEC-72: Content-Length and Transfer-Encoding', [LENGTH_5, CHUNKED]],
    ['SEC-72: Transfer-Encoding and Content-Length 0', [CHUNKED, 'Content-Length: 0']],
    ['CGI-3: two Transfer-Encoding', [CHUNKED, CHUNKED]],
    ['chunked twice', ['Transfer-Encoding: chunked, chunked']],
    ['gzip and chunked', ['Transfer-Encoding: gzip, chunked']],
    ['chunked and gzip', ['Transfer-Encoding: chunked, gzip']],
    ['identity', ['Transfer-Encoding: identity']],
    ['an unknown coding', ['Transfer-Encoding: xchunked']],
    ['a coding with a parameter', ['Transfer-Encoding: chunked;q=1']],
    ['an empty coding', ['Transfer-Encoding:']],
    ['SEC-09: chunked behind a no-break space', ['Transfer-Encoding: \xa0chunked']],
    ['SEC-09: chunked behind a vertical tab', ['Transfer-Encoding: \x0bchunked']],
  ])('refuses %s', (_what, lines) => {
    expect(headersOf(lines)).toBe(REFUSED)
    // A body that must not be there is no reason to trust the rest.
    expect(headersOf(lines, '204 No Content')).toBe(REFUSED)
    expect(parse(['HTTP/1.1 200 OK', ...lines], 'HEAD')).toBe(REFUSED)
  })
})

describe('parseResponseHead() says whether the backend keeps the connection (RFC 9112 §9.3)', () => {
  test.each<[string, string[], boolean]>([
    ['HTTP/1.1 200 OK', [], true],
    ['HTTP/1.1 404 Not Found', ['Content-Length: 0'], true],
    ['HTTP/1.1 200 OK', ['Connection: keep-alive'], true],
    ['HTTP/1.1 200 OK', ['Connection: X-A, X-B'], true],
    ['HTTP/1.1 200 OK', ['Connection: closed'], true],
    ['HTTP/1.1 200 OK', ['X-Connection: close'], true],
    ['HTTP/1.1 200 OK', ['Connection: close'], false],
    ['HTTP/1.1 200 OK', ['connection: CLOSE'], false],
    ['HTTP/1.1 200 OK', ['Connection: keep-alive', 'Connection: x-a , Close'], false],
    ['HTTP/1.1 200 OK', ['Connection: keep-alive, close'], false],
    // Where the version is another, so may be what its peers do with a connection.
    ['HTTP/1.0 200 OK', [], false],
    ['HTTP/1.0 200 OK', ['Connection: keep-alive'], false],
    ['HTTP/2 200 OK', [], false],
    ['HTTP/2.0 200 OK', [], false],
    ['HTTP/1.10 200 OK', [], false],
    // CGI says nothing of connections.
    ['Status: 200 OK', [], false],
    ['Status: 200 OK', ['Connection: keep-alive'], false],
  ])('%s %j: %s', (first, lines, persistent) => {
    expect(parse([first, ...lines])).toMatchObject({ persistent })
  })
})
