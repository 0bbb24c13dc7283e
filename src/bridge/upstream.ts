/**
 * A group of backends: who gets a request, and who waits for a place.
 *
 * @module
 */
import type { ClientSignal } from '../core/client-signal.ts'
import { GatewayError } from '../core/errors.ts'
import { filtered } from '../core/filtered.ts'
import { type Balance, choose } from './balance.ts'
import { Guard } from './guard.ts'
import { UpstreamServer } from './upstream-server.ts'

/** How a group shares out its requests. */
export interface UpstreamPolicy {
  readonly balance: Balance
  /** Most requests that wait for a place. */
  readonly queue: number
  /** Longest wait for a place, in milliseconds. */
  readonly queueTimeout: number
}

/** Who wants a backend. */
export interface Wish {
  /** What `ip_hash` and `hash` go by. */
  readonly key: string | undefined
  /** Backends that have had the request already. */
  readonly tried: readonly UpstreamServer[]
}

interface Waiter {
  readonly wish: Wish
  readonly admit: (server: UpstreamServer) => void
}

/** A group of backends. */
export class Upstream {
  readonly servers: readonly UpstreamServer[]
  /** Those that a request can be tried on. */
  readonly #up: readonly UpstreamServer[]
  readonly #policy: UpstreamPolicy
  readonly #waiters = new Set<Waiter>()

  constructor(servers: readonly UpstreamServer[], policy: UpstreamPolicy) {
    this.servers = servers
    this.#up = servers.filter(({ down }) => !down)
    this.#policy = policy
  }

  /** How many backends a request can be tried on. */
  get size(): number {
    return this.#up.length
  }

  /**
   * Takes a place at a backend, which {@link release} gives back; waits for one where all are taken.
   *
   * @param signal Aborted when the client goes away.
   * @returns A promise only while it waits; `undefined` when no backend is left that the request has not
   *   been tried on.
   * @throws {GatewayError} `ERR_UPSTREAM_BUSY` when the queue is full or the wait too long,
   *   `ERR_CLIENT_CLOSED`.
   */
  acquire(
    wish: Wish,
    signal: ClientSignal | undefined
  ): UpstreamServer | undefined | Promise<UpstreamServer> {
    // A backend whose time out is over may have room that those who wait do not know of.
    this.admit()
    const found = this.#find(wish)
    return found === 'full' ? this.#wait(wish, signal) : found
  }

  /** Gives a place back. */
  release(server: UpstreamServer): void {
    server.release()
    this.admit()
  }

  /** Lets in those that wait, as far as there are places now. */
  admit(): void {
    for (const waiter of this.#waiters) {
      const found = this.#find(waiter.wish)
      if (found instanceof UpstreamServer) waiter.admit(found)
    }
  }

  /**
   * Looks for a place in nginx's order: first the backends that can be counted on, then those that
   * are backups. Where nginx answers 502 because all have failed of late, they are asked all the same:
   * one that is back answers, and one that is not costs no more than the 502.
   */
  #find({ key, tried }: Wish): UpstreamServer | 'full' | undefined {
    const now = performance.now()
    const left = filtered(this.#up, (server) => !tried.includes(server))
    const available = filtered(left, (server) => server.isAvailable(now))
    const asked = available.length > 0 ? available : left
    if (asked.length === 0) return undefined
    const free = filtered(asked, ({ hasRoom }) => hasRoom)
    const primaries = filtered(free, ({ backup }) => !backup)
    const server = choose(primaries.length > 0 ? primaries : free, this.#policy.balance, key)
    if (server === undefined) return 'full'
    server.take(now)
    return server
  }

  async #wait(wish: Wish, signal: ClientSignal | undefined): Promise<UpstreamServer> {
    const { queue, queueTimeout } = this.#policy
    if (this.#waiters.size >= queue) {
      throw busy(`all have maxConns requests under way, and ${queue} wait already`)
    }
    return await new Promise((resolve, reject) => {
      const guard = new Guard(signal)
      const waiter: Waiter = {
        wish,
        admit: (server) => {
          this.#waiters.delete(waiter)
          guard.stop()
          resolve(server)
        },
      }
      this.#waiters.add(waiter)
      guard.tell((error) => {
        this.#waiters.delete(waiter)
        reject(error)
      })
      guard.start(queueTimeout, () =>
        busy(`all had maxConns requests under way for ${queueTimeout} ms`)
      )
    })
  }
}

function busy(why: string): GatewayError {
  return new GatewayError('ERR_UPSTREAM_BUSY', `No upstream has a place: ${why}`)
}
