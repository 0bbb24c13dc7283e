/**
 * `wsgi` and `uwsgiPass` on the routes of a Hono app, the same on every runtime: one app, once with an
 * application in TypeScript and once with a bridge to the real uWSGI.
 *
 * @module
 */
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { eventually, logged } from '../support/deadline.ts'
import {
  type ClientRequest,
  type ClientResponse,
  type HeaderLine,
  open,
  openRaw,
  send,
} from '../support/http-client.ts'
import { type ScriptedBackend, startScriptedBackend } from '../support/scripted-backend.ts'
import type { RunningTarget } from '../target/target.ts'
import type { Spec } from './programs/application.ts'
import type { HonoTarget } from './targets.ts'

/** What is not the same on every runtime, and why. */
export interface Differences {
  /** Cloudflare tells the client's address in a header; elsewhere that header is a client's claim. */
  readonly addressInHeader: boolean
  /** workerd notices a client that leaves by its reset only. */
  readonly leave: 'close' | 'reset'
  /** workerd and Deno give every POST a body, so that a middleware has always read one. */
  readonly emptyBodyIsNone: boolean
  /** Deno joins response headers of one name, but for Set-Cookie. */
  readonly repeatedHeader: readonly string[]
}

/** One of the two handlers, deployed. */
interface Subject {
  readonly origin: () => string
  readonly deployment: () => RunningTarget
  readonly scripted: () => ScriptedBackend
  readonly differs: Differences
}

type Environ = Readonly<Record<string, string>> & { readonly body_length: number }

const MEGABYTE = randomBytes(1_048_576)

/** Describes both handlers on one runtime. */
export function describeHono(target: HonoTarget, differs: Differences): void {
  let uwsgi: UwsgiServer | undefined
  let scripted: ScriptedBackend | undefined
  const running = new Map<string, RunningTarget>()
  beforeAll(async () => {
    ;[uwsgi, scripted] = await Promise.all([
      startUwsgi({ app: 'environ', bufferSize: 32_768 }),
      startScriptedBackend(),
    ])
    for (const HANDLER of ['wsgi', 'uwsgi'] as const) {
      const variables = { HANDLER, UPSTREAM: uwsgi.address, SCRIPTED: scripted.address }
      running.set(HANDLER, await target.start(variables))
    }
  })
  afterAll(async () => {
    await Promise.all([...running.values(), uwsgi, scripted].map((server) => server?.stop()))
  })

  describe.each(['wsgi', 'uwsgi'] as const)(`%s in Hono on ${target.name}`, (handler) => {
    const subject: Subject = {
      deployment: () => present(running.get(handler)),
      origin: () => present(running.get(handler)).origin,
      scripted: () => present(scripted),
      differs,
    }
    describeMounts(subject)
    describeRouterView(subject)
    describeRequests(subject)
    describeResponses(subject)
    describeMiddleware(subject)
    if (handler === 'wsgi') describeApplication(subject)
    else describeBackend(subject)

    test('nothing else that happened here was a bug', () => {
      const expected = /Cannot tell the mount of route|Cannot pass the request on: its body/
      const bugs = subject
        .deployment()
        .log()
        .split('\n')
        .filter((line) => /(?:Type|Range|Reference)Error: |ERR_INTERNAL|[Uu]nhandled/.test(line))
        .filter((line) => !expected.test(line))
      expect(bugs).toEqual([])
    })
  })
}

