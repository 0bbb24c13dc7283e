/**
 * Names, values and identity: what a client puts into its header never poses as the gateway's word.
 *
 * @see wsgi.md 5.1
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  ask,
  expectCleanPackets,
  head,
  HOST,
  readAnswer,
  refusal,
  refusalForGood,
  refuse,
  refuseForGood,
  refuseOrReset,
  type Stack,
  startStack,
} from './harness.ts'
import { openRaw } from './raw-http.ts'

const GET = 'GET / HTTP/1.1'

let stack: Stack
let trusting: Stack

beforeAll(async () => {
  stack = await startStack()
  trusting = await stack.also('--trusted-proxies', '127.0.0.1')
})
afterAll(() => stack?.stop())
afterEach(() => expectCleanPackets(stack))

/** The environ without what a client's header fields become, and without the client's port. */
function ofTheGateway(environ: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(environ)
  return Object.fromEntries(
    entries.filter(([name]) => !name.startsWith('HTTP_') && name !== 'REMOTE_PORT')
  )
}

/** Header lines by the number. */
function many(count: number, line: (index: number) => string): string[] {
  return Array.from({ length: count }, (_, index) => line(index))
}

describe('serve: header names', () => {
  test('drops Proxy (SEC-01)', async () => {
    const { environ } = await ask(stack, head(GET, HOST, 'Proxy: http://evil/', 'pRoXy: x'))
    expect(environ).not.toHaveProperty('HTTP_PROXY')
  })

  test.each([
    ['before', ['X-Auth_User: admin', 'X-Auth-User: bob']],
    ['behind', ['X-Auth-User: bob', 'X_Auth_User: admin']],
  ])('drops a name with an underscore %s its twin (SEC-02)', async (_where, lines) => {
    const { environ } = await ask(stack, head(GET, HOST, ...lines))
    expect(environ['HTTP_X_AUTH_USER']).toBe('bob')
  })

  test('frames nothing by Content_Length or Transfer_Encoding (SEC-03)', async () => {
    const connection = await openRaw(stack.origin)
    connection.send(head(GET, HOST, 'Content_Length: 5', 'Transfer_Encoding: chunked'))
    const { environ } = await readAnswer(stack, connection)
    expect(environ['body_length']).toBe(0)
    expect(environ['CONTENT_LENGTH'] ?? '').toBe('')
    expect(environ).not.toHaveProperty('HTTP_TRANSFER_ENCODING')
    connection.send(head('GET /next HTTP/1.1', HOST))
    expect((await readAnswer(stack, connection)).environ['PATH_INFO']).toBe('/next')
    connection.reset()
  })

  test.each(['X.Auth', 'X!Auth', "X'Auth", 'X~Auth', 'X*Auth', 'wsgi.url_scheme', '_'])(
    'drops the name %s (SEC-04)',
    async (name) => {
      const { environ, packet } = await ask(stack, head(GET, HOST, `${name}: https`))
      expect(packet.vars.map(([, value]) => value)).not.toContain('https')
      expect(environ['wsgi.url_scheme']).toBe('http')
    }
  )

  test.each(['X-\xc9', 'X-\xc3\x89', 'X"Auth', 'X(Auth', 'X@Auth', 'X\x01Auth'])(
    'refuses the name %j, which is no token (SEC-04)',
    async (name) =>
      expect(await refuseForGood(stack, head(GET, HOST, `${name}: a`))).toMatchObject(
        refusalForGood(400)
      )
  )

  test('keeps a client to HTTP_*, whatever names it chooses (SEC-05)', async () => {
    const plain = await ask(stack, head(GET, HOST))
    const names = [
      'Remote-User',
      'Remote-Addr',
      'Script-Name',
      'Path-Info',
      'Https',
      'Server-Name',
      'Request-Method',
      'Document-Root',
      'Auth-Type',
      'Uwsgi-File',
      'Uwsgi-Scheme',
      'Uwsgi-Postfile',
      'Http-Content-Length',
      'Http-Host',
      'Ssl-Client-Verify',
    ]
    const { environ } = await ask(stack, head(GET, HOST, ...names.map((name) => `${name}: /evil`)))
    expect(ofTheGateway(environ)).toEqual(ofTheGateway(plain.environ))
    for (const name of names) {
      expect(environ[`HTTP_${name.toUpperCase().replaceAll('-', '_')}`]).toBe('/evil')
    }
  })

  test('writes no HTTP_* of its own (SEC-06)', async () => {
    const bare = await ask(stack, head('GET / HTTP/1.0'))
    expect(bare.packet.vars.filter(([name]) => name.startsWith('HTTP_'))).toEqual([])
    const { packet } = await ask(stack, head('GET / HTTP/1.0', 'Session: x'))
    expect(packet.vars.filter(([name]) => name.startsWith('HTTP_'))).toEqual([
      ['HTTP_SESSION', 'x'],
    ])
  })

  test('reads no control of its own from a plain header (SEC-19)', async () => {
    const plain = await ask(stack, head(GET, HOST))
    const names = ['X-Middleware-Subrequest', 'X-Accel-Redirect', 'X-Sendfile', 'X-Edge-Wsgi']
    const { environ } = await ask(
      stack,
      head(GET, HOST, ...names.map((name) => `${name}: a:a:a:a:a`))
    )
    expect(ofTheGateway(environ)).toEqual(ofTheGateway(plain.environ))
  })
})

