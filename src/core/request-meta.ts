/**
 * What each runtime knows of a request and a Fetch `Request` does not say, read from what it hands its
 * handlers besides: no runtime is asked which one it is.
 *
 * @module
 */
import { parseAddress } from './forwarded.ts'
import type { EnvironLike } from './from-environ.ts'
import { targetMeta } from './raw-target.ts'
import type { HeaderField, Peer, RequestMeta, TlsInfo } from './request-head.ts'
import type { DenoAddr, IncomingRequest, IncomingSocket, WorkersCf } from './runtime-types.ts'

/** Second argument of a handler behind a uwsgi front. */
export interface UwsgiEnv {
  /** All variables that the front sent, as native strings; `UWSGI_*` are left out. */
  readonly environ: EnvironLike
  /** What of them `gateway` and the Hono handlers use. */
  readonly requestMeta: RequestMeta
}

/**
 * Recognises what a runtime hands its handlers: `{ incoming }` on Node, Deno's `info`, the `cf` that
 * requests have on Workers; and the `requestMeta` that servers of ours add.
 *
 * @param env Second argument of a fetch handler; `c.env` in Hono.
 * @returns Nothing where it is none of them, as in a test.
 */
export function contextMeta(request: Request, env: unknown): RequestMeta {
  // First, since on Workers the names in `env` are the user's own.
  if ('cf' in request) return workersMeta(request)
  const { requestMeta, incoming, remoteAddr } = (env ?? {}) as Partial<UwsgiEnv> & {
    incoming?: IncomingRequest
    remoteAddr?: DenoAddr
  }
  if (requestMeta !== undefined) return requestMeta
  if (incoming !== undefined) return nodeMeta(incoming)
  return remoteAddr === undefined ? {} : denoMeta(request, remoteAddr)
}

/** What Node knows of a request. */
export function nodeMeta(incoming: IncomingRequest): RequestMeta {
  const { socket } = incoming
  return {
    rawTarget: incoming.url ?? '',
    rawHeaders: pairs(incoming.rawHeaders),
    httpVersion: incoming.httpVersion,
    // A peer without an address is on a unix socket, or one that has gone: only the server knows.
    remote:
      socket.remoteAddress === undefined
        ? undefined
        : { addr: socket.remoteAddress, port: socket.remotePort },
    tls: nodeTls(socket),
  }
}

/** Whether a socket of Node's speaks TLS. */
export function isEncrypted(socket: IncomingSocket): boolean {
  return socket.encrypted === true
}

/** What Deno knows of a request. */
export function denoMeta(request: Request, remoteAddr: DenoAddr | undefined): RequestMeta {
  return { ...targetMeta(request.url), remote: denoPeer(remoteAddr), hasBody: hasBody(request) }
}

/** The peer that Deno names so. */
export function denoPeer(addr: DenoAddr | undefined): Peer | undefined {
  if (addr === undefined) return undefined
  return 'path' in addr ? { addr: 'unix:' } : { addr: addr.hostname, port: addr.port }
}

/**
 * What Workers know of a request.
 *
 * The client's address is the platform's own header, which then goes: the core never reads it, and
 * the application gets it as `REMOTE_ADDR` (TRUST-6).
 */
export function workersMeta(request: Request): RequestMeta {
  const addr = parseAddress(request.headers.get('cf-connecting-ip') ?? '')
  // Reading `cf` makes workerd parse all that it knows.
  const isHttps = request.url.startsWith('https:')
  const { cf } = isHttps ? (request as { cf?: WorkersCf }) : {}
  return {
    ...targetMeta(request.url),
    remote: addr === undefined ? undefined : { addr },
    consumedHeaders: ['cf-connecting-ip'],
    tls: cf?.tlsVersion ? { protocol: cf.tlsVersion, cipher: cf.tlsCipher } : undefined,
    // workerd decodes header bytes as UTF-8 and writes them so (workerd#6927).
    headerEncoding: 'utf8',
  }
}

function pairs(flat: readonly string[]): HeaderField[] {
  const fields: HeaderField[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) fields.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return fields
}

function nodeTls(socket: IncomingSocket): TlsInfo | undefined {
  if (!isEncrypted(socket)) return undefined
  return {
    protocol: socket.getProtocol?.() ?? undefined,
    cipher: socket.getCipher?.()?.standardName,
    serverName: typeof socket.servername === 'string' ? socket.servername : undefined,
  }
}

/**
 * Deno gives every request but GET and HEAD a body, so its head must tell (RFC 9112 §6.3). HTTP/2,
 * which has no Host, needs neither field.
 */
function hasBody({ body, headers }: Request): boolean {
  const framed = ['content-length', 'transfer-encoding'].some((name) => headers.has(name))
  return body !== null && (framed || !headers.has('host'))
}
