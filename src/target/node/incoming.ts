/**
 * node:http's `IncomingMessage` → the head and body that the layers below take, without a `Request`.
 *
 * What llhttp lets through and a gateway must not is refused here: a second Host, which it drops
 * silently, and targets that are no target.
 *
 * @module
 */
import type { IncomingMessage } from 'node:http'
import type { BodySource } from '../../core/body-source.ts'
import { badRequest, GatewayError } from '../../core/errors.ts'
import { canonicalHost } from '../../core/host.ts'
import { parseUrl } from '../../core/parse-url.ts'
import { parseTarget } from '../../core/path.ts'
import type { HeaderField, RequestHead, RequestMeta, UrlParts } from '../../core/request-head.ts'
import { isWebSocketRequest } from '../../core/tunnel.ts'
import { contextMeta, isEncrypted, nodeMeta } from '../../core/request-meta.ts'
import { freeBytes } from './free-bytes.ts'
import { ReadQueue } from './read-queue.ts'

/** Bytes of a body that wait for a slow backend before its client does: a chunk, mostly. */
const READ_AHEAD_BYTES = 65_536

/**
 * What Node knows of a request and a Fetch `Request` does not say.
 *
 * @param env `{ incoming }`, as `serve` and Hono's Node server hand it to their handlers.
 */
export function requestMeta(request: Request, env?: unknown): RequestMeta {
  return contextMeta(request, env)
}

/**
 * Takes the head of a request.
 *
 * @param isUnix Whether the server listens on a unix socket: a peer without an address is on it only
 *   then, and otherwise gone.
 * @param canTunnel Whether the socket is there for a WebSocket.
 * @throws {GatewayError} when its target or Host is not one.
 */
export function incomingHead(
  incoming: IncomingMessage,
  isUnix: boolean,
  canTunnel: boolean
): RequestHead {
  const meta = nodeMeta(incoming)
  const headers = meta.rawHeaders ?? []
  return {
    ...meta,
    method: incoming.method ?? '',
    url: incomingUrl(incoming, headers),
    headers,
    raw: true,
    httpVersion: incoming.httpVersion,
    remote: isUnix ? { addr: 'unix:' } : (meta.remote ?? undefined),
    hasBody: hasBody(incoming),
    canTunnel,
  }
}

/**
 * Whether a request asks for a WebSocket. With a body it is refused, as a request like any other:
 * node:http then reads the body, where behind an upgrade it would stand among the frames.
 */
export function incomingWebSocket(incoming: IncomingMessage): boolean {
  const { method = '', httpVersion } = incoming
  const headers = nodeMeta(incoming).rawHeaders ?? []
  return !hasBody(incoming) && isWebSocketRequest({ method, httpVersion, headers })
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * The body as a pull source.
 *
 * @param onFirstRead Called when the body is wanted: the moment for `100 Continue`.
 */
export function incomingSource(incoming: IncomingMessage, onFirstRead: () => void): BodySource {
  const arrived = new ReadQueue(incoming, READ_AHEAD_BYTES)
  let started = false
  let cancelled = false

  function start(): void {
    started = true
    onFirstRead()
    incoming.on('data', (chunk: Uint8Array) => {
      if (!cancelled && !arrived.push(chunk)) incoming.pause()
    })
    incoming.on('end', () => arrived.end())
    // 'close' follows and decides; without a listener the error would end the process.
    incoming.on('error', () => {})
    incoming.on('close', () => {
      const isOver = cancelled || incoming.readableEnded
      arrived.end(isOver ? undefined : insideBody())
    })
  }

  return {
    read() {
      if (!started) start()
      return arrived.read()
    },
    async cancel() {
      cancelled = true
      // What still arrives is thrown away, and the front closes the connection if that takes long.
      incoming.resume()
      arrived.end()
    },
    free: freeBytes,
  }
}

function insideBody(): GatewayError {
  return new GatewayError('ERR_CLIENT_CLOSED', 'The client closed the connection inside its body')
}

/**
 * The URL of a request, from Host and target. Never by resolving the target against a base: that
 * takes `//evil.com/p` for another host (PATH-11).
 */
function incomingUrl(incoming: IncomingMessage, headers: readonly HeaderField[]): UrlParts {
  const hosts = headers.filter(([name]) => name.toLowerCase() === 'host')
  if (hosts.length > 1) throw badRequest('Cannot forward request: more than one Host header')
  if (incoming.httpVersion !== '1.0' && incoming.httpVersion !== '1.1') {
    throw new GatewayError(
      'ERR_HTTP_VERSION',
      `Cannot read HTTP/${incoming.httpVersion} here: wanted HTTP/1.0 or HTTP/1.1`
    )
  }
  if (hosts.length === 0 && incoming.httpVersion === '1.1') {
    throw badRequest('Cannot forward request: HTTP/1.1 without a Host header')
  }
  const protocol = isEncrypted(incoming.socket) ? 'https:' : 'http:'
  const target = parseTarget(incoming.url ?? '', incoming.method ?? '')
  const authority = target.type === 'absolute' ? target.authority : hosts[0]?.[1]
  const host =
    authority === undefined ? localAuthority(incoming) : canonicalHost(authority, protocol)
  const path = target.type === 'asterisk' ? '/*' : target.pathAndQuery
  const url = parseUrl(protocol, host, path)
  if (url === null) throw badRequest('Cannot read request-target: it does not make a URL')
  return url
}

/** HTTP/1.0 may leave Host out: the address the client connected to stands in. */
function localAuthority({ socket }: IncomingMessage): string {
  const { localAddress, localPort } = socket
  if (localAddress === undefined) return 'localhost'
  return localAddress.includes(':')
    ? `[${localAddress}]:${localPort}`
    : `${localAddress}:${localPort}`
}