describe('serve: header sizes and values', () => {
  test.each([
    ['101 fields', head(GET, HOST, ...many(100, (i) => `X-${i}: a`))],
    ['101 times the same field', head(GET, HOST, ...many(100, () => 'X-D: a'))],
    ['a field of 17 kB', head(GET, HOST, `X: ${'a'.repeat(17_000)}`)],
    ['a field of 70 kB', head(GET, HOST, `X: ${'a'.repeat(70_000)}`)],
    ['66 kB in all', head(GET, HOST, ...many(66, (i) => `X-${i}: ${'a'.repeat(1000)}`))],
    ['names of 66 kB', head(GET, HOST, ...many(66, (i) => `X-${i}${'a'.repeat(1000)}: b`))],
  ])('answers 431 to %s (SEC-07)', async (_what, bytes) => {
    expect(await refuse(stack, bytes)).toMatchObject(refusal(431))
  })

  test('answers 431 to 200 000 fields and closes (SEC-07)', async () =>
    expect(
      await refuseOrReset(stack, `${GET}\r\n${HOST}\r\n${'X-D: a\r\n'.repeat(200_000)}\r\n`)
    ).toMatchObject(refusal(431, 'none')))

  test('joins 99 fields of a name once (SEC-07)', async () => {
    const { environ } = await ask(stack, head(GET, HOST, ...many(99, (i) => `X-D: ${i}`)))
    expect(environ['HTTP_X_D']).toBe(many(99, String).join(', '))
  })

  test.each([
    'a\0b',
    '\0',
    'a\nb',
    'a\rb',
    'a\r',
    'a\r\n b',
    'a\r\n\tb',
    'a\x07b',
    '\x7f',
    '\x1b[m',
  ])('refuses the value %j (SEC-08)', async (value) =>
    expect(await refuseForGood(stack, head(GET, HOST, `X: ${value}`))).toMatchObject(
      refusalForGood(400)
    )
  )

  test.each([
    'Transfer-Encoding: chunked\x85',
    'Transfer-Encoding: chunked\x0b',
    'Transfer-Encoding: \x85chunked',
    'Transfer-Encoding: chunked\xa0',
    'Content-Length: 5\x85',
    'Content-Length: 5\x0b',
    'Content-Length: \xa05',
  ])('trims SP and HTAB only: %j (SEC-09)', async (line) =>
    expect(
      await refuseForGood(stack, `${head('POST / HTTP/1.1', HOST, line)}0\r\n\r\n`)
    ).toMatchObject(refusalForGood(400, 501))
  )

  test.each([
    ['Cookie', 'a=;'.repeat(5000)],
    ['Connection', ', '.repeat(8000)],
    ['Accept', `${'a/'.repeat(8000)};`],
    ['X', `${' '.repeat(16_000)}x`],
    ['X', `a${' \t'.repeat(8000)}b`],
    ['Forwarded', `for="${'\\a'.repeat(8000)}`],
    ['Forwarded', ` ${'for=a;'.repeat(2600)}"`],
    ['X-Forwarded-For', '1.1.1.1 ,'.repeat(1800)],
    ['X-Forwarded-For', `${'['.repeat(16_000)}1`],
    ['Content-Type', 'text/plain;'.repeat(1400)],
  ])('answers a %s that a backtracking pattern would choke on (SEC-10)', async (name, value) => {
    for (const { origin } of [stack, trusting]) {
      const connection = await openRaw(origin)
      connection.send(head(GET, HOST, `${name}: ${value}`))
      expect([200, 400]).toContain((await connection.response()).status)
      connection.reset()
    }
  })

  test('never makes CR LF out of other octets (SEC-11)', async () => {
    // U+560D U+560A and U+010D U+010A in UTF-8; a truncated code unit would leave 0D 0A.
    const octets = '\xe5\x98\x8d\xe5\x98\x8a\xc4\x8d\xc4\x8a'
    const percent = '%E5%98%8D%E5%98%8A%C4%8D%C4%8A'
    const { environ } = await ask(stack, head(`GET /${percent} HTTP/1.1`, HOST, `X: ${octets}y`))
    expect(environ['HTTP_X']).toBe(`${octets}y`)
    expect(environ['PATH_INFO']).toBe(`/${octets}`)
  })
})

