/**
 * Methods, request-targets and what the raw environ says of them.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import { sendRaw } from '../../support/http-client.ts'
import { type Environ, environOf, type SuiteContext } from './context.ts'

/** Describes methods and targets. */
export function describeTargets(context: SuiteContext): void {
  const { differs } = context
  async function origin(): Promise<string> {
    return (await context.deployment()).origin
  }
  /** Status, and the environ where there is one. */
  async function request(
    line: string,
    headers = ''
  ): Promise<{ status: number; environ: Partial<Environ> }> {
    const raw = await sendRaw(
      await origin(),
      `${line}\r\nHost: localhost\r\n${headers}Connection: close\r\n\r\n`
    )
    const json = /\{.*\}/.exec(raw)?.[0]
    return {
      status: Number(raw.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)),
      environ: json === undefined ? {} : (JSON.parse(json) as Environ),
    }
  }

  describe('methods', () => {
    test.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY', 'PURGE'])(
      '%s arrives',
      async (method) => {
        const { status, environ } = await request(`${method} /m HTTP/1.1`)
        expect(status).toBe(200)
        expect(environ).toMatchObject({ REQUEST_METHOD: method, body_length: 0 })
      }
    )

    test.each(['M-SEARCH', 'FOO', 'get'] as const)('%s arrives or is refused', async (method) => {
      const { status, environ } = await request(`${method} /m HTTP/1.1`)
      expect(status).toBe(differs.methods[method])
      expect(environ.REQUEST_METHOD).toBe(status === 200 ? method : undefined)
    })

    test('TRACE and CONNECT are refused', async () => {
      expect((await request('TRACE /m HTTP/1.1')).status).toBe(405)
      expect((await request('CONNECT /m HTTP/1.1')).status).toBe(differs.connect)
      expect((await request('CONNECT localhost:80 HTTP/1.1')).status).not.toBe(200)
    })

    test('OPTIONS * is the gateway’s', async () => {
      expect((await request('OPTIONS * HTTP/1.1')).status).toBe(differs.asterisk)
      expect((await request('GET * HTTP/1.1')).status).toBe(400)
    })
  })

  describe('paths', () => {
    test.each([
      ['/a/../b', '/b'],
      ['/a/./b', '/a/b'],
      ['/%2e%2e/b', '/b'],
      ['/a/%2E%2e/b', '/b'],
      ['/a/..', '/'],
      ['//a//b', '//a//b'],
      ['/a\\b', '/a/b'],
      ['/caf%C3%A9', '/caf\xc3\xa9'],
      ['/%FF%FE', '/\xff\xfe'],
      ['/%0A%0D', '/\n\r'],
      ['/a%2Fb', '/a/b'],
      ['/%zz%', '/%zz%'],
      ['/%252F', '/%2F'],
      ["/~!$&'()*+,;=:@", "/~!$&'()*+,;=:@"],
      ['/a;b=c', '/a;b=c'],
      ['/a|b^c{d}', '/a|b^c{d}'],
    ])('%s', async (target, pathInfo) => {
      const { environ } = await request(`GET ${target} HTTP/1.1`)
      expect(environ).toMatchObject({
        PATH_INFO: pathInfo,
        SCRIPT_NAME: '',
        QUERY_STRING: '',
        REQUEST_URI: target,
      })
    })

    test.each(['/a%2F..%2Fb', '/a%2F%2E%2E', '/%00', '/a%00b'])('%s is refused', async (target) => {
      expect((await request(`GET ${target} HTTP/1.1`)).status).toBe(400)
    })

    test('UTF-8 octets are percent-encoded or refused', async () => {
      const { status, environ } = await request('GET /caf\xc3\xa9?\xc3\xa9 HTTP/1.1')
      expect(status).toBe(differs.utf8Target)
      if (status !== 200) return
      expect(environ).toMatchObject({
        PATH_INFO: '/caf\xc3\xa9',
        QUERY_STRING: '%C3%A9',
        REQUEST_URI: '/caf%C3%A9?%C3%A9',
      })
    })

    test('other octets are refused', async () => {
      expect((await request('GET /\xff HTTP/1.1')).status).toBe(400)
    })

    test('a fragment goes no further', async () => {
      const { environ } = await request('GET /a?b#c HTTP/1.1')
      expect(environ).toMatchObject({ PATH_INFO: '/a', QUERY_STRING: 'b', REQUEST_URI: '/a?b' })
    })

    test('an absolute target names the resource', async () => {
      const { environ } = await request('GET http://localhost/a?b HTTP/1.1')
      expect(environ).toMatchObject({ PATH_INFO: '/a', QUERY_STRING: 'b', REQUEST_URI: '/a?b' })
    })

    test('a target over 8 KiB is refused', async () => {
      expect((await request(`GET /${'a'.repeat(9000)} HTTP/1.1`)).status).toBe(414)
    })
  })

  describe('queries', () => {
    test.each(['', "a='b'", 'a=%22b%22', 'a+b', '%00', 'a?b', '?', 'a=b|c^d{e}`\\', '%zz', '&;='])(
      '?%s byte for byte',
      async (query) => {
        const { environ } = await request(`GET /?${query} HTTP/1.1`)
        expect(environ).toMatchObject({ QUERY_STRING: query, REQUEST_URI: `/?${query}` })
      }
    )

    test('delimiters that are none of a URI arrive or are refused', async () => {
      const { status, environ } = await request('GET /?a="<b>" HTTP/1.1')
      expect(status).toBe(differs.delimitersInTarget)
      expect((await request('GET /a`b HTTP/1.1')).status).toBe(differs.delimitersInTarget)
      if (status === 200) expect(environ.QUERY_STRING).toBe('a="<b>"')
    })
  })

  describe('Host and version', () => {
    test('Host makes HTTP_HOST, SERVER_NAME and SERVER_PORT', async () => {
      const headers = [['Host', 'App.Example.com:8080']] as const
      const environ = await environOf(await origin(), { target: '/', headers })
      expect(environ).toMatchObject({
        HTTP_HOST: expect.stringMatching(/^app\.example\.com:8080$/i),
        SERVER_NAME: 'app.example.com',
        SERVER_PORT: '8080',
        SERVER_PROTOCOL: 'HTTP/1.1',
        REQUEST_SCHEME: 'http',
        'wsgi.url_scheme': 'http',
      })
    })

    test.each(['a b', 'a/b', 'a@b', 'a, b', 'a:b', '[::1'])('Host %s is refused', async (host) => {
      const raw = await sendRaw(
        await origin(),
        `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
      )
      expect(raw).toMatch(/^HTTP\/1.1 400 /)
    })

    test('two Hosts are refused', async () => {
      expect((await request('GET / HTTP/1.1', 'Host: other\r\n')).status).toBe(400)
    })

    test('HTTP/1.1 without Host', async () => {
      const raw = await sendRaw(await origin(), 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n')
      expect(raw.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)).toBe(String(differs.noHost))
    })

    test('HTTP/1.0 is answered', async () => {
      const raw = await sendRaw(await origin(), 'GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n')
      expect(raw).toMatch(/^HTTP\/1.[01] 200 /)
      expect(JSON.parse(/\{.*\}/.exec(raw)?.[0] ?? '')).toMatchObject({
        SERVER_PROTOCOL: differs.http10,
        PATH_INFO: '/a',
      })
    })
  })
}
