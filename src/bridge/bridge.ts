/**
 * The bridge: requests in, uwsgi packets out, what nginx's `uwsgi_pass` is.
 *
 * @module
 */
import { type BodySource, streamSource, watched } from '../core/body-source.ts'
import type { ClientSignal } from '../core/client-signal.ts'
import { GatewayError } from '../core/errors.ts'
import { fromResponse } from '../core/from-response.ts'
import {
  errorResponse,
  type GatewayResponse,
  type ResponseForm,
  toResponse,
} from '../core/gateway-response.ts'
import type { HeadHandler } from '../core/handler.ts'
import { type RequestHead, requestHead, type RequestMeta } from '../core/request-head.ts'
import type { BridgeOptions } from './bridge-options.ts'
import { type ResolvedBridgeOptions, resolveBridgeOptions } from './resolve-bridge-options.ts'
import { ConnectionPool } from './connection-pool.ts'
import type { Connect } from './connection.ts'
import { type ExchangeEvent, Journal } from './exchange-event.ts'
import { type PreparedRequest, prepareRequest } from './exchange-request.ts'
import { forward, type Route } from './forward.ts'
import { checkHealth, startHealthChecks } from './health-check.ts'
import { isRepeatable } from './next-upstream.ts'
import { readAhead, type ReadAheadLimits } from './read-ahead.ts'
import { mayBuffer, withoutHidden } from './response-policy.ts'
import type { OpenTempFile } from './spool.ts'
import { watchTunnel } from './tunnel.ts'
import { Upstream } from './upstream.ts'
import { UpstreamServer, type UpstreamServerOptions } from './upstream-server.ts'

/** A gateway to one backend or a group of them. It has `fetch`, so it is a Worker, and a handler for Deno and Hono. */
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
   * Asks the backends whether one has a worker free: uWSGI by `modifier1` 100, which its built-in ping
   * plugin answers; gunicorn, or any with `healthCheckPath`, by a GET.
   *
   * @throws {GatewayError} when none answers as it should.
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
  /** Makes temporary files; absent where there are none. */
  readonly openTempFile?: OpenTempFile | undefined
  /**
   * Gives memory for a packet, where the runtime has a faster way than an array of its own: Node's pool
   * takes 0.06 µs for what takes 1.4.
   */
  readonly allocate?: ((bytes: number) => Uint8Array<ArrayBuffer>) | undefined
  /**
   * Calls back at an interval, without keeping the process alive; returns what ends it. Absent where
   * nothing lives between requests: there is neither a health check then nor an idle connection.
   */
  readonly every?: ((intervalMs: number, call: () => void) => () => void) | undefined
}

/** One backend by its address, one with options, or a group of them. */
export type UpstreamConfig =
  string | UpstreamServerOptions | readonly (string | UpstreamServerOptions)[]

/**
 * How long a client may take for a chunk, 64 KiB mostly, before a response goes to a temporary file: at
 * 13 MB/s and above it comes out of memory, and the backend is not much longer at it.
 */
const SPILL_PATIENCE_MS = 5

/** Nobody's fault: the gateway answers `OPTIONS *` itself, and a client may leave. */
const NO_FAULTS = new Set<ExchangeEvent['error']>(['ERR_ASTERISK_FORM', 'ERR_CLIENT_CLOSED'])

/**
 * Creates a bridge on a runtime; each target exports it as `createBridge`.
 *
 * @param upstream Where the backends listen.
 * @throws {TypeError | RangeError} when an address or an option is wrong.
 */
export function createBridgeOn(
  runtime: BridgeRuntime,
  upstream: UpstreamConfig,
  options: BridgeOptions = {}
): Bridge {
  const bridge = new UwsgiBridge(runtime, serverList(upstream), options)
  return {
    fetch: (request, env, _ctx, meta) => bridge.fetch(request, env, meta),
    tunnels: true,
    handle: (head, body, signal) => bridge.answer(head, body, signal, undefined),
    ping: (env) => bridge.ping(env),
    close: () => bridge.close(),
  }
}

/**
 * The backends of a configuration, each with its options.
 *
 * @throws {TypeError} where there is no address.
 */
export function serverList(upstream: UpstreamConfig): readonly UpstreamServerOptions[] {
  const list: readonly unknown[] = Array.isArray(upstream) ? upstream : [upstream]
  if (list.length === 0) throw new TypeError('Cannot use no upstream: wanted at least one address')
  return list.map((server) => {
    if (typeof server === 'string') return { address: server }
    const options = server as Partial<UpstreamServerOptions> | null | undefined
    if (typeof options?.address === 'string') return options as UpstreamServerOptions
    // Such as a variable of the environment that is not set.
    throw new TypeError(
      'Cannot use upstream: it has no address, wanted a text such as "uwsgi://host:port"'
    )
  })
}

