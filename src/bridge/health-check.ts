/**
 * Active health checks: a ping of uWSGI, or a GET of a path, on every backend and again and again.
 *
 * @module
 */
import { GatewayError } from '../core/errors.ts'
import { requestHead } from '../core/request-head.ts'
import type { ResolvedBridgeOptions } from './resolve-bridge-options.ts'
import type { Connect } from './connection.ts'
import { prepareRequest } from './exchange-request.ts'
import { exchange } from './exchange.ts'
import { Guard } from './guard.ts'
import { openConnection } from './open-connection.ts'
import { ping } from './ping.ts'
import type { UpstreamServer } from './upstream-server.ts'

/** How the checks run. */
export interface HealthCheckOptions {
  /** From one check to the next, in milliseconds. */
  readonly interval: number
  /** Asks one backend; rejects when it does not answer as it should. */
  readonly check: (server: UpstreamServer) => Promise<void>
  /** Told when a backend goes or comes back. */
  readonly onChange: (server: UpstreamServer, error: GatewayError | undefined) => void
  /** Calls back at an interval, without keeping the process alive; returns what ends it. */
  readonly every: (intervalMs: number, call: () => void) => () => void
}

/**
 * Starts checking, at once and then at the interval. A backend whose last check has not ended is left
 * out of a round.
 *
 * @returns What ends it.
 */
export function startHealthChecks(
  servers: readonly UpstreamServer[],
  options: HealthCheckOptions
): () => void {
  const busy = new Set<UpstreamServer>()
  let stopped = false
  async function checkOne(server: UpstreamServer): Promise<void> {
    if (busy.has(server)) return
    busy.add(server)
    let failure: GatewayError | undefined
    try {
      await options.check(server)
    } catch (error) {
      failure =
        error instanceof GatewayError
          ? error
          : new GatewayError('ERR_UPSTREAM_CONNECT', String(error), { cause: error })
    }
    busy.delete(server)
    const healthy = failure === undefined
    if (stopped || server.healthy === healthy) return
    server.healthy = healthy
    options.onChange(server, failure)
  }
  function round(): void {
    for (const server of servers) if (!server.down) void checkOne(server)
  }
  round()
  const stop = options.every(options.interval, round)
  return () => {
    stopped = true
    stop()
  }
}

/**
 * Asks one backend whether it is well.
 *
 * @throws {GatewayError} when it does not answer as it should.
 */
export async function checkHealth(
  connect: Connect,
  server: UpstreamServer,
  options: ResolvedBridgeOptions
): Promise<void> {
  const { healthCheckPath, healthCheckTimeout: timeoutMs } = options
  const limits = {
    ...options,
    // The path is the application's own.
    environ: { ...options.environ, mount: '' },
    sendTimeout: timeoutMs,
    readTimeout: timeoutMs,
  }
  const guard = new Guard()
  if (healthCheckPath === '') {
    const connection = await openConnection(connect, server.address, timeoutMs, guard)
    await ping(connection, timeoutMs, guard)
    return
  }
  const head = requestHead(new Request(`http://localhost${healthCheckPath}`))
  // Before there is a connection, which nobody would close if this failed.
  const { method, packet } = await prepareRequest(head, undefined, limits)
  const connection = await openConnection(connect, server.address, timeoutMs, guard)
  const sent = { method, packet, body: undefined }
  const response = await exchange(connection, sent, limits, guard)
  await response.body?.cancel(undefined)
  if (response.status >= 400) {
    throw new GatewayError(
      'ERR_UPSTREAM_PROTOCOL',
      `The upstream answered a health check with ${response.status}`
    )
  }
}
