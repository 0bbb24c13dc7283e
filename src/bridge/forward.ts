/**
 * A request → the backend that answers it: one after the other is tried, as `nextUpstream` allows.
 *
 * @module
 */
import { watched } from '../core/body-source.ts'
import type { ClientSignal } from '../core/client-signal.ts'
import { GatewayError } from '../core/errors.ts'
import type { GatewayResponse } from '../core/gateway-response.ts'
import type { ResolvedBridgeOptions } from './resolve-bridge-options.ts'
import type { ConnectionPool } from './connection-pool.ts'
import type { Connect, Connection } from './connection.ts'
import type { Journal } from './exchange-event.ts'
import type { PreparedRequest } from './exchange-request.ts'
import { exchange } from './exchange.ts'
import { Guard } from './guard.ts'
import {
  conditionOf,
  conditionOfStatus,
  isFailure,
  isIdempotent,
  isRepeatable,
  type NextUpstream,
} from './next-upstream.ts'
import { openConnection } from './open-connection.ts'
import { watchTunnel } from './tunnel.ts'
import type { UpstreamServer } from './upstream-server.ts'
import type { Upstream } from './upstream.ts'

/** Where requests are forwarded to, and how. */
export interface Route {
  readonly upstream: Upstream
  /** Absent where connections serve one request. */
  readonly pool: ConnectionPool | undefined
  readonly options: ResolvedBridgeOptions
  /** Most backends that a request is tried on. */
  readonly tries: number
}

/** One request on its way. */
export interface Errand {
  readonly request: PreparedRequest
  readonly connect: Connect
  readonly journal: Journal
  /** Aborted when the client goes away. */
  readonly signal: ClientSignal | undefined
}

/**
 * Forwards a request.
 *
 * @returns The first answer that `nextUpstream` does not pass on, or the last one; its body gives the
 *   backend's place free when it ends.
 * @throws {GatewayError} what the last backend failed with, or the client.
 */
export function forward(route: Route, errand: Errand): Promise<GatewayResponse> {
  return new Forwarding(route, errand).run()
}

class Forwarding {
  readonly #route: Route
  readonly #errand: Errand
  readonly #isRepeatable: boolean
  /** The time that a client took to send a body of unknown length is not that of the backends. */
  readonly #began = performance.now()
  /** Whether anything of the request has been sent. */
  #sent = false

  constructor(route: Route, errand: Errand) {
    this.#route = route
    this.#errand = errand
    this.#isRepeatable = isRepeatable(errand.request.method, route.options.nextUpstream)
  }

  async run(): Promise<GatewayResponse> {
    for (;;) {
      const { request, journal } = this.#errand
      const wish = { key: request.key, tried: journal.tried }
      const found = this.#route.upstream.acquire(wish, this.#errand.signal)
      const server = this.#note(found instanceof Promise ? await found : found)
      try {
        const response = await this.#attempt(server)
        journal.answered()
        const condition = conditionOfStatus(response.status)
        const isPassedOn = this.#route.options.nextUpstream.has(condition)
        if (isPassedOn && isFailure(response.status)) server.fail(performance.now())
        else server.succeed()
        if (!(isPassedOn && this.#mayGoOn(condition))) return this.#holdPlace(response, server)
        await response.body?.cancel(undefined)
      } catch (error) {
        const condition = error instanceof GatewayError ? conditionOf(error.code) : undefined
        if (condition !== undefined) server.fail(performance.now())
        if (condition === undefined || !this.#mayGoOn(condition)) {
          this.#route.upstream.release(server)
          throw error
        }
      }
      // Before the next place is taken: two that wait for each other's would wait for good.
      this.#route.upstream.release(server)
    }
  }

  /** The request goes to a backend, if there is one. */
  #note(server: UpstreamServer | undefined): UpstreamServer {
    const { journal } = this.#errand
    if (server === undefined) {
      throw new GatewayError('ERR_UPSTREAM_UNAVAILABLE', 'No upstream is left: all are down')
    }
    if (journal.tried.length > 0) journal.retries++
    journal.tried = [...journal.tried, server]
    return server
  }

  /** nginx's rules: a condition that is configured, tries, backends and time left, nothing sent twice. */
  #mayGoOn(condition: NextUpstream): boolean {
    const { options, tries } = this.#route
    const { request, journal, signal } = this.#errand
    if (!options.nextUpstream.has(condition) || signal?.aborted === true) return false
    if (journal.tried.length >= tries) return false
    if (performance.now() - this.#began >= options.nextUpstreamTimeout) return false
    return this.#maySend(request)
  }

  #maySend({ body }: PreparedRequest): boolean {
    return (!this.#sent || this.#isRepeatable) && (body === undefined || body.isWhole)
  }

  async #attempt(server: UpstreamServer): Promise<GatewayResponse> {
    const { pool } = this.#route
    const { request, journal } = this.#errand
    // gunicorn may close an idle connection while the request is on its way there; one that is not
    // idempotent, or whose body is gone by then, could not be sent again: it gets a connection of its own.
    const isSafe = isIdempotent(request.method) && request.body === undefined
    const reused = isSafe ? pool?.take(server) : undefined
    if (reused !== undefined) {
      try {
        return await this.#exchange(server, reused, new Guard(this.#errand.signal))
      } catch (error) {
        const isSilent = error instanceof GatewayError && error.code === 'ERR_UPSTREAM_EMPTY'
        if (!isSilent || !this.#maySend(request)) throw error
        journal.retries++
      }
    }
    const { connect, signal } = this.#errand
    const { connectTimeout } = this.#route.options
    const guard = new Guard(signal)
    const connection = await openConnection(connect, server.address, connectTimeout, guard)
    return await this.#exchange(server, connection, guard)
  }

  #exchange(
    server: UpstreamServer,
    connection: Connection,
    guard: Guard
  ): Promise<GatewayResponse> {
    const { pool, options } = this.#route
    const { request, journal } = this.#errand
    const { method, packet, body, upgrade } = request
    journal.connected()
    this.#sent = true
    const sent = {
      method,
      packet,
      upgrade,
      body: body && watched(body.start(), { onChunk: (size) => (journal.requestBytes += size) }),
      keep: pool && ((clean: Connection) => pool.put(server, clean)),
    }
    return exchange(connection, sent, options, guard)
  }

  /** The backend's place and what is kept of the request are free when it has nothing more to say. */
  #holdPlace(response: GatewayResponse, server: UpstreamServer): GatewayResponse {
    const { request } = this.#errand
    const end = (): void => {
      this.#route.upstream.release(server)
      request.body?.close(undefined)
    }
    if (response.tunnel !== undefined) {
      return { ...response, tunnel: watchTunnel(response.tunnel, { onEnd: end }) }
    }
    if (response.body !== undefined && response.body.bytes === undefined) {
      return { ...response, body: watched(response.body, { onEnd: end }) }
    }
    end()
    return response
  }
}
