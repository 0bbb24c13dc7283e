/**
 * An environ, ours or one that another gateway wrote, is the same again once it has been a request.
 *
 * @module
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesSource } from '../../src/core/body-source.ts'
import { type Environ, toEnviron } from '../../src/core/environ.ts'
import { uwsgiEnv } from '../../src/core/fetch-application.ts'
import { environHead, type EnvironLike, fromEnviron } from '../../src/core/from-environ.ts'
import { WsgiInput } from '../../src/core/input.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { anyBody, chunksOf } from './arbitraries.ts'
import { PROPERTY } from './support.ts'

const HOST = 'h.example:8080'

/** Goes round: environ, request, environ. */
async function roundTrip(environ: EnvironLike): Promise<{ request: Request; environ: Environ }> {
  const { requestMeta } = uwsgiEnv(environ, environHead(environ))
  const request = fromEnviron(environ)
  return { request, environ: await toEnviron(request, requestMeta) }
}

function environOf(vars: Record<string, unknown>): EnvironLike {
  return {
    REQUEST_METHOD: 'GET',
    SCRIPT_NAME: '',
    PATH_INFO: '/',
    QUERY_STRING: '',
    SERVER_NAME: 'srv.example',
    SERVER_PORT: '8080',
    SERVER_PROTOCOL: 'HTTP/1.1',
    'wsgi.url_scheme': 'http',
    ...vars,
  }
}

/** Any octet but NUL, `/` seldom. */
const anySegment = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom(...'ab.%?#;=&+ "<>~^|\\\x7f\n\t'),
      fc.integer({ min: 1, max: 255 }).map((octet) => String.fromCharCode(octet))
    ),
    minLength: 1,
    maxLength: 5,
  })
  .map((text) => text.replaceAll('/', '-'))
  .filter((text) => text !== '.' && text !== '..')

const anyEnviron = fc.record({
  method: fc.constantFrom('POST', 'PUT', 'PATCH', 'M-SEARCH'),
  mount: fc.array(anySegment, { maxLength: 2 }),
  path: fc.array(fc.oneof(anySegment, fc.constant('')), { minLength: 1, maxLength: 3 }),
  query: fc.string({ unit: fc.constantFrom(...'ab=&%?/\'"<>^|~+;'), maxLength: 8 }),
  spelling: fc.constantFrom('none', 'whole', 'lower', 'other'),
  hasHost: fc.boolean(),
  isSecure: fc.boolean(),
  body: fc.option(anyBody, { nil: undefined }),
})

/** Every octet that is not a letter, in hexadecimal of one case. */
function spell(path: string, isLower: boolean): string {
  return path.replaceAll(/[^a-z/]/gi, (unit) => {
    const digits = unit.charCodeAt(0).toString(16).padStart(2, '0')
    return `%${isLower ? digits : digits.toUpperCase()}`
  })
}

test('fromEnviron() and toEnviron() leave every environ as it is (REV-1, REV-2)', async () => {
  await fc.assert(
    fc.asyncProperty(anyEnviron, async (parts) => {
      const { method, query, spelling, body } = parts
      const bytes = body === undefined ? undefined : Buffer.concat(chunksOf(body))
      const mount = parts.mount.map((segment) => `/${segment}`).join('')
      const pathInfo = `/${parts.path.join('/')}`
      const scheme = parts.isSecure ? 'https' : 'http'
      const spelled = spell(mount + pathInfo, spelling === 'lower')
      const uri = (spelling === 'other' ? '/else/where' : spelled) + (query && `?${query}`)
      const { request, environ } = await roundTrip(
        environOf({
          REQUEST_METHOD: method,
          SCRIPT_NAME: mount,
          PATH_INFO: pathInfo,
          QUERY_STRING: query,
          'wsgi.url_scheme': scheme,
          ...(spelling !== 'none' && { REQUEST_URI: uri }),
          ...(parts.hasHost && { HTTP_HOST: 'H.Example:8080' }),
          ...(bytes && {
            CONTENT_LENGTH: String(bytes.length),
            'wsgi.input': new WsgiInput(bytesSource(bytes)),
          }),
        })
      )
      // A URL parser writes some octets of a query anew; whoever knows their spelling keeps it.
      const written = new URL(`http://h/?${query}`).search.slice(1)
      expect(environ).toMatchObject({
        REQUEST_METHOD: method,
        SCRIPT_NAME: mount,
        PATH_INFO: pathInfo,
        QUERY_STRING: spelling === 'none' ? written : query,
        HTTP_HOST: parts.hasHost ? 'H.Example:8080' : 'srv.example:8080',
        SERVER_PORT: '8080',
        'wsgi.url_scheme': scheme,
      })
      if (spelling !== 'none') expect(environ.REQUEST_URI).toBe(uri)
      if (spelling === 'whole' || spelling === 'lower') {
        expect(new URL(request.url).pathname).toBe(spelled)
      }
      expect(request.body === null).toBe((bytes?.length ?? 0) === 0)
      expect(environ['CONTENT_LENGTH']).toBe(bytes && String(bytes.length))
      const input = await environ['wsgi.input'].read()
      expect(octetsToNative(input)).toBe(octetsToNative(bytes ?? new Uint8Array()))
    }),
    PROPERTY
  )
})

