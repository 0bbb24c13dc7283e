/**
 * One backend of a group: its options, and what is known of it. Names are those of nginx's `server`
 * directive.
 *
 * @see https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server
 * @module
 */
import { flag, integer, limit, timeout } from '../core/environ-options.ts'
import { type Address, formatAddress, parseAddress } from './address.ts'

/** A backend of a group. */
export interface UpstreamServerOptions {
  /** `uwsgi://host:port`, `suwsgi://host:port` (TLS) or `unix:/path`. */
  address: string
  /**
   * Share of the requests, 1 to 65535.
   *
   * @default 1
   */
  weight?: number | undefined
  /**
   * Whether it is asked only while no other backend is to be had.
   *
   * @default false
   */
  backup?: boolean | undefined
  /**
   * Whether it is never asked.
   *
   * @default false
   */
  down?: boolean | undefined
  /**
   * Most requests that it works on at the same time, as far as this bridge knows.
   *
   * @default `maxConns` of the bridge
   */
  maxConns?: number | undefined
  /**
   * Failures within `failTimeout` that take it out for `failTimeout`; 0 for never.
   *
   * @default `maxFails` of the bridge
   */
  maxFails?: number | undefined
  /**
   * Both spans of `maxFails`, in milliseconds.
   *
   * @default `failTimeout` of the bridge
   */
  failTimeout?: number | undefined
}

/** What a bridge says of all its backends. */
export interface ServerDefaults {
  readonly maxConns: number
  readonly maxFails: number
  readonly failTimeout: number
}

/** A backend and its record, which every request that is sent there adds to. */
export class UpstreamServer {
  readonly address: Address
  /** The text form of the address. */
  readonly name: string
  readonly weight: number
  readonly backup: boolean
  readonly down: boolean
  readonly maxConns: number
  /** Requests that it works on. */
  active = 0
  /** What health checks say. */
  healthy = true
  /** Credit in the round robin: the share it has not had yet. */
  credit = 0
  /** Weight in the round robin: less behind a failure, growing back with each round. */
  effectiveWeight: number
  readonly #maxFails: number
  readonly #failTimeout: number
  #fails = 0
  #failedAt = -Infinity
  /** When it was last chosen, or last failed. */
  #checkedAt = -Infinity

  /** @throws {TypeError | RangeError} naming the option that is wrong. */
  constructor(options: UpstreamServerOptions, defaults: ServerDefaults) {
    this.address = parseAddress(options.address)
    this.name = formatAddress(this.address)
    this.weight = integer('weight', options.weight ?? 1, 1, 65_535)
    this.effectiveWeight = this.weight
    this.backup = flag('backup', options.backup ?? false)
    this.down = flag('down', options.down ?? false)
    this.maxConns = maxConns(options.maxConns ?? defaults.maxConns)
    this.#maxFails = limit('maxFails', options.maxFails ?? defaults.maxFails)
    this.#failTimeout = timeout('failTimeout', options.failTimeout ?? defaults.failTimeout)
  }

  /** Whether it can take one more request. */
  get hasRoom(): boolean {
    return this.active < this.maxConns
  }

  /** Whether it may be counted on: healthy, and not out because of failures. */
  isAvailable(now: number): boolean {
    const out = this.#maxFails > 0 && this.#fails >= this.#maxFails
    return this.healthy && !(out && now - this.#checkedAt <= this.#failTimeout)
  }

  /** It has been chosen. Behind its time out, this lets one request try it and no second. */
  take(now: number): void {
    this.active++
    if (now - this.#checkedAt > this.#failTimeout) this.#checkedAt = now
  }

  /** A request has ended there. */
  release(): void {
    this.active--
  }

  /** It answered as a backend should. */
  succeed(): void {
    if (this.#failedAt < this.#checkedAt) this.#fails = 0
  }

  /** It did not. */
  fail(now: number): void {
    this.#fails++
    this.#failedAt = now
    this.#checkedAt = now
    if (this.#maxFails > 0) {
      const less = this.effectiveWeight - Math.floor(this.weight / this.#maxFails)
      this.effectiveWeight = Math.max(0, less)
    }
  }
}

/**
 * An option that counts requests under way: 0 would be a backend that is `down`.
 *
 * @throws {RangeError} naming value and what was wanted.
 */
export function maxConns(value: number): number {
  if (limit('maxConns', value) > 0) return value
  throw new RangeError('Cannot use maxConns 0: wanted at least 1, or Infinity for no limit')
}
