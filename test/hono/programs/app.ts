/**
 * The Hono app of the suite: routes of every shape, all of them `wsgi(application)` or all of them
 * `uwsgiPass(bridge)`. The same file runs on Node, on Deno and in workerd.
 *
 * @module
 */
import { Hono } from 'hono'
import type { Bridge, BridgeOptions } from '../../../src/target/node/index.ts'
import { type HonoHandler, uwsgiPass, wsgi } from '../../../src/hono/index.ts'
import { application } from './application.ts'

/** What a deployment is told. */
export interface Variables {
  /** Which of the two handlers stands on the routes. */
  readonly HANDLER: 'wsgi' | 'uwsgi'
  /** Address of `environ_app.py`. */
  readonly UPSTREAM: string
  /** Address of a backend that answers as told. */
  readonly SCRIPTED: string
}

type CreateBridge = (address: string, options?: BridgeOptions) => Bridge
/** A handler for one more route. */
type Handle = (options?: { mount?: string }) => HonoHandler

/** Makes the app. */
export function honoApp(createBridge: CreateBridge, variables: Variables): Hono {
  const { HANDLER, UPSTREAM, SCRIPTED } = variables
  const isWsgi = HANDLER === 'wsgi'
  const bridge = createBridge(UPSTREAM)
  const handle: Handle = (options) =>
    isWsgi ? wsgi(application, options) : uwsgiPass(bridge, options)
  // What the bridge itself was told wins over what its handler was told.
  const own = isWsgi
    ? wsgi(application, { mount: '/own/inner' })
    : uwsgiPass(createBridge(UPSTREAM, { mount: '/own/inner' }), { mount: '/own' })
  const strict = isWsgi
    ? wsgi(application, { encodedSlash: 'reject' })
    : uwsgiPass(createBridge(UPSTREAM, { encodedSlash: 'reject' }))

  const app = new Hono()
  addMiddleware(app)
  for (const route of ['/legacy/*', '/café/*', '/guarded/*', '/read/*', '/cloned/*', '/after/*']) {
    app.all(route, handle())
  }
  app.all('/changed/*', handle())
  app.all('/moved/*', handle())
  app.all('/strict/*', strict)
  app.all('/own/*', own)
  app.all('/option-root/*', handle({ mount: '/' }))
  app.all('/option-path/*', handle({ mount: '/option-path/sub' }))
  app.get('/exact', handle())
  app.post('/exact', handle())
  app.all('/script/*', uwsgiPass(createBridge(SCRIPTED)))
  for (const route of ['/optional/:x?/*', '/pattern/:x{[a-z]+}/*', '/star/*/x/*']) {
    app.all(route, handle())
  }
  addNested(app, handle)
  app.all('/:tenant/app/*', handle())
  // Reached by nobody else: all routes above are of other methods, or end first.
  app.delete('*', handle())
  app.patch('/*', handle())
  return app
}

function addMiddleware(app: Hono): void {
  app.use('/guarded/admin/*', async (c) => c.text('kept out', 403))
  app.use('/read/*', async (c, next) => {
    await c.req.text()
    await next()
  })
  app.use('/cloned/*', async (c, next) => {
    const text = await c.req.raw.clone().text()
    await next()
    c.header('X-Cloned', String(text.length))
  })
  app.use('/changed/*', async (c, next) => {
    const headers = new Headers(c.req.raw.headers)
    headers.set('X-User', 'known')
    headers.delete('X-Dropped')
    c.req.raw = new Request(c.req.raw, { headers })
    await next()
  })
  app.use('/moved/*', async (c, next) => {
    c.req.raw = new Request(new URL('/moved/y?q=new', c.req.url), c.req.raw)
    await next()
  })
  app.use('/after/*', async (c, next) => {
    await next()
    c.header('X-After', 'c.header')
    c.res.headers.set('X-After-Too', 'c.res.headers')
    c.res.headers.append('Set-Cookie', 'middleware=1')
  })
}

function addNested(app: Hono, handle: Handle): void {
  const deep = new Hono().all('/*', handle())
  const outer = new Hono().all('/inner/*', handle()).route('/deep/:id', deep)
  // An app with an error handler of its own wraps its routes.
  const wrapped = new Hono().all('/inner/*', handle()).onError((_error, c) => c.text('mine', 500))
  app.route('/outer', outer)
  app.route('/wrapped/:who', wrapped)
  app.route('/', new Hono().basePath('/based').all('/v1/*', handle()))
}
