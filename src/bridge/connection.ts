/**
 * The one thing a runtime must supply: a way to open a byte stream.
 *
 * @module
 */
import type { Address } from './address.ts'

/** An open byte stream in both directions. */
export interface Connection {
  /**
   * The next bytes, `undefined` once the peer has closed its side. Rejects when the connection broke.
   * A read that waits when {@link close} is called settles, one way or the other. The bytes may be part of
   * a larger piece of memory, which is the runtime's.
   */
  read(): Promise<Uint8Array | undefined>
  /**
   * Resolves when the runtime is ready for more. Never throws; a failed write must not keep `read()` from
   * going on.
   *
   * @param onTaken Called when nobody looks at `bytes` any more, if the runtime can tell.
   * @returns `undefined` where it is ready at once.
   */
  write(bytes: Uint8Array, onTaken?: () => void): Promise<void> | undefined
  /**
   * Says that no more will be written, behind all that was; reading goes on. Without it, a tunnel
   * ends both directions at once.
   */
  end?(): void
  /** Drops both directions at once. Idempotent; never throws. */
  close(): void
  /**
   * Lets go of a connection that has given its last response, in the cheapest way there is.
   *
   * @default {@link close}
   */
  leave?(): void
  /** As `free` of a body: for chunks that {@link read} gave. */
  readonly free?: ((chunk: Uint8Array) => void) | undefined
}

/** Ends our side where the runtime can do that alone, else both. */
export function endConnection(connection: Connection): void {
  if (connection.end === undefined) connection.close()
  else connection.end()
}

/** A connection on its way. */
export interface Opening {
  /** Rejects when the backend cannot be reached. */
  readonly opened: Promise<Connection>
  /** Gives it up: a connection that is there, or comes later, is closed. Never throws. */
  close(): void
}

/** Begins to open a connection. */
export type Connect = (address: Address) => Opening
