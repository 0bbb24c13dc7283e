import { expect, test } from 'vitest'
import { GatewayError } from '../../src/core/errors.ts'
import { nativeToOctets } from '../../src/core/octets.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import { ResponseStart } from '../../src/core/start-response.ts'
import { refusal } from './support.ts'

const WRITE = async (): Promise<void> => {}
const TEXT: HeaderField = ['Content-Type', 'text/plain']
const REFUSED = '500 ERR_APPLICATION'
const TWICE = '500 ERR_RESPONSE_STARTED'

/** Calls with whatever arguments. */
function call(start: ResponseStart, ...args: readonly unknown[]): unknown {
  return Reflect.apply(start.startResponse, undefined, args)
}

/** How one call fares, such as `500 ERR_APPLICATION`. */
function outcome(...args: readonly unknown[]): string {
  return refusal(() => call(new ResponseStart(WRITE), ...args))
}

/** How a call with one header fares. */
function header(name: unknown, value: unknown): string {
  return outcome('200 OK', [[name, value]])
}

/** What a correct call has begun. */
function started(...args: readonly unknown[]): ReturnType<ResponseStart['take']> {
  const start = new ResponseStart(WRITE)
  call(start, ...args)
  return start.take()
}

/** What a call throws. */
function thrownBy(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

test('startResponse() takes status and headers, and returns write (RSP-1)', () => {
  const start = new ResponseStart(WRITE)
  expect(start.started).toBeUndefined()
  expect(call(start, '404 Not Found', [TEXT])).toBe(WRITE)
  const wanted = { status: 404, reason: 'Not Found', headers: [TEXT], length: undefined }
  expect(start.started).toEqual(wanted)
  expect(start.take()).toEqual(wanted)
})

test.each<[string, readonly unknown[]]>([
  ['nothing', []],
  ['a status alone', ['200 OK']],
  ['four arguments', ['200 OK', [], null, 1]],
  ['keywords, as Pyodide hands them over', [{ status: '200 OK', headers: [] }]],
])('startResponse() is positional and refuses %s (RSP-1)', (_, args) => {
  const start = new ResponseStart(WRITE)
  expect(refusal(() => call(start, ...args))).toBe(REFUSED)
  expect(refusal(() => start.take())).toBe(REFUSED)
  expect(() => start.take()).toThrow('positional arguments')
})

test('startResponse() refuses a second call without excInfo (RSP-2)', () => {
  for (const third of [[], [null], [undefined]]) {
    const start = new ResponseStart(WRITE)
    call(start, '200 OK', [TEXT])
    expect(refusal(() => call(start, '500 Oops', [], ...third))).toBe(TWICE)
    expect(start.started).toMatchObject({ status: 200 })
  }
})

test.each<[string, readonly unknown[]]>([
  ['a wrong status', ['abc', []]],
  ['a wrong header', ['200 OK', [['X:', 'y']]]],
  ['too few arguments', ['200 OK']],
  ['keywords', [{ status: '200 OK', headers: [] }]],
])('startResponse() refuses a second call, also where the first threw on %s (RSP-2)', (_, args) => {
  const start = new ResponseStart(WRITE)
  expect(refusal(() => call(start, ...args))).toBe(REFUSED)
  expect(refusal(() => call(start, '200 OK', [TEXT]))).toBe(TWICE)
  // Whatever the application swallows, its first breach is what the response fails with.
  expect(refusal(() => start.take())).toBe(REFUSED)
})

test('startResponse() with excInfo replaces status and all headers (RSP-3)', () => {
  const start = new ResponseStart(WRITE)
  call(start, '200 OK', [TEXT, ['X-Old', '1'], ['Content-Length', '5']])
  expect(call(start, '503 Later', [['X-New', '2']], new Error('oops'))).toBe(WRITE)
  expect(start.take()).toEqual({
    status: 503,
    reason: 'Later',
    headers: [['X-New', '2']],
    length: undefined,
  })
})

test('startResponse() with excInfo may begin, and begin again (RSP-3)', () => {
  const start = new ResponseStart(WRITE)
  call(start, '500 One', [], new Error('one'))
  call(start, '500 Two', [], new Error('two'))
  expect(start.take()).toMatchObject({ reason: 'Two' })
})

test('startResponse() with excInfo forgives what the failed attempt did wrong (RSP-3)', () => {
  const start = new ResponseStart(WRITE)
  expect(refusal(() => call(start, '200 OK\r\n', []))).toBe(REFUSED)
  expect(refusal(() => call(start, '200 OK', []))).toBe(TWICE)
  call(start, '500 Oops', [], new Error('oops'))
  expect(start.take()).toMatchObject({ status: 500 })
})

test('startResponse() with excInfo leaves nothing of the old head when it is wrong itself (RSP-3)', () => {
  const start = new ResponseStart(WRITE)
  call(start, '200 OK', [TEXT])
  expect(refusal(() => call(start, '500 Oops', 'x', new Error('oops')))).toBe(REFUSED)
  expect(start.started).toBeUndefined()
  expect(refusal(() => start.take())).toBe(REFUSED)
})

test.each<[string, (error: Error) => unknown]>([
  ['a triple', (error) => ['Error', error, null]],
  ['an error', (error) => error],
])('startResponse() with excInfo as %s throws that error once sent (RSP-4, RSP-7)', (_, form) => {
  const start = new ResponseStart(WRITE)
  call(start, '200 OK', [TEXT])
  start.take()
  const error = new RangeError('mine')
  expect(thrownBy(() => call(start, '500 Oops', [], form(error)))).toBe(error)
  expect(start.started).toMatchObject({ status: 200, headers: [TEXT] })
})

test('startResponse() checks no argument before it throws the error of the application (RSP-4)', () => {
  const start = new ResponseStart(WRITE)
  call(start, '200 OK', [])
  start.take()
  const error = new Error('mine')
  expect(thrownBy(() => call(start, 'nonsense', null, error))).toBe(error)
  expect(refusal(() => call(start, '200 OK', []))).toBe(TWICE)
})

test.each([null, undefined])('startResponse() takes excInfo %s as none (RSP-7)', (none) => {
  const start = new ResponseStart(WRITE)
  call(start, '200 OK', [], none)
  expect(refusal(() => call(start, '200 OK', [], none))).toBe(TWICE)
})

test('startResponse() copies the headers: later changes change nothing (RSP-5, SEC-78)', () => {
  const field: [string, string] = ['X-A', '1']
  const list: [string, string][] = [field]
  const start = new ResponseStart(WRITE)
  call(start, '200 OK', list)
  field[1] = 'evil\r\nX-B: 2'
  list.push(['Transfer-Encoding', 'chunked'])
  expect(start.take().headers).toEqual([['X-A', '1']])
})

/** A pair whose value changes from one reading to the next. */
function shifty(first: string, then: string): unknown[] {
  let reads = 0
  return Object.defineProperty(['X-A', ''], '1', { get: () => (reads++ === 0 ? first : then) })
}

test.each<[string, () => unknown[]]>([
  ['a getter', () => shifty('good', 'evil\r\n')],
  [
    'a Proxy',
    () => {
      const target = shifty('good', 'evil\r\n')
      return new Proxy(target, { get: (pair, key) => Reflect.get(pair, key) as unknown })
    },
  ],
])('startResponse() checks the very value that it keeps: %s (SEC-78)', (_, make) => {
  expect(started('200 OK', [make()]).headers).toEqual([['X-A', 'good']])
})

test('startResponse() reads a Proxy of a list once (SEC-78)', () => {
  const good = [['X-A', '1']]
  const evil = [['X-A', '1\r\nX-B: 2']]
  let reads = 0
  const list = new Proxy(good, {
    get: (target, key) => (key === '0' && reads++ > 0 ? evil[0] : Reflect.get(target, key)),
  })
  expect(started('200 OK', list).headers).toEqual(good)
  expect(reads).toBe(1)
})

test.each<[string, unknown]>([
  ['toString', { toString: () => 'text/plain' }],
  ['a String object', Object('text/plain')],
  ['a number', 5],
  ['null', null],
  ['undefined', undefined],
  ['bytes', new Uint8Array([65])],
  ['a list', ['a']],
])('startResponse() refuses what only turns into a string: %s (RSP-13, SEC-78)', (_, value) => {
  expect(header('X-A', value)).toBe(REFUSED)
  expect(header(value, 'a')).toBe(REFUSED)
})

test('startResponse() judges when it is called, not when the head is sent (RSP-6)', () => {
  const start = new ResponseStart(WRITE)
  expect(refusal(() => call(start, '200 OK', [['X-A', '\n']]))).toBe(REFUSED)
  // Not sent by the call: an error handler may still begin anew.
  call(start, '500 Oops', [TEXT], new Error('oops'))
  call(start, '501 Oops', [TEXT], new Error('oops'))
  expect(start.take()).toMatchObject({ status: 501 })
})

test('ResponseStart.take() refuses where nothing was begun (RSP-33)', () => {
  expect(refusal(() => new ResponseStart(WRITE).take())).toBe(REFUSED)
})

test.each<[string, number, string]>([
  ['200 OK', 200, 'OK'],
  ['200', 200, ''],
  ['200 ', 200, ''],
  ['200  two', 200, ' two'],
  ['404 Nicht da', 404, 'Nicht da'],
  ['599 a\tb~\x80\xff', 599, 'a\tb~\x80\xff'],
  ['299 200 OK', 299, '200 OK'],
])('startResponse() reads the status %j (RSP-10)', (line, status, reason) => {
  expect(started(line, [])).toMatchObject({ status, reason })
})

test.each<[unknown]>([
  [200],
  [null],
  [undefined],
  [nativeToOctets('200 OK')],
  [Object('200 OK')],
  [['200 OK']],
  [200n],
])('startResponse() refuses a status that is no string: %o (RSP-10)', (status) => {
  expect(outcome(status, [])).toBe(REFUSED)
})

test.each([
  '',
  ' ',
  'OK',
  '20 OK',
  '2000 OK',
  '20X OK',
  '200OK',
  '200\tOK',
  '200-OK',
  ' 200 OK',
  '+20 OK',
  '2e2 OK',
  '٢٠٠ OK',
  '099 Low',
  '000 Zero',
  '600 High',
  '999 High',
  'HTTP/1.1 200 OK',
])('startResponse() refuses the status %j (RSP-10)', (status) => {
  expect(outcome(status, [])).toBe(REFUSED)
})

test.each([
  '200 OK\r\nX-Inj: 1',
  '200 OK\nX-Inj: 1',
  '200 OK\rX-Inj: 1',
  '200 OK\r\n',
  '200 OK\n',
  '200\n',
  '200 \0',
  '200 \x01',
  '200 \x0b',
  '200 \x1f',
  '200 \x7f',
  '200 \u0100',
  '200 \u560d\u560aX-Inj: 1',
  '200 あ',
])('startResponse() never lets a status split: %j (RSP-11, SEC-70)', (status) => {
  expect(outcome(status, [])).toBe(REFUSED)
})

test.each(['100 Continue', '101 Switching Protocols', '103 Early Hints', '199 Own'])(
  'startResponse() refuses an interim status: %s (RSP-12)',
  (status) => {
    expect(outcome(status, [])).toBe(REFUSED)
  }
)

test.each<[string, unknown]>([
  ['Headers', new Headers({ 'x-a': '1' })],
  ['a Map', new Map([['X-A', '1']])],
  ['an object', { 'X-A': '1' }],
  ['keywords behind a status', { headers: [] }],
  ['a string', 'X-A: 1'],
  ['a Set', new Set([['X-A', '1']])],
  ['an iterator', [['X-A', '1']].values()],
  ['null', null],
  ['undefined', undefined],
  ['a flat list', ['X-A', '1']],
  ['a list of nothing', [null]],
  ['a list with a hole', Array.from({ length: 1 })],
  ['a pair of one', [['X-A']]],
  ['a pair of three', [['X-A', '1', '2']]],
  ['an empty pair', [[]]],
  ['a Map for a pair', [new Map([['X-A', '1']])]],
  ['an array-like for a pair', [{ 0: 'X-A', 1: '1', length: 2 }]],
  ['a good pair before a bad one', [TEXT, ['X-A', 1]]],
])('startResponse() wants an array of pairs, not %s (RSP-13)', (_, headers) => {
  expect(outcome('200 OK', headers)).toBe(REFUSED)
})

test.each(['X-A', 'x', 'X_A', '-X', '1', "!#$%&'*+.^_`|~x", 'ETag'])(
  'startResponse() takes the header name %j (RSP-14)',
  (name) => {
    expect(started('200 OK', [[name, 'v']]).headers).toEqual([[name, 'v']])
  }
)

test.each([
  '',
  'X-',
  'X_',
  'X A',
  ' X',
  'X ',
  'X:',
  'X:Y',
  'Status',
  'status',
  'STATUS',
  'X\t',
  'X"',
  'X(',
  'X/Y',
  'X\xe9',
  'X\u0100',
])('startResponse() refuses the header name %j (RSP-14)', (name) => {
  expect(header(name, 'v')).toBe(REFUSED)
})

test.each(['X\r\nY', 'X\n', 'X\r', 'X\0', 'X\x7f', '\nX', 'X: y\r\nSet-Cookie'])(
  'startResponse() never lets a header name split: %j (SEC-70)',
  (name) => {
    expect(header(name, 'v')).toBe(REFUSED)
  }
)

test.each([
  ['', ''],
  ['a', 'a'],
  [' \t a\tb c \t', 'a\tb c'],
  ['~!"', '~!"'],
  ['\x80\x85\xa0\xff', '\x80\x85\xa0\xff'],
  ['caf\xc3\xa9', 'caf\xc3\xa9'],
])('startResponse() takes the header value %j as %j (RSP-15)', (value, kept) => {
  expect(started('200 OK', [['X-A', value]]).headers).toEqual([['X-A', kept]])
})

test.each([
  'a\r\n',
  'a\n',
  '\r\na',
  'a\r\nSet-Cookie: x',
  'a\rb',
  'a\r\n b',
  '\0',
  '\x01',
  '\x08',
  '\x0b',
  '\x0c',
  '\x1b[2J',
  '\x1f',
  '\x7f',
  '\u0100',
  '\u560d\u560a',
  'あ',
  '\ud800',
])('startResponse() refuses the header value %j, and never trims it (RSP-15, SEC-70)', (value) => {
  expect(header('X-A', value)).toBe(REFUSED)
})

test.each([
  'Connection',
  'Keep-Alive',
  'Proxy-Authenticate',
  'Proxy-Authorization',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Trailers',
  'Transfer-Encoding',
  'Upgrade',
])('startResponse() refuses the hop-by-hop header %s in any case (RSP-16)', (name) => {
  for (const spelled of [name, name.toLowerCase(), name.toUpperCase()]) {
    expect(header(spelled, 'x')).toBe(REFUSED)
  }
})

test.each<[readonly string[], number, string]>([
  [['0'], 0, '0'],
  [['5'], 5, '5'],
  [[' 5\t'], 5, '5'],
  [['005'], 5, '5'],
  [['5', '5'], 5, '5'],
  [['5', '05', '5'], 5, '5'],
  [['0', '0'], 0, '0'],
  [['9007199254740991'], Number.MAX_SAFE_INTEGER, '9007199254740991'],
])('startResponse() reads Content-Length %j as one (RSP-17)', (values, length, text) => {
  const headers = values.map((value, i) => [i === 0 ? 'Content-Length' : 'content-length', value])
  expect(started('200 OK', [TEXT, ...headers])).toMatchObject({
    length,
    headers: [TEXT, ['Content-Length', text]],
  })
})

test.each([
  [['']],
  [['abc']],
  [['-1']],
  [['+1']],
  [['1.0']],
  [['1e3']],
  [['0x3']],
  [['1_0']],
  [['1 0']],
  [['1, 1']],
  [['5,']],
  [['٣']],
  [['³']],
  [['9007199254740992']],
  [['99999999999999999999']],
  [['5', '6']],
  [['0', '5']],
  [['5', '0']],
  [['5', '5', '6']],
  [['5', 'abc']],
])('startResponse() refuses Content-Length %j (RSP-17)', (values) => {
  const headers = values.map((value) => ['Content-Length', value])
  expect(outcome('200 OK', headers)).toBe(REFUSED)
})

test('startResponse() keeps duplicates apart and in order (RSP-18)', () => {
  const headers = [
    ['Set-Cookie', 'a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT'],
    ['X-B', '1'],
    ['set-cookie', 'b=2'],
    ['X-A', '2'],
    ['X-B', '3'],
  ]
  expect(started('200 OK', headers).headers).toEqual(headers)
})

test.each<[string, HeaderField[]]>([
  ['no Content-Type (RSP-19)', []],
  ['X-Accel-Redirect and its like (RSP-20, SEC-76)', [['X-Accel-Redirect', '/internal']]],
  ['Date and Server of the application (RSP-21)', [['Date', 'today']]],
])('startResponse() neither adds nor removes: %s', (_, headers) => {
  expect(started('200 OK', headers).headers).toEqual(headers)
})

test('startResponse() throws a GatewayError that quotes no header value (SEC-79)', () => {
  const error = thrownBy(() => call(new ResponseStart(WRITE), '200 OK', [['X-A', 'secret\n']]))
  expect(error).toBeInstanceOf(GatewayError)
  expect((error as Error).message).toContain('X-A')
  expect((error as Error).message).not.toContain('secret')
})

test('ResponseStart keeps the first of several breaches', () => {
  const start = new ResponseStart(WRITE)
  const first = thrownBy(() => call(start, 'abc', []))
  thrownBy(() => call(start, '200 OK', []))
  expect(thrownBy(() => start.take())).toBe(first)
})

test('ResponseStart keeps no error of the application as a breach (RSP-4)', () => {
  const start = new ResponseStart(WRITE)
  call(start, '200 OK', [])
  start.take()
  expect(() => call(start, '500 Oops', [], new Error('mine'))).toThrow('mine')
  expect(start.take()).toMatchObject({ status: 200 })
})