test.each<[string, Record<string, string>, Record<string, string>]>([
  [
    'nginx, which repeats the mount in PATH_INFO',
    { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '/app//x?' },
    { SCRIPT_NAME: '/app', PATH_INFO: '/x' },
  ],
  [
    'nginx, whose application lies under its own name',
    { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '/app/app/x' },
    { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '/app/app/x' },
  ],
  [
    'Apache, which leaves the slash on SCRIPT_NAME',
    { SCRIPT_NAME: '/app/', PATH_INFO: '/', REQUEST_URI: '/app/' },
    { SCRIPT_NAME: '/app', PATH_INFO: '/', REQUEST_URI: '/app/' },
  ],
  [
    'a front that has rewritten the path',
    { PATH_INFO: '/new', REQUEST_URI: '/old?a', QUERY_STRING: 'a' },
    { PATH_INFO: '/new', REQUEST_URI: '/old?a', QUERY_STRING: 'a' },
  ],
  [
    'a front that has rewritten the query',
    { PATH_INFO: '/new', REQUEST_URI: '/old?a', QUERY_STRING: 'b' },
    { PATH_INFO: '/new', REQUEST_URI: '/new?b', QUERY_STRING: 'b' },
  ],
  [
    'a front that has resolved dot segments',
    { PATH_INFO: '/b', REQUEST_URI: '/a/../b' },
    { PATH_INFO: '/b', REQUEST_URI: '/a/../b' },
  ],
  [
    'a mount that is hit exactly',
    { SCRIPT_NAME: '/app', PATH_INFO: '', REQUEST_URI: '/app' },
    { SCRIPT_NAME: '/app', PATH_INFO: '', REQUEST_URI: '/app' },
  ],
  ['a root without a path', { PATH_INFO: '' }, { PATH_INFO: '/', REQUEST_URI: '/' }],
  [
    'a query that is empty but there',
    { PATH_INFO: '/a', REQUEST_URI: '/a?' },
    { PATH_INFO: '/a', REQUEST_URI: '/a?', QUERY_STRING: '' },
  ],
  [
    'nginx with a server_name that is a pattern',
    { SERVER_NAME: '~^www\\.', SERVER_PORT: '81' },
    { HTTP_HOST: 'localhost:81' },
  ],
])('an environ of %s', async (_name, vars, expected) => {
  expect((await roundTrip(environOf(vars))).environ).toMatchObject(expected)
})

test('the URL is spelled as REQUEST_URI is, the root too', () => {
  const vars = { HTTP_HOST: HOST, PATH_INFO: '', REQUEST_URI: '/?' }
  expect(fromEnviron(environOf(vars)).url).toBe(`http://${HOST}/?`)
})

test('what speaks of the connection does not become a header', async () => {
  const { request, environ } = await roundTrip(
    environOf({
      HTTP_HOST: HOST,
      HTTP_CONNECTION: 'x-a',
      HTTP_KEEP_ALIVE: '1',
      HTTP_TE: 'trailers',
      HTTP_TRAILER: 'x-a',
      HTTP_TRANSFER_ENCODING: 'chunked',
      HTTP_UPGRADE: 'h2c',
      HTTP_PROXY_CONNECTION: 'close',
      HTTP_PROXY: 'http://evil/',
      HTTP_EXPECT: '100-continue',
      HTTP_CONTENT_LENGTH: '3',
      HTTP_CONTENT_TYPE: 'text/plain',
      HTTP_X_A: '1',
      HTTPS: 'on',
    })
  )
  expect([...request.headers]).toEqual([
    ['host', HOST],
    ['x-a', '1'],
  ])
  expect(environ).toMatchObject({ HTTP_X_A: '1', 'wsgi.url_scheme': 'http' })
})

function sixBytes(): WsgiInput {
  return new WsgiInput(bytesSource(Buffer.from('abcdef')))
}

test('CONTENT_LENGTH says how much of wsgi.input is the body', async () => {
  const post = { REQUEST_METHOD: 'POST', HTTP_HOST: HOST }
  const cut = fromEnviron(environOf({ ...post, CONTENT_LENGTH: '4', 'wsgi.input': sixBytes() }))
  expect(await cut.text()).toBe('abcd')
  const short = fromEnviron(environOf({ ...post, CONTENT_LENGTH: '7', 'wsgi.input': sixBytes() }))
  await expect(short.text()).rejects.toThrow(/short of its Content-Length 7/)
  const unknown = environOf({ ...post, 'wsgi.input': sixBytes(), 'wsgi.input_terminated': true })
  expect(await fromEnviron(unknown).text()).toBe('abcdef')
  const none = fromEnviron(environOf({ ...post, 'wsgi.input': sixBytes() }))
  expect(none.body).toBe(null)
})
