/**
 * Framing: where a request ends is never two parties' opinion, and nothing is read behind one whose
 * end is in doubt. HTTP/2 is not spoken here.
 *
 * @see wsgi.md 5.3
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  ask,
  dispatchedSince,
  expectCleanPackets,
  head,
  HOST,
  readAnswer,
  refusal,
  refusalForGood,
  refuse,
  refuseForGood,
  SMUGGLED,
  type Stack,
  startStack,
  valueOf,
} from './harness.ts'
import { openRaw, valuesOf } from './raw-http.ts'
import { startServe } from './serve.ts'

const POST = 'POST / HTTP/1.1'
const CHUNKED = 'Transfer-Encoding: chunked'
const NO_CHUNKS = '0\r\n\r\n'

let stack: Stack

beforeAll(async () => {
  stack = await startStack()
})
afterAll(() => stack?.stop())
afterEach(() => expectCleanPackets(stack))

/** The targets that the backend saw, once it has seen a good request behind them. */
async function seenSince(packets: number): Promise<(string | undefined)[]> {
  await ask(stack, head('GET /fence HTTP/1.1', HOST))
  return stack.relay
    .packets()
    .slice(packets)
    .map((packet) => valueOf(packet, 'REQUEST_URI'))
}

describe('serve: Content-Length and Transfer-Encoding', () => {
  test.each([
    ['CL.TE', head(POST, HOST, 'Content-Length: 5', CHUNKED)],
    ['TE.CL', head(POST, HOST, CHUNKED, 'Content-Length: 5')],
    ['CL 0 and TE', head(POST, HOST, 'Content-Length: 0', CHUNKED)],
  ])('refuses both: %s (SEC-40, SEC-47)', async (_order, bytes) =>
    expect(await refuseForGood(stack, bytes + NO_CHUNKS)).toMatchObject(refusalForGood(400))
  )

  test.each([
    'chunked, identity',
    'xchunked',
    'chunked, chunked',
    'chunked,chunked',
    'identity',
    'gzip, chunked',
    'gzip',
    '\x0bchunked',
    'chunked\x0b',
    'chunked;a=1',
    '"chunked"',
    'chunked,',
    ',chunked',
    '',
  ])('refuses Transfer-Encoding %j and closes (SEC-41, SEC-47)', async (coding) =>
    expect(
      await refuseForGood(stack, head(POST, HOST, `Transfer-Encoding: ${coding}`) + NO_CHUNKS)
    ).toMatchObject(refusalForGood(400, 501))
  )

  test('refuses Transfer-Encoding twice (SEC-41)', async () =>
    expect(
      await refuseForGood(stack, head(POST, HOST, CHUNKED, CHUNKED) + NO_CHUNKS)
    ).toMatchObject(refusalForGood(400)))

  test('reads Chunked in any case (SEC-41)', async () => {
    const bytes = `${head(POST, HOST, 'transfer-encoding:  cHUNKED ')}3\r\nabc\r\n0\r\n\r\n`
    const { environ, packet } = await ask(stack, bytes)
    expect(environ).toMatchObject({ CONTENT_LENGTH: '3', body_length: 3 })
    expect(packet.body().toString()).toBe('abc')
  })

  test.each([
    ['to be closed', []],
    ['to be kept', ['Connection: keep-alive']],
  ])('refuses it on an HTTP/1.0 connection %s, and closes (SEC-42, SEC-47)', async (_what, lines) =>
    expect(
      await refuseForGood(stack, head('POST / HTTP/1.0', HOST, ...lines, CHUNKED) + NO_CHUNKS)
    ).toMatchObject(refusalForGood(400))
  )

  test.each([
    '+3',
    '-3',
    '0x3',
    '3_0',
    '1 2',
    '3, 3',
    '3,3',
    '3.0',
    '3e0',
    'abc',
    '',
    '\xb3',
    '3;',
  ])('refuses Content-Length %j (SEC-43, SEC-47)', async (length) =>
    expect(
      await refuseForGood(stack, `${head(POST, HOST, `Content-Length: ${length}`)}abc`)
    ).toMatchObject(refusalForGood(400))
  )

  test.each([
    ['that agree', ['Content-Length: 3', 'Content-Length: 3']],
    ['that differ', ['Content-Length: 3', 'Content-Length: 4']],
    ['in any case', ['Content-Length: 3', 'CONTENT-LENGTH: 3']],
  ])('refuses two Content-Length lines %s (SEC-43, SEC-47)', async (_how, lines) =>
    expect(await refuseForGood(stack, `${head(POST, HOST, ...lines)}abc`)).toMatchObject(
      refusalForGood(400)
    )
  )

  test.each(['99999999999999999999', '18446744073709551619', '9007199254740993', '999999999999'])(
    'refuses a length of %s, which is more than any body (SEC-43)',
    async (length) => {
      expect(
        await refuse(stack, `${head(POST, HOST, `Content-Length: ${length}`)}abc`)
      ).toMatchObject(refusal(400, 413))
    }
  )

  test('passes leading zeros on without them (SEC-43)', async () => {
    const { environ } = await ask(stack, `${head(POST, HOST, 'Content-Length: 0003')}abc`)
    expect(environ).toMatchObject({ CONTENT_LENGTH: '3', body_length: 3 })
  })
})

