/**
 * A fetch handler → an application: the gateway the other way round.
 *
 * @module
 */
import type { Application } from './application.ts'
import { type BodySource, watched } from './body-source.ts'
import {
  environBody,
  environHead,
  type EnvironLike,
  holdForAbort,
  toRequest,
} from './from-environ.ts'
import { fromResponse } from './from-response.ts'
import type { FetchHandler } from './handler.ts'
import type { RequestHead, RequestMeta } from './request-head.ts'
import type { UwsgiEnv } from './request-meta.ts'
import { isHopByHop } from './start-response.ts'

/**
 * Makes an application of a fetch handler.
 *
 * @param handler Gets `{ environ, requestMeta }` as `env`, which `gateway` and the Hono handlers know.
 * @returns An application that answers with what the handler answers (rules RSP-50 to RSP-52).
 * @example
 * ```ts
 * import { gateway, toApplication } from 'edge-wsgi'
 * const application = toApplication(() => new Response('hello'))
 * export default { fetch: gateway(application) }
 * ```
 */
export function toApplication(handler: FetchHandler): Application {
  if (typeof handler !== 'function') {
    throw new TypeError(
      `Cannot make an application of ${typeof handler}: wanted a fetch handler, a function`
    )
  }
  return async function fetchApplication(environ, startResponse) {
    const gone = new AbortController()
    const head = environHead(environ)
    const request = toRequest(head, environBody(environ, head), gone.signal)
    const response = await handler(request, uwsgiEnv(environ, head))
    const { status, reason, headers, body } = await fromResponse(response, request.method)
    const endToEnd = headers.filter(([name]) => !isHopByHop(name))
    try {
      startResponse(`${status} ${reason}`, endToEnd)
    } catch (error) {
      // Nobody gets to read or close what is not returned.
      void body?.cancel(error)
      throw error
    }
    if (body === undefined) return []
    const onEnd = holdForAbort(request, gone.signal)
    return new ResponseBody(watched(body, { onEnd }), gone)
  }
}

/** What a handler behind a gateway gets besides the request. */
export function uwsgiEnv(environ: EnvironLike, head: RequestHead): UwsgiEnv {
  const { rawTarget, httpVersion, remote, mount } = head
  const requestMeta: RequestMeta = { rawTarget, httpVersion, remote, mount }
  return { environ, requestMeta }
}

/** The body of a response, which nobody reads on once it is closed. */
class ResponseBody implements AsyncIterable<Uint8Array> {
  readonly #body: BodySource
  readonly #gone: AbortController

  constructor(body: BodySource, gone: AbortController) {
    this.#body = body
    this.#gone = gone
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (let chunk = await this.#body.read(); chunk; chunk = await this.#body.read()) yield chunk
  }

  async close(): Promise<void> {
    this.#gone.abort()
    await this.#body.cancel(undefined)
  }
}
