/**
 * Bytes that nobody thought of: whatever a connection carries, the server outlives it, ends it once
 * the client has ended its half, and sends the backend only clean packets.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { ask, expectCleanPackets, head, HOST, type Stack, startStack } from './harness.ts'
import { openRaw } from './raw-http.ts'

/** One run of the property is as many connections at once. */
const CONNECTIONS = 8
const RUNS = 80
/** A wait for answers, most of which come; nothing is judged by it. */
const PATIENCE_MS = 50
const SEED = 20_260_101

/** Values that get far, and now and then one that should not. */
function mostly(good: readonly string[], odd: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...good) }, fc.constantFrom(...odd))
}

const method = mostly(
  ['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'M-SEARCH'],
  ['CONNECT', 'TRACE', 'PRI', 'get', 'G\0T', '']
)
const target = mostly(
  ['/', '/a?b', '/%0d%0a', '//evil/', 'http://h.example/x', '/raw/read?bytes=1', '/raw/silent'],
  ['/a%00b', '/..%2f', '*', 'a:443', '/\xe9', '/ ', '']
)
const version = mostly(['HTTP/1.1', 'HTTP/1.0'], ['HTTP/2.0', 'HTTP/0.9', 'HTTP/1.', 'ICE/1.0', ''])
const line = mostly(
  ['Cookie: a=b', 'X_Y: z', 'Proxy: x', 'X: \xff\xfe', 'Connection: keep-alive', 'Connection: x'],
  [
    HOST,
    'Host: a@b',
    'Content-Length: 99999999999999999999',
    'Transfer-Encoding: gzip, chunked',
    'Connection: close, Upgrade',
    'Upgrade: websocket',
    'Expect: 100-continue',
    'Expect: y',
    'X: a\0b',
    ' folded',
    'X : y',
    ': nameless',
  ]
)
/** Framing and body together; the odd ones lie. */
const framed = mostly(
  [
    '\r\n',
    'Content-Length: 3\r\n\r\nabc',
    'Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
    'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  ],
  [
    '',
    'Content-Length: 3\r\n\r\nab',
    'Content-Length: 0\r\n\r\nabc',
    'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding: chunked\r\n\r\nfffffff\r\nabc',
    'Transfer-Encoding: chunked\r\n\r\n0\r\nHost: x\r\n\r\n',
    'Transfer-Encoding: chunked\n\n3\nabc\n0\n\n',
  ]
)

/** A request, more or less. */
const message: fc.Arbitrary<string> = fc
  .tuple(method, target, version, fc.array(line, { maxLength: 3 }), framed)
  .map(([verb, to, protocol, lines, rest]) =>
    [`${verb} ${to} ${protocol}`, HOST, ...lines, rest].join('\r\n')
  )

const anyOctet = fc.oneof(
  fc.constantFrom(0, 9, 10, 13, 32, 44, 58),
  fc.integer({ min: 0, max: 255 })
)

/** A good request with some of its bytes replaced, put in or taken out. */
const mutation: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(
      head('GET /x?y HTTP/1.1', HOST, 'Cookie: a=b'),
      `${head('POST / HTTP/1.1', HOST, 'Content-Length: 3')}abc`,
      `${head('POST / HTTP/1.1', HOST, 'Transfer-Encoding: chunked')}3\r\nabc\r\n0\r\n\r\n`
    ),
    fc.array(fc.tuple(fc.nat(), fc.nat(2), anyOctet), { minLength: 1, maxLength: 2 })
  )
  .map(([text, edits]) => {
    let bytes = text
    for (const [where, removed, octet] of edits) {
      const at = where % (bytes.length + 1)
      const added = removed === 2 ? '' : String.fromCharCode(octet)
      bytes = bytes.slice(0, at) + added + bytes.slice(at + (removed > 0 ? 1 : 0))
    }
    return bytes
  })

const noise: fc.Arbitrary<string> = fc
  .uint8Array({ maxLength: 200 })
  .map((bytes) => String.fromCharCode(...bytes))

interface Script {
  readonly parts: readonly string[]
  readonly ending: 'end' | 'reset'
}

/** What one connection does: some writes, then an orderly end or a reset. */
const script: fc.Arbitrary<Script> = fc.record({
  parts: fc.array(
    fc.oneof({ weight: 8, arbitrary: message }, { weight: 4, arbitrary: mutation }, noise),
    { minLength: 1, maxLength: 3 }
  ),
  ending: fc.constantFrom('end', 'end', 'end', 'reset'),
})

let stack: Stack

beforeAll(async () => {
  stack = await startStack()
})
afterAll(() => stack?.stop())

async function play({ parts, ending }: Script): Promise<void> {
  const connection = await openRaw(stack.origin)
  connection.send(...parts)
  if (ending === 'reset') {
    connection.reset()
    return
  }
  // Behind the end of the client's half, Node answers nothing that takes time.
  await connection.arrived(PATIENCE_MS)
  connection.end()
  const answers = await connection.closed()
  expect(answers).toMatch(/^(?:HTTP\/1\.1 [1-5][0-9]{2} [^]*)?$/)
}

test(
  'serve outlives and ends whatever connection (SEC-47, SEC-48)',
  { timeout: 60_000 },
  async () => {
    const scripts = fc.array(script, { minLength: CONNECTIONS, maxLength: CONNECTIONS })
    const property = fc.asyncProperty(scripts, async (plays) => {
      await Promise.all(plays.map(play))
      const { environ } = await ask(stack, head('GET /good HTTP/1.1', HOST))
      expect(environ['PATH_INFO']).toBe('/good')
    })
    await fc.assert(property, { seed: SEED, numRuns: RUNS, endOnFailure: true })
    expectCleanPackets(stack)
    expect(stack.relay.packets().length).toBeGreaterThan(RUNS * 2)
  }
)
