/**
 * The Worker that wrangler.toml deploys: bridges every request to `UPSTREAM`, answers a health check,
 * and shows the environ of a request while there is no `UPSTREAM`.
 *
 * @module
 */
import { type Context, Hono } from 'hono'
import type { Bridge } from './bridge/bridge.ts'
import { GatewayError } from './core/errors.ts'
import { gateway } from './core/gateway.ts'
import { errorResponse, toResponse } from './core/gateway-response.ts'
import { environPage } from './environ-page/application.ts'
import { checkVariable, type Deployment, readDeployment, type Variables } from './target/env.ts'
import { createBridge } from './target/workers.ts'

/** A deployment, its bridge, and what answers: the bridge, or the environ page. */
interface Configured extends Deployment {
  readonly bridge: Bridge | undefined
  readonly answer: (c: Context) => Promise<Response>
}

type WorkerEnv = { Bindings: Variables }

/** How a request gets to the environ page. */
const PAGE_ROUTE = ['HTTP', 'workerd', 'environ']

/** Variables do not change while an isolate lives, but each platform object is its own. */
const configurations = new WeakMap<Variables, Configured>()

const app: Hono<WorkerEnv> = new Hono<WorkerEnv>()

app.all('*', async (c) => {
  let configured: Configured
  try {
    configured = configure(c.env)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    console.error(`edge-wsgi: ${message}`)
    // The name of the variable helps the one who set it; its value is nobody else's business.
    return c.text(`500 Internal Server Error: variable ${message.split(' ')[0]} is wrong\n`, 500)
  }
  const { healthPath, bridge, answer } = configured
  return c.req.path === healthPath ? await answerHealth(c, bridge) : await answer(c)
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
  const fetch = bridge?.fetch ?? gateway(environPage(PAGE_ROUTE), options)
  const answer = (c: Context): Promise<Response> => fetch(c.req.raw, c.env)
  const configured = { ...deployment, bridge, answer }
  configurations.set(env, configured)
  return configured
}

/** 200 when uWSGI answers a ping, 503 with the error's code when it does not. */
async function answerHealth(c: Context<WorkerEnv>, bridge: Bridge | undefined): Promise<Response> {
  c.header('Cache-Control', 'no-store')
  try {
    await bridge?.ping(c.env)
    return c.json({ status: 'ok' })
  } catch (error) {
    console.error(error)
    return c.json(
      { status: 'error', code: error instanceof GatewayError ? error.code : undefined },
      503
    )
  }
}