describe('serve: chunks', () => {
  test.each([
    '0x3\r\nabc\r\n',
    '+3\r\nabc\r\n',
    '-3\r\nabc\r\n',
    ' 3\r\nabc\r\n',
    '3 \r\nabc\r\n',
    '\t3\r\nabc\r\n',
    '3_0\r\nabc\r\n',
    '\r\nabc\r\n',
    'g\r\nabc\r\n',
    'fffffffffffffffffff3\r\nabc\r\n',
    '10000000000000003\r\nabc\r\n',
    '3;a\rb\r\nabc\r\n',
    '3;a\nb\r\nabc\r\n',
    '3;a\0b\r\nabc\r\n',
    '3\r\nabc',
    '3\r\nabcd\r\n',
    '3\r\nab\r\n',
    '3\r\rabc\r\n',
  ])('refuses the chunk %j (SEC-44, SEC-47)', async (chunk) =>
    expect(await refuseForGood(stack, head(POST, HOST, CHUNKED) + chunk + NO_CHUNKS)).toMatchObject(
      refusalForGood(400)
    )
  )

  test.each([
    '',
    '3',
    '3\r\n',
    '3\r\nab',
    '3\r\nabc',
    '3\r\nabc\r\n',
    '3\r\nabc\r\n0\r\n',
    '3\r\nabc\r\n0\r\nX: y\r\n',
  ])('hands no body on that ends after %j (SEC-44)', async (part) => {
    const before = stack.relay.connections()
    const connection = await openRaw(stack.origin)
    connection.send(head(POST, HOST, CHUNKED) + part)
    connection.end()
    expect(await connection.closed()).toMatch(/^(?:HTTP\/1\.1 400 [^]*)?$/)
    expect(await dispatchedSince(stack, before)).toBe(0)
  })

  test.each(['', 'ab'])(
    'announces a body that ends after %j as longer than it is (SEC-44)',
    async (part) => {
      const connection = await openRaw(stack.origin)
      connection.send(head(POST, HOST, 'Content-Length: 3') + part)
      connection.end()
      expect(await connection.closed()).not.toContain(' 200 ')
      const packet = stack.relay.packets().at(-1)
      expect(packet === undefined ? '3' : (valueOf(packet, 'CONTENT_LENGTH') ?? '3')).toBe('3')
    }
  )

  test('reads chunks with extensions, zeros and trailers as one body (SEC-44)', async () => {
    const chunks = '0000003;x="y;z"\r\nabc\r\nA\r\n0123456789\r\n000\r\nX-T: v\r\n\r\n'
    const { environ } = await ask(stack, head(POST, HOST, CHUNKED) + chunks)
    expect(environ).toMatchObject({ CONTENT_LENGTH: '13', body_length: 13 })
    expect(environ).not.toHaveProperty('HTTP_X_T')
  })
})

