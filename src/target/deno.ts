/**
 * edge-wsgi on Deno: backends over TCP, unix sockets and TLS; HTTP and uwsgi in on TCP and unix
 * sockets.
 *
 * @module
 */
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import process from 'node:process'
import type { Address } from '../bridge/address.ts'
import { type Bridge, createBridgeOn, type UpstreamConfig } from '../bridge/bridge.ts'
import type { BridgeOptions } from '../bridge/bridge-options.ts'
import type { Connect, Connection } from '../bridge/connection.ts'
import { MAX_DELAY_MS } from '../bridge/deadline.ts'
import type { TempFile } from '../bridge/spool.ts'
import { formatAccessLog } from '../core/access-log.ts'
import { fetchOf, type Handler } from '../core/handler.ts'
import { targetMeta } from '../core/raw-target.ts'
import type { RequestMeta } from '../core/request-head.ts'
import { denoMeta, denoPeer, type UwsgiEnv } from '../core/request-meta.ts'
import type { DenoAddr } from '../core/runtime-types.ts'
import { serve as serveNodeHttp } from './node/serve.ts'
import { choosesUpgrades } from './node/upgraded.ts'
import {
  formatListen,
  parseListen,
  resolveServeLimits,
  type ServeOptions,
  type Server,
} from './serve-options.ts'
import { checkSslOptions, type SslOptions } from './ssl-options.ts'
import { every } from './node/every.ts'
import { openTempFile } from './node/temp-file.ts'
import type { DenoConn, DenoServeInfo } from './types/deno.ts'

export type { Bridge, UpstreamConfig } from '../bridge/bridge.ts'
export type { BridgeOptions, ErrorContext } from '../bridge/bridge-options.ts'
export { serveUwsgi } from './node/serve-uwsgi.ts'
export type { ClientSignal } from '../core/client-signal.ts'
export type { FetchHandler, Handler, HeadHandler } from '../core/handler.ts'
export type { UwsgiEnv } from '../core/request-meta.ts'
export type { ResponderErrorContext } from '../responder/responder-options.ts'
export type { ServeOptions, Server, ServeUwsgiOptions } from './serve-options.ts'
export type { SslOptions } from './ssl-options.ts'

const READ_BUFFER_BYTES = 65_536

/** Opens TCP, unix and TLS connections, the latter trusting the certificate authorities Deno trusts. */
export const connect: Connect = connectWith({})

/**
 * Creates a bridge to a uwsgi backend, or to a group of them.
 *
 * @param upstream `uwsgi://host:port`, `suwsgi://host:port` (TLS) or `unix:/path`; or a list of those,
 *   each alone or with its options.
 * @throws {TypeError | RangeError} when an address or an option is wrong.
 * @example
 * ```ts
 * import { createBridge, serve } from 'edge-wsgi/deno'
 * await serve(createBridge('unix:/run/uwsgi/app.sock'), { listen: 'http://127.0.0.1:8080' })
 * ```
 */
export function createBridge(
  upstream: UpstreamConfig,
  options: BridgeOptions & SslOptions = {}
): Bridge {
  checkSslOptions(options, upstream)
  if (options.sslName !== undefined && options.sslCertificate !== undefined) {
    throw new TypeError('Cannot use sslName with a client certificate: Deno takes one or the other')
  }
  const open = connectWith(options)
  return createBridgeOn(
    {
      connect: () => open,
      requestMeta,
      headerEncoding: 'latin1',
      openTempFile: openPermittedFile,
      every,
    },
    upstream,
    options
  )
}

/**
 * What Deno knows of a request and a Fetch `Request` does not say.
 *
 * @param env The second argument of a `Deno.serve` handler, or of one behind `serveUwsgi`.
 */
export function requestMeta(request: Request, env?: unknown): RequestMeta {
  const { requestMeta: known, remoteAddr } = (env ?? {}) as Partial<UwsgiEnv & DenoServeInfo>
  return known ?? denoMeta(request, remoteAddr)
}

/**
 * Serves a handler over HTTP: a bridge with Deno's `node:http`, which gives the connection that a
 * WebSocket needs, anything else with `Deno.serve`, which has timeouts and limits of its own: those
 * among the options are checked then, and do nothing.
 *
 * @param handler A bridge, a Hono app, or any fetch handler.
 * @returns Once it listens.
 * @throws {TypeError | RangeError} when an option is wrong, and what `Deno.serve` throws when the
 *   address is taken.
 */
