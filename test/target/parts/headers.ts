/**
 * Request headers: what becomes `HTTP_*`, what becomes nothing, and that nothing becomes more.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import { logged } from '../../support/deadline.ts'
import { type HeaderLine, send, sendRaw } from '../../support/http-client.ts'
import { type Environ, environOf, type SuiteContext } from './context.ts'

/** What our own client, socket and tracing add; all else in an environ must come from the lines of a test. */
const GATEWAY_NAMES = new Set([
  'HTTP_HOST',
  'HTTP_TRACEPARENT',
  'HTTP_X_REQUEST_ID',
  'PATH_INFO',
  'QUERY_STRING',
  'REMOTE_ADDR',
  'REMOTE_PORT',
  'REQUEST_METHOD',
  'REQUEST_SCHEME',
  'REQUEST_URI',
  'SCRIPT_NAME',
  'SERVER_NAME',
  'SERVER_PORT',
  'SERVER_PROTOCOL',
  'UWSGI_SCHEME',
  'body_length',
  'body_sha256',
  'wsgi.url_scheme',
])

/** Names in an environ that neither the gateway nor uWSGI put there. */
function strangers(environ: Environ): string[] {
  return Object.keys(environ).filter((name) => !GATEWAY_NAMES.has(name))
}

const HOSTILE_NAMES = [
  'Remote-User',
  'Remote-Addr',
  'Script-Name',
  'Path-Info',
  'Request-Method',
  'Request-Uri',
  'Query-String',
  'Server-Name',
  'Uwsgi-File',
  'Uwsgi-Script',
  'Uwsgi-Appid',
  'Uwsgi-Scheme',
  'Https',
  'Document-Root',
  'Auth-Type',
  'Http-Host',
  'Http-X-Real-Ip',
]

