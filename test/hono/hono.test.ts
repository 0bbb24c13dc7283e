import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createBridgeOn } from '../../src/bridge/bridge.ts'
import type { Application } from '../../src/core/application.ts'
import { toApplication } from '../../src/core/fetch-application.ts'
import { fromEnviron } from '../../src/core/from-environ.ts'
import type { RequestMeta } from '../../src/core/request-head.ts'
import { contextMeta, type UwsgiEnv } from '../../src/core/request-meta.ts'
import { type HonoHandler, uwsgiPass, wsgi } from '../../src/hono/index.ts'

type Shown = Readonly<Record<string, string>>

/** Answers with the texts of its environ. */
const showEnviron: Application = (environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', 'application/json']])
  const texts = Object.entries(environ).filter(([, value]) => typeof value === 'string')
  return [new TextEncoder().encode(JSON.stringify(Object.fromEntries(texts)))]
}

/** Stands in for a bridge and keeps what it is given. */
function fakeBridge(): { given: RequestMeta[]; fetch: HonoBridge['fetch'] } {
  const given: RequestMeta[] = []
  return {
    given,
    fetch: async (_request, _env, _ctx, meta) => {
      given.push(meta ?? {})
      return new Response('from the bridge')
    },
  }
}
type HonoBridge = Parameters<typeof uwsgiPass>[0]

const errors = vi.spyOn(console, 'error')
beforeEach(() => void errors.mockImplementation(() => {}))
afterEach(() => {
  // Whoever expects one takes it off.
  const said = errors.mock.calls.map(([error]) => String(error))
  errors.mockReset()
  if (said.length > 0) throw new Error(`console.error: ${said.join('\n')}`)
})

function expectError(pattern: RegExp): void {
  expect(errors.mock.calls.map(([error]) => String(error))).toEqual([
    expect.stringMatching(pattern),
  ])
  errors.mockClear()
}