export async function serve(handler: Handler, options: ServeOptions): Promise<Server> {
  if (handler.tunnels === true && choosesUpgrades(createServer())) {
    return await serveNodeHttp(handler, options)
  }
  const address = parseListen(options.listen)
  // The same options, wrong ones included, mean the same on each runtime.
  const { closeTimeout } = resolveServeLimits(options)
  if (address.type === 'unix') await removeStaleSocket(address.path)
  const fetch = fetchOf(handler)
  const listening = Promise.withResolvers<DenoAddr>()
  const broken = new AbortController()
  const idle = Promise.withResolvers<void>()
  let underWay = 0
  let closing = false
  function end(): void {
    underWay--
    if (closing && underWay === 0) idle.resolve()
  }
  const server = Deno.serve(
    {
      ...(address.type === 'unix'
        ? { path: address.path }
        : { hostname: address.hostname, port: address.port }),
      signal: broken.signal,
      onListen: listening.resolve,
    },
    async (request, info) => {
      underWay++
      info.completed.then(end, end)
      if (closing) return new Response(null, { status: 503, headers: { connection: 'close' } })
      const began = performance.now()
      const response = await fetch(request, info)
      options.log?.(accessLine(request, info, response, performance.now() - began))
      return response
    }
  )
  const taken = await listening.promise
  return {
    url: formatListen(
      address.type === 'tcp' && 'port' in taken ? { ...address, port: taken.port } : address
    ),
    // Not shutdown(): once that waits for a request, nothing can break the request off any more.
    async close() {
      closing = true
      const timer = setTimeout(idle.resolve, Math.min(closeTimeout, MAX_DELAY_MS))
      if (underWay > 0) await idle.promise
      clearTimeout(timer)
      broken.abort()
      await server.finished
    },
  }
}

function accessLine(
  request: Request,
  info: DenoServeInfo,
  response: Response,
  durationMs: number
): string {
  return formatAccessLog({
    remote: denoPeer(info.remoteAddr)?.addr,
    method: request.method,
    target: targetMeta(request.url).rawTarget ?? request.url,
    protocol: 'HTTP',
    status: response.status,
    durationMs,
  })
}

/**
 * Deno would stop all requests and ask its terminal for a permission in the middle of a response; one
 * to write a file is not enough, since it is read, too.
 */
async function openPermittedFile(): Promise<TempFile> {
  const path = await tempFolder()
  for (const name of ['read', 'write'] as const) {
    const { state } = await Deno.permissions.query({ name, path })
    if (state !== 'granted') {
      throw new Error(`Cannot make a temporary file: wanted --allow-${name}=${path}`)
    }
  }
  return await openTempFile(path)
}

/** node:os reads these variables, in this order, until one is set. */
async function tempFolder(): Promise<string> {
  for (const variable of ['TMPDIR', 'TMP', 'TEMP']) {
    const { state } = await Deno.permissions.query({ name: 'env', variable })
    if (state !== 'granted') return '/tmp'
    if (process.env[variable]) break
  }
  return tmpdir()
}

/** A socket that nobody answers on any more: the file outlives a process that was killed. */
async function removeStaleSocket(path: string): Promise<void> {
  try {
    const conn = await Deno.connect({ transport: 'unix', path })
    conn.close()
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) Deno.removeSync(path)
  }
}

function connectWith(ssl: SslOptions): Connect {
  return function connectDeno(address) {
    const opened = openConn(address, ssl).then(denoConnection)
    // Deno cannot break off a connect: one that comes too late is closed then.
    return { opened, close: () => void opened.then((late) => late.close()).catch(() => {}) }
  }
}

async function openConn(address: Address, ssl: SslOptions): Promise<DenoConn> {
  if (address.type === 'unix') return await Deno.connect({ transport: 'unix', path: address.path })
  const { hostname, port, tls } = address
  if (tls) return await openTls({ hostname, port }, ssl)
  const conn = await Deno.connect({ hostname, port })
  conn.setNoDelay(true)
  return conn
}

async function openTls(to: { hostname: string; port: number }, ssl: SslOptions): Promise<DenoConn> {
  const { sslTrustedCertificate, sslName, sslCertificate: cert, sslCertificateKey: key } = ssl
  const caCerts = sslTrustedCertificate === undefined ? {} : { caCerts: [sslTrustedCertificate] }
  if (sslName !== undefined) {
    return await Deno.startTls(await Deno.connect(to), { hostname: sslName, ...caCerts })
  }
  const client = cert === undefined || key === undefined ? {} : { cert, key }
  return await Deno.connectTls({ ...to, ...caCerts, ...client })
}

function denoConnection(conn: DenoConn): Connection {
  let closed = false
  return {
    async read() {
      const buffer = new Uint8Array(READ_BUFFER_BYTES)
      try {
        const size = await conn.read(buffer)
        return size === null ? undefined : buffer.subarray(0, size)
      } catch (error) {
        // uWSGI ends TLS without close_notify, which rustls takes for an attack; where a length was
        // announced the decoder still misses what is missing.
        if (error instanceof Deno.errors.UnexpectedEof) return undefined
        throw error
      }
    },
    async write(bytes) {
      for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await conn.write(rest))
    },
    end() {
      // Where that fails the connection is gone, and read() tells.
      conn.closeWrite().catch(() => {})
    },
    close() {
      if (closed) return
      closed = true
      conn.close()
    },
  }
}
