/**
 * HTTP in on Node. A bridge is driven without `Request` and `Response`, which cost more than half of
 * a Node server's throughput; any other fetch handler gets them.
 *
 * @module
 */
import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  ServerResponse,
} from 'node:http'
import type { Bridge } from '../../bridge/bridge.ts'
import { type BodySource, sourceStream, streamSource } from '../../core/body-source.ts'
import { GatewayError } from '../../core/errors.ts'
import { errorResponse, type GatewayResponse } from '../../core/gateway-response.ts'
import { checkMethod, type HeaderField, type RequestHead } from '../../core/request-head.ts'
import {
  CLOSE_TIMEOUT_MS,
  fetchOf,
  formatAccessLog,
  formatListen,
  type Handler,
  parseListen,
  type ServeOptions,
  type Server,
} from '../serve-options.ts'
import { incomingHead, incomingSource } from './incoming.ts'
import { lingerOnClose } from './lingering-close.ts'
import { listenOn } from './listen.ts'
import { writeResponse } from './outgoing.ts'

/** Answers a request below Fetch; both kinds of handler come down to one. */
type Answer = (
  head: RequestHead,
  body: BodySource | undefined,
  signal: AbortSignal,
  incoming: IncomingMessage,
  outgoing: ServerResponse
) => Promise<GatewayResponse>

/**
 * Room for the largest head that the core takes, which answers a larger one itself and with the
 * right status: 64 KiB of fields and 8 KiB of target.
 */
const MAX_HEADER_SIZE = 81_920

/**
 * Serves a handler over HTTP.
 *
 * @param handler A bridge, a Hono app, or any fetch handler; it gets `{ incoming, outgoing }` as `env`.
 * @returns Once it listens.
 * @throws {TypeError} when `listen` is no address, and what node:net throws when it is taken.
 */
export async function serve(handler: Handler, options: ServeOptions): Promise<Server> {
  const address = parseListen(options.listen)
  const answer = 'handle' in handler ? answerWith(handler) : answerWithFetch(handler)
  const server = createServer({
    maxHeaderSize: MAX_HEADER_SIZE,
    // Each stage has its own timeout; one for the whole request would cut long uploads.
    requestTimeout: 0,
  })
  // Node would drop the lines over a limit of its own and hand on the rest as if that were all.
  server.maxHeadersCount = 0
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    void respond(server, answer, incoming, outgoing, options)
  }
  server.on('request', onRequest)
  server.on('checkContinue', onRequest)
  server.on('connect', (incoming, socket) => {
    const outgoing = new ServerResponse(incoming)
    outgoing.shouldKeepAlive = false
    outgoing.assignSocket(socket as never)
    outgoing.on('finish', () => socket.end())
    onRequest(incoming, outgoing)
  })
  const taken = await listenOn(server, address)
  return {
    url: formatListen(taken),
    close: () => closeServer(server, options.closeTimeout ?? CLOSE_TIMEOUT_MS),
  }
}

async function respond(
  server: HttpServer,
  answer: Answer,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { log }: ServeOptions
): Promise<void> {
  const began = performance.now()
  const gone = new AbortController()
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) gone.abort()
    log?.(accessLine(incoming, outgoing, performance.now() - began))
  })
  lingerOnClose(incoming, outgoing)
  const response = await toResponse(answer, incoming, outgoing, gone.signal)
  if (outgoing.destroyed) {
    await response.body?.cancel(gone.signal.reason)
    return
  }
  // Nobody answers on this connection after the server has closed.
  if (!server.listening) outgoing.shouldKeepAlive = false
  await writeResponse(outgoing, response)
}

/** Never rejects: what a client did wrong becomes a page. */
async function toResponse(
  answer: Answer,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  signal: AbortSignal
): Promise<GatewayResponse> {
  let awaitsContinue = incoming.headers.expect !== undefined
  try {
    // Before the head: the target of CONNECT is not one that a URL can be made of.
    checkMethod(incoming.method ?? '')
    const head = incomingHead(incoming)
    const body = head.hasBody
      ? incomingSource(incoming, () => {
          if (awaitsContinue) outgoing.writeContinue()
          awaitsContinue = false
        })
      : undefined
    return await answer(head, body, signal, incoming, outgoing)
  } catch (error) {
    if (!(error instanceof GatewayError)) console.error(error)
    return errorResponse(error)
  } finally {
    // A client still waiting for 100 may send its body or the next request: nobody can tell which.
    if (awaitsContinue) outgoing.shouldKeepAlive = false
  }
}

function answerWith(bridge: Bridge): Answer {
  return (head, body, signal) => bridge.handle(head, body, signal)
}

function answerWithFetch(handler: Handler): Answer {
  const fetch = fetchOf(handler)
  return async function answerFetch(head, body, signal, incoming, outgoing) {
    const init: RequestInit & { duplex: 'half' } = { method: head.method, signal, duplex: 'half' }
    init.headers = head.headers.map(([name, value]): [string, string] => [name, value])
    if (body !== undefined && head.method !== 'GET' && head.method !== 'HEAD') {
      init.body = sourceStream(body)
    }
    const response = await fetch(new Request(head.url.href, init), { incoming, outgoing })
    return fromResponse(response, head.method)
  }
}

function fromResponse(response: Response, method: string): GatewayResponse {
  const headers: HeaderField[] = [...response.headers]
  const { status, statusText: reason } = response
  if (response.body === null || method === 'HEAD') return { status, reason, headers }
  return { status, reason, headers, body: streamSource(response.body) }
}

function accessLine(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  durationMs: number
): string {
  return formatAccessLog({
    remote: incoming.socket.remoteAddress,
    method: incoming.method ?? '',
    target: incoming.url ?? '',
    protocol: `HTTP/${incoming.httpVersion}`,
    status: outgoing.headersSent ? outgoing.statusCode : undefined,
    durationMs,
  })
}

/** Lets requests under way end for `timeoutMs`, then breaks them off. */
async function closeServer(server: HttpServer, timeoutMs: number): Promise<void> {
  const closed = Promise.withResolvers<void>()
  server.close(() => closed.resolve())
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), timeoutMs)
  await closed.promise
  clearTimeout(timer)
}