describe('serve: lines', () => {
  test.each([
    ['all lines', 'GET / HTTP/1.1\nHost: h.example\n\n'],
    ['the request line', 'GET / HTTP/1.1\nHost: h.example\r\n\r\n'],
    ['a header line', 'GET / HTTP/1.1\r\nHost: h.example\nX: y\r\n\r\n'],
    ['the empty line', 'GET / HTTP/1.1\r\nHost: h.example\r\n\n'],
    ['a chunk size', `${head(POST, HOST, CHUNKED)}3\nabc\r\n${NO_CHUNKS}`],
    ['a chunk', `${head(POST, HOST, CHUNKED)}3\r\nabc\n${NO_CHUNKS}`],
    ['the last chunk', `${head(POST, HOST, CHUNKED)}3\r\nabc\r\n0\n\r\n`],
    ['the end of the chunks', `${head(POST, HOST, CHUNKED)}3\r\nabc\r\n0\r\n\n`],
    ['a trailer', `${head(POST, HOST, CHUNKED)}3\r\nabc\r\n0\r\nX: y\n\r\n`],
  ])('refuses a bare LF behind %s (SEC-45, SEC-47)', async (_where, bytes) =>
    expect(await refuseForGood(stack, bytes)).toMatchObject(refusalForGood(400))
  )

  test.each([
    ['the request line', 'GET / HTTP/1.1\rHost: h.example\r\n\r\n'],
    ['a header line', 'GET / HTTP/1.1\r\nHost: h.example\rX: y\r\n\r\n'],
    ['the empty line', 'GET / HTTP/1.1\r\nHost: h.example\r\n\r'],
  ])('refuses a bare CR behind %s (SEC-45, SEC-47)', async (_where, bytes) =>
    expect(await refuseForGood(stack, bytes)).toMatchObject(refusalForGood(400))
  )

  test.each([
    ['a space before the colon', head('GET / HTTP/1.1', HOST, 'X : y')],
    ['a tab before the colon', head('GET / HTTP/1.1', HOST, 'X\t: y')],
    ['a space before the colon of a length', head(POST, HOST, 'Content-Length : 0')],
    ['a space before the first line', head('GET / HTTP/1.1', ' X: y', HOST)],
    ['a folded line', head('GET / HTTP/1.1', HOST, 'X: y', ' z')],
    ['a folded line behind a tab', head('GET / HTTP/1.1', HOST, 'X: y', '\tz')],
    ['a folded Transfer-Encoding', head(POST, HOST, 'Transfer-Encoding:', ' chunked') + NO_CHUNKS],
    ['a line without a colon', head('GET / HTTP/1.1', HOST, 'X')],
    ['a line without a name', head('GET / HTTP/1.1', HOST, ': y')],
    ['a space in a name', head('GET / HTTP/1.1', HOST, 'X Y: z')],
  ])('refuses %s (SEC-46, SEC-47)', async (_what, bytes) =>
    expect(await refuseForGood(stack, bytes)).toMatchObject(refusalForGood(400))
  )
})