async function shown(app: Hono, target: string, init?: RequestInit): Promise<Shown> {
  const response = await app.request(`http://h.example${target}`, init)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${target}: ${response.status} ${text}`)
  return JSON.parse(text) as Shown
}

describe('the mount of a route', () => {
  const handler = wsgi(showEnviron)

  test.each([
    ['/a', '/a', '', '/a'],
    ['/a/:id', '/a/b', '', '/a/b'],
    ['/a/:id?', '/a', '', '/a'],
    ['/a*', '/ab', '', '/ab'],
    ['*', '/a/b', '', '/a/b'],
    ['/*', '/a/b', '', '/a/b'],
    ['/*', '/', '', '/'],
    ['a/*', '/a/b', '/a', '/b'],
    ['/a/*', '/a', '/a', ''],
    ['/a/*', '/a/', '/a', '/'],
    ['/a//b/*', '/a//b/c', '/a//b', '/c'],
    ['/:tenant/*', '/x', '/x', ''],
    ['/:tenant/*', '/x/y/', '/x', '/y/'],
    ['/:tenant/*', '/caf%C3%A9/y', '/caf\xc3\xa9', '/y'],
    ['/:tenant/*', '/a%2Fb/y', '/a/b', '/y'],
    ['/:tenant/*', '/%2541/y', '/%41', '/y'],
    ['/:tenant/*', '/100%/y', '/100%', '/y'],
    ['/:tenant/*', '/a%3Fb%23c%3Bd/y', '/a?b#c;d', '/y'],
    ['/:a/:b/*', '/x/y/z', '/x/y', '/z'],
    ['/:a/b/:c/*', '/x/b/y', '/x/b/y', ''],
    ['/.well-known/*', '/.well-known/x', '/.well-known', '/x'],
    ['/a b/é/*', '/a%20b/%C3%A9/x', '/a b/\xc3\xa9', '/x'],
  ])('%s, asked for %s, has SCRIPT_NAME %s', async (route, target, scriptName, pathInfo) => {
    const app = new Hono().all(route, handler)
    expect(await shown(app, target)).toMatchObject({
      SCRIPT_NAME: scriptName,
      PATH_INFO: pathInfo,
      REQUEST_URI: target,
    })
  })

  test('is the one of the route that answers, among several', async () => {
    const app = new Hono()
      .use('/:first/*', async (_c, next) => await next())
      .on(['GET', 'POST'], ['/a/*', '/b/:who/*'], handler)
      .use('/b/*', async (_c, next) => await next())
    expect(await shown(app, '/a/x')).toMatchObject({ SCRIPT_NAME: '/a' })
    expect(await shown(app, '/b/me/x')).toMatchObject({ SCRIPT_NAME: '/b/me', PATH_INFO: '/x' })
    expect(await shown(new Hono().use('/a/*', handler), '/a/x')).toMatchObject({
      SCRIPT_NAME: '/a',
    })
    expect(await shown(new Hono().use(handler), '/a/x')).toMatchObject({ SCRIPT_NAME: '' })
  })

  test('holds what app.route() and basePath() put before it', async () => {
    const app = new Hono()
      .route('/a', new Hono().route('/:b', new Hono().all('/c/*', handler)))
      .route('/d', new Hono().all('/*', handler).all('*', handler))
      .route('/', new Hono().basePath('/e/').all('f/*', handler))
    expect(await shown(app, '/a/b/c/x')).toMatchObject({ SCRIPT_NAME: '/a/b/c' })
    expect(await shown(app, '/d/x')).toMatchObject({ SCRIPT_NAME: '/d', PATH_INFO: '/x' })
    expect(await shown(app, '/e/f')).toMatchObject({ SCRIPT_NAME: '/e/f', PATH_INFO: '' })
  })

  test.each([
    ['/a/:b?/*', '/a/b/c'],
    ['/a/:b{[a-z]+}/*', '/a/b/c'],
    ['/a/:b{.+/x}/*', '/a/b/x/c'],
    ['/a/*/b/*', '/a/x/b/c'],
    ['/v:version/*', '/v1/x'],
    ['/v:version/*', '/v:version/x'],
    ['/a*/*', '/ab/x'],
  ])('%s cannot be told: 500, and the log says so', async (route, target) => {
    const app = new Hono().all(route, handler)
    const response = await app.request(target)
    expect([response.status, await response.text()]).toEqual([500, '500 Internal Server Error\n'])
    expectError(
      /TypeError: Cannot tell the mount of route .*: wanted plain segments and parameters/
    )
    const bridge = fakeBridge()
    const other = await new Hono().all(route, uwsgiPass(bridge)).request(target)
    expect([other.status, await other.text()]).toEqual([500, 'Internal Server Error'])
    expectError(/TypeError: Cannot tell the mount of route/)
    expect(bridge.given).toEqual([])
  })

  test('is not asked for where the option says it', async () => {
    const app = new Hono().all('/a/:b?/*', wsgi(showEnviron, { mount: '/a' }))
    expect(await shown(app, '/a/b/c')).toMatchObject({ SCRIPT_NAME: '/a', PATH_INFO: '/b/c' })
    const bridge = fakeBridge()
    await new Hono().all('/a/:b?/*', uwsgiPass(bridge, { mount: '/a/' })).request('/a/b/c')
    expect(bridge.given).toMatchObject([{ mount: '/a' }])
  })

  test.each([
    ['/', ''],
    ['/é', '/\xc3\xa9'],
    ['/a/b/', '/a/b'],
  ])('option mount %s is %s to the bridge', async (mount, told) => {
    const bridge = fakeBridge()
    await new Hono().all('/:x/*', uwsgiPass(bridge, { mount })).request('/a/b/c')
    expect(bridge.given).toMatchObject([{ mount: told }])
  })

  test.each(['', '/'])('option mount %j is the root', async (mount) => {
    const app = new Hono().all('/a/*', wsgi(showEnviron, { mount }))
    expect(await shown(app, '/a/b')).toMatchObject({ SCRIPT_NAME: '', PATH_INFO: '/a/b' })
  })

  test.each(['a', '/a//b', '/../a', '/a?b'])('option mount %s is refused at once', (mount) => {
    expect(() => uwsgiPass(fakeBridge(), { mount })).toThrow(/Cannot use mount/)
    expect(() => wsgi(showEnviron, { mount })).toThrow(/mount/)
  })

  test('that the path does not lie under is a 404', async () => {
    // Where a parameter is no UTF-8, the router and the application read it differently.
    const app = new Hono().all('/:tenant/*', handler)
    expect((await app.request('/%FF/x')).status).toBe(404)
    const option = new Hono().all('/a/*', wsgi(showEnviron, { mount: '/a/b' }))
    expect((await option.request('/a/bc')).status).toBe(404)
  })
})

describe('wsgi()', () => {
  test('refuses what is no application', () => {
    expect(() => wsgi(new Hono() as never)).toThrow(TypeError)
  })

  test('takes the options of gateway, requestMeta among them', async () => {
    const seen: unknown[] = []
    const env = { A: 1 }
    const handler = wsgi(showEnviron, {
      serverName: 'named',
      requestMeta: (_request, second) => {
        seen.push(second)
        return { remote: { addr: '192.0.2.1' }, mount: '/ignored' }
      },
    })
    const response = await new Hono().all('/a/*', handler).request('/a/b', {}, env)
    expect(await response.json()).toMatchObject({
      SERVER_NAME: 'named',
      REMOTE_ADDR: '192.0.2.1',
      SCRIPT_NAME: '/a',
    })
    expect(seen).toEqual([env])
  })

  test('knows what serveUwsgi and toApplication say of a request', async () => {
    const inner = new Hono<{ Bindings: UwsgiEnv }>().all('/a/*', wsgi(showEnviron))
    const outer = new Hono().all('/a/*', wsgi(toApplication((r, env) => inner.fetch(r, env as {}))))
    const requestMeta = { rawTarget: "/a/%7e?'", remote: { addr: '192.0.2.7', port: 9 } }
    const response = await outer.request("http://h.example/a/%7e?'", {}, { requestMeta })
    expect(await response.json()).toMatchObject({
      SCRIPT_NAME: '/a',
      PATH_INFO: '/~',
      REQUEST_URI: "/a/%7e?'",
      QUERY_STRING: "'",
      REMOTE_ADDR: '192.0.2.7',
      REMOTE_PORT: '9',
    })
  })

  test('lets an application hand a request on as one of Fetch', async () => {
    const app = new Hono().all(
      '/a/*',
      wsgi(async (environ, startResponse) => {
        const request = fromEnviron(environ)
        startResponse('200 OK', [])
        return [new TextEncoder().encode(`${request.method} ${request.url}`)]
      })
    )
    const response = await app.request('http://h.example/a/b?c', { method: 'PUT' })
    expect(await response.text()).toBe('PUT http://h.example/a/b?c')
  })
})

describe('a body', () => {
  const post = { method: 'POST', body: 'abc' }

  test.each([
    ['wsgi', wsgi(showEnviron)],
    ['uwsgiPass', uwsgiPass(fakeBridge())],
  ])('that has been read is not passed on as an empty one by %s', async (_name, handler) => {
    const app = new Hono()
      .use(async (c, next) => {
        await c.req.text()
        await next()
      })
      .all('/a/*', handler)
    expect((await app.request('/a/b', post)).status).toBe(500)
    expectError(
      /Cannot pass the request on: its body has been read, wanted a middleware that reads/
    )
    expect((await app.request('/a/b')).status).toBe(200)
  })

  test('that somebody reads at the same time is a 500', async () => {
    const app = new Hono().all('/a/*', wsgi(showEnviron))
    const request = new Request('http://h.example/a/b', post)
    request.body?.getReader()
    expect((await app.fetch(request)).status).toBe(500)
    expectError(/TypeError/)
  })
})

describe('a request that a middleware has changed', () => {
  const env = {
    requestMeta: {
      rawTarget: '/a/b?%7e',
      rawHeaders: [
        ['Host', 'h.example'],
        ['X-User', 'forged'],
        ['x-user', 'twice'],
      ],
      remote: { addr: '192.0.2.7' },
    },
  }
  const init = { headers: { host: 'h.example', 'x-user': 'forged, twice' } }

  test('is as it was on the wire where nothing has', async () => {
    const app = new Hono().all('/a/*', wsgi(showEnviron))
    const response = await app.request('http://h.example/a/b?%7e', init, env)
    expect(await response.json()).toMatchObject({
      HTTP_X_USER: 'forged, twice',
      RAW_URI: '/a/b?%7e',
      REMOTE_ADDR: '192.0.2.7',
    })
  })

  test.each(['set', 'delete'])('has the headers as they are after headers.%s()', async (change) => {
    const app = new Hono()
      .use(async (c, next) => {
        const headers = new Headers(c.req.raw.headers)
        if (change === 'set') headers.set('x-user', 'known')
        else headers.delete('x-user')
        c.req.raw = new Request(c.req.raw, { headers })
        await next()
      })
      .all('/a/*', wsgi(showEnviron))
    const response = await app.request('http://h.example/a/b?%7e', init, env)
    const environ = (await response.json()) as Shown
    expect(environ['HTTP_X_USER']).toBe(change === 'set' ? 'known' : undefined)
    expect(environ).toMatchObject({ RAW_URI: '/a/b?%7e', REMOTE_ADDR: '192.0.2.7' })
  })

  test.each(['/a/c?%7e', '/a/b?%7E', '/a/b'])('has the target %s that it has now', async (now) => {
    const app = new Hono()
      .use(async (c, next) => {
        c.req.raw = new Request(`http://h.example${now}`, c.req.raw)
        await next()
      })
      .all('/a/*', wsgi(showEnviron))
    const response = await app.request('http://h.example/a/b?%7e', init, env)
    expect(await response.json()).toMatchObject({
      PATH_INFO: now.slice(2).replace(/\?.*/, ''),
      QUERY_STRING: now.split('?')[1] ?? '',
      REQUEST_URI: now,
      HTTP_X_USER: 'forged, twice',
      REMOTE_ADDR: '192.0.2.7',
    })
  })
})

