/**
 * The bridge: requests in, uwsgi packets out, what nginx's `uwsgi_pass` is.
 *
 * @module
 */
import { type BodySource, streamSource } from '../core/body-source.ts'
import { GatewayError } from '../core/errors.ts'
import {
  errorResponse,
  type GatewayResponse,
  type ResponseForm,
  toResponse,
} from '../core/gateway-response.ts'
import type { HeadHandler } from '../core/handler.ts'
import { type RequestHead, requestHead, type RequestMeta } from '../core/request-head.ts'
import { type Address, formatAddress, parseAddress } from './address.ts'
import {
  type BridgeOptions,
  type ResolvedBridgeOptions,
  resolveBridgeOptions,
} from './bridge-options.ts'
import type { Connect, Connection } from './connection.ts'
import { toExchangeRequest } from './exchange-request.ts'
import { exchange } from './exchange.ts'
import { openConnection } from './open-connection.ts'
import { ping } from './ping.ts'
import { watchTunnel } from './tunnel.ts'

/** A gateway to one backend. It has `fetch`, so it is a Worker, and a handler for Deno and Hono. */
export interface Bridge extends HeadHandler {
  /**
   * Answers a request with what the backend answers. Never rejects: errors become pages.
   *
   * @param env What the runtime hands its handlers besides the request.
   * @param meta What a router in front knows, such as `mount`; it wins over what the runtime knows.
   */
  fetch(
    this: void,
    request: Request,
    env?: unknown,
    ctx?: unknown,
    meta?: RequestMeta
  ): Promise<Response>
  /**
   * Asks uWSGI whether a worker is free (`modifier1` 100, which its built-in ping plugin answers).
   *
   * @throws {GatewayError} when it does not answer as it should.
   */
  ping(this: void, env?: unknown): Promise<void>
  /** Answers 503 from now on; resolves when the requests under way have ended. */
  close(this: void): Promise<void>
}

/** What a target supplies. */
export interface BridgeRuntime extends ResponseForm {
  /**
   * Opens connections.
   *
   * @param env As given to `fetch`: on Workers, a binding may stand in it.
   */
  readonly connect: (env: unknown) => Connect
  /** What the runtime knows of a request besides. */
  readonly requestMeta: (request: Request, env: unknown) => RequestMeta
}

/** Controls for the web server in front, never for a client; nginx hides the same five. */
const HIDDEN_HEADERS = new Set([
  'x-accel-buffering',
  'x-accel-charset',
  'x-accel-expires',
  'x-accel-limit-rate',
  'x-accel-redirect',
])

/** Nobody's fault: the gateway answers `OPTIONS *` itself, and a client may leave. */
const NOT_REPORTED = new Set(['ERR_ASTERISK_FORM', 'ERR_CLIENT_CLOSED'])

/**
 * Creates a bridge on a runtime; each target exports it as `createBridge`.
 *
 * @param address Where the backend listens, as {@link parseAddress} reads it.
 * @throws {TypeError | RangeError} when the address or an option is wrong.
 */
export function createBridgeOn(
  runtime: BridgeRuntime,
  address: string,
  options: BridgeOptions = {}
): Bridge {
  const bridge = new UwsgiBridge(runtime, parseAddress(address), options)
  return {
    fetch: (request, env, _ctx, meta) => bridge.fetch(request, env, meta),
    tunnels: true,
    handle: (head, body, signal) => bridge.answer(head, body, signal, undefined),
    ping: (env) => bridge.ping(env),
    close: () => bridge.close(),
  }
}

class UwsgiBridge {
  readonly #runtime: BridgeRuntime
  readonly #address: Address
  readonly #options: ResolvedBridgeOptions
  #closed = false
  #underWay = 0
  readonly #idle = Promise.withResolvers<void>()

  constructor(runtime: BridgeRuntime, address: Address, options: BridgeOptions) {
    this.#runtime = runtime
    this.#address = address
    this.#options = resolveBridgeOptions({
      ...options,
      headerEncoding: options.headerEncoding ?? runtime.headerEncoding,
    })
  }

  async fetch(request: Request, env: unknown, meta?: RequestMeta): Promise<Response> {
    let response: GatewayResponse
    try {
      const known = this.#runtime.requestMeta(request, env)
      const head = requestHead(request, { ...known, ...meta })
      const body = request.body === null ? undefined : streamSource(request.body)
      response = await this.answer(head, body, request.signal, env)
    } catch (error) {
      // Host and target make no URL, or somebody else reads the body already.
      this.#report(request.method, request.url, error)
      response = errorResponse(error)
    }
    return toResponse(response, this.#runtime)
  }

  async answer(
    head: RequestHead,
    body: BodySource | undefined,
    signal: AbortSignal | undefined,
    env: unknown
  ): Promise<GatewayResponse> {
    this.#underWay++
    try {
      if (this.#closed) throw new GatewayError('ERR_CLOSED', 'The bridge is closed')
      const request = await toExchangeRequest(head, body, this.#options)
      const connection = await this.#open(env, signal)
      return this.#toClient(await exchange(connection, request, this.#options, signal), head)
    } catch (error) {
      void body?.cancel(error)
      this.#end(head, error)
      return errorResponse(error)
    }
  }

  async ping(env: unknown): Promise<void> {
    await ping(await this.#open(env), this.#options.readTimeout)
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#underWay > 0) await this.#idle.promise
  }

  async #open(env: unknown, signal?: AbortSignal): Promise<Connection> {
    const connect = this.#runtime.connect(env)
    return await openConnection(connect, this.#address, this.#options.connectTimeout, signal)
  }

  /** Hides what is for the gateway, and watches the body for its end. */
  #toClient(response: GatewayResponse, head: RequestHead): GatewayResponse {
    const headers = response.headers.filter(([name]) => !HIDDEN_HEADERS.has(name.toLowerCase()))
    const { body, tunnel } = response
    if (tunnel !== undefined) {
      return {
        ...response,
        headers,
        tunnel: watchTunnel(tunnel, (error) => this.#end(head, error)),
      }
    }
    if (body === undefined) {
      this.#end(head)
      return { ...response, headers }
    }
    let ended = false
    const end = (error?: unknown): void => {
      if (!ended) this.#end(head, error)
      ended = true
    }
    const read = async (): Promise<Uint8Array | undefined> => {
      try {
        const chunk = await body.read()
        if (chunk === undefined) end()
        return chunk
      } catch (error) {
        end(error)
        throw error
      }
    }
    const cancel = async (reason: unknown): Promise<void> => {
      end()
      await body.cancel(reason)
    }
    return { ...response, headers, body: { read, cancel } }
  }

  /** One request has ended, well or not. */
  #end(head: RequestHead, error?: unknown): void {
    this.#underWay--
    if (this.#underWay === 0 && this.#closed) this.#idle.resolve()
    if (error === undefined || (error instanceof GatewayError && NOT_REPORTED.has(error.code)))
      return
    this.#report(head.method, head.rawTarget ?? head.url.pathname, error)
  }

  #report(method: string, path: string, error: unknown): void {
    try {
      this.#options.onError(error instanceof Error ? error : new TypeError(String(error)), {
        method,
        path,
        upstream: formatAddress(this.#address),
      })
    } catch (failure) {
      // A hook that fails must not take the answer with it.
      console.error(failure)
    }
  }
}
