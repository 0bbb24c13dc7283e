/**
 * Responses of an application that says exactly what it wants, and of a backend that does.
 *
 * @module
 */
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { send, sendRaw } from '../../support/http-client.ts'
import { respondWith, type SuiteContext } from './context.ts'

const OK = 'HTTP/1.1 200 OK\r\n'

/** Describes responses. */
export function describeResponses(context: SuiteContext): void {
  const { differs } = context
  async function origin(): Promise<string> {
    return (await context.deployment()).origin
  }

  describe('responses of an application', () => {
    test('status, reason and repeated headers arrive', async () => {
      const target = respondWith({
        status: '299 Fine Thing',
        headers: [
          ['X-A', '1'],
          ['X-B', 'b'],
          ['X-A', '2'],
          ['Content-Length', '2'],
        ],
        chunks: ['ok'],
      })
      const response = await send(await origin(), { target })
      expect(response.status).toBe(299)
      expect(response.reason).toBe(differs.reason ? 'Fine Thing' : '')
      expect(response.all('x-a')).toEqual(differs.repeatedHeader)
      expect(response.header('x-b')).toBe('b')
      expect(response.text).toBe('ok')
    })

    test('X-Accel-* and hop-by-hop headers go no further', async () => {
      const hidden = ['Redirect', 'Buffering', 'Charset', 'Expires', 'Limit-Rate'].map(
        (name) => [`X-Accel-${name}`, 'hidden'] as const
      )
      const target = respondWith({
        headers: [...hidden, ['Keep-Alive', 'hidden'], ['X-Accel-Other', 'shown']],
      })
      const response = await send(await origin(), { target })
      expect(response.header('x-accel-other')).toBe('shown')
      expect(JSON.stringify(response.headers)).not.toContain('hidden')
    })

    test.each([
      ['gzip', gzipSync('hello hello hello')],
      ['br', brotliCompressSync('hello hello hello')],
      ['deflate', Buffer.from('not even deflate')],
    ])('a body coded %s arrives as it was coded', async (coding, coded) => {
      const target = respondWith({
        headers: [
          ['Content-Encoding', coding],
          ['Content-Length', String(coded.length)],
          ['Content-Type', 'text/plain'],
        ],
        chunks: [coded.toString('latin1')],
      })
      for (const accepted of ['gzip, br', 'identity']) {
        const response = await send(await origin(), {
          target,
          headers: [['Accept-Encoding', accepted]],
        })
        expect(response.header('content-encoding')).toBe(coding)
        expect(response.header('content-length')).toBe(String(coded.length))
        expect(response.body.toString('latin1')).toBe(coded.toString('latin1'))
      }
    })

    test('a body of no bytes keeps its length', async () => {
      const target = respondWith({ headers: [['Content-Length', '0']] })
      const response = await send(await origin(), { target })
      expect(response.header('content-length')).toBe('0')
      expect(response.body.length).toBe(0)
    })

    test('Date and Server of the backend are kept', async () => {
      const date = 'Sun, 06 Nov 1994 08:49:37 GMT'
      const target = respondWith({
        headers: [
          ['Date', date],
          ['Server', 'own'],
          ['Content-Length', '0'],
        ],
      })
      const response = await send(await origin(), { target })
      expect(response.header('date')).toBe(date)
      expect(response.header('server')).toBe('own')
    })

    test('an application that says nothing at all is a 502', async () => {
      expect((await send(await origin(), { target: '/raw/silent' })).status).toBe(502)
    })
  })

  describe('responses of a backend', () => {
    test.each([
      ['length', `${OK}Content-Length: 5\r\n\r\nhello`],
      ['eof', `${OK}\r\nhello`],
      ['over-long', `${OK}Content-Length: 5\r\n\r\nhello and more`],
      [
        'chunked',
        `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n`,
      ],
      ['http10', 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
      ['lf-only', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello'],
      ['cgi', 'Content-Type: text/plain\r\n\r\nhello'],
      ['cgi-status', 'Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
      ['early-hints', `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}\r\nhello`],
      ['continue', `HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 5\r\n\r\nhello`],
    ])('%s is read', async (name, reply) => {
      const { status, headers, text } = await answerTo(context, name, reply)
      expect({ status, text }).toEqual({ status: 200, text: 'hello' })
      expect(headers).not.toHaveProperty('status')
      expect(headers).not.toHaveProperty('link')
    })

    test('Content-Length and the last chunk end a response, whatever the connection does', async () => {
      const length = await answerTo(
        context,
        'held-length',
        `${OK}Content-Length: 2\r\n\r\nok`,
        'hold'
      )
      expect(length.text).toBe('ok')
      const chunked = `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`
      expect((await answerTo(context, 'held-chunked', chunked, 'hold')).text).toBe('ok')
    })

    test('a CGI head sets the status', async () => {
      const gone = await answerTo(context, 'cgi-gone', 'Status: 410 Gone\r\nX-A: 1\r\n\r\nbye')
      expect(gone).toMatchObject({ status: 410, text: 'bye', headers: { 'x-a': '1' } })
      const moved = await answerTo(context, 'cgi-location', 'Location: /there\r\n\r\n')
      expect(moved).toMatchObject({ status: 302, headers: { location: '/there' } })
    })

    test('a 204 has no body, whatever the backend sends', async () => {
      context.scripted().on('no-content', {
        reply: 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello',
      })
      const deployment = await context.deployment({ UPSTREAM: context.scripted().address })
      const raw = await sendRaw(
        deployment.origin,
        'GET /script/no-content HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
      )
      expect(raw).toMatch(/^HTTP\/1.1 204 [^]*\r\n\r\n$/)
      expect(raw).not.toContain('hello')
    })

    test('a head of 60 000 octets arrives', async () => {
      const value = 'a'.repeat(15_000)
      const fields = ['X-1', 'X-2', 'X-3', 'X-4'].map((name) => `${name}: ${value}\r\n`).join('')
      context.scripted().on('big-head', { reply: `${OK}${fields}Content-Length: 2\r\n\r\nok` })
      const deployment = await context.deployment({ UPSTREAM: context.scripted().address })
      const raw = await sendRaw(
        deployment.origin,
        'GET /script/big-head HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
      )
      expect(raw.split(value).length).toBe(5)
      expect(raw).toMatch(/\r\n\r\nok$/)
    })
  })
}

/** What a client gets when the backend replies with these bytes. */
async function answerTo(
  context: SuiteContext,
  name: string,
  reply: string,
  ending: 'end' | 'hold' = 'end'
): Promise<{ status: number; headers: Record<string, string>; text: string }> {
  context.scripted().on(name, { reply, ending })
  const deployment = await context.deployment({ UPSTREAM: context.scripted().address })
  const { status, headers, text } = await send(deployment.origin, { target: `/script/${name}` })
  return {
    status,
    headers: Object.fromEntries(headers.map(([field, value]) => [field.toLowerCase(), value])),
    text,
  }
}
