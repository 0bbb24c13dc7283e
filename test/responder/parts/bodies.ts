/**
 * Request bodies: as long as announced, whole, and in time.
 *
 * @module
 */
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { downloadBytes, sha256 } from '../../backend/download.ts'
import { openRaw, send, sendRaw } from '../../support/http-client.ts'
import type { Seen } from '../app.ts'
import { fateOf, type ResponderContext, seenBy, uniqueToken } from './context.ts'

const PARALLEL = 40
const EARLY_ANSWERS = 20
const RESET = /ECONNRESET|EPIPE/

/** Describes request bodies. */
export function describeBodies(context: ResponderContext): void {
  const { differs } = context.front
  async function origin(): Promise<string> {
    return (await context.server()).origin
  }

  describe('request bodies', () => {
    test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s has one', async (method) => {
      const seen = await seenBy(await origin(), { method, target: '/b', body: 'caf\xe9\0' })
      expect(seen).toMatchObject({ method, bodyLength: 5, headers: { 'content-length': '5' } })
    })

    test.each([0, 1, 65_536, 1_000_000, 20_000_000])('of %i bytes arrive', async (size) => {
      const body = downloadBytes(size)
      const seen = await seenBy(await origin(), { method: 'POST', target: '/b', body })
      expect([seen.bodyLength, seen.bodySha256]).toEqual([size, sha256(body)])
    })

    test('have their type', async () => {
      const headers = [['Content-Type', 'text/plain; charset=utf-8']] as const
      const seen = await seenBy(await origin(), { target: '/b', headers, body: 'abc' })
      expect(seen.headers['content-type']).toBe('text/plain; charset=utf-8')
    })

    test.each([0, 70_004, 5_000_000])(
      'of %i bytes that come chunked arrive, where the front can hand them on',
      async (size) => {
        const bytes = Buffer.from(downloadBytes(size))
        const pieces = [bytes.subarray(0, 3), bytes.subarray(3)].filter(({ length }) => length > 0)
        const body = Readable.from(pieces)
        const response = await send(await origin(), { target: '/b', body })
        expect(response.status).toBe(differs.chunked)
        if (response.status !== 200) return
        const seen: Seen = response.json()
        expect([seen.bodyLength, seen.bodySha256]).toEqual([size, sha256(bytes)])
        expect(seen.headers).not.toHaveProperty('transfer-encoding')
      }
    )

    test('of a GET go unread', async () => {
      const seen = await seenBy(await origin(), { method: 'GET', target: '/b', body: 'abc' })
      expect(seen).toMatchObject({ method: 'GET', bodyLength: 0 })
    })

    test('are asked for where the client waits to be', async () => {
      const text = await sendRaw(
        await origin(),
        'POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nabc'
      )
      expect(text).toMatch(/^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 200 /)
      expect(text).toContain('"bodyLength":3,')
    })

    test('reach the handler while they come', async () => {
      const { origin: unbuffered } = await context.server('fetch', { unbuffered: true })
      const token = uniqueToken()
      const client = await openRaw(unbuffered)
      await client.write(
        `POST /do/first?token=${token} HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc`
      )
      await fateOf(unbuffered, token, 'read 3')
      await client.write('def')
      expect(await client.closed()).toMatch(/\r\n\r\n(?:1\r\n)?6/)
    })

    test('that nobody reads do not take the answer with them', async () => {
      const body = Buffer.alloc(5_000_000)
      const request = { target: '/do/early', body }
      for (let i = 0; i < EARLY_ANSWERS; i++) {
        const answer = send(await origin(), request).then(({ status, text }) => [status, text])
        const expected = [[413, 'too much'], ...(differs.earlyAnswersArrive ? [] : ['lost'])]
        const lost = (error: unknown): string =>
          RESET.test(String(error)) ? 'lost' : String(error)
        expect(expected).toContainEqual(await answer.catch(lost))
      }
    })

    test(`${PARALLEL} at once each get their own answer`, async () => {
      const host = await origin()
      const bodies = Array.from({ length: PARALLEL }, (_, i) => `${i}:`.repeat(1000 + i))
      const seen = await Promise.all(
        bodies.map((body, i) => seenBy(host, { target: `/b/${i}`, body }))
      )
      expect(seen.map(({ url, bodySha256 }) => [new URL(url).pathname, bodySha256])).toEqual(
        bodies.map((body, i) => [`/b/${i}`, sha256(body)])
      )
    })
  })
}