class UwsgiBridge {
  readonly #runtime: BridgeRuntime
  readonly #options: ResolvedBridgeOptions
  readonly #route: Route
  readonly #readAhead: ReadAheadLimits
  readonly #stopHealthChecks: (() => void) | undefined
  #closed = false
  #underWay = 0
  readonly #idle = Promise.withResolvers<void>()

  constructor(
    runtime: BridgeRuntime,
    servers: readonly UpstreamServerOptions[],
    given: BridgeOptions
  ) {
    const options = resolveBridgeOptions({
      ...given,
      headerEncoding: given.headerEncoding ?? runtime.headerEncoding,
    })
    if (options.balance === 'hash' && options.hashVariable === '') {
      throw new TypeError('Cannot use balance "hash" without hashHeader: wanted the header to hash')
    }
    this.#runtime = runtime
    this.#options = options
    const upstream = new Upstream(
      servers.map((server) => new UpstreamServer(server, options)),
      options
    )
    const keeps = options.backend === 'gunicorn' && runtime.every !== undefined
    const pool = keeps ? new ConnectionPool(options) : undefined
    const tries = Math.min(upstream.size, options.nextUpstreamTries)
    this.#route = { upstream, pool, options, tries }
    const { bufferBytes, maxTempFileBytes } = options
    const openTempFile = maxTempFileBytes > 0 ? runtime.openTempFile : undefined
    const patienceMs = SPILL_PATIENCE_MS
    this.#readAhead = { bufferBytes, maxTempFileBytes, openTempFile, patienceMs }
    if (options.healthCheckInterval !== Infinity) this.#stopHealthChecks = this.#checkHealth()
  }

