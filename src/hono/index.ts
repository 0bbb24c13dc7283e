/**
 * Hono handlers: a gateway-interface application, or a backend behind a bridge, as part of a Hono app.
 *
 * @module
 */
import type { Context } from 'hono'
import { routePath } from 'hono/route'
import type { Bridge } from '../bridge/bridge.ts'
import type { Application } from '../core/application.ts'
import { gateway, type GatewayOptions } from '../core/gateway.ts'
import { percentDecode, textToNative } from '../core/octets.ts'
import { normalizeMount } from '../core/path.ts'
import { targetMeta } from '../core/raw-target.ts'
import type { RequestMeta } from '../core/request-head.ts'
import { contextMeta } from '../core/request-meta.ts'

/** A Hono handler of these two. */
export type HonoHandler = (c: Context) => Promise<Response>

/** Options of {@link uwsgiPass}. */
export interface UwsgiPassOptions {
  /**
   * Path that becomes `SCRIPT_NAME`: `/` hands the whole path on as `PATH_INFO`.
   *
   * @default what the route says: `/legacy` of `/legacy/*`, and `/` of a route without `*`
   */
  mount?: string | undefined
}

/**
 * Mounts an application on a route.
 *
 * A route that ends in `/*` is a mount: what comes before becomes `SCRIPT_NAME`, parameters
 * included. On another route, the application gets the whole path as `PATH_INFO`.
 *
 * @param options As of `gateway`; `mount` overrules the route.
 * @throws {TypeError | RangeError} when an option is wrong.
 * @example
 * ```ts
 * import { Hono } from 'hono'
 * import { wsgi } from 'edge-wsgi/hono'
 * new Hono().all('/legacy/*', wsgi(application))
 * ```
 */
export function wsgi(app: Application, options: GatewayOptions = {}): HonoHandler {
  const { requestMeta = currentMeta, mount } = options
  const fetch = gateway(app, {
    ...options,
    requestMeta: (request, c) => ({
      ...requestMeta(request, (c as Context).env),
      ...(mount === undefined ? mountMeta(c as Context) : undefined),
    }),
  })
  return async function handleWsgi(c) {
    refuseReadBody(c)
    if (!sawPath(c.req.raw)) return await c.notFound()
    return await fetch(c.req.raw, c)
  }
}

/**
 * Passes the requests of a route to a backend; the counterpart of nginx's `uwsgi_pass`.
 *
 * A route that ends in `/*` is a mount, as in {@link wsgi}. Where the backend knows its whole path
 * itself, as Django's `urls.py` does, say `{ mount: '/' }`.
 *
 * @param bridge Of the target that the app runs on. A `mount` among its options wins.
 * @throws {TypeError} when the mount is no path.
 * @example
 * ```ts
 * import { Hono } from 'hono'
 * import { uwsgiPass } from 'edge-wsgi/hono'
 * import { createBridge } from 'edge-wsgi/workers'
 * export default new Hono().all('/legacy/*', uwsgiPass(createBridge('uwsgi://10.0.1.50:3031')))
 * ```
 */
export function uwsgiPass(
  bridge: Pick<Bridge, 'fetch'>,
  options: UwsgiPassOptions = {}
): HonoHandler {
  const mount =
    options.mount === undefined ? undefined : normalizeMount(textToNative(options.mount))
  return async function handleUwsgiPass(c) {
    refuseReadBody(c)
    if (!sawPath(c.req.raw)) return await c.notFound()
    const { rawTarget, rawHeaders } = currentMeta(c.req.raw, c.env)
    const route = mount === undefined ? mountMeta(c) : { mount }
    return await bridge.fetch(c.req.raw, c.env, undefined, { rawTarget, rawHeaders, ...route })
  }
}

/** The mount that a route stands for; nothing for a route that is none. */
function mountMeta(c: Context): RequestMeta {
  const route = routePath(c)
  if (!route.endsWith('/*') || route === '/*') return {}
  const segments = route.slice(1, -2).split('/')
  // The core compares the result with the path it decodes itself, by whole segments (CVE-2026-47676).
  const mount = segments.map((segment) => `/${segmentText(c, route, segment)}`).join('')
  return { mount: textToNative(mount) }
}

function segmentText(c: Context, route: string, segment: string): string {
  const isParameter = segment.startsWith(':')
  // Inside a segment, a colon or an asterisk is text to one of Hono's routers and a pattern to another.
  if (isParameter ? /[?{]/.test(segment) : /[:*]/.test(segment)) {
    throw new TypeError(
      `Cannot tell the mount of route ${JSON.stringify(route)}: wanted plain segments and parameters, or the option mount`
    )
  }
  return isParameter ? (c.req.param(segment.slice(1)) ?? '') : segment
}

/**
 * Whether the router saw the path that the core makes of this URL. workerd and Deno hand over dot
 * segments and backslashes, which the core resolves: behind `/x/../admin` the application would get a
 * path that no middleware on `/admin/*` has judged.
 */
function sawPath(request: Request): boolean {
  const { url: text = request.url } = targetMeta(request.url)
  const seen = /^[^:]*:\/\/[^/?#]*([^?#]*)/.exec(text)?.[1] || '/'
  const url = URL.parse(text)
  return url === null || percentDecode(url.pathname) === percentDecode(seen)
}

/** What the runtime knows, without what was on the wire where a middleware has changed it since. */
function currentMeta(request: Request, env: unknown): RequestMeta {
  const meta = contextMeta(request, env)
  const { rawTarget, rawHeaders } = meta
  const url = URL.parse(request.url)
  const target = rawTarget?.startsWith('/') === true ? URL.parse(url?.origin + rawTarget) : null
  const moved =
    target !== null && target.pathname + target.search !== `${url?.pathname}${url?.search}`
  const lines = rawHeaders?.map(([name, value]): [string, string] => [name, value])
  const changed =
    lines !== undefined && fieldLines(new Headers(lines)) !== fieldLines(request.headers)
  return {
    ...meta,
    rawTarget: moved ? undefined : rawTarget,
    rawHeaders: changed ? undefined : rawHeaders,
  }
}

function fieldLines(headers: Headers): string {
  return [...headers].map((field) => field.join(': ')).join('\n')
}

/** A body can be read once, and who has read it keeps it. */
function refuseReadBody(c: Context): void {
  if (!c.req.raw.bodyUsed) return
  throw new TypeError(
    'Cannot pass the request on: its body has been read, wanted a middleware that reads a clone of it'
  )
}