describe('serve: hosts', () => {
  test.each([
    'evil.com/',
    'evil.com?x',
    'evil.com#x',
    'a@h',
    'a,b',
    'a b',
    'h:99999',
    'h:8a',
    'h:-1',
    'h"<x>',
    'h\\x',
    '[::1',
    '::1',
    '[evil]',
    ':80',
    'h\xc3\xa9',
    'h%00',
    'h%2fx',
    '',
  ])('refuses Host %j (SEC-12)', async (value) => {
    expect(await refuse(stack, head(GET, `Host: ${value}`))).toMatchObject(refusal(400))
  })

  test.each([
    ['two Host lines', head(GET, HOST, 'Host: evil.example')],
    ['two Host lines that agree', head(GET, HOST, HOST)],
    ['two Host lines in HTTP/1.0', head('GET / HTTP/1.0', HOST, 'host: evil.example')],
    ['no Host in HTTP/1.1', head(GET)],
    ['no Host in HTTP/1.1 beside an absolute target', head('GET http://real.example/ HTTP/1.1')],
    [
      'a second Host line beside an absolute target',
      head('GET http://h.example/ HTTP/1.1', HOST, HOST),
    ],
  ])('refuses %s (SEC-12)', async (_what, bytes) => {
    expect(await refuse(stack, bytes)).toMatchObject(refusal(400))
  })

  test('takes HTTP/1.0 without a Host for what it is (SEC-12)', async () => {
    const { environ } = await ask(stack, head('GET / HTTP/1.0'))
    expect(environ).not.toHaveProperty('HTTP_HOST')
    expect(environ['SERVER_NAME']).toBe('127.0.0.1')
  })

  test('lets the target name the host, not the header (SEC-13)', async () => {
    const { environ } = await ask(stack, head('GET http://real.example/x HTTP/1.1', 'Host: evil'))
    expect(environ['HTTP_HOST']).toBe('real.example')
    expect(environ['SERVER_NAME']).toBe('real.example')
    expect(environ['PATH_INFO']).toBe('/x')
  })

  test.each(['//evil.com/p', '///evil.com/p', '/\\evil.com/p', '//evil.com:80@x/p'])(
    'takes no host out of the path %s (SEC-14)',
    async (target) => {
      const { environ } = await ask(stack, head(`GET ${target} HTTP/1.1`, HOST))
      expect(environ['HTTP_HOST']).toBe('h.example')
      expect(environ['SERVER_NAME']).toBe('h.example')
      expect(environ['PATH_INFO']).toBe(target.replaceAll('\\', '/'))
    }
  )
})