/** Describes request headers. */
export function describeHeaders(context: SuiteContext): void {
  const { differs } = context
  async function environ(...headers: HeaderLine[]): Promise<Environ> {
    const { origin } = await context.deployment()
    return await environOf(origin, { target: '/h', headers })
  }

  describe('request headers', () => {
    test('arrive as HTTP_*, repeated ones joined', async () => {
      const seen = await environ(
        ['X-One', 'a=1; b'],
        ['x-TWO', '  spaced\tout  '],
        ['X-Many', 'a'],
        ['X-Many', 'b'],
        ['Accept', 'text/html, */*;q=0.1'],
        ['Authorization', 'Basic dTpw'],
        ['Content-Type', 'text/x-own']
      )
      expect(seen).toMatchObject({
        HTTP_X_ONE: 'a=1; b',
        HTTP_X_TWO: 'spaced\tout',
        HTTP_X_MANY: 'a, b',
        HTTP_ACCEPT: 'text/html, */*;q=0.1',
        HTTP_AUTHORIZATION: 'Basic dTpw',
        CONTENT_TYPE: 'text/x-own',
      })
      expect(seen).not.toHaveProperty('HTTP_CONTENT_TYPE')
    })

    test('two Cookie lines are joined with a semicolon', async () => {
      expect(await environ(['Cookie', 'a=1; b="x, y"'], ['Cookie', 'c=3'])).toMatchObject({
        HTTP_COOKIE: 'a=1; b="x, y"; c=3',
      })
    })

    test('octets arrive as they are where the runtime hands them over', async () => {
      expect(await environ(['X-A', 'caf\xc3\xa9'])).toMatchObject({ HTTP_X_A: 'caf\xc3\xa9' })
      expect(await environ(['X-A', 'caf\xe9'])).toMatchObject({ HTTP_X_A: differs.latin1In })
    })

    test('names that are ambiguous as variables are dropped', async () => {
      const seen = await environ(
        ['X_Auth_User', 'admin'],
        ['X.Auth', 'admin'],
        ['X-Auth_User', 'admin'],
        ['X!Y', 'admin']
      )
      expect(JSON.stringify(seen)).not.toContain('admin')
    })

    test('AMBIGUOUS_HEADERS=reject refuses them', async () => {
      const { origin } = await context.deployment({ AMBIGUOUS_HEADERS: 'reject' })
      const { status } = await send(origin, { target: '/', headers: [['X_A', '1']] })
      expect(status).toBe(400)
    })

    test('hop-by-hop fields and Proxy go no further', async () => {
      const { origin } = await context.deployment()
      const fields = [
        'TE: trailers',
        'Keep-Alive: 5',
        'Proxy-Connection: x',
        'Upgrade: h2c',
        'Trailer: X',
      ]
      const raw = await sendRaw(
        origin,
        `GET /h HTTP/1.1\r\nHost: localhost\r\n${fields.join('\r\n')}\r\nProxy: http://evil\r\nConnection: close\r\n\r\n`
      )
      expect(strangers(JSON.parse(/\{.*\}/.exec(raw)?.[0] ?? '') as Environ)).toEqual([])
    })

    test('a field that Connection names goes no further', async () => {
      const { origin } = await context.deployment()
      const raw = await sendRaw(
        origin,
        'GET /h HTTP/1.1\r\nHost: localhost\r\nX-Hop: 1\r\nX-End: 1\r\nConnection: close, X-Hop\r\n\r\n'
      )
      expect(raw).toContain('HTTP_X_END')
      expect(raw).not.toContain('HTTP_X_HOP')
    })

    test('names of variables stay under HTTP_', async () => {
      const hostile = HOSTILE_NAMES.map((name): HeaderLine => [name, `evil-${name}`])
      const seen = await environ(...hostile)
      const evil = Object.entries(seen).filter(([, value]) => String(value).includes('evil-'))
      expect(evil.map(([name]) => name).toSorted()).toEqual(
        HOSTILE_NAMES.map((name) => `HTTP_${name.toUpperCase().replaceAll('-', '_')}`).toSorted()
      )
      expect(strangers(seen).toSorted()).toEqual(evil.map(([name]) => name).toSorted())
      expect(seen).toMatchObject({ PATH_INFO: '/h', SCRIPT_NAME: '', 'wsgi.url_scheme': 'http' })
    })

    test.each([
      'X-A: 1\r\nREMOTE_USER: evil',
      'REMOTE_USER: evil',
      'HTTP_REMOTE_USER: evil',
      'UWSGI_FILE: /evil',
      'X-A: 1\rREMOTE-USER: evil',
      'X-A: 1\0REMOTE-USER: evil',
      'X-A : evil',
      ' X-A: evil',
      ': evil',
      'X(A): evil',
      'evil',
      'X-A\xe9: evil',
      'X-A: a\r\n evil',
      'wsgi.input: evil',
      'CONTENT_LENGTH: 7',
      'Content-Length : 7',
    ])('hostile line %j makes no variable', async (line) => {
      const { origin } = await context.deployment()
      const raw = await sendRaw(
        origin,
        `GET /h HTTP/1.1\r\nHost: localhost\r\n${line}\r\nConnection: close\r\n\r\n`
      )
      // Refused, or answered without it: either way no byte of it reaches the application.
      expect(raw).toMatch(/^HTTP\/1.1 (?:200|400) /)
      expect(raw).not.toContain('evil')
      const json = /\{.*\}/.exec(raw)?.[0]
      if (json === undefined) return
      const names = strangers(JSON.parse(json) as Environ)
      expect(names.filter((name) => name !== 'HTTP_X_A')).toEqual([])
    })

    test('a line that ends in LF alone is one line or refused', async () => {
      const { origin } = await context.deployment()
      const raw = await sendRaw(
        origin,
        'GET /h HTTP/1.1\r\nHost: localhost\r\nX-A: 1\nX-B: 2\r\nConnection: close\r\n\r\n'
      )
      expect(raw.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)).toBe(String(differs.bareLf))
      if (differs.bareLf === 200) expect(raw).toContain('"HTTP_X_A": "1", "HTTP_X_B": "2"')
    })
  })

  describe('limits', () => {
    test('101 fields are 431', async () => {
      // Host and Connection are two of them.
      expect(await statusOf(context, lines(98))).toBe(200)
      expect(await statusOf(context, lines(99))).toBe(431)
    })

    test('far too many fields are refused', async () => {
      expect(await statusOf(context, lines(300))).toBe(differs.tooManyHeaders)
      expect(await statusOf(context, [['X-A', 'a'.repeat(70_000)]])).toBe(differs.tooManyHeaders)
    })

    test('one field over 16 KiB is 431', async () => {
      expect(await statusOf(context, [['X-A', 'a'.repeat(17_000)]])).toBe(431)
    })

    test('more than uWSGI’s --buffer-size is 502, and the log says what to do', async () => {
      const deployment = await context.deployment({ UPSTREAM: context.rootUwsgi().address })
      const headers: HeaderLine[] = [['X-A', 'a'.repeat(5000)]]
      expect((await send(deployment.origin, { target: '/h', headers })).status).toBe(502)
      await logged(deployment, /ERR_UPSTREAM_EMPTY .*--buffer-size/)
      await logged(context.rootUwsgi(), /invalid request block size/)
    })

    test('MAX_VARS_BYTES makes that a 431', async () => {
      const UPSTREAM = context.rootUwsgi().address
      const { origin } = await context.deployment({ UPSTREAM, MAX_VARS_BYTES: '4096' })
      const headers: HeaderLine[] = [['X-A', 'a'.repeat(5000)]]
      expect((await send(origin, { target: '/h', headers })).status).toBe(431)
      expect((await send(origin, { target: '/h' })).status).toBe(200)
    })
  })

  describeTrust(context)
}