describe('contextMeta()', () => {
  const request = new Request('http://h.example/a')

  test.each([undefined, null, {}, { cf: {} }, { incoming: undefined }])(
    'knows nothing where env is %o',
    (env) => expect(contextMeta(request, env)).toEqual({})
  )

  test('reads what each server hands over', () => {
    const incoming = {
      url: "/a?'",
      rawHeaders: ['Host', 'h.example', 'X-A', '1', 'X-A', '2'],
      httpVersion: '1.0',
      socket: { remoteAddress: '192.0.2.1', remotePort: 5 },
    }
    expect(contextMeta(request, { incoming })).toMatchObject({
      rawTarget: "/a?'",
      rawHeaders: [
        ['Host', 'h.example'],
        ['X-A', '1'],
        ['X-A', '2'],
      ],
      httpVersion: '1.0',
      remote: { addr: '192.0.2.1', port: 5 },
      tls: undefined,
    })
    const remoteAddr = { transport: 'tcp', hostname: '192.0.2.2', port: 6 } as const
    expect(contextMeta(request, { remoteAddr })).toMatchObject({
      rawTarget: '/a',
      remote: { addr: '192.0.2.2', port: 6 },
    })
    // A server of ours knows more than the runtime does, such as that it listens on a unix socket.
    const requestMeta = { remote: { addr: 'unix:' } }
    expect(contextMeta(request, { requestMeta, incoming, remoteAddr })).toBe(requestMeta)
  })

  test('takes a TLS socket for one by what it says of itself', () => {
    const socket = {
      remoteAddress: '192.0.2.1',
      remotePort: 5,
      encrypted: true,
      getProtocol: () => 'TLSv1.3',
      getCipher: () => ({ standardName: 'TLS_AES_128_GCM_SHA256' }),
      servername: 'h.example',
    }
    const incoming = { url: '/a', rawHeaders: [], httpVersion: '1.1', socket }
    expect(contextMeta(request, { incoming }).tls).toEqual({
      protocol: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      serverName: 'h.example',
    })
    const unnamed = { ...incoming, socket: { ...socket, servername: false as const } }
    expect(contextMeta(request, { incoming: unnamed }).tls?.serverName).toBe(undefined)
  })

  test('on Workers reads the platform, whatever the bindings are called', () => {
    const headers = { 'cf-connecting-ip': '2001:DB8::1' }
    const cf = { tlsVersion: 'TLSv1.3', tlsCipher: 'AEAD-AES128-GCM-SHA256' }
    const env = { requestMeta: {}, incoming: {}, remoteAddr: {} }
    const secure = Object.assign(new Request('https://h.example/a', { headers }), { cf })
    expect(contextMeta(secure, env)).toMatchObject({
      rawTarget: '/a',
      remote: { addr: '2001:db8::1' },
      consumedHeaders: ['cf-connecting-ip'],
      tls: { protocol: 'TLSv1.3', cipher: 'AEAD-AES128-GCM-SHA256' },
      headerEncoding: 'utf8',
    })
    const plain = Object.assign(new Request('http://h.example/a'), { cf })
    expect(contextMeta(plain, env)).toMatchObject({ tls: undefined, remote: undefined })
    const local = Object.assign(new Request('https://h.example/a'), { cf: undefined })
    expect(contextMeta(local, env).tls).toBe(undefined)
    const junk = new Request('http://h.example/a', { headers: { 'cf-connecting-ip': 'x' } })
    expect(contextMeta(Object.assign(junk, { cf }), env).remote).toBe(undefined)
  })

  test.each([
    [{ 'content-length': '3', host: 'h' }, 'abc', true],
    [{ 'transfer-encoding': 'chunked', host: 'h' }, 'abc', true],
    [{ host: 'h' }, 'abc', false],
    [{}, 'abc', true],
    [{ 'content-length': '3' }, undefined, false],
  ])('on Deno, %o with body %o has one: %o', (headers, body, hasBody) => {
    const posted = new Request('http://h.example/', { method: 'POST', headers, body: body ?? null })
    const env = { remoteAddr: { transport: 'unix', path: '/s' } }
    expect(contextMeta(posted, env)).toMatchObject({ hasBody, remote: { addr: 'unix:' } })
  })
})

