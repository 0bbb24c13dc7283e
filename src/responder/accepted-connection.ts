/**
 * What a runtime supplies for each front that connects.
 *
 * @module
 */
import type { Connection } from '../bridge/connection.ts'
import type { Peer } from '../core/request-head.ts'

/** A connection that a front has opened. */
export interface AcceptedConnection extends Connection {
  readonly remote: Peer
  /**
   * Resolves when the front has closed its side, or the connection broke, whether or not anybody reads:
   * a handler may leave a body unread.
   */
  readonly ended: Promise<void>
  /** Has the read under way reject; what it would have read is for the next. */
  interrupt(error: Error): void
  /** Throws away what waits and what arrives, all but what is being read, and tells of each piece. */
  discard(onBytes: () => void): void
  /** Ends our side behind what was written, while reading goes on. Never rejects. */
  end(): Promise<void> | undefined
  /**
   * Gives memory for what will be written, which may hold anything.
   *
   * @default an array of its own
   */
  allocate?(bytes: number): Uint8Array
  /**
   * Drops both directions in a way that the front can tell from an end. On a unix socket there is no
   * such way: it sees an end, and needs a Content-Length to see that something is missing.
   */
  reset(): void
}