describe('serve: proxies', () => {
  const FAMILY = [
    'X-Forwarded-For: 1.2.3.4',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: evil.example',
    'X-Forwarded-Port: 1',
    'X-Forwarded-Ssl: on',
    'X-Forwarded-Prefix: /x',
    'Forwarded: for=1.2.3.4;proto=https',
    'X-Real-IP: 1.2.3.4',
    'X-Client-IP: 1.2.3.4',
    'True-Client-IP: 1.2.3.4',
  ]

  test('removes what an untrusted peer says of itself (SEC-15)', async () => {
    const plain = await ask(stack, head(GET, HOST))
    const { environ } = await ask(stack, head(GET, HOST, ...FAMILY))
    const { REMOTE_PORT: ours, ...seen } = environ
    const { REMOTE_PORT: theirs, ...wanted } = plain.environ
    expect(seen).toEqual(wanted)
    expect([ours, theirs]).not.toContain(undefined)
  })

  test.each([
    ['127.0.0.1, 6.6.6.6', '6.6.6.6'],
    ['6.6.6.6, 127.0.0.1', '6.6.6.6'],
    ['6.6.6.6, ::ffff:127.0.0.1', '6.6.6.6'],
    ['6.6.6.6, ::ffff:7f00:1', '6.6.6.6'],
    ['6.6.6.6, 0:0:0:0:0:0:0:1', '::1'],
    ['6.6.6.6, 256.1.1.1', '127.0.0.1'],
    ['6.6.6.6, 127.1', '127.0.0.1'],
    ['6.6.6.6, unknown', '127.0.0.1'],
    ['6.6.6.6,', '127.0.0.1'],
    ['1.2.3.4:80', '1.2.3.4'],
    ['[2001:db8::1]:80', '2001:db8::1'],
  ])('walks X-Forwarded-For %j from the right to %s (SEC-16)', async (value, addr) => {
    const { environ } = await ask(trusting, head(GET, HOST, `X-Forwarded-For: ${value}`))
    expect(environ['REMOTE_ADDR']).toBe(addr)
  })

  test.each(['javascript', 'https://evil', 'h\xc3\xa9', '', 'https\x85', 'HTTPS, evil', 'on'])(
    'takes no scheme from X-Forwarded-Proto %j (SEC-17)',
    async (value) => {
      for (const either of [stack, trusting]) {
        const { environ } = await ask(either, head(GET, HOST, `X-Forwarded-Proto: ${value}`))
        expect(environ['wsgi.url_scheme']).toBe('http')
        expect(environ).not.toHaveProperty('HTTP_X_FORWARDED_PROTO')
      }
    }
  )

  test.each([
    ['https', 'https'],
    ['HTTPS', 'https'],
    ['https, http', 'http'],
  ])('takes X-Forwarded-Proto %j of a trusted proxy for %s (SEC-17)', async (value, scheme) => {
    const { environ } = await ask(trusting, head(GET, HOST, `X-Forwarded-Proto: ${value}`))
    expect(environ['wsgi.url_scheme']).toBe(scheme)
  })

  test.each([
    'for="1.2.3.4;proto=https"',
    'for="1.2.3.4,for=6.6.6.6;proto=https"',
    'for="a\\";proto=https;b=\\""',
  ])('splits Forwarded %s outside its quotes only (SEC-18)', async (value) => {
    const { environ } = await ask(trusting, head(GET, HOST, `Forwarded: ${value}`))
    expect(environ['wsgi.url_scheme']).toBe('http')
    expect(environ['REMOTE_ADDR']).toBe('127.0.0.1')
  })

  test('keeps what Connection may not nominate (SEC-20)', async () => {
    const { environ } = await ask(
      trusting,
      head(
        GET,
        HOST,
        'Connection: close, X-Forwarded-For, Authorization, Cookie, Host, Content-Type, X-Hop',
        'X-Forwarded-For: 6.6.6.6',
        'Authorization: Basic x',
        'Cookie: a=b',
        'Content-Type: text/plain',
        'X-Hop: gone'
      )
    )
    expect(environ).toMatchObject({
      REMOTE_ADDR: '6.6.6.6',
      HTTP_AUTHORIZATION: 'Basic x',
      HTTP_COOKIE: 'a=b',
      HTTP_HOST: 'h.example',
      CONTENT_TYPE: 'text/plain',
    })
    expect(environ).not.toHaveProperty('HTTP_X_HOP')
  })
})

describe('serve: trailers', () => {
  const chunked = ['POST / HTTP/1.1', HOST, 'Transfer-Encoding: chunked', 'X-Auth: head']

  test.each(['Host: evil', 'X-Auth: evil', 'X-New: evil', 'Authorization: evil', 'Proxy: evil'])(
    'merges no %s out of a trailer (SEC-21)',
    async (trailer) => {
      const plain = await ask(stack, `${head(...chunked)}3\r\nabc\r\n0\r\n\r\n`)
      const { environ } = await ask(stack, `${head(...chunked)}3\r\nabc\r\n0\r\n${trailer}\r\n\r\n`)
      expect({ ...environ, REMOTE_PORT: '' }).toEqual({ ...plain.environ, REMOTE_PORT: '' })
    }
  )

  test.each(['Content-Length: 9', 'Transfer-Encoding: chunked', 'X: a\rb', 'X : y', 'X'])(
    'refuses a trailer %j (SEC-21)',
    async (trailer) =>
      expect(
        await refuseForGood(stack, `${head(...chunked)}3\r\nabc\r\n0\r\n${trailer}\r\n\r\n`)
      ).toMatchObject(refusalForGood(400))
  )
})