function describeTrust(context: SuiteContext): void {
  const { differs } = context
  const forwarded: HeaderLine[] = [
    ['X-Forwarded-For', '198.51.100.9'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Host', 'public.example'],
    ['X-Real-IP', '198.51.100.9'],
  ]

  describe('forwarding headers', () => {
    test('the peer is REMOTE_ADDR', async () => {
      const { origin } = await context.deployment()
      const seen = await environOf(origin, { target: '/', headers: differs.peer('127.0.0.1') })
      expect(seen).toMatchObject({ REMOTE_ADDR: '127.0.0.1' })
    })

    test.each(differs.peerIsChosen ? ['203.0.113.7', '2001:db8::7'] : [])(
      'the header that names the peer goes no further: %s',
      async (addr) => {
        const { origin } = await context.deployment()
        const seen = await environOf(origin, { target: '/', headers: differs.peer(addr) })
        expect(seen).toMatchObject({ REMOTE_ADDR: addr })
        expect(seen).not.toHaveProperty('HTTP_CF_CONNECTING_IP')
        const nonsense = await environOf(origin, { target: '/', headers: differs.peer('evil') })
        expect(JSON.stringify(nonsense)).not.toContain('evil')
      }
    )

    test('of somebody not trusted are dropped', async () => {
      const { origin } = await context.deployment({ TRUSTED_PROXIES: '192.0.2.0/24' })
      const headers = [...differs.peer('127.0.0.1'), ...forwarded]
      const seen = await environOf(origin, { target: '/', headers })
      expect(seen).toMatchObject({ REMOTE_ADDR: '127.0.0.1', 'wsgi.url_scheme': 'http' })
      expect(JSON.stringify(seen)).not.toMatch(/FORWARDED|REAL_IP|198\.51|public\.example/)
      const forward: HeaderLine = ['Forwarded', 'for=198.51.100.9;proto=https']
      const other = await environOf(origin, { target: '/', headers: [forward] })
      expect(JSON.stringify(other)).not.toMatch(/FORWARDED|198\.51/)
    })

    test('of a trusted proxy are believed', async () => {
      const TRUSTED_PROXIES = '127.0.0.0/8, 2001:db8::/32'
      const { origin } = await context.deployment({ TRUSTED_PROXIES })
      const headers = [...differs.peer('127.0.0.1'), ...forwarded]
      expect(await environOf(origin, { target: '/', headers })).toMatchObject({
        REMOTE_ADDR: '198.51.100.9',
        REQUEST_SCHEME: 'https',
        HTTPS: 'on',
        'wsgi.url_scheme': 'https',
        SERVER_NAME: '127.0.0.1',
      })
      const forward: HeaderLine = ['Forwarded', 'for="[2001:db8:1::9]:443";proto=https']
      const own = [...differs.peer('127.0.0.1'), forward]
      expect(await environOf(origin, { target: '/', headers: own })).toMatchObject({
        REMOTE_ADDR: '2001:db8:1::9',
        'wsgi.url_scheme': 'https',
      })
    })

    test('TRUST_FORWARDED_HOST makes the public host', async () => {
      const { origin } = await context.deployment({
        TRUSTED_PROXIES: '127.0.0.1',
        TRUST_FORWARDED_HOST: 'true',
      })
      const headers = [...differs.peer('127.0.0.1'), ...forwarded]
      expect(await environOf(origin, { target: '/', headers })).toMatchObject({
        HTTP_HOST: 'public.example',
        SERVER_NAME: 'public.example',
        SERVER_PORT: '443',
      })
    })

    test('PARAMS adds variables, replaces them and removes headers', async () => {
      const { origin } = await context.deployment({
        PARAMS: 'DEPLOYMENT=edge=1\nSERVER_NAME=fixed\nHTTP_X_SECRET=\nHTTP_X_OWN=ours',
      })
      const headers: HeaderLine[] = [
        ['X-Secret', 'evil'],
        ['X-Own', 'evil'],
      ]
      const seen = await environOf(origin, { target: '/', headers })
      expect(seen).toMatchObject({ DEPLOYMENT: 'edge=1', SERVER_NAME: 'fixed', HTTP_X_OWN: 'ours' })
      expect(JSON.stringify(seen)).not.toContain('evil')
    })
  })
}

function lines(count: number): HeaderLine[] {
  return Array.from({ length: count }, (_, i): HeaderLine => [`X-${i}`, 'a'])
}

async function statusOf(context: SuiteContext, headers: HeaderLine[]): Promise<number> {
  const { origin } = await context.deployment()
  return (await send(origin, { target: '/h', headers })).status
}
