/**
 * The responder as a front that is played by hand sees it, the same on every runtime.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { downloadBytes, sha256 } from '../backend/download.ts'
import { eventually, logged } from '../support/deadline.ts'
import {
  exchange,
  openUwsgi,
  packet,
  packetOf,
  request,
  type UwsgiConnection,
  type Variables,
  variables,
} from '../support/uwsgi-client.ts'
import type { Seen } from './app.ts'
import { uniqueToken } from './parts/context.ts'
import { type ResponderProcess, type Runtime, startResponder } from './runtimes.ts'

const PING = Uint8Array.of(100, 0, 0, 0)
const PONG = 'd\0\0\x01'
const EARLY_ANSWERS = 20

/** What a sender offers, and what buffers may take of it when nobody reads. */
const OFFERED_BYTES = 90_000_000
const HELD_BYTES = 32_000_000
const POLL_MS = 100
/** So many polls without progress mean that a sender is held back. */
const STILL_POLLS = 5

/** Describes the responder on one runtime, on each kind of socket. */
export function describeWire(runtime: Runtime): void {
  describe.each(['fetch', 'fetch-unix'] as const)(`on ${runtime}, %s`, (served) => {
    let responder: ResponderProcess
    beforeAll(async () => {
      responder = await startResponder(runtime, { serve: [served] })
    })
    afterAll(() => responder.stop())

    const wire: Wire = {
      isUnix: served === 'fetch-unix',
      address: () => responder.url[served],
      log: () => responder.log(),
    }
    describePackets(wire)
    describeBodies(wire)
    describeResponses(wire)
    describeFronts(wire)
    describeBackPressure(wire)
  })
}

interface Wire {
  readonly isUnix: boolean
  address(): string
  log(): string
}