  async fetch(request: Request, env: unknown, meta?: RequestMeta): Promise<Response> {
    const response = await this.#exchange(request.method, request.url, async (journal) => {
      const known = this.#runtime.requestMeta(request, env)
      const head = requestHead(request, { ...known, ...meta })
      journal.target = targetOf(head)
      const body = request.body === null ? undefined : streamSource(request.body)
      return await this.#forward(head, body, journal, request.signal, env)
    })
    return toResponse(response, this.#runtime)
  }

  answer(
    head: RequestHead,
    body: BodySource | undefined,
    signal: ClientSignal | undefined,
    env: unknown
  ): Promise<GatewayResponse> {
    return this.#exchange(head.method, targetOf(head), (journal) =>
      this.#forward(head, body, journal, signal, env)
    )
  }

  async ping(env: unknown): Promise<void> {
    let failure: unknown
    for (const server of this.#route.upstream.servers) {
      if (server.down) continue
      try {
        await checkHealth(this.#runtime.connect(env), server, this.#options)
        return
      } catch (error) {
        failure = error
      }
    }
    throw (
      failure ?? new GatewayError('ERR_UPSTREAM_UNAVAILABLE', 'No upstream is left: all are down')
    )
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#stopHealthChecks?.()
    if (this.#underWay > 0) await this.#idle.promise
    this.#route.pool?.close()
  }

  /** Runs one exchange and tells how it ended. Never rejects. */
  async #exchange(
    method: string,
    target: string,
    run: (journal: Journal) => Promise<GatewayResponse>
  ): Promise<GatewayResponse> {
    this.#underWay++
    const journal = new Journal(method, target)
    try {
      if (this.#closed) throw new GatewayError('ERR_CLOSED', 'The bridge is closed')
      const response = await run(journal)
      const page = response.status >= 400 ? await this.#replace(response, journal) : undefined
      return this.#watch(page ?? this.#toClient(response), journal)
    } catch (error) {
      this.#reportFailure(error, journal)
      const page = errorResponse(error)
      const isFault = !NO_FAULTS.has(codeOf(error))
      const own = isFault ? await this.#intercept(page.status, journal, error) : undefined
      if (own !== undefined) return this.#watch(own, journal, error)
      // A page in memory is as good as sent, where somebody is left to get it.
      if (isFault && method !== 'HEAD') journal.responseBytes = page.body?.bytes?.length ?? 0
      this.#end(page.status, journal, codeOf(error))
      return page
    }
  }

  async #forward(
    head: RequestHead,
    body: BodySource | undefined,
    journal: Journal,
    signal: ClientSignal | undefined,
    env: unknown
  ): Promise<GatewayResponse> {
    let request: PreparedRequest | undefined
    try {
      const { options, tries } = this.#route
      const handling = {
        isRepeatable: tries > 1 && isRepeatable(head.method, options.nextUpstream),
        openTempFile: this.#readAhead.openTempFile,
        allocate: this.#runtime.allocate,
      }
      const prepared = prepareRequest(head, body, options, handling)
      request = prepared instanceof Promise ? await prepared : prepared
      journal.trace = request.trace
      const connect = this.#runtime.connect(env)
      return await forward(this.#route, { request, connect, journal, signal })
    } catch (error) {
      request?.body?.close(error)
      void body?.cancel(error)
      throw error
    }
  }

  /** What of a backend's answer the client gets. */
  #toClient(response: GatewayResponse): GatewayResponse {
    const { hiddenHeaders, ignoredHeaders, buffering } = this.#options
    const headers = withoutHidden(response.headers, hiddenHeaders)
    const { body } = response
    if (
      body === undefined ||
      body.bytes !== undefined ||
      !buffering ||
      !mayBuffer(response, ignoredHeaders)
    ) {
      return { ...response, headers }
    }
    return { ...response, headers, body: readAhead(body, this.#readAhead) }
  }

  /** The user's page in the place of a backend's, where there is one. */
  async #replace(
    response: GatewayResponse,
    journal: Journal
  ): Promise<GatewayResponse | undefined> {
    const page = await this.#intercept(response.status, journal, undefined)
    if (page !== undefined) await response.body?.cancel(undefined)
    return page
  }

  /** The user's page in the place of an error, where there is one. */
  async #intercept(
    status: number,
    { method, target, trace }: Journal,
    error: unknown
  ): Promise<GatewayResponse | undefined> {
    const code = codeOf(error)
    try {
      const page = await this.#options.interceptErrors?.({
        status,
        method,
        target,
        code,
        requestId: trace?.requestId,
      })
      return page && (await fromResponse(page, method))
    } catch (failure) {
      this.#report(failure, method, target, '')
      return undefined
    }
  }

  /** Watches a response to its end. */
  #watch(response: GatewayResponse, journal: Journal, error?: unknown): GatewayResponse {
    const { body, tunnel, status } = response
    const onEnd = (broken: unknown, isGivenUp = false): void => {
      if (broken !== undefined) this.#reportFailure(broken, journal)
      // Runtimes tell of a client that leaves in this way, by the signal, or both.
      const code = codeOf(error ?? broken) ?? (isGivenUp ? 'ERR_CLIENT_CLOSED' : undefined)
      this.#end(status, journal, code)
    }
    const onChunk = (size: number): void => void (journal.responseBytes += size)
    if (tunnel !== undefined) {
      const onSent = (size: number): void => void (journal.requestBytes += size)
      return { ...response, tunnel: watchTunnel(tunnel, { onChunk, onSent, onEnd }) }
    }
    // What is in memory is as good as sent.
    if (body?.bytes !== undefined) onChunk(body.bytes.length)
    else if (body !== undefined) return { ...response, body: watched(body, { onChunk, onEnd }) }
    this.#end(status, journal, codeOf(error))
    return response
  }

  /** One request has ended, well or not. */
  #end(status: number, journal: Journal, code: ExchangeEvent['error']): void {
    this.#underWay--
    if (this.#underWay === 0 && this.#closed) this.#idle.resolve()
    const { onExchange } = this.#options
    if (onExchange === undefined) return
    const event = journal.event(status, code === 'ERR_ASTERISK_FORM' ? undefined : code)
    callHook(() => onExchange(event))
  }

  #reportFailure(error: unknown, { method, target, tried }: Journal): void {
    if (!NO_FAULTS.has(codeOf(error))) this.#report(error, method, target, tried.at(-1)?.name ?? '')
  }

  #report(error: unknown, method: string, path: string, upstream: string): void {
    const told = error instanceof Error ? error : new TypeError(String(error))
    callHook(() => this.#options.onError(told, { method, path, upstream }))
  }

  #checkHealth(): () => void {
    const { every } = this.#runtime
    if (every === undefined) {
      throw new TypeError('Cannot use healthCheckInterval here: nothing lives between requests')
    }
    const { upstream, options } = this.#route
    return startHealthChecks(upstream.servers, {
      interval: options.healthCheckInterval,
      check: (server) => checkHealth(this.#runtime.connect(undefined), server, options),
      onChange: ({ name }, error) => {
        upstream.admit()
        if (error !== undefined) this.#report(error, 'GET', 'health check', name)
      },
      every,
    })
  }
}

/** Calls a hook, which is maybe async: one that fails must take nothing from the answer. */
function callHook(hook: () => unknown): void {
  void (async () => await hook())().catch((failure: unknown) => console.error(failure))
}

function targetOf({ rawTarget, url }: RequestHead): string {
  return rawTarget ?? url.pathname + url.search
}

function codeOf(error: unknown): ExchangeEvent['error'] {
  if (error === undefined) return undefined
  return error instanceof GatewayError ? error.code : 'ERR_INTERNAL'
}