function describeMounts({ origin, deployment }: Subject): void {
  describe('mounts (MOUNT-1)', () => {
    test.each([
      ['/legacy', '/legacy', ''],
      ['/legacy/', '/legacy', '/'],
      ['/legacy/a/b?c', '/legacy', '/a/b'],
      ['/legacy//a', '/legacy', '//a'],
      ['/%6Cegacy/a', '/legacy', '/a'],
      ['/legacy/legacy/a', '/legacy', '/legacy/a'],
      ['/legacy/50%/%zz', '/legacy', '/50%/%zz'],
      ['/caf%C3%A9/%ff', '/caf\xc3\xa9', '/\xff'],
      ['/outer/inner/x', '/outer/inner', '/x'],
      ['/outer/deep/7/x', '/outer/deep/7', '/x'],
      ['/outer/deep/7', '/outer/deep/7', ''],
      ['/wrapped/me/inner/x', '/wrapped/me/inner', '/x'],
      ['/based/v1/x', '/based/v1', '/x'],
      ['/caf%C3%A9/app/x', '/caf\xc3\xa9', '/app/x'],
      ['/t1/app/x/', '/t1/app', '/x/'],
      ['/%E3%81%82/app/x', '/\xe3\x81\x82/app', '/x'],
      ['/a%20b/app/x', '/a b/app', '/x'],
      ['/a%2Fb/app/x', '/a/b/app', '/x'],
      ['/a%25b/app/x', '/a%b/app', '/x'],
      ['/a%252Fb/app/x', '/a%2Fb/app', '/x'],
      ['/a+b/app/x', '/a+b/app', '/x'],
      ['/exact', '', '/exact'],
      ['/exact?x', '', '/exact'],
      ['/option-root/x', '', '/option-root/x'],
      ['/option-path/sub/x', '/option-path/sub', '/x'],
      ['/own/inner/x', '/own/inner', '/x'],
    ])('GET %s has SCRIPT_NAME %s', async (target, scriptName, pathInfo) => {
      expect(await environOf(origin(), { target })).toMatchObject({
        SCRIPT_NAME: scriptName,
        PATH_INFO: pathInfo,
        REQUEST_URI: target,
      })
    })

    test.each(['DELETE', 'PATCH'])('a route for %s on everything is no mount', async (method) => {
      for (const target of ['/', '/any/app%20x/y?z', '/legacyx']) {
        const environ = await environOf(origin(), { method, target })
        expect(environ).toMatchObject({
          SCRIPT_NAME: '',
          PATH_INFO: decodeURIComponent(target.replace(/\?.*/, '')),
          REQUEST_METHOD: method,
        })
      }
    })

    test.each([
      '/legacyx',
      '/Legacy/a',
      '/legacy%2Fx',
      '//legacy/a',
      '/legacy/../exactly',
      '/legacy/x/../../exactly',
      '/legacy/%2e%2e/exactly',
      '/exact/',
      '/option-path/other',
      '/option-path/subx',
      '/own/x',
      '/own/innerx/',
    ])('%s is nobody’s and answered 404', async (target) => {
      expect((await send(origin(), { target })).status).toBe(404)
    })

    test.each(['/optional/1/x', '/pattern/abc/x', '/star/1/x/2'])(
      '%s matches a route that tells no mount: 500, and the log says why',
      async (target) => {
        const { status, text } = await send(origin(), { target })
        expect(status).toBe(500)
        expect(text).not.toContain('mount')
        const [, first] = target.split('/')
        const said = new RegExp(
          `Cannot tell the mount of route "/${first}/.*": wanted plain segments and parameters, or the option mount`
        )
        await logged(deployment(), said)
      }
    )
  })
}

/** A middleware judges the path that the router saw: the application must not get another one. */
function describeRouterView({ origin }: Subject): void {
  describe('a path that a middleware keeps out', () => {
    test('is kept out', async () => {
      const { status, text } = await send(origin(), { target: '/guarded/admin/secret' })
      expect({ status, text }).toEqual({ status: 403, text: 'kept out' })
    })

    test.each([
      '/guarded/x/../admin/secret',
      '/guarded/./admin/secret',
      '/guarded/%2e/admin/secret',
      '/guarded/x/%2E%2e/admin/secret',
      '/legacy/../guarded/admin/secret',
      '/guarded\\admin\\secret',
      '/guarded/x/..\\admin/secret',
    ])('stays out as %s, however it is spelled', async (target) => {
      const { status, text } = await send(origin(), { target })
      // Node resolves before it routes; whoever routes before it resolves has no such page.
      expect([status, text.includes('PATH_INFO')]).toEqual([
        expect.toBeOneOf([400, 403, 404]),
        false,
      ])
    })

    test('has its encoded slashes decoded, as by every WSGI server, unless they are refused', async () => {
      const target = '/guarded/admin%2Fsecret'
      expect(await environOf(origin(), { target })).toMatchObject({ PATH_INFO: '/admin/secret' })
      const { status } = await send(origin(), { target: target.replace('guarded', 'strict') })
      expect(status).toBe(400)
    })
  })
}

