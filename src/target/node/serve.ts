/**
 * HTTP in on Node. A bridge and a gateway are driven without `Request` and `Response`, which cost more
 * than half of a Node server's throughput; any other fetch handler gets them.
 *
 * @module
 */
import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  ServerResponse,
} from 'node:http'
import { Socket } from 'node:net'
import { MAX_DELAY_MS } from '../../bridge/deadline.ts'
import { formatAccessLog } from '../../core/access-log.ts'
import { type ClientSignal, Departure } from '../../core/client-signal.ts'
import { clientGone, GatewayError } from '../../core/errors.ts'
import { errorResponse, type GatewayResponse } from '../../core/gateway-response.ts'
import { type Answer, answerOf, type Handler } from '../../core/handler.ts'
import {
  checkExpectation,
  checkMethod,
  type RequestHead,
  type RequestMeta,
} from '../../core/request-head.ts'
import {
  formatListen,
  parseListen,
  resolveServeLimits,
  type ServeLimits,
  type ServeOptions,
  type Server,
} from '../serve-options.ts'
import { type ClientConnection, clientConnection } from './client-connection.ts'
import { incomingHead, incomingSource, incomingWebSocket } from './incoming.ts'
import { lingerOnClose } from './lingering-close.ts'
import { listenOn } from './listen.ts'
import { writeResponse } from './outgoing.ts'
import { choosesUpgrades, UpgradedSocket } from './upgraded.ts'

/** A server and what it serves. */
interface Service {
  readonly server: HttpServer
  readonly answer: Answer
  readonly isUnix: boolean
  readonly limits: ServeLimits
  readonly log: ServeOptions['log']
  /** Sockets that node:http has let go of for a WebSocket. */
  readonly upgraded: Set<Socket>
}

/**
 * Room for the largest head that the core takes, which answers a larger one itself and with the
 * right status: 64 KiB of fields and 8 KiB of target.
 */
const MAX_HEADER_SIZE = 81_920
/** How often node:http looks for clients that are late with a head, unless they may be late sooner. */
const CHECKING_INTERVAL_MS = 30_000
/** How long a connection is silent before the system asks whether its peer is still there. */
const TCP_KEEPALIVE_MS = 60_000

/**
 * Serves a handler over HTTP.
 *
 * @param handler A bridge, a gateway, a Hono app, or any fetch handler; the latter two get
 *   `{ incoming, outgoing, requestMeta }` as `env`.
 * @returns Once it listens.
 * @throws {TypeError | RangeError} when an option is wrong, and what node:net throws when the address
 *   is taken.
 */
export async function serve(handler: Handler, options: ServeOptions): Promise<Server> {
  const address = parseListen(options.listen)
  const limits = resolveServeLimits(options)
  const answer = answerOf(handler)
  const server = createLimitedServer(
    limits,
    (incoming) => handler.tunnels === true && incomingWebSocket(incoming)
  )
  const isUnix = address.type === 'unix'
  const upgraded = new Set<Socket>()
  const service = { server, answer, isUnix, limits, log: options.log, upgraded }
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const connection = clientConnection(incoming.socket)
    if (!connection.admit(outgoing, limits.maxRequestsPerConnection)) return
    connection.inTurn(() => void respond(service, connection, incoming, outgoing))
  }
  server.on('request', onRequest)
  server.on('checkContinue', onRequest)
  server.on('checkExpectation', onRequest)
  server.on('connect', (incoming) => {
    const outgoing = takeOver(incoming)
    incoming.socket.resume()
    const connection = clientConnection(incoming.socket)
    connection.inTurn(() => {
      outgoing.assignSocket(incoming.socket)
      void respond(service, connection, incoming, outgoing)
    })
  })
  if (choosesUpgrades(server)) {
    server.on('upgrade', (incoming, _socket, head) => upgrade(service, incoming, head))
  }
  const taken = await listenOn(server, address)
  return {
    url: formatListen(taken),
    close: () => closeServer(service, limits.closeTimeout),
  }
}

/** Takes a request for a WebSocket. */
function upgrade(service: Service, incoming: IncomingMessage, head: Uint8Array): void {
  const { socket } = incoming
  const { upgraded } = service
  upgraded.add(socket)
  socket.on('close', () => upgraded.delete(socket))
  const outgoing = takeOver(incoming)
  const client = new UpgradedSocket(socket, head)
  const connection = clientConnection(socket)
  connection.inTurn(() => {
    outgoing.assignSocket(socket)
    void respond(service, connection, incoming, outgoing, client)
  })
}

/** A server that drops, by itself, clients that are too many or too slow. */
function createLimitedServer(
  limits: ServeLimits,
  shouldUpgradeCallback: (incoming: IncomingMessage) => boolean
): HttpServer {
  const { clientHeaderTimeout, clientKeepaliveTimeout, maxConnections } = limits
  const server = createServer({
    maxHeaderSize: MAX_HEADER_SIZE,
    // Each stage has its own timeout; one for the whole request would cut long uploads. Left out,
    // the other would be the lesser of a minute and this 0: none at all.
    requestTimeout: 0,
    // To node:http, 0 is no limit.
    headersTimeout: Number.isFinite(clientHeaderTimeout) ? clientHeaderTimeout : 0,
    connectionsCheckingInterval: Math.min(clientHeaderTimeout, CHECKING_INTERVAL_MS),
    keepAliveTimeout: Number.isFinite(clientKeepaliveTimeout)
      ? Math.min(clientKeepaliveTimeout, MAX_DELAY_MS)
      : 0,
    // Node would wait a second longer than it was told.
    keepAliveTimeoutBuffer: 0,
    // A peer that has vanished sends nothing, ever: only the system can find out.
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    // Node answers a missing Host itself and goes on to what is pipelined behind; we end there.
    requireHostHeader: false,
    shouldUpgradeCallback,
  })
  // Node would drop the lines over a limit of its own and hand on the rest as if that were all.
  server.maxHeadersCount = 0
  if (Number.isFinite(maxConnections)) server.maxConnections = maxConnections
  return server
}

