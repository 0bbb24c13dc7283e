/**
 * Responses as the client of the front gets them.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import { logged } from '../../support/deadline.ts'
import { open, send, sendRaw } from '../../support/http-client.ts'
import { release, type ResponderContext, uniqueToken } from './context.ts'

const BROKEN = /broke off|aborted|ECONNRESET|hang up/

/** Describes responses. */
export function describeResponses(context: ResponderContext): void {
  const { differs } = context.front
  async function origin(): Promise<string> {
    return (await context.server()).origin
  }
  /** A transfer that broke off, or what arrived. */
  async function outcomeOf(target: string): Promise<string> {
    try {
      const { status, text } = await send(await origin(), { target })
      return status === 502 ? '502' : `${status} ${text}`
    } catch (error) {
      return BROKEN.test(String(error)) ? 'broken' : String(error)
    }
  }
  // A front may see the reset before it has handed on the head.
  const failures = ['broken', '502']

  describe('responses', () => {
    test('keep Set-Cookie lines apart', async () => {
      const response = await send(await origin(), { target: '/do/cookies' })
      expect(response.all('set-cookie')).toEqual([
        'a=1; Path=/',
        'b=2, 3; Expires=Sun, 06 Nov 1994 08:49:37 GMT',
      ])
    })

    test.each([200, 201, 204, 205, 301, 304, 404, 418, 500, 503, 599])(
      'of status %i arrive without a body',
      async (code) => {
        const response = await send(await origin(), { target: `/do/status?code=${code}` })
        expect([response.status, response.text]).toEqual([code, ''])
        expect(response.header('etag')).toBe('"x"')
      }
    )

    test.each([200, 404])('that are empty say so: %i has Content-Length 0', async (code) => {
      const response = await send(await origin(), { target: `/do/status?code=${code}` })
      expect(response.header('content-length')).toBe('0')
    })

    test('to HEAD have no body', async () => {
      for (const target of ['/x', '/do/body?bytes=100000', '/do/body?bytes=9&length=9']) {
        const text = await sendRaw(
          await origin(),
          `HEAD ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`
        )
        expect(text).toMatch(/^HTTP\/1\.1 200 [^]*\r\n\r\n$/)
        expect(text.indexOf('\r\n\r\n')).toBe(text.length - 4)
        if (target.includes('length')) expect(text).toMatch(/\r\ncontent-length: 9\r\n/i)
      }
    })

    test('have a length where it is known', async () => {
      const response = await send(await origin(), { target: '/do/body?bytes=9&at-once' })
      expect(response.header('content-length')).toBe('9')
      const announced = await send(await origin(), { target: '/do/body?bytes=9&length=9' })
      expect([announced.header('content-length'), announced.text]).toEqual(['9', 'aaaaaaaaa'])
    })

    test('without one arrive whole', async () => {
      const response = await send(await origin(), { target: '/do/body?bytes=300000' })
      expect(response.header('content-length')).toBeUndefined()
      expect(response.text).toBe('a'.repeat(300_000))
    })

    test.each(['', '&length=20000000'])('of 20 MB arrive%s', async (length) => {
      const { body } = await send(await origin(), { target: `/do/body?bytes=20000000${length}` })
      expect(body.length).toBe(20_000_000)
      expect(body.every((octet) => octet === 97)).toBe(true)
    })

    test('end with their Content-Length', async () => {
      const response = await send(await origin(), { target: '/do/body?bytes=9&length=5' })
      expect(response.text).toBe('aaaaa')
    })

    test('stream', async () => {
      const token = uniqueToken()
      const host = await origin()
      const response = await open(host, { target: `/do/stream?token=${token}` })
      expect(Buffer.from((await response.read()) ?? []).toString()).toBe('one')
      await release(host, token)
      expect((await response.rest()).toString()).toBe('two')
    })

    test('have heads as large as the front allows', async () => {
      const statuses = []
      for (const bytes of [3900, 5000, 9000]) {
        statuses.push((await send(await origin(), { target: `/do/head?bytes=${bytes}` })).status)
      }
      expect(statuses).toEqual(differs.heads)
    })

    test('have larger heads where the front is told to allow them', async () => {
      const { origin: large } = await context.server('fetch', { largeHeads: true })
      const text = await sendRaw(
        large,
        'GET /do/head?bytes=30000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
      )
      expect(Number(text.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length))).toBe(
        differs.largestHead
      )
      if (differs.largestHead === 200) expect(text).toContain(`: ${'a'.repeat(30_000)}\r\n`)
    })
  })

  describe('a handler that fails', () => {
    test.each(['throw', 'nothing', 'error'])('before its response is 500: %s', async (what) => {
      const { status, text } = await send(await origin(), { target: `/do/${what}` })
      expect([status, text]).toEqual([500, '500 Internal Server Error\n'])
      await logged(context, new RegExp(`GET /do/${what} 127\\.0\\.0\\.1: `))
    })

    test.each([
      ['fail?bytes=0&length=9', 'before the first byte'],
      ['fail?bytes=5&length=9', 'inside its Content-Length'],
      ['fail?bytes=200000&length=300000', 'far inside its Content-Length'],
      ['body?bytes=5&length=9', 'to send what it announced'],
      ['body?bytes=5&length=9&at-once', 'to send what it announced, all at once'],
    ])('%s, %s, breaks the transfer off', async (target) => {
      expect(await outcomeOf(`/do/${target}`)).toBeOneOf(failures)
    })

    test.each([0, 5, 200_000])(
      'behind %i bytes of a response without a length breaks it off, where the front can',
      async (bytes) => {
        const outcome = await outcomeOf(`/do/fail?bytes=${bytes}`)
        if (differs.truncationShows) expect(outcome).toBeOneOf(failures)
        else expect(outcome).toBe(`200 ${'a'.repeat(bytes)}`)
      }
    )
  })

  test('a WebSocket is refused cleanly', async () => {
    const text = await sendRaw(
      await origin(),
      'GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
    )
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(text).toContain('"url":"http://h/ws"')
    expect(text).not.toMatch(/"upgrade":/)
  })
}
