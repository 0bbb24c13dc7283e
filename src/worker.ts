/**
 * The Worker that wrangler.toml deploys: bridges every request to `UPSTREAM`, answers a health check,
 * and shows the environ of a request while there is no `UPSTREAM`.
 *
 * @module
 */
import { type Context, Hono } from 'hono'
import { accepts } from 'hono/accepts'
import type { Bridge } from './bridge/bridge.ts'
import { toEnviron } from './core/environ.ts'
import { GatewayError } from './core/errors.ts'
import { errorResponse, toResponse } from './core/gateway-response.ts'
import {
  ENVIRON_PAGE_CSP,
  renderEnvironHtml,
  renderEnvironJson,
} from './environ-page/environ-page.ts'
import { checkVariable, type Deployment, readDeployment, type Variables } from './target/env.ts'
import { createBridge, requestMeta } from './target/workers.ts'

/** A deployment and its bridge. */
interface Configured extends Deployment {
  readonly bridge: Bridge | undefined
}

type WorkerEnv = { Bindings: Variables; Variables: { configured: Configured } }

/** Variables do not change while an isolate lives, but each platform object is its own. */
const configurations = new WeakMap<Variables, Configured>()

const app: Hono<WorkerEnv> = new Hono<WorkerEnv>()

app.use(async (c, next) => {
  try {
    c.set('configured', configure(c.env))
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    console.error(`edge-wsgi: ${message}`)
    // The name of the variable helps the one who set it; its value is nobody else's business.
    return c.text(`500 Internal Server Error: variable ${message.split(' ')[0]} is wrong\n`, 500)
  }
  return await next()
})

app.use(async (c, next) => {
  const { healthPath } = c.var.configured
  if (c.req.path !== healthPath) return await next()
  return await answerHealth(c)
})

app.all('*', async (c) => {
  const { bridge, options } = c.var.configured
  if (bridge !== undefined) return await bridge.fetch(c.req.raw, c.env)
  return await answerEnviron(c, options)
})

app.onError((error) => {
  if (!(error instanceof GatewayError)) console.error(error)
  return toResponse(errorResponse(error), { headerEncoding: 'utf8' })
})

export default app

function configure(env: Variables): Configured {
  const known = configurations.get(env)
  if (known !== undefined) return known
  const deployment = readDeployment(env)
  const { upstream, binding, options } = deployment
  const bridge =
    upstream === undefined
      ? undefined
      : checkVariable('UPSTREAM', () => createBridge(upstream, { ...options, binding }))
  const configured = { ...deployment, bridge }
  configurations.set(env, configured)
  return configured
}

/** 200 when uWSGI answers a ping, 503 with the error's code when it does not. */
async function answerHealth(c: Context<WorkerEnv>): Promise<Response> {
  c.header('Cache-Control', 'no-store')
  try {
    await c.var.configured.bridge?.ping(c.env)
    return c.json({ status: 'ok' })
  } catch (error) {
    console.error(error)
    return c.json(
      { status: 'error', code: error instanceof GatewayError ? error.code : undefined },
      503
    )
  }
}

/** What this request becomes, as a page or as JSON. */
async function answerEnviron(
  c: Context<WorkerEnv>,
  options: Deployment['options']
): Promise<Response> {
  const environ = await toEnviron(c.req.raw, requestMeta(c.req.raw), {
    ...options,
    headerEncoding: 'utf8',
  })
  const page = { environ, route: ['HTTP', 'workerd', 'environ'] }
  c.header('Cache-Control', 'no-store')
  c.header('Vary', 'Accept')
  c.header('X-Content-Type-Options', 'nosniff')
  // The page repeats the client's cookies, which another site must not get to read.
  c.header('Cross-Origin-Resource-Policy', 'same-origin')
  const supports = ['text/html', 'application/json']
  if (accepts(c, { header: 'Accept', supports, default: 'text/html' }) === 'application/json') {
    return c.body(renderEnvironJson(page), 200, { 'Content-Type': 'application/json' })
  }
  c.header('Content-Security-Policy', ENVIRON_PAGE_CSP)
  return c.html(renderEnvironHtml(page))
}
