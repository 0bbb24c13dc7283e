/**
 * Requests as the handler gets them: method, URL, header fields, client.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import type { HeaderLine } from '../../support/http-client.ts'
import { type ResponderContext, seenBy, seenRaw } from './context.ts'

const HOST: HeaderLine = ['Host', 'h.example']

/** Describes requests. */
export function describeRequests(context: ResponderContext): void {
  const { differs } = context.front
  async function origin(): Promise<string> {
    return (await context.server()).origin
  }
  async function urlOf(target: string): Promise<string> {
    return (await seenBy(await origin(), { target, headers: [HOST] })).url
  }
  /** URL of the request with this request line, or the status that answered it. */
  async function urlOfLine(line: string): Promise<string | number> {
    const seen = await seenRaw(await origin(), `${line} HTTP/1.1\r\nHost: h.example`)
    return typeof seen === 'number' ? seen : seen.url
  }

  describe('the method', () => {
    test.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'M-SEARCH', 'PROPFIND'])(
      '%s arrives',
      async (method) => {
        expect(await seenBy(await origin(), { method, target: '/m' })).toMatchObject({ method })
      }
    )

    test('TRACE and CONNECT are refused (REV-4)', async () => {
      expect(await urlOfLine('TRACE /')).toBe(405)
      expect(await urlOfLine('CONNECT h.example:80')).toBe(differs.connect)
    })

    test('`get` is what the front makes of it, and no error', async () => {
      const seen = await seenRaw(await origin(), 'get / HTTP/1.1\r\nHost: h.example')
      expect(typeof seen === 'number' ? seen : 200).toBe(differs.lowerCase)
    })
  })

  describe('the URL', () => {
    test.each([
      ['an encoded slash', '/a%2Fb?x=1'],
      ['an encoded delimiter', '/a;b=1/%3B%3F%23x'],
      ['encoded UTF-8', '/caf%C3%A9?q=%C3%A9'],
      ['an encoded percent sign', '/100%25/%2541'],
      ['an octet that is no UTF-8', '/%FF'],
      ['a query of any shape', '/q?a=%41&&b=/?%20;c'],
      ['an empty query', '/q?'],
      ['a line feed', '/a%0Ab'],
    ])('keeps %s as it was sent (REV-1): %s', async (_what, target) => {
      expect(await urlOf(target)).toBe(`http://h.example${target}`)
    })

    test('has UTF-8 percent-encoded that was sent as it is', async () => {
      expect(await urlOfLine('GET /caf\xc3\xa9')).toBe('http://h.example/caf%C3%A9')
      expect(await urlOfLine('GET /q?q=\xc3\xa9')).toBe('http://h.example/q?q=%C3%A9')
    })

    test('has what a URL may not hold percent-encoded', async () => {
      expect(await urlOfLine('GET /a"<>`b')).toBe('http://h.example/a%22%3C%3E%60b')
    })

    test('is never of another host (SEC-14)', async () => {
      expect(await urlOf('//evil.example/x')).toBe(`http://h.example${differs.slashes}`)
    })

    test('has no dot segments', async () => {
      expect(await urlOf('/a/b/../c/./d')).toBe('http://h.example/a/c/d')
      const url = await urlOfLine('GET /a/%2e%2e/b')
      expect(url).toBe(differs.dots === 400 ? 400 : `http://h.example${differs.dots}`)
    })

    test('of a request in absolute-form is that, or the request is refused (SEC-13)', async () => {
      const url = await urlOfLine('GET http://other.example/abs?z')
      if (differs.absolute === 400) expect(url).toBe(400)
      else expect(url).toMatch(differs.absolute)
    })

    test('of OPTIONS * is none', async () => {
      expect(await urlOfLine('OPTIONS *')).toBe(differs.asterisk)
    })

    test('with %00 harms nobody (SEC-30)', async () => {
      const url = await urlOfLine('GET /a%00b')
      expect(url).toBe(differs.nul === 200 ? 'http://h.example/a%00b' : differs.nul)
    })

    test('has host and port of the Host header', async () => {
      for (const [host, url] of [
        ['H.Example:80', 'http://h.example/'],
        ['h.example:8080', 'http://h.example:8080/'],
        ['[::1]:8080', 'http://[::1]:8080/'],
      ] as const) {
        const seen = await seenBy(await origin(), { target: '/', headers: [['Host', host]] })
        expect(seen.url).toBe(url)
      }
    })

    test('without a Host, which HTTP/1.0 does not need, has the name of the front', async () => {
      const { origin: own, port } = await context.server()
      expect(await seenRaw(own, 'GET /old HTTP/1.0')).toMatchObject({
        url: `${differs.ownOrigin(port)}/old`,
        meta: { httpVersion: '1.0' },
      })
    })

    test('is https where the front says so', async () => {
      const { origin: secure } = await context.server('fetch', { https: true })
      const seen = await seenBy(secure, { target: '/s', headers: [HOST] })
      expect(seen.url).toBe('https://h.example/s')
    })

    test('keeps the path that SCRIPT_NAME is a part of', async () => {
      const mounted = await context.server('fetch', { mount: '/mnt' })
      for (const target of ['/mnt/a%2Fb/c?x', '/mnt/', '/mnt/mnt/x']) {
        const seen = await seenBy(mounted.origin, { target, headers: [HOST] })
        expect(seen).toMatchObject({ url: `http://h.example${target}`, meta: { mount: '/mnt' } })
      }
    })
  })

  describe('header fields', () => {
    test('arrive by their names, as octets', async () => {
      const headers: HeaderLine[] = [
        ['X-One', 'caf\xe9'],
        ['Authorization', 'Basic eDp5'],
        ['X-Empty', ''],
      ]
      const seen = await seenBy(await origin(), { target: '/', headers: [HOST, ...headers] })
      expect(seen.headers).toMatchObject({
        host: 'h.example',
        'x-one': 'caf\xe9',
        authorization: 'Basic eDp5',
        'x-empty': '',
      })
    })

    test('that are repeated are joined', async () => {
      const headers: HeaderLine[] = [
        ['X-A', '1'],
        ['X-A', '2'],
        ['Cookie', 'a=1'],
        ['Cookie', 'b=2'],
      ]
      const { headers: seen } = await seenBy(await origin(), { target: '/', headers })
      expect(seen['x-a']).toBe('1, 2')
      expect(seen['cookie']).toBe(differs.cookie)
    })

    test('that would mislead are gone (SEC-01, SEC-02, SEC-04, REV-3)', async () => {
      const headers: HeaderLine[] = [
        ['Proxy', 'http://evil.example/'],
        ['X.Dot', '1'],
        ['x_under', '3'],
        ['Connection', 'X-Hop'],
        ['Keep-Alive', 'timeout=5'],
        ['TE', 'gzip'],
        ['Expect', '100-continue'],
      ]
      const { headers: seen } = await seenBy(await origin(), { target: '/', headers, body: 'abc' })
      for (const name of [
        'proxy',
        'x.dot',
        'x_under',
        'connection',
        'keep-alive',
        'te',
        'expect',
      ]) {
        expect(seen).not.toHaveProperty([name])
      }
      expect(seen['x-under']).toBe(differs.underscore)
      expect(seen['content-length']).toBe('3')
    })

    test('never become variables of another name (SEC-05)', async () => {
      const headers: HeaderLine[] = [
        ['Remote-Addr', '6.6.6.6'],
        ['Script-Name', '/x'],
        ['Https', 'on'],
        ['Uwsgi-File', '/x.py'],
        ['Request-Uri', '/x'],
      ]
      const seen = await seenBy(await origin(), { target: '/', headers: [HOST, ...headers] })
      expect(seen.url).toBe('http://h.example/')
      expect(seen.environ).toMatchObject({ HTTP_HTTPS: 'on', REMOTE_ADDR: '127.0.0.1' })
      expect(seen.environ).not.toHaveProperty('UWSGI_FILE')
    })

    test('of 16 KiB arrive', async () => {
      const cookie = `a=${'b'.repeat(3000)}`
      const headers = ['1', '2', '3', '4'].map((n) => [`X-${n}`, cookie] as const)
      const { headers: seen } = await seenBy(await origin(), { target: '/', headers })
      expect([seen['x-1'], seen['x-4']]).toEqual([cookie, cookie])
    })
  })

  describe('the client', () => {
    test('is the one of the front', async () => {
      const { meta, environ } = await seenBy(await origin(), { target: '/a%2Fb?x' })
      expect(meta).toMatchObject({
        rawTarget: '/a%2Fb?x',
        httpVersion: '1.1',
        mount: '',
        remote: { addr: '127.0.0.1', port: Number(environ['REMOTE_PORT']) },
      })
    })

    test('is nobody that a header names (SEC-15)', async () => {
      const headers: HeaderLine[] = [['X-Forwarded-For', '6.6.6.6']]
      const { meta } = await seenBy(await origin(), { target: '/', headers })
      expect(meta.remote?.addr).toBe('127.0.0.1')
    })

    test('brings no variables for a uWSGI server (UW-5)', async () => {
      const { environ } = await seenBy(await origin(), { target: '/' })
      expect(Object.keys(environ).filter((name) => name.startsWith('UWSGI_'))).toEqual([])
      for (const name of ['HTTP_PROXY', 'HTTP_CONTENT_TYPE', 'HTTP_CONTENT_LENGTH']) {
        expect(environ).not.toHaveProperty(name)
      }
    })
  })
}