function describeRequests({ origin, differs }: Subject): void {
  describe('requests', () => {
    test.each([
      "/legacy/it's/%7e/%7E?q='%7e%27'&x=%7E",
      '/legacy/a?',
      '/legacy/a?b?c',
      '/legacy/;p=1/$&+,:@!*()',
    ])('%s arrives byte for byte', async (target) => {
      expect(await environOf(origin(), { target })).toMatchObject({
        REQUEST_URI: target,
        QUERY_STRING: target.includes('?') ? target.slice(target.indexOf('?') + 1) : '',
      })
    })

    test('header lines of one name are joined, Cookie with a semicolon (HDR-8)', async () => {
      const headers: HeaderLine[] = [
        ['Cookie', 'a=1'],
        ['X-Twice', '1'],
        ['Cookie', 'b=2; c=3'],
        ['X-Twice', '2'],
      ]
      expect(await environOf(origin(), { target: '/legacy/x', headers })).toMatchObject({
        HTTP_COOKIE: 'a=1; b=2; c=3',
        HTTP_X_TWICE: '1, 2',
      })
    })

    test('UTF-8 in a header keeps its octets (HDR-5)', async () => {
      const headers: HeaderLine[] = [['X-Text', 'caf\xc3\xa9 \xe3\x81\x82']]
      expect(await environOf(origin(), { target: '/legacy/x', headers })).toMatchObject({
        HTTP_X_TEXT: 'caf\xc3\xa9 \xe3\x81\x82',
      })
    })

    test('REMOTE_ADDR is who the platform says, CF-Connecting-IP no way to choose it (TRUST-6)', async () => {
      const headers: HeaderLine[] = [
        ['CF-Connecting-IP', '203.0.113.9'],
        ['X-Forwarded-For', '203.0.113.8'],
        ['X-Real-IP', '203.0.113.7'],
      ]
      const environ = await environOf(origin(), { target: '/legacy/x', headers })
      const there = differs.addressInHeader
      expect(environ['REMOTE_ADDR']).toBe(there ? '203.0.113.9' : '127.0.0.1')
      expect(environ['HTTP_CF_CONNECTING_IP']).toBe(there ? undefined : '203.0.113.9')
      expect(environ).not.toHaveProperty('HTTP_X_FORWARDED_FOR')
      expect(environ).not.toHaveProperty('HTTP_X_REAL_IP')
      const unsaid = await environOf(origin(), { target: '/legacy/x' })
      expect(unsaid['REMOTE_ADDR']).toBe(there ? undefined : '127.0.0.1')
      expect(/^\d+$/.test(unsaid['REMOTE_PORT'] ?? '')).toBe(!there)
    })

    test.each([0, 1, 65_536, MEGABYTE.length])('a body of %d bytes arrives', async (length) => {
      const body = MEGABYTE.subarray(0, length)
      const environ = await environOf(origin(), { target: '/exact', body })
      expect(environ).toMatchObject({
        REQUEST_METHOD: 'POST',
        CONTENT_LENGTH: String(length),
        body_length: length,
        body_sha256: sha256(body),
      })
    })

    test('a body of unknown length arrives, its length found out', async () => {
      const body = Readable.from([MEGABYTE.subarray(0, 7), MEGABYTE.subarray(7)])
      expect(await environOf(origin(), { target: '/legacy/x', body })).toMatchObject({
        CONTENT_LENGTH: String(MEGABYTE.length),
        body_sha256: sha256(MEGABYTE),
      })
    })
  })
}

function describeResponses({ origin, differs }: Subject): void {
  describe('responses', () => {
    test('status, Set-Cookie lines and UTF-8 octets stay what they were', async () => {
      const { status, all, text } = await send(origin(), {
        target: respond('/legacy', {
          status: '404 Not Found',
          headers: [
            ['Content-Type', 'text/plain'],
            ['Set-Cookie', 'a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT'],
            ['X-Text', 'caf\xc3\xa9'],
            ['Set-Cookie', 'b=2'],
            ['X-Twice', '1'],
            ['X-Twice', '2'],
          ],
          chunks: ['one ', '', 'two'],
        }),
      })
      expect(status).toBe(404)
      expect(text).toBe('one two')
      expect(all('set-cookie')).toEqual(['a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT', 'b=2'])
      expect(all('x-text')).toEqual(['caf\xc3\xa9'])
      expect(all('x-twice')).toEqual(differs.repeatedHeader)
      expect(all('content-type')).toEqual(['text/plain'])
    })

    test.each(['204 No Content', '304 Not Modified'])('%s has no body', async (status) => {
      const target = respond('/legacy', { status, headers: [['ETag', '"x"']] })
      const response = await send(origin(), { target })
      expect(response.status).toBe(Number.parseInt(status))
      expect(response.header('etag')).toBe('"x"')
      expect(response.body.length).toBe(0)
      expect(response.header('content-type')).toBe(undefined)
    })

    test('HEAD has the head of GET and no body', async () => {
      const target = respond('/legacy', {
        status: '200 OK',
        headers: [
          ['Content-Type', 'text/plain'],
          ['Content-Length', '3'],
        ],
        chunks: ['abc'],
      })
      const head = await send(origin(), { method: 'HEAD', target })
      expect([head.status, head.body.length]).toEqual([200, 0])
      expect(head.header('content-type')).toBe('text/plain')
      expect(head.header('content-length')).toBe('3')
      expect((await send(origin(), { target })).text).toBe('abc')
    })
  })
}

