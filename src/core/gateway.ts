/**
 * A gateway-interface application as a fetch handler.
 *
 * @module
 */
import { answerWith, type Application } from './application.ts'
import { type BodySource, streamSource } from './body-source.ts'
import {
  type EnvironOptions,
  type ResolvedEnvironOptions,
  resolveEnvironOptions,
} from './environ-options.ts'
import type { ClientSignal } from './client-signal.ts'
import { buildEnviron } from './environ.ts'
import { GatewayError } from './errors.ts'
import { errorResponse, type GatewayResponse, toResponse } from './gateway-response.ts'
import type { HeadHandler } from './handler.ts'
import { type RequestHead, requestHead, type RequestMeta } from './request-head.ts'
import { contextMeta } from './request-meta.ts'

/** Options of a gateway. */
export interface GatewayOptions extends EnvironOptions {
  /**
   * Says what the runtime knows of a request and a `Request` does not.
   *
   * @param env Second argument of the fetch handler.
   * @default recognises what Node, Deno, Workers and `serveUwsgi` hand their handlers
   */
  requestMeta?: ((request: Request, env: unknown) => RequestMeta) | undefined
}

/** A fetch handler. `serve` and `serveUwsgi` call its `handle`, which needs no `Request`. */
export interface Gateway extends HeadHandler {
  /**
   * Answers a request with what the application answers. Never rejects: errors become pages.
   *
   * @param env What the runtime hands its handlers besides the request.
   */
  (this: void, request: Request, env?: unknown, ctx?: unknown): Promise<Response>
}

/**
 * Makes a fetch handler of an application.
 *
 * @param app Called once a request, with an environ of its own.
 * @throws {TypeError | RangeError} when an option is wrong.
 * @example
 * ```ts
 * import { gateway } from 'edge-wsgi'
 * export default {
 *   fetch: gateway((environ, startResponse) => {
 *     startResponse('200 OK', [['Content-Type', 'text/plain']])
 *     return [new TextEncoder().encode(`Hello ${environ.PATH_INFO}`)]
 *   }),
 * }
 * ```
 */
export function gateway(app: Application, options: GatewayOptions = {}): Gateway {
  if (typeof app !== 'function') {
    throw new TypeError(`Cannot make a gateway of ${typeof app}: wanted an application, a function`)
  }
  const { requestMeta = contextMeta } = options
  const resolved = resolveEnvironOptions(options)

  async function answer(
    head: RequestHead,
    body: BodySource | undefined,
    signal: ClientSignal | undefined,
    environOptions: ResolvedEnvironOptions
  ): Promise<GatewayResponse> {
    try {
      const environ = await buildEnviron(head, body, environOptions)
      return await answerWith(app, environ, signal)
    } catch (error) {
      void body?.cancel(error)
      return refuse(error)
    }
  }

  async function fetch(request: Request, env?: unknown): Promise<Response> {
    let { headerEncoding } = resolved
    let response: GatewayResponse
    try {
      const meta = requestMeta(request, env)
      headerEncoding = options.headerEncoding ?? meta.headerEncoding ?? headerEncoding
      const head = requestHead(request, meta)
      const body = request.body === null ? undefined : streamSource(request.body)
      response = await answer(head, body, request.signal, { ...resolved, headerEncoding })
    } catch (error) {
      // Host and target make no URL, or somebody else reads the body already.
      response = refuse(error)
    }
    try {
      return toResponse(response, { headerEncoding })
    } catch (error) {
      // A header that this runtime does not take in the encoding that the options name.
      void response.body?.cancel(error)
      return toResponse(refuse(error), { headerEncoding })
    }
  }

  return Object.assign(fetch, {
    handle: (head: RequestHead, body: BodySource | undefined, signal?: ClientSignal) =>
      answer(head, body, signal, resolved),
  })
}

/** The page for a request that no application gets to see. */
function refuse(error: unknown): GatewayResponse {
  if (!(error instanceof GatewayError)) console.error(error)
  return errorResponse(error)
}