describe('the type of the handlers', () => {
  interface Env {
    Bindings: { NET: { connect(): void } }
    Variables: { user: string }
  }
  const bridge = createBridgeOn(
    {
      connect: () => () => {
        throw new Error('nobody listens')
      },
      requestMeta: contextMeta,
      headerEncoding: 'latin1',
    },
    'uwsgi://127.0.0.1:1',
    { onError: () => {} }
  )
  const handler: HonoHandler = uwsgiPass(bridge)

  // That this file is compiled is the test.
  test('fits the methods of typed apps without a cast', async () => {
    const app = new Hono<Env>()
      .use('/:user/*', async (c, next) => {
        c.set('user', c.req.param('user'))
        await next()
      })
      .all('/a/*', handler)
      .all('/b/:id', async (_c, next) => await next(), handler)
      .get('/c', wsgi(showEnviron))
      .post('/d', wsgi(showEnviron))
      .on(['PUT', 'M-SEARCH'], '/e/*', handler)
      .use('/f/*', handler)
      .use(handler)
    const strict: Hono<Env> = new Hono<Env>()
    strict.all('/a/*', handler).use('/b/*', handler).get('/c', handler)
    strict.notFound(handler)
    expect((await app.request('/a/x')).status).toBe(502)
    expect((await app.request('/c')).status).toBe(200)
  })
})
