/**
 * What one exchange came to, as a structured event for logs and metrics.
 *
 * @module
 */
import type { GatewayErrorCode } from '../core/errors.ts'
import type { TraceIds } from '../core/trace-context.ts'
import type { UpstreamServer } from './upstream-server.ts'

/** One request and what became of it, told when its response has ended. */
export interface ExchangeEvent {
  /** Request method. */
  readonly method: string
  /** Request-target as the client sent it: escape it before it goes into a log line. */
  readonly target: string
  /** Status the client was answered with. */
  readonly status: number
  /** Address of the backend that answered, or was tried last; `undefined` when none was. */
  readonly upstream: string | undefined
  /** Addresses of the backends that were tried, in order. */
  readonly tried: readonly string[]
  /** How often the request was sent again: to another backend, or on a fresh connection. */
  readonly retries: number
  /** Body bytes sent to the backend, those of every attempt. */
  readonly requestBytes: number
  /** Body bytes handed to the client. */
  readonly responseBytes: number
  /** From the request to the connection in use, in milliseconds; `undefined` without one. */
  readonly connectMs: number | undefined
  /** From the request to the response head, in milliseconds; `undefined` without one. */
  readonly headMs: number | undefined
  /** From the request to the end of the response, in milliseconds. */
  readonly totalMs: number
  /** What went wrong, `undefined` when nothing did; `ERR_CLIENT_CLOSED` for a client that left early. */
  readonly error: GatewayErrorCode | 'ERR_INTERNAL' | undefined
  /** `X-Request-Id`, the client's or one made here; `undefined` without `tracing`. */
  readonly requestId: string | undefined
  /** `traceparent`, the client's or one made here; `undefined` without `tracing`. */
  readonly traceparent: string | undefined
}

/** What is noted of a request while it is under way. */
export class Journal {
  readonly method: string
  target: string
  /** Backends that have had the request, in order. */
  tried: readonly UpstreamServer[] = []
  retries = 0
  requestBytes = 0
  responseBytes = 0
  trace: TraceIds | undefined
  readonly #began: number = performance.now()
  #connectMs: number | undefined
  #headMs: number | undefined

  constructor(method: string, target: string) {
    this.method = method
    this.target = target
  }

  /** Time since the request, in milliseconds. */
  get elapsedMs(): number {
    return performance.now() - this.#began
  }

  /** A connection is there: of several, the last counts. */
  connected(): void {
    this.#connectMs = this.elapsedMs
    this.#headMs = undefined
  }

  /** A response head is there. */
  answered(): void {
    this.#headMs = this.elapsedMs
  }

  /** The event, once the response has ended. */
  event(status: number, error: ExchangeEvent['error']): ExchangeEvent {
    const { method, target, retries, requestBytes, responseBytes } = this
    const tried = this.tried.map(({ name }) => name)
    const { trace, elapsedMs: totalMs } = this
    return {
      method,
      target,
      status,
      upstream: tried.at(-1),
      tried,
      retries,
      requestBytes,
      responseBytes,
      connectMs: this.#connectMs,
      headMs: this.#headMs,
      totalMs,
      error,
      requestId: trace?.requestId,
      traceparent: trace?.traceparent,
    }
  }
}
