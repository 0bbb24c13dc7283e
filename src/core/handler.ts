/**
 * What can be served: three kinds of handler, which come down to one.
 *
 * @module
 */
import { type BodySource, watched } from './body-source.ts'
import { abortSignalOf, type ClientSignal } from './client-signal.ts'
import { holdForAbort, toRequest } from './from-environ.ts'
import { fromResponse } from './from-response.ts'
import type { GatewayResponse } from './gateway-response.ts'
import type { RequestHead } from './request-head.ts'

/** A function from Request to Response. */
export type FetchHandler = FetchMethod['fetch']

/** As a method, since those may name the types of `env` and `ctx` that they expect, as Hono does. */
interface FetchMethod {
  fetch(this: void, request: Request, env?: unknown, ctx?: unknown): Response | Promise<Response>
}

/** Answers below Fetch, as a bridge and a `gateway(app)` do: no `Request` and `Response` are made. */
export interface HeadHandler {
  /**
   * Whether it answers a head with `canTunnel` with a tunnel, where that is called for.
   *
   * @default false
   */
  readonly tunnels?: boolean | undefined
  /**
   * @param body The client's bytes, unless there are none.
   * @param signal Aborted when the client goes away.
   */
  handle(
    this: void,
    head: RequestHead,
    body: BodySource | undefined,
    signal?: ClientSignal
  ): Promise<GatewayResponse>
}

/**
 * A fetch function, or an object with one such as a Hono app; a bridge and a `gateway(app)` have
 * `handle` besides.
 */
export type Handler = (FetchHandler | { fetch: FetchHandler }) & Partial<HeadHandler>

/** Answers a request; `env` is for a fetch handler. */
export type Answer = (
  head: RequestHead,
  body: BodySource | undefined,
  signal: ClientSignal,
  env: unknown
) => Promise<GatewayResponse>

/** The one way to call a handler. */
export function answerOf(handler: Handler): Answer {
  const fetch = fetchOf(handler)
  const { handle } = handler
  if (handle !== undefined) return (head, body, signal) => handle(head, body, signal)
  return async function answerFetch(head, body, clientSignal, env) {
    const signal = abortSignalOf(clientSignal)
    const request = toRequest(head, body, signal)
    const onEnd = holdForAbort(request, clientSignal)
    try {
      const response = await fromResponse(await fetch(request, env), head.method)
      const rest = response.body
      if (rest !== undefined && rest.bytes === undefined) {
        return { ...response, body: watched(rest, { onEnd }) }
      }
      onEnd()
      return response
    } catch (error) {
      onEnd()
      throw error
    }
  }
}

/**
 * The fetch function of a handler.
 *
 * @throws {TypeError} when there is none.
 */
export function fetchOf(handler: Handler): FetchHandler {
  if (typeof handler === 'function') return handler
  if (typeof handler?.fetch === 'function') return (request, env) => handler.fetch(request, env)
  throw new TypeError('Cannot serve this: wanted a fetch handler, or an object with fetch()')
}