describe('serve: connections', () => {
  test('takes pipelined requests one after the other (SEC-47)', async () => {
    const before = stack.relay.events().length
    const connection = await openRaw(stack.origin)
    const targets = ['/1', '/2', '/3', '/4']
    connection.send(
      ...targets.map((target) => `${head(`POST ${target} HTTP/1.1`, HOST, 'Content-Length: 3')}abc`)
    )
    for (const target of targets) {
      const response = await connection.response()
      expect(JSON.parse(response.body.toString())).toMatchObject({ REQUEST_URI: target })
    }
    connection.reset()
    // RFC 9112 §9.3.2: only safe methods may be processed side by side.
    expect(stack.relay.events().slice(before)).toEqual(
      targets.flatMap(() => ['request', 'response'])
    )
  })

  test('answers what came before an error, and nothing behind it (SEC-47)', async () => {
    const connection = await openRaw(stack.origin)
    connection.send(head('GET /first HTTP/1.1', HOST))
    await readAnswer(stack, connection)
    const before = stack.relay.connections()
    connection.send(`${head('GET / HTTP/1.1', HOST, 'X : y')}${SMUGGLED}`)
    expect((await connection.response()).status).toBe(400)
    expect(await connection.closed()).toBe('')
    expect(await dispatchedSince(stack, before)).toBe(0)
  })

  test.each([
    ['without a Host', 400, head('GET / HTTP/1.1')],
    ['with two Hosts', 400, head('GET / HTTP/1.1', HOST, HOST)],
    ['that expects 100 for no body', 200, head('GET / HTTP/1.1', HOST, 'Expect: 100-continue')],
    ['with an expectation nobody meets', 417, head('GET / HTTP/1.1', HOST, 'Expect: x')],
    ['to close', 200, head('GET / HTTP/1.0', HOST)],
  ])(
    'dispatches a request behind one %s only to answer it (SEC-47)',
    async (_what, status, bytes) => {
      const before = stack.relay.packets().length
      const connection = await openRaw(stack.origin)
      connection.send(bytes, SMUGGLED)
      expect([status, 400]).toContain((await connection.response()).status)
      const answered = (await connection.responseOrEnd()) !== undefined
      const targets = await seenSince(before)
      expect(targets.includes('/smuggled')).toBe(answered)
      connection.reset()
    }
  )

  test.each([
    [
      'GET',
      head(
        'GET / HTTP/1.1',
        HOST,
        'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABk'
      ),
    ],
    [
      'POST',
      `${head(POST, HOST, 'Connection: Upgrade', 'Upgrade: websocket', 'Content-Length: 3')}abc`,
    ],
  ])(
    'loses no byte behind the Upgrade of a %s that is not taken (SEC-47, SEC-49)',
    async (_method, bytes) => {
      const connection = await openRaw(stack.origin)
      const next = head('GET /next HTTP/1.1', HOST)
      connection.send(bytes + next.slice(0, 20))
      const { response, environ } = await readAnswer(stack, connection)
      expect(environ).not.toHaveProperty('HTTP_UPGRADE')
      if (valuesOf(response, 'connection').includes('close')) {
        expect(await connection.closed()).toBe('')
        return
      }
      connection.send(next.slice(20))
      expect((await readAnswer(stack, connection)).environ['PATH_INFO']).toBe('/next')
      connection.reset()
    }
  )

  test.each([
    ['a request', 'Content-Length: 28', 'GET /smuggled HTTP/1.1\r\n\r\n\r\n'],
    ['50 kB', 'Content-Length: 50000', 'x'.repeat(50_000)],
    ['chunks', CHUNKED, `18\r\nGET /smuggled HTTP/1.1\r\n\r\n${NO_CHUNKS}`],
  ])(
    'answers the request behind an unread body of %s right (SEC-49)',
    async (_what, line, body) => {
      const before = stack.relay.packets().length
      for (const target of ['/raw/read?bytes=1', '/raw/respond?spec={"status":"200"}', '/%00']) {
        const connection = await openRaw(stack.origin)
        connection.send(
          head(`POST ${target} HTTP/1.1`, HOST, line),
          body,
          head('GET /next HTTP/1.1', HOST)
        )
        expect([200, 400]).toContain((await connection.response()).status)
        expect((await readAnswer(stack, connection)).environ['PATH_INFO']).toBe('/next')
        connection.reset()
      }
      const targets = await seenSince(before)
      expect(targets).not.toContain('/smuggled')
    }
  )

  test('answers 413 at once and dispatches nothing of the body (SEC-49)', async () => {
    expect(
      await refuse(stack, head(POST, HOST, 'Content-Length: 999999999999') + SMUGGLED)
    ).toMatchObject(refusal(413))
  })

  test.each([1, 2, 3])(
    'outlives a client that resets inside its request (SEC-48)',
    async (part) => {
      const bytes = `${head(POST, HOST, 'Content-Length: 9')}abc`
      for (let i = 0; i < 10; i++) {
        const connection = await openRaw(stack.origin)
        connection.send(bytes.slice(0, Math.ceil((bytes.length * part) / 3)))
        connection.reset()
      }
      expect((await ask(stack, head('GET / HTTP/1.1', HOST))).response.status).toBe(200)
    }
  )
})