function describeMiddleware({ origin, deployment, differs }: Subject): void {
  describe('middleware', () => {
    test.each([0, 3])('that read the body of %d bytes: 500, and the log says why', async (size) => {
      const { status, text } = await send(origin(), {
        target: '/read/x',
        headers: [['Content-Type', 'text/plain']],
        body: 'abc'.slice(0, size),
      })
      if (size === 0 && differs.emptyBodyIsNone) return expect(status).toBe(200)
      expect(status).toBe(500)
      expect(text).not.toContain('body')
      await logged(
        deployment(),
        /Cannot pass the request on: its body has been read, wanted a middleware that reads a clone of it/
      )
    })

    test('that reads where there is no body does no harm', async () => {
      expect(await environOf(origin(), { target: '/read/x' })).toMatchObject({ body_length: 0 })
    })

    test('that reads a clone leaves the body', async () => {
      const body = MEGABYTE.subarray(0, 100_000)
      const response = await send(origin(), { target: '/cloned/x', body })
      expect(response.json()).toMatchObject({ body_sha256: sha256(body) })
      expect(response.header('x-cloned')).toBe(String(body.toString().length))
    })

    test('may put another request in the place of the first', async () => {
      const headers: HeaderLine[] = [
        ['X-User', 'forged'],
        ['X-Kept', 'a'],
        ['X-Dropped', 'b'],
      ]
      const environ = await environOf(origin(), { target: '/changed/x?q', headers })
      expect(environ).toMatchObject({ HTTP_X_USER: 'known', HTTP_X_KEPT: 'a', PATH_INFO: '/x' })
      expect(environ).not.toHaveProperty('HTTP_X_DROPPED')
      const moved = await environOf(origin(), { target: '/moved/x?q=old' })
      expect(moved).toMatchObject({ PATH_INFO: '/y', QUERY_STRING: 'q=new', SCRIPT_NAME: '/moved' })
    })

    test('behind the handler sets headers of the response', async () => {
      const spec: Spec = {
        status: '201 Created',
        headers: [
          ['Set-Cookie', 'a=1'],
          ['Set-Cookie', 'b=2'],
          ['X-Text', 'caf\xc3\xa9'],
        ],
        chunks: ['abc'],
      }
      const { status, all, text } = await send(origin(), { target: respond('/after', spec) })
      expect([status, text]).toEqual([201, 'abc'])
      expect(all('x-after')).toEqual(['c.header'])
      expect(all('x-after-too')).toEqual(['c.res.headers'])
      expect(all('x-text')).toEqual(['caf\xc3\xa9'])
      expect(all('set-cookie')).toEqual(['a=1', 'b=2', 'middleware=1'])
    })

    test.each(['/legacy', '/after'])('%s leaves a coded body as it is', async (mount) => {
      const coded = gzipSync('abc'.repeat(100))
      const spec: Spec = {
        status: '200 OK',
        headers: [['Content-Encoding', 'gzip']],
        chunks: [coded.toString('latin1')],
      }
      const { header, body } = await send(origin(), {
        target: respond(mount, spec),
        headers: [['Accept-Encoding', 'gzip']],
      })
      expect(header('content-encoding')).toBe('gzip')
      expect(body.equals(coded)).toBe(true)
    })
  })
}

