/**
 * The app as a Worker.
 *
 * @module
 */
import type { Hono } from 'hono'
import { createBridge } from '../../../src/target/workers.ts'
import { honoApp, type Variables } from './app.ts'

let app: Hono | undefined

export default {
  fetch(request: Request, env: Variables, ctx: never): Response | Promise<Response> {
    app ??= honoApp(createBridge, env)
    return app.fetch(request, env, ctx)
  },
}