/** A response to CONNECT or a WebSocket request: node:http has let go of the socket for a tunnel. */
function takeOver(incoming: IncomingMessage): ServerResponse {
  const { socket } = incoming
  // Node has taken its own listeners off: without this one, a reset would end the process.
  socket.on('error', () => {})
  const outgoing = new ServerResponse(incoming)
  outgoing.shouldKeepAlive = false
  // Not `end`: a client that stays would keep the socket, which no timeout watches any more.
  outgoing.on('finish', () => Socket.prototype.destroySoon.call(socket))
  return outgoing
}

async function respond(
  service: Service,
  connection: ClientConnection,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  client?: UpgradedSocket
): Promise<void> {
  const { server, isUnix, limits, log } = service
  const { socket } = incoming
  const began = performance.now()
  const gone = new Departure()
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) gone.abort()
    const status = outgoing.headersSent ? outgoing.statusCode : undefined
    log?.(accessLine(incoming, status, performance.now() - began))
    connection.next()
  })
  lingerOnClose(incoming, outgoing, connection.isFull(limits.maxRequestsPerConnection))
  const canTunnel = client !== undefined
  const response = await toResponse(service, incoming, outgoing, gone, canTunnel)
  const { tunnel } = response
  if (outgoing.destroyed) {
    await response.body?.cancel(clientGone())
    tunnel?.close()
    return
  }
  if (tunnel !== undefined && client !== undefined) {
    socket.on('close', () => {
      log?.(accessLine(incoming, response.status, performance.now() - began))
    })
    outgoing.detachSocket(socket)
    await client.run(response, tunnel)
    return
  }
  // Nobody answers on this connection after the server has closed, and a client that stopped inside
  // its body is not waited for again (RFC 9110 §15.5.9).
  if (!server.listening || response.status === 408) outgoing.shouldKeepAlive = false
  writeResponse(outgoing, response, {
    timeoutMs: limits.clientSendTimeout,
    reset: () => (isUnix ? socket.destroy() : socket.resetAndDestroy()),
  })
}

/** Never rejects: what a client did wrong becomes a page. */
async function toResponse(
  { answer, isUnix }: Service,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  signal: ClientSignal,
  canTunnel: boolean
): Promise<GatewayResponse> {
  // A client of HTTP/1.0 knows no 100 (RFC 9110 §10.1.1).
  let awaitsContinue = incoming.headers.expect !== undefined && incoming.httpVersion === '1.1'
  if (endsConnection(incoming)) outgoing.shouldKeepAlive = false
  try {
    // Before the head: the target of CONNECT is not one that a URL can be made of.
    checkMethod(incoming.method ?? '')
    const head = incomingHead(incoming, isUnix, canTunnel)
    checkExpectation(incoming.headers.expect)
    awaitsContinue &&= head.hasBody
    const body = head.hasBody
      ? incomingSource(incoming, () => {
          if (awaitsContinue) outgoing.writeContinue()
          awaitsContinue = false
        })
      : undefined
    return await answer(head, body, signal, { incoming, outgoing, requestMeta: metaOf(head) })
  } catch (error) {
    if (!(error instanceof GatewayError && error.status < 500)) console.error(error)
    return errorResponse(error)
  } finally {
    // A client still waiting for 100 may send its body or the next request: nobody can tell which.
    if (awaitsContinue) outgoing.shouldKeepAlive = false
  }
}

/** What `gateway` and the Hono handlers want to know of a request that came through Fetch. */
function metaOf({ rawTarget, headers, httpVersion, remote, tls }: RequestHead): RequestMeta {
  return { rawTarget, rawHeaders: headers, httpVersion, remote, tls }
}

/** Whether it is in doubt, for us or for Node, where the next request begins. */
function endsConnection({ headers, httpVersion }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding']
  // RFC 9112 §6.1: codings that the core refuses, on any version and all of them on HTTP/1.0.
  if (coding !== undefined && (httpVersion !== '1.1' || coding.toLowerCase() !== 'chunked')) {
    return true
  }
  // llhttp stops at an Upgrade, taken or not, and loses what it has read behind it.
  return headers.upgrade !== undefined
}

function accessLine(
  incoming: IncomingMessage,
  status: number | undefined,
  durationMs: number
): string {
  return formatAccessLog({
    remote: incoming.socket.remoteAddress,
    method: incoming.method ?? '',
    target: incoming.url ?? '',
    protocol: `HTTP/${incoming.httpVersion}`,
    status,
    durationMs,
  })
}

/** Lets requests and tunnels under way end for `timeoutMs`, then breaks them off. */
async function closeServer({ server, upgraded }: Service, timeoutMs: number): Promise<void> {
  const closed = Promise.withResolvers<void>()
  server.close(() => closed.resolve())
  server.closeIdleConnections()
  const end = (): void => {
    server.closeAllConnections()
    for (const socket of upgraded) socket.destroy()
  }
  const timer = setTimeout(end, Math.min(timeoutMs, MAX_DELAY_MS))
  await closed.promise
  clearTimeout(timer)
}