/** What only an application of our own can be made to do. */
function describeApplication({ origin, deployment, differs }: Subject): void {
  describe('the application', () => {
    test('sends a megabyte', async () => {
      const { body, header } = await send(origin(), { target: `/legacy/big?bytes=${2 ** 20}` })
      expect(body.length).toBe(2 ** 20)
      expect(header('content-type')).toBe('text/plain')
    })

    test('is sent as it goes', async () => {
      const token = crypto.randomUUID()
      const response = await open(origin(), { target: `/legacy/stream/${token}` })
      expect(Buffer.from((await response.read()) ?? []).toString()).toBe('one')
      await send(origin(), { target: `/legacy/release/${token}` })
      expect((await response.rest()).toString()).toBe('two')
      await eventually('close()', async () => (await closedCount(origin(), token)) === '1')
    })

    test('is closed when its client leaves', async () => {
      const token = crypto.randomUUID()
      const client = await openRaw(origin())
      await client.write(
        `GET /legacy/endless/${token} HTTP/1.1\r\nHost: ${new URL(origin()).host}\r\n\r\n`
      )
      await client.until(/\r\n\r\n[^]{10}/)
      expect(await closedCount(origin(), token)).toBe('0')
      client.destroy(differs.leave)
      await eventually('close()', async () => (await closedCount(origin(), token)) === '1')
    })

    test('that never starts its response is a 500 page', async () => {
      const { status, text } = await send(origin(), { target: '/legacy/raw/silent' })
      expect({ status, text }).toEqual({ status: 500, text: '500 Internal Server Error\n' })
      await logged(deployment(), /startResponse was never called/)
    })
  })
}

/** What only a backend that is told what to do can be made to do. */
function describeBackend({ origin, deployment, scripted, differs }: Subject): void {
  describe('the backend', () => {
    test('sends a megabyte', async () => {
      const head = 'HTTP/1.1 200 OK\r\n\r\n'
      scripted().on('big', { reply: Buffer.concat([Buffer.from(head), MEGABYTE]) })
      const { body } = await send(origin(), { target: '/script/big' })
      expect(body.equals(MEGABYTE)).toBe(true)
    })

    test('is sent as it goes', async () => {
      scripted().on('slow', { reply: 'HTTP/1.1 200 OK\r\n\r\none', ending: 'hold' })
      const response = await open(origin(), { target: '/script/slow' })
      expect(Buffer.from((await response.read()) ?? []).toString()).toBe('one')
      const connection = await scripted().connection('slow')
      connection.write('two')
      expect(Buffer.from((await response.read()) ?? []).toString()).toBe('two')
      response.destroy()
    })

    test('is let go when its client leaves', async () => {
      scripted().on('left', { reply: 'HTTP/1.1 200 OK\r\n\r\none', ending: 'hold' })
      const client = await openRaw(origin())
      await client.write(`GET /script/left HTTP/1.1\r\nHost: ${new URL(origin()).host}\r\n\r\n`)
      await client.until(/one/)
      const connection = await scripted().connection('left')
      client.destroy(differs.leave)
      await expect(connection.closed()).resolves.toBe(undefined)
    })

    test('that never answers is a 502 page', async () => {
      const { status, text } = await send(origin(), { target: '/legacy/raw/silent' })
      expect({ status, text }).toEqual({ status: 502, text: '502 Bad Gateway\n' })
      await logged(deployment(), /closed the connection without an answer/)
    })

    test('gets the mount of its route', async () => {
      scripted().on('vars', { reply: 'HTTP/1.1 204 No Content\r\n\r\n' })
      await send(origin(), { target: '/script/vars' })
      const connection = await scripted().connection('vars')
      const packet = connection.received()
      expect(packet).toContain('SCRIPT_NAME\x07\0/script')
      expect(packet).toContain('PATH_INFO\x05\0/vars')
    })
  })
}

async function closedCount(origin: string, token: string): Promise<string> {
  return (await send(origin, { target: `/legacy/closed/${token}` })).text
}

function respond(mount: string, spec: Spec): string {
  const json = encodeURIComponent(JSON.stringify(spec))
  return `${mount}/raw/respond?spec=${json.replaceAll("'", '%27')}`
}

async function environOf(origin: string, request: ClientRequest): Promise<Environ> {
  const response: ClientResponse = await send(origin, request)
  if (response.status !== 200) {
    throw new Error(`${request.target}: ${response.status} ${response.text}`)
  }
  return response.json()
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function present<T>(server: T | undefined): T {
  if (server === undefined) throw new Error('The server did not start')
  return server
}
