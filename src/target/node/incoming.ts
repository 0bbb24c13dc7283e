/**
 * node:http's `IncomingMessage` → the head and body that the layers below take, without a `Request`.
 *
 * What llhttp lets through and a gateway must not is refused here: a second Host, which it drops
 * silently, and targets that are no target.
 *
 * @module
 */
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { BodySource } from '../../core/body-source.ts'
import { badRequest, GatewayError } from '../../core/errors.ts'
import { canonicalHost } from '../../core/host.ts'
import { parseTarget } from '../../core/path.ts'
import type {
  HeaderField,
  Peer,
  RequestHead,
  RequestMeta,
  TlsInfo,
  UrlParts,
} from '../../core/request-head.ts'

/**
 * What Node knows of a request and a Fetch `Request` does not say.
 *
 * @param request Not read: all is in `env`.
 * @param env `{ incoming }`, as Hono's Node server hands it to its handlers.
 */
export function requestMeta(_request: Request, env?: unknown): RequestMeta {
  const incoming = (env as { incoming?: IncomingMessage } | undefined)?.incoming
  return incoming === undefined ? {} : incomingMeta(incoming)
}

/**
 * Takes the head of a request.
 *
 * @throws {GatewayError} when its target or Host is not one.
 */
export function incomingHead(incoming: IncomingMessage): RequestHead {
  const meta = incomingMeta(incoming)
  const headers = meta.rawHeaders ?? []
  return {
    ...meta,
    method: incoming.method ?? '',
    url: incomingUrl(incoming, headers),
    headers,
    raw: true,
    httpVersion: incoming.httpVersion,
    remote: meta.remote ?? undefined,
    hasBody:
      incoming.headers['transfer-encoding'] !== undefined ||
      Number(incoming.headers['content-length'] ?? 0) > 0,
  }
}

/**
 * The body as a pull source.
 *
 * @param onFirstRead Called when the body is wanted: the moment for `100 Continue`.
 */
export function incomingSource(incoming: IncomingMessage, onFirstRead: () => void): BodySource {
  const queue: Uint8Array[] = []
  let reader: PromiseWithResolvers<Uint8Array | undefined> | undefined
  let started = false
  let cancelled = false

  function onData(chunk: Uint8Array): void {
    if (cancelled) return
    queue.push(chunk)
    // One chunk is asked for at a time, so that a client cannot fill the memory of a slow backend.
    incoming.pause()
    settle()
  }
  function settle(): void {
    if (reader === undefined) return
    const chunk = queue.shift()
    if (chunk !== undefined) reader.resolve(chunk)
    else if (incoming.readableEnded || cancelled) reader.resolve(undefined)
    else if (incoming.destroyed) {
      reader.reject(
        new GatewayError('ERR_CLIENT_CLOSED', 'The client closed the connection inside its body')
      )
    } else return
    reader = undefined
  }
  function start(): void {
    started = true
    onFirstRead()
    incoming.on('data', onData)
    incoming.on('end', settle)
    // 'close' follows and decides; without a listener the error would end the process.
    incoming.on('error', () => {})
    incoming.on('close', settle)
  }

  return {
    read() {
      if (!started) start()
      reader = Promise.withResolvers()
      const { promise } = reader
      settle()
      if (reader !== undefined) incoming.resume()
      return promise
    },
    async cancel() {
      cancelled = true
      // What still arrives is thrown away, and the front closes the connection if that takes long.
      incoming.resume()
      settle()
    },
  }
}

function incomingMeta(incoming: IncomingMessage): RequestMeta {
  return {
    rawTarget: incoming.url ?? '',
    rawHeaders: pairs(incoming.rawHeaders),
    httpVersion: incoming.httpVersion,
    remote: peerOf(incoming),
    tls: tlsOf(incoming),
  }
}

function pairs(flat: readonly string[]): HeaderField[] {
  const fields: HeaderField[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) fields.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return fields
}

function peerOf({ socket }: IncomingMessage): Peer {
  const { remoteAddress, remotePort } = socket
  return remoteAddress === undefined ? { addr: 'unix:' } : { addr: remoteAddress, port: remotePort }
}

function tlsOf({ socket }: IncomingMessage): TlsInfo | undefined {
  if (!isTls(socket)) return undefined
  return {
    protocol: socket.getProtocol() ?? undefined,
    cipher: socket.getCipher()?.standardName,
    serverName: typeof socket.servername === 'string' ? socket.servername : undefined,
  }
}

function isTls(socket: object): socket is TLSSocket & { servername?: unknown } {
  return (socket as { encrypted?: unknown }).encrypted === true
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
  const protocol = isTls(incoming.socket) ? 'https:' : 'http:'
  const target = parseTarget(incoming.url ?? '', incoming.method ?? '')
  const authority = target.type === 'absolute' ? target.authority : hosts[0]?.[1]
  const host =
    authority === undefined ? localAuthority(incoming) : canonicalHost(authority, protocol)
  const path = target.type === 'asterisk' ? '/*' : target.pathAndQuery
  const url = URL.parse(`${protocol}//${host}${path}`)
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
