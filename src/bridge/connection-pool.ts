/**
 * Connections that wait for their next request, toward backends that keep them: gunicorn does, uWSGI
 * never.
 *
 * @module
 */
import { type Connection, endConnection } from './connection.ts'
import { MAX_DELAY_MS } from './deadline.ts'
import type { UpstreamServer } from './upstream-server.ts'

/** How many connections wait, and how long. */
export interface PoolLimits {
  /** Most connections that wait at each backend (nginx: `keepalive`). */
  readonly keepalive: number
  /** Longest wait, in milliseconds (nginx: `keepalive_timeout` of an upstream). */
  readonly keepaliveTimeout: number
}

/** Idle connections by backend; the latest is used first, so that the others may go. */
export class ConnectionPool {
  readonly #limits: PoolLimits
  readonly #idle = new Map<UpstreamServer, KeptConnection[]>()
  #timer: ReturnType<typeof setTimeout> | undefined
  #closed = false

  constructor(limits: PoolLimits) {
    this.#limits = limits
  }

  /** A connection that was open a moment ago; the backend may close it at any time. */
  take(server: UpstreamServer): Connection | undefined {
    const waiting = this.#idle.get(server) ?? []
    for (let idle = waiting.pop(); idle !== undefined; idle = waiting.pop()) {
      if (!idle.isGone && !this.#isLate(idle)) return idle
      idle.close()
    }
    return undefined
  }

  /** Keeps a connection whose last response is complete, or closes it where there are enough. */
  put(server: UpstreamServer, connection: Connection): void {
    const waiting = (this.#idle.get(server) ?? []).filter((idle) => !idle.isGone)
    if (this.#closed || waiting.length >= this.#limits.keepalive) {
      connection.close()
      return
    }
    const idle = connection instanceof KeptConnection ? connection : new KeptConnection(connection)
    idle.wait()
    waiting.push(idle)
    this.#idle.set(server, waiting)
    if (this.#timer === undefined) this.#sleep()
  }

  /** Closes all that wait, and keeps none any more. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const waiting of this.#idle.values()) {
      for (const idle of waiting) idle.close()
    }
    this.#idle.clear()
  }

  #isLate({ idleSince }: KeptConnection): boolean {
    return performance.now() - idleSince >= this.#limits.keepaliveTimeout
  }

  /** One timer for all, since one each would cost every request. */
  #sweep(): void {
    this.#timer = undefined
    for (const [server, waiting] of this.#idle) {
      const kept = waiting.filter((idle) => !idle.isGone && !this.#isLate(idle))
      for (const idle of waiting) if (!kept.includes(idle)) idle.close()
      if (kept.length > 0) this.#idle.set(server, kept)
      else this.#idle.delete(server)
    }
    if (this.#idle.size > 0) this.#sleep()
  }

  /** Until the first of them will be late; of those of one backend, that is the first. */
  #sleep(): void {
    let oldest = performance.now()
    for (const [idle] of this.#idle.values()) {
      if (idle !== undefined) oldest = Math.min(oldest, idle.idleSince)
    }
    const delayMs = oldest + this.#limits.keepaliveTimeout - performance.now()
    this.#timer = setTimeout(() => this.#sweep(), Math.min(Math.max(delayMs, 1), MAX_DELAY_MS))
  }
}

/** A connection between two requests, and then for the next one. */
class KeptConnection implements Connection {
  readonly #connection: Connection
  /** The read that watches for the backend closing it, and becomes the next request's first. */
  #reading: Promise<Uint8Array | undefined> | undefined
  #gone = false
  idleSince = 0

  readonly free: Connection['free']

  constructor(connection: Connection) {
    this.#connection = connection
    this.free = connection.free
  }

  /** Whether anything came while it waited: an end, or bytes that nobody asked for. */
  get isGone(): boolean {
    return this.#gone
  }

  wait(): void {
    this.idleSince = performance.now()
    const reading = this.#connection.read()
    this.#reading = reading
    const leave = (): void => {
      if (this.#reading !== reading) return
      this.#gone = true
      this.#connection.close()
    }
    reading.then(leave, leave)
  }

  read(): Promise<Uint8Array | undefined> {
    const reading = this.#reading ?? this.#connection.read()
    this.#reading = undefined
    return reading
  }

  write(bytes: Uint8Array, onTaken?: () => void): Promise<void> | undefined {
    return this.#connection.write(bytes, onTaken)
  }

  end(): void {
    endConnection(this.#connection)
  }

  close(): void {
    this.#connection.close()
  }
}