describe('serve: versions and methods', () => {
  test.each([
    'HTTP/1.2',
    'HTTP/2.0',
    'HTTP/3.0',
    'HTTP/9.9',
    'HTTP/0.9',
    'http/1.1',
    'HTTP/01.1',
    'HTTP/1.01',
    'ICY/1.1',
    'HTTP/1',
    'HTTP/1,1',
    'HTTP',
    'HTTP/1.1 ',
    'HTTP/1.1\t',
    '',
  ])('refuses version %j (SEC-51)', async (version) => {
    expect(await refuse(stack, head(`GET / ${version}`, HOST))).toMatchObject(refusal(400, 505))
  })

  test.each(['GET /\r\n\r\n', `GET /\r\n${HOST}\r\n\r\n`])(
    'refuses %j, which has no version (SEC-51)',
    async (bytes) => {
      expect(await refuse(stack, bytes)).toMatchObject(refusal(400, 505))
    }
  )

  test.each(['HTTP/1.0', 'HTTP/1.1'])('hands %s on (SEC-51)', async (version) => {
    const { packet } = await ask(stack, head(`GET / ${version}`, HOST))
    expect(valueOf(packet, 'SERVER_PROTOCOL')).toBe(version)
  })

  test.each(['GET', 'HEAD', 'DELETE', 'OPTIONS'])(
    'hands the body of a %s on (SEC-52)',
    async (method) => {
      for (const [line, body] of [
        ['Content-Length: 3', 'abc'],
        [CHUNKED, '3\r\nabc\r\n0\r\n\r\n'],
      ]) {
        const { packet } = await ask(
          stack,
          `${head(`${method} / HTTP/1.1`, HOST, line ?? '')}${body}`
        )
        expect(valueOf(packet, 'CONTENT_LENGTH')).toBe('3')
        expect(packet.body().toString()).toBe('abc')
      }
    }
  )

  test.each(['CONNECT a:443', 'CONNECT h.example:80', 'CONNECT a', 'CONNECT http://a/'])(
    'answers 405 to %s and closes (SEC-31)',
    async (line) =>
      expect(await refuseForGood(stack, head(`${line} HTTP/1.1`, HOST))).toMatchObject(
        refusalForGood(400, 405)
      )
  )

  test.each([
    'CONNECT / HTTP/1.1',
    'CONNECT a:443 HTTP/1.0',
    'CONNECT a:443 HTTP/2.0',
    'CONNECT  HTTP/1.1',
    'connect a:443 HTTP/1.1',
  ])('ends the connection of %s (SEC-31)', async (line) => {
    const before = stack.relay.connections()
    const connection = await openRaw(stack.origin)
    connection.send(
      head(line, HOST, 'Expect: 100-continue', 'Content-Length: 5'),
      `hello${SMUGGLED}`
    )
    expect(await connection.closed()).toMatch(/^(?:HTTP\/1\.1 4\d\d [^]*)?$/)
    expect(await dispatchedSince(stack, before)).toBe(0)
  })

  test('keeps no socket of a CONNECT whose client stays (SEC-48)', async () => {
    const connection = await openRaw(stack.origin)
    connection.send(head('CONNECT a:443 HTTP/1.1', HOST))
    expect([400, 405]).toContain((await connection.response()).status)
    await connection.gone()
  })

  test('outlives a client that resets its CONNECT (SEC-48)', async () => {
    const one = await startServe({ upstream: stack.relay.address })
    try {
      for (let i = 0; i < 20; i++) {
        const connection = await openRaw(one.origin)
        connection.send(head('CONNECT a:443 HTTP/1.1', HOST))
        if (i % 2 === 0) await connection.response()
        connection.reset()
      }
      const { response } = await ask({ ...stack, origin: one.origin }, head('GET / HTTP/1.1', HOST))
      expect(response.status).toBe(200)
    } finally {
      await one.stop()
    }
  })

  test('outlives a CONNECT that is pipelined behind another request (SEC-47)', async () => {
    const one = await startServe({ upstream: stack.relay.address })
    try {
      const connection = await openRaw(one.origin)
      connection.send(head('GET / HTTP/1.1', HOST) + head('CONNECT a:443 HTTP/1.1', HOST))
      expect(await connection.closed()).not.toContain('101')
      const { response } = await ask({ ...stack, origin: one.origin }, head('GET / HTTP/1.1', HOST))
      expect(response.status).toBe(200)
    } finally {
      await one.stop()
    }
  })

  test.each(['TRACE', 'TRACK'])('refuses %s, and mirrors nothing (SEC-31)', async (method) => {
    const refused = await refuse(stack, head(`${method} / HTTP/1.1`, HOST, 'Cookie: secret'))
    expect(refused).toMatchObject(refusal(400, 405))
    expect(refused.response.body.toString()).not.toContain('secret')
  })

  test.each(['GET *', 'POST *', 'HEAD *'])('refuses %s (SEC-31)', async (line) => {
    expect(await refuse(stack, head(`${line} HTTP/1.1`, HOST))).toMatchObject(refusal(400))
  })

  test('answers OPTIONS * itself (SEC-31)', async () => {
    const refused = await refuse(stack, head('OPTIONS * HTTP/1.1', HOST))
    expect(refused).toMatchObject(refusal(204))
    expect(valuesOf(refused.response, 'allow')).toHaveLength(1)
    expect(valuesOf(refused.response, 'content-length')).toEqual([])
  })
})

