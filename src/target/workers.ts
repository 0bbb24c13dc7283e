/**
 * edge-wsgi on Cloudflare Workers: backends over TCP and TLS, or through a VPC Networks binding.
 *
 * @module
 */
import { connect as connectSocket } from 'cloudflare:sockets'
import { type Address, parseAddress } from '../bridge/address.ts'
import { type Bridge, createBridgeOn, serverList, type UpstreamConfig } from '../bridge/bridge.ts'
import type { BridgeOptions } from '../bridge/bridge-options.ts'
import type { Connect, Connection } from '../bridge/connection.ts'
import { type BodySource, sourceStream } from '../core/body-source.ts'
import type { RequestMeta } from '../core/request-head.ts'
import { workersMeta } from '../core/request-meta.ts'
import type { WorkersConnect, WorkersSocket } from './types/workers.ts'

export type { Bridge, UpstreamConfig } from '../bridge/bridge.ts'
export type { BridgeOptions, ErrorContext } from '../bridge/bridge-options.ts'
export type { WorkersConnect, WorkersSocket } from './types/workers.ts'

/** Options of a bridge on Workers. */
export interface WorkersBridgeOptions extends BridgeOptions {
  /**
   * Name of the VPC Networks binding in `env` to connect through, for a backend that only a private
   * network reaches.
   *
   * @default `connect` of `cloudflare:sockets`, which reaches public addresses only
   */
  binding?: string | undefined
}

/** Opens connections with `cloudflare:sockets`. */
export const connect: Connect = connectWith(connectSocket)

/**
 * Creates a bridge to a uwsgi backend, or to a group of them.
 *
 * @param upstream `uwsgi://host:port`, or `suwsgi://host:port` (TLS, with a certificate that the
 *   public authorities vouch for); or a list of those. Workers have no unix sockets.
 * @throws {TypeError | RangeError} when an address or an option is wrong.
 * @example
 * ```ts
 * import { createBridge } from 'edge-wsgi/workers'
 * export default createBridge('uwsgi://10.0.1.50:3031', { binding: 'NET' })
 * ```
 */
export function createBridge(upstream: UpstreamConfig, options: WorkersBridgeOptions = {}): Bridge {
  const { binding } = options
  for (const { address } of serverList(upstream)) checkAddress(address, binding)
  return createBridgeOn(
    {
      connect: (env) => (binding === undefined ? connect : connectWith(bindingOf(env, binding))),
      requestMeta,
      // workerd decodes header bytes as UTF-8 and writes them so (workerd#6927).
      headerEncoding: 'utf8',
      bodyStream,
    },
    upstream,
    options
  )
}

function checkAddress(address: string, binding: string | undefined): void {
  const parsed = parseAddress(address)
  if (parsed.type === 'unix') {
    throw new TypeError(`Cannot use address "${address}": Workers have no unix sockets`)
  }
  if (parsed.tls && binding !== undefined) {
    throw new TypeError(
      `Cannot use address "${address}" with binding "${binding}": it is plaintext only`
    )
  }
}

/**
 * What Workers know of a request and a Fetch `Request` does not say: the client's address from
 * `CF-Connecting-IP`, which then goes, and TLS from `request.cf`.
 */
export function requestMeta(request: Request): RequestMeta {
  return workersMeta(request)
}

function bindingOf(env: unknown, name: string): WorkersConnect {
  const binding = (env as Record<string, unknown> | undefined)?.[name]
  const { connect: method } = (binding ?? {}) as { connect?: WorkersConnect }
  if (typeof method !== 'function') {
    throw new TypeError(`Cannot connect through binding "${name}": env.${name} has no connect()`)
  }
  return (address, options) => method.call(binding, address, options)
}

function connectWith(open: WorkersConnect): Connect {
  return function connectWorkers(address) {
    const { hostname, port, tls } = address as Extract<Address, { type: 'tcp' }>
    const socket = open(
      { hostname, port },
      { secureTransport: tls ? 'on' : 'off', allowHalfOpen: true }
    )
    const connection = socketConnection(socket)
    return { opened: socket.opened.then(() => connection), close: connection.close }
  }
}

function socketConnection(socket: WorkersSocket): Connection {
  const reader = socket.readable.getReader()
  const writer = socket.writable.getWriter()
  // Failures show in read() and write(); these promises tell them a second time.
  for (const promise of [reader.closed, writer.closed, writer.ready]) promise.catch(() => {})
  let hasWritten = false
  let writing = 0
  return {
    async read() {
      const { value } = await reader.read()
      return value
    },
    async write(bytes) {
      // workerd drops what it has not read yet when a write fails. A turn of the event loop right
      // before each write but the first lets in the answer of a backend that wants no more.
      if (hasWritten) await new Promise((resolve) => setTimeout(resolve))
      hasWritten = true
      writing++
      await writer.write(bytes)
      writing--
    },
    // An orderly end, which takes a tenth less of a small request than close().
    leave() {
      reader.cancel().catch(() => {})
      writer.close().catch(() => {})
    },
    close() {
      reader.cancel().catch(() => {})
      // Behind an abort, workerd lets go of the connection only when the client's request has ended; yet
      // without one, it waits for a write that nobody takes.
      if (!hasWritten || writing > 0) writer.abort().catch(() => {})
      socket.close().catch(() => {})
    },
  }
}

/** workerd sends chunks unless the stream itself knows its length. */
function bodyStream(source: BodySource, length: number | undefined): ReadableStream {
  const stream = sourceStream(source)
  if (length === undefined) return stream
  const fixed = new FixedLengthStream(length)
  // A failure travels on to the reader; this promise tells of it a second time.
  stream.pipeTo(fixed.writable).catch(() => {})
  return fixed.readable
}
