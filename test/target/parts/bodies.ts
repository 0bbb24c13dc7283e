/**
 * Request bodies: framing, limits, and many at once.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { openRaw, send, sendRaw } from '../../support/http-client.ts'
import { type Environ, environOf, type SuiteContext } from './context.ts'

const PARALLEL = 100

/** Describes request bodies. */
export function describeBodies(context: SuiteContext): void {
  const { differs } = context
  async function origin(): Promise<string> {
    return (await context.deployment()).origin
  }
  async function post(headers: string, body: string): Promise<string> {
    return await sendRaw(
      await origin(),
      `POST /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n${body}`
    )
  }

  describe('request bodies', () => {
    test('Content-Length counts what follows', async () => {
      const seen = await environOf(await origin(), { target: '/b', body: 'caf\xe9\0' })
      expect(seen).toMatchObject({ CONTENT_LENGTH: '5', body_length: 5 })
      expect(seen).not.toHaveProperty('HTTP_CONTENT_LENGTH')
    })

    test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s may have one', async (method) => {
      const seen = await environOf(await origin(), { method, target: '/b', body: 'abc' })
      expect(seen).toMatchObject({ REQUEST_METHOD: method, CONTENT_LENGTH: '3', body_length: 3 })
    })

    test('an empty one has length 0', async () => {
      const seen = await environOf(await origin(), { method: 'POST', target: '/b', body: '' })
      expect(seen).toMatchObject({ CONTENT_LENGTH: '0', body_length: 0 })
    })

    test('a GET with one promises what it brings', async () => {
      const seen = await environOf(await origin(), { method: 'GET', target: '/b', body: 'abc' })
      expect(seen.CONTENT_LENGTH).toBe(differs.bodyOfGet ? '3' : undefined)
      expect(seen.body_length).toBe(differs.bodyOfGet ? 3 : 0)
    })

    test('a chunked one gets its length', async () => {
      const chunks = ['abc', 'd'.repeat(70_000), 'e'].map((text) => Buffer.from(text))
      const seen = await environOf(await origin(), { target: '/b', body: Readable.from(chunks) })
      expect(seen).toMatchObject({ CONTENT_LENGTH: '70004', body_length: 70_004 })
      expect(seen).not.toHaveProperty('HTTP_TRANSFER_ENCODING')
    })

    test('a chunked one that is empty has length 0', async () => {
      const seen = await environOf(await origin(), { target: '/b', body: Readable.from([]) })
      expect(seen).toMatchObject({ CONTENT_LENGTH: '0', body_length: 0 })
    })

    test('a chunked one over MAX_BUFFERED_BODY_BYTES is 413', async () => {
      // The limit of memory counts where there is no temporary file.
      const limited = await context.deployment({
        MAX_BUFFERED_BODY_BYTES: '1000',
        MAX_TEMP_FILE_BYTES: '0',
      })
      const fits = await send(limited.origin, { target: '/b', body: chunked(1000) })
      expect(fits.status).toBe(200)
      const over = await send(limited.origin, { target: '/b', body: chunked(1001) })
      expect(over.status).toBe(413)
      const known = await send(limited.origin, { target: '/b', body: 'x'.repeat(1001) })
      expect(known.status).toBe(200)
    })

    test('one over MAX_BODY_BYTES is 413, before a byte of it is sent', async () => {
      const limited = await context.deployment({ MAX_BODY_BYTES: '1000' })
      const fits = await send(limited.origin, { target: '/b', body: 'x'.repeat(1000) })
      expect(fits.status).toBe(200)
      const client = await openRaw(limited.origin)
      await client.write('POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n')
      expect(await client.until(/\n413 Content Too Large\n$/)).toMatch(/^HTTP\/1.1 413 /)
      client.destroy()
    })

    test('UNKNOWN_LENGTH=reject is 411 for a chunked one, and only for that', async () => {
      const strict = await context.deployment({ UNKNOWN_LENGTH: 'reject' })
      const body = Readable.from([Buffer.from('abc')])
      expect((await send(strict.origin, { target: '/b', body })).status).toBe(411)
      for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
        expect((await send(strict.origin, { method, target: '/b' })).status).toBe(200)
      }
      expect((await send(strict.origin, { target: '/b', body: 'abc' })).status).toBe(200)
    })

    test('100 Continue comes before the body is sent', async () => {
      const client = await openRaw(await origin())
      await client.write(
        'POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n'
      )
      await client.until(/^HTTP\/1.1 100 Continue\r\n\r\n/)
      await client.write('abc')
      expect(await client.closed()).toMatch(/\r\n\r\nHTTP\/1.1 200 [^]*"body_length": 3,/)
    })

    test('another expectation is 417', async () => {
      expect(await post('Expect: bananas\r\nContent-Length: 3\r\n', 'abc')).toMatch(
        /^HTTP\/1.1 417 /
      )
    })

    test('framing that two readers could take two ways never splits', async () => {
      const both = await post(
        'Content-Length: 30\r\nTransfer-Encoding: chunked\r\n',
        '3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n'
      )
      expect(statusOf(both)).toBe(differs.lengthAndCoding)
      if (differs.lengthAndCoding === 200) expect(both).toContain('"body_length": 3,')
      const repeated = await post('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc')
      expect(statusOf(repeated)).toBe(differs.repeatedLength)
      if (differs.repeatedLength === 200) expect(repeated).toContain('"body_length": 3,')
      for (const headers of [
        'Content-Length: 3\r\nContent-Length: 4\r\n',
        'Content-Length: +3\r\n',
        'Content-Length: 0x3\r\n',
        'Content-Length: 3, 4\r\n',
        'Content-Length: -1\r\n',
      ]) {
        expect(statusOf(await post(headers, 'abc')), headers).toBe(400)
      }
      const coded = await post('Transfer-Encoding: gzip, chunked\r\n', '3\r\nabc\r\n0\r\n\r\n')
      expect(statusOf(coded)).toBe(501)
    })

    test(`${PARALLEL} requests at once each get their own answer`, async () => {
      const host = await origin()
      const bodies = Array.from({ length: PARALLEL }, (_, i) => `${i}:`.repeat(1000 + i))
      const seen: Environ[] = await Promise.all(
        bodies.map((body, i) =>
          environOf(host, { target: `/b/${i}`, headers: [['X-Number', String(i)]], body })
        )
      )
      expect(
        seen.map(({ PATH_INFO, HTTP_X_NUMBER, body_sha256 }) => [
          PATH_INFO,
          HTTP_X_NUMBER,
          body_sha256,
        ])
      ).toEqual(bodies.map((body, i) => [`/b/${i}`, String(i), sha256(body)]))
    })
  })
}

function statusOf(raw: string): number {
  return Number(raw.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length))
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** A body of unknown length. */
function chunked(bytes: number): Readable {
  return Readable.from([Buffer.alloc(bytes, 'x')])
}