describe('serve: Expect', () => {
  const EXPECT = 'Expect: 100-continue'

  test('sends 100 once the body is wanted, and 200 behind the body (SEC-52)', async () => {
    const connection = await openRaw(stack.origin)
    connection.send(head(POST, HOST, EXPECT, 'Content-Length: 3'))
    expect((await connection.response()).status).toBe(100)
    connection.send('abc')
    expect((await readAnswer(stack, connection)).environ['body_length']).toBe(3)
    connection.send(head('GET /next HTTP/1.1', HOST))
    expect((await readAnswer(stack, connection)).environ['PATH_INFO']).toBe('/next')
    connection.reset()
  })

  test.each([
    [413, head(POST, HOST, EXPECT, 'Content-Length: 999999999999')],
    [
      431,
      head(POST, HOST, EXPECT, 'Content-Length: 3', ...Array.from({ length: 100 }, () => 'X: y')),
    ],
    [414, head(`POST /${'a'.repeat(8192)} HTTP/1.1`, HOST, EXPECT, 'Content-Length: 3')],
    [400, head('POST /%00 HTTP/1.1', HOST, EXPECT, 'Content-Length: 3')],
    [405, head('TRACE / HTTP/1.1', HOST, EXPECT, 'Content-Length: 3')],
  ])('sends %i and no 100 before it (SEC-52)', async (status, bytes) => {
    const before = stack.relay.connections()
    const connection = await openRaw(stack.origin)
    connection.send(bytes)
    expect((await connection.response()).status).toBe(status)
    // The body may follow or not: only a closed connection keeps it from being read as a request.
    expect(await connection.closed()).toBe('')
    expect(await dispatchedSince(stack, before)).toBe(0)
  })

  test('dispatches nothing that follows where the body was not waited for (SEC-47, SEC-52)', async () =>
    expect(
      await refuseForGood(stack, head('POST /%00 HTTP/1.1', HOST, EXPECT, 'Content-Length: 3'))
    ).toMatchObject(refusalForGood(400)))

  test('sends no 100 where there is no body to wait for (SEC-52)', async () => {
    const { environ } = await ask(stack, head('GET / HTTP/1.1', HOST, EXPECT))
    expect(environ['body_length']).toBe(0)
  })

  test.each(['x', '100-continue, x', '100-continued', 'x100-continue', '200-ok'])(
    'answers 417 to Expect %j (SEC-52)',
    async (value) => {
      expect(
        await refuse(stack, `${head(POST, HOST, `Expect: ${value}`, 'Content-Length: 3')}abc`)
      ).toMatchObject(refusal(417))
    }
  )

  test('sends no 100 to HTTP/1.0 (SEC-52)', async () => {
    const bytes = `${head('POST / HTTP/1.0', HOST, EXPECT, 'Content-Length: 3')}abc`
    expect((await ask(stack, bytes)).environ['body_length']).toBe(3)
  })
})

describe('serve: slow clients', () => {
  test.each([
    ['nothing', ''],
    ['half a request line', 'GET / HT'],
    ['half a header', `GET / HTTP/1.1\r\n${HOST}\r\nX: `],
  ])('end after %s: clientHeaderTimeout (SEC-48)', async (_what, bytes) => {
    const hurried = await startServe({
      upstream: stack.relay.address,
      args: ['--client-header-timeout', '100'],
    })
    try {
      const connection = await openRaw(hurried.origin)
      connection.send(bytes)
      expect(await connection.closed()).toMatch(/^(?:HTTP\/1\.1 408 [^]*)?$/)
    } finally {
      await hurried.stop()
    }
  })

  test.each([
    ['known', 'Content-Length: 9'],
    ['unknown', CHUNKED],
  ])('end inside a body of %s length: clientBodyTimeout (SEC-48)', async (_what, line) => {
    const strict = await startServe({
      upstream: stack.relay.address,
      args: ['--client-body-timeout', '100'],
    })
    try {
      const connection = await openRaw(strict.origin)
      connection.send(`${head(POST, HOST, line)}3\r\nabc`)
      expect((await connection.response()).status).toBe(408)
      expect(await connection.closed()).toBe('')
    } finally {
      await strict.stop()
    }
  })
})