function describePackets({ address, log }: Wire): void {
  describe('a packet', () => {
    const bytes = Buffer.concat([
      packet([
        ['REQUEST_METHOD', 'POST'],
        ['REQUEST_URI', '/a?b'],
        ['PATH_INFO', '/a'],
        ['QUERY_STRING', 'b'],
        ['HTTP_HOST', 'h'],
        ['CONTENT_LENGTH', '3'],
        ['HTTP_X', ''],
      ]),
      Buffer.from('abc'),
    ])
    const seen = { method: 'POST', url: 'http://h/a?b', bodyLength: 3 }

    test('is read byte by byte', async () => {
      const connection = await openUwsgi(address())
      for (const byte of bytes) await connection.write(Uint8Array.of(byte))
      expect((await connection.reply()).json()).toMatchObject(seen)
    })

    test('is read in two pieces, wherever they are cut, body included', async () => {
      for (let cut = 1; cut < bytes.length; cut++) {
        const connection = await openUwsgi(address())
        await connection.write(bytes.subarray(0, cut))
        await new Promise((resolve) => setImmediate(resolve))
        await connection.write(bytes.subarray(cut))
        const reply = await connection.reply()
        expect([reply.json(), reply.ending], `cut at ${cut}`).toMatchObject([seen, 'end'])
      }
    })

    test('and the body behind it are one request: what follows is not read', async () => {
      const second = packet(variables('GET', '/second'))
      const reply = await exchange(address(), Buffer.concat([bytes, second]), 'and more')
      expect([reply.json(), reply.ending]).toMatchObject([seen, 'end'])
      expect(reply.text.match(/HTTP\/1\.1 /g)).toHaveLength(1)
      expect(log()).not.toContain('/second')
    })

    test('of 65535 bytes is read (UW-1)', async () => {
      const usual = variables('GET', '/big', [['HTTP_X', '']])
      const size = packet(usual).length - 4
      const value = 'x'.repeat(0xffff - size)
      const big = packet(variables('GET', '/big', [['HTTP_X', value]]))
      expect(big.length).toBe(4 + 0xffff)
      const seenBig: Seen = (await exchange(address(), big)).json()
      expect(seenBig.headers['x']).toBe(value)
    })

    test.each([
      ['an empty name (UW-3)', packetOf('\0\0\x01\0a')],
      ['a name that runs past the end', packetOf('\x09\0PATH_IN')],
      ['a value that runs past the end', packetOf('\x01\0a\x09\0b')],
      ['a byte too much (UW-12)', packetOf('\x01\0a\x01\0b\0')],
      ['a name and no value', packetOf('\x01\0a')],
      ['no variables', packetOf('')],
      ['no method', packet([['PATH_INFO', '/']])],
      ['a method that is none (SEC-65)', packet(variables('GET /x HTTP/1.1\r\nX: y', '/'))],
      ['a path that is none', packet(variables('GET', 'x'))],
      ['a Host that is none (SEC-12)', packet(variables('GET', '/', [['HTTP_HOST', 'a/b']]))],
      ['a scheme that is none', packet(variables('GET', '/', [['REQUEST_SCHEME', 'ftp']]))],
      ['a header with a line break', packet(variables('GET', '/', [['HTTP_X', 'a\r\nb: c']]))],
    ])('with %s is 400', async (_what, wrong) => {
      const reply = await exchange(address(), wrong)
      expect([reply.status, reply.body, reply.ending]).toEqual([400, '400 Bad Request\n', 'end'])
    })

    test.each([1, 3, 4, 5, 40])('that ends behind %i bytes is nobody’s request', async (length) => {
      const connection = await openUwsgi(address())
      await connection.write(bytes.subarray(0, length))
      connection.end()
      expect((await connection.reply()).text).toMatch(/^$|^HTTP\/1\.1 400 /)
    })

    test.each([
      [5, 0],
      [9, 0],
      [17, 0],
      [22, 0],
      [97, 0],
      [98, 0],
      [111, 0],
      [173, 0],
      [0, 1],
      [100, 1],
      [255, 255],
    ])('with modifiers %i and %i is 501 (UW-2)', async (modifier1, modifier2) => {
      const wrong = packet(variables('GET', '/modified'), modifier1, modifier2)
      const reply = await exchange(address(), wrong)
      expect([reply.status, reply.ending]).toEqual([501, 'end'])
      expect(reply.body).toBe('501 Not Implemented\n')
    })

    test('whose first bytes are HTTP is 501 at once (UW-2)', async () => {
      // `GET ` is modifier 71, 0x5445 bytes of variables that do not come, and modifier 32.
      const reply = await exchange(address(), 'GET / HTTP/1.1\r\nHost: h\r\n\r\n')
      expect([reply.status, reply.ending]).toEqual([501, 'end'])
    })

    test('that is a ping is answered', async () => {
      const reply = await exchange(address(), PING)
      expect([reply.text, reply.ending]).toEqual([PONG, 'end'])
      const connection = await openUwsgi(address())
      for (const byte of PING) await connection.write(Uint8Array.of(byte))
      expect((await connection.reply()).text).toBe(PONG)
    })

    test('that never comes is nothing to speak of', async () => {
      const before = log()
      const connection = await openUwsgi(address())
      connection.end()
      expect((await connection.reply()).text).toBe('')
      const resets = await openUwsgi(address())
      resets.destroy('reset')
      await request(address(), 'GET', '/after')
      await logged({ log }, /"GET \/after /)
      expect(log().slice(before.length)).toMatch(/^\S+ 192\.0\.2\.1 "GET \/after /)
    })
  })
}

function describeBodies({ address }: Wire): void {
  const chunked: Variables = [['HTTP_TRANSFER_ENCODING', 'chunked']]

  describe('a body', () => {
    test.each([1, 262_143, 262_144, 262_145, 5_000_000])('of %i bytes arrives', async (size) => {
      const body = downloadBytes(size)
      const seen: Seen = (await request(address(), 'POST', '/b', [], body)).json()
      expect([seen.bodyLength, seen.bodySha256]).toEqual([size, sha256(body)])
    })

    test('without CONTENT_LENGTH is decoded where it is chunked, in any pieces', async () => {
      const wire = '3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nHost: evil\r\n\r\n'
      const head = packet(variables('POST', '/b', chunked))
      const connection = await openUwsgi(address())
      await connection.write(head)
      for (const octet of wire) await connection.write(octet)
      const seen: Seen = (await connection.reply()).json()
      expect([seen.bodyLength, seen.bodySha256]).toEqual([7, sha256('abcdefg')])
      expect(seen.headers['host']).toBe('h.example')
      const once: Seen = (await exchange(address(), head, wire)).json()
      expect(once.bodySha256).toBe(seen.bodySha256)
    })

    test.each([
      'x\r\nabc\r\n0\r\n\r\n',
      '0x3\r\nabc\r\n0\r\n\r\n',
      '-3\r\nabc\r\n0\r\n\r\n',
      '3\r\nabcd\r\n0\r\n\r\n',
      'ffffffffffffffffffff\r\n',
    ])('that is chunked wrongly is 400 (SEC-44): %j', async (wire) => {
      const reply = await exchange(address(), packet(variables('POST', '/b', chunked)), wire)
      expect([reply.status, reply.ending]).toEqual([400, 'end'])
    })

    test('that ends inside a chunk, or inside its length, is no body', async () => {
      for (const [more, wire] of [
        [chunked, '5\r\nabc'],
        [[['CONTENT_LENGTH', '5']], 'abc'],
      ] as const) {
        const token = uniqueToken()
        const connection = await openUwsgi(address())
        await connection.write(packet(variables('POST', `/do/read?token=${token}`, more)))
        await connection.write(wire)
        connection.end()
        expect(await fateOf(address(), token, 'cut off')).toContain('cut off')
        connection.destroy()
      }
    })

    test('that is reset is no body', async () => {
      const token = uniqueToken()
      const connection = await openUwsgi(address())
      const length: Variables = [['CONTENT_LENGTH', '5']]
      await connection.write(packet(variables('POST', `/do/first?token=${token}`, length)))
      await connection.write('abc')
      await fateOf(address(), token, 'read 3')
      connection.destroy('reset')
      expect(await fateOf(address(), token, 'aborted')).toContain('aborted')
    })

    test.each(['gzip', 'gzip, chunked', 'chunked, chunked', 'identity'])(
      'of coding %s is 501 (SEC-41)',
      async (coding) => {
        const more: Variables = [['HTTP_TRANSFER_ENCODING', coding]]
        expect((await request(address(), 'POST', '/b', more, 'abc')).status).toBe(
          // nginx has decoded what has a length.
          200
        )
        const reply = await exchange(address(), packet(variables('POST', '/b', more)), 'abc')
        expect(reply.status).toBe(501)
      }
    )

    test.each(['+3', '-3', '3abc', '0x3', '3.0', '1e1', ' 3', '3 ', '3, 3', '9'.repeat(16)])(
      'of CONTENT_LENGTH %j is 400 (UW-8, SEC-43)',
      async (length) => {
        const more: Variables = [['CONTENT_LENGTH', length]]
        const reply = await request(address(), 'POST', '/b', more, 'abc')
        expect([reply.status, reply.ending]).toEqual([400, 'end'])
      }
    )

    test.each(['', '0'])('of CONTENT_LENGTH %j is none', async (length) => {
      const more: Variables = [['CONTENT_LENGTH', length]]
      const reply = await request(address(), 'POST', '/b', more, 'abc')
      expect(reply.json()).toMatchObject({ bodyLength: 0 })
    })

    test.each(['GET', 'HEAD', 'get', 'head'])('of %s goes unread', async (method) => {
      const reply = await request(address(), method, '/b', [], 'abc')
      expect([reply.status, reply.ending]).toEqual([200, 'end'])
    })
  })
}

function describeResponses({ address, isUnix }: Wire): void {
  const brokenOff = isUnix ? 'end' : 'reset'

  describe('a response', () => {
    test('has its length, is never chunked, and ends with the connection', async () => {
      const reply = await request(address(), 'GET', '/do/body?bytes=5&at-once')
      expect(reply.text).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-length: 5\r\n\r\naaaaa$/)
      expect(reply.ending).toBe('end')
      const long = await request(address(), 'GET', '/do/body?bytes=200000')
      expect(long.text).toBe(`HTTP/1.1 200 OK\r\n\r\n${'a'.repeat(200_000)}`)
      expect(long.ending).toBe('end')
    })

    test('is HTTP/1.1, whatever the client speaks', async () => {
      const reply = await request(address(), 'GET', '/', [['SERVER_PROTOCOL', 'HTTP/1.0']])
      expect(reply.status).toBe(200)
    })

    test('of no body has length 0, where a body could be', async () => {
      for (const [code, length] of [
        [200, '0'],
        [404, '0'],
        [204, undefined],
        [304, undefined],
      ] as const) {
        const reply = await request(address(), 'GET', `/do/status?code=${code}`)
        expect([reply.status, reply.headers['content-length'], reply.body]).toEqual([
          code,
          length,
          '',
        ])
      }
    })

    test('to HEAD has no body', async () => {
      const reply = await request(address(), 'HEAD', '/do/body?bytes=9&length=9')
      expect(reply.text).toBe('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n')
    })

    test('has one line for each cookie', async () => {
      const reply = await request(address(), 'GET', '/do/cookies')
      expect(reply.headers['set-cookie']).toBe(
        'a=1; Path=/\nb=2, 3; Expires=Sun, 06 Nov 1994 08:49:37 GMT'
      )
    })

    test('that nobody’s upload hinders arrives, every time', async () => {
      const body = Buffer.alloc(5_000_000)
      for (let i = 0; i < EARLY_ANSWERS; i++) {
        const reply = await request(address(), 'POST', '/do/early', [], body)
        expect([reply.status, reply.body, reply.ending]).toEqual([413, 'too much', 'end'])
      }
    })

    test.each([
      'fail?bytes=5',
      'fail?bytes=5&length=9',
      'fail?bytes=0&length=9',
      'body?bytes=5&length=9',
      'body?bytes=5&length=9&at-once',
    ])(`that fails is broken off, by ${brokenOff}: %s`, async (what) => {
      const reply = await request(address(), 'GET', `/do/${what}`)
      expect(reply.ending).toBe(brokenOff)
      expect(reply.body.length).toBeLessThanOrEqual(5)
    })

    test('goes out while it comes', async () => {
      const token = uniqueToken()
      const connection = await openUwsgi(address())
      await connection.write(packet(variables('GET', `/do/stream?token=${token}`)))
      await connection.until(/\r\n\r\none$/)
      await request(address(), 'GET', `/do/release?token=${token}`)
      const reply = await connection.reply()
      expect([reply.body, reply.ending]).toEqual(['onetwo', 'end'])
    })
  })
}

function describeFronts({ address, log, isUnix }: Wire): void {
  const leave = isUnix ? (['close'] as const) : (['close', 'reset'] as const)
  async function underWay(
    method: string,
    what: string,
    body = ''
  ): Promise<[UwsgiConnection, string]> {
    const token = uniqueToken()
    const connection = await openUwsgi(address())
    const length: Variables = body === '' ? [] : [['CONTENT_LENGTH', String(body.length)]]
    await connection.write(packet(variables(method, `/do/${what}?token=${token}`, length)))
    if (body !== '') await connection.write(body)
    await fateOf(address(), token, what === 'read' ? `read ${body.length}` : 'started')
    return [connection, token]
  }

  describe('a front that leaves', () => {
    describe.each(leave)('by %s', (how) => {
      test.each([
        ['GET', 'hold', ''],
        ['POST', 'read', 'abc'],
        ['POST', 'hold', 'abc'],
      ])('aborts the handler of %s %s %j', async (method, what, body) => {
        const [connection, token] = await underWay(method, what, body)
        connection.destroy(how)
        expect(await fateOf(address(), token, 'aborted')).toContain('aborted')
      })

      test.each([
        ['GET', 'stream', ''],
        ['GET', 'endless', ''],
        ['POST', 'stream', 'abc'],
        ['POST', 'endless', 'abc'],
      ])('cancels the response of %s %s %j', async (method, what, body) => {
        const [connection, token] = await underWay(method, what, body)
        await connection.until(/\r\n\r\n./s)
        connection.destroy(how)
        for (const event of ['cancelled', 'aborted']) {
          expect(await fateOf(address(), token, event)).toContain(event)
        }
      })
    })

    test('with its answer aborts nothing', async () => {
      const [connection, token] = await underWay('GET', 'hold')
      await request(address(), 'GET', `/do/release?token=${token}`)
      expect((await connection.reply()).body).toBe('released')
      await request(address(), 'GET', '/')
      expect(await fateOf(address(), token, 'started')).toEqual(['started'])
    })

    test('is nobody’s fault', async () => {
      await request(address(), 'GET', '/after-all')
      expect(log()).not.toMatch(/\/do\/(?:hold|stream|endless)\S* (?:127\.0\.0\.1|unix:): /)
      await logged({ log }, /"GET \/do\/hold\S* HTTP\/1\.1" 499 /)
    })
  })
}

function describeBackPressure({ address }: Wire): void {
  describe('back-pressure', () => {
    test('a front that does not read holds the handler back', async () => {
      const token = uniqueToken()
      const connection = await openUwsgi(address())
      connection.pause()
      await connection.write(packet(variables('GET', `/do/endless?token=${token}`)))
      const sent = await settled(async () => {
        const events = await eventsOf(address(), token)
        return Number(/^sent (\d+)$/.exec(events[1] ?? '')?.[1] ?? 0)
      })
      expect(sent).toBeGreaterThan(0)
      expect(sent).toBeLessThan(HELD_BYTES)
      connection.destroy()
    })

    test('a handler that does not read holds the front back', async () => {
      const token = uniqueToken()
      const connection = await openUwsgi(address())
      const length: Variables = [['CONTENT_LENGTH', String(OFFERED_BYTES)]]
      await connection.write(packet(variables('POST', `/do/hold?token=${token}`, length)))
      await fateOf(address(), token, 'started')
      let taken = 0
      const chunk = Buffer.alloc(65_536)
      void (async () => {
        for (; taken < OFFERED_BYTES; taken += chunk.length) await connection.write(chunk)
      })()
      expect(await settled(() => taken)).toBeLessThan(HELD_BYTES)
      connection.destroy()
    })
  })
}

/** A number, once it stands still. */
async function settled(ask: () => number | Promise<number>): Promise<number> {
  const still: number[] = []
  while (still.length < STILL_POLLS) {
    await sleep(POLL_MS)
    const now = await ask()
    if (still.at(-1) !== now || now === 0) still.length = 0
    still.push(now)
  }
  return still[0] ?? 0
}

async function eventsOf(address: string, token: string): Promise<string[]> {
  return (await request(address, 'GET', `/do/fate?token=${token}`)).json()
}

/** What has become of the request with this token, once it is what a test waits for. */
async function fateOf(address: string, token: string, event: string): Promise<string[]> {
  return await eventually(`${event} of ${token}`, async () => {
    const events = await eventsOf(address, token)
    return events.includes(event) && events
  })
}
