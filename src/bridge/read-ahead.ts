/**
 * Reading a response ahead of a slow client.
 *
 * uWSGI gives a response up when its reader stalls for longer than `--socket-timeout` (4 s), and a
 * worker that waits for a client serves nobody else: so the backend is drained at its own pace, as
 * nginx does with `uwsgi_buffering` (decision 8 of the design).
 *
 * @module
 */
import type { BodySource } from '../core/body-source.ts'
import { Deadline } from './deadline.ts'
import { Spool, type SpoolLimits } from './spool.ts'

/** How far a source is read ahead. */
export interface ReadAheadLimits extends SpoolLimits {
  /**
   * How long a reader may take for a chunk before the rest goes to the file, in milliseconds.
   *
   * @default 0
   */
  readonly patienceMs?: number | undefined
}

/** Reads a source to its end, or to the limits, whether anybody reads the result or not. */
export function readAhead(source: BodySource, limits: ReadAheadLimits): BodySource {
  const reader = new ReadAhead(source, limits)
  reader.start()
  return {
    read: () => reader.read(),
    cancel: (reason) => reader.cancel(reason),
    // What comes out of the file is like what comes from the source.
    free: source.free,
  }
}

class ReadAhead {
  readonly #source: BodySource
  readonly #spool: Spool
  readonly #patience: Deadline | undefined
  /** The read of the source that is under way; it never rejects. */
  #pulling: Promise<void> | undefined
  /** The chunk that came while the reader waited for it. */
  #fresh: Uint8Array | undefined
  #waiting = false
  #ended = false
  #failure: unknown
  #cancelled = false

  constructor(source: BodySource, limits: ReadAheadLimits) {
    this.#source = source
    this.#spool = new Spool(limits)
    const { patienceMs = 0 } = limits
    if (patienceMs > 0) this.#patience = new Deadline(patienceMs, () => this.#pullUnlessOver())
  }

  /** A client may be so slow that its first read comes long after the head. */
  start(): void {
    this.#goOn()
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#spool.isEmpty) {
      if (this.#ended || this.#cancelled) return this.#end()
      this.#waiting = true
      await (this.#pulling ?? this.#pull())
      this.#waiting = false
      const chunk = this.#fresh
      if (chunk === undefined) continue
      this.#fresh = undefined
      this.#goOn()
      return chunk
    }
    try {
      const chunk = await this.#spool.shift()
      this.#goOn()
      return chunk
    } catch (error) {
      await this.cancel(error)
      throw error
    }
  }

  async cancel(reason: unknown): Promise<void> {
    this.#cancelled = true
    this.#patience?.stop()
    this.#spool.close()
    await this.#source.cancel(reason)
  }

  /** What came before a failure has been read: now it shows. */
  #end(): undefined {
    this.#patience?.stop()
    this.#spool.close()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Reads on, where there is room for what that brings. A reader that keeps up needs no file. */
  #goOn(): void {
    if (this.#patience !== undefined && this.#spool.wouldSpill) {
      this.#patience.start()
      return
    }
    this.#patience?.pause()
    this.#pullUnlessOver()
  }

  #pullUnlessOver(): void {
    if (this.#pulling !== undefined || this.#ended || this.#cancelled) return
    if (!this.#spool.isFull) void this.#pull()
  }

  #pull(): Promise<void> {
    this.#pulling = this.#readOne().finally(() => {
      this.#pulling = undefined
      this.#goOnIfUnread()
    })
    return this.#pulling
  }

  /** A reader that waits takes its chunk first, and reads on itself. */
  #goOnIfUnread(): void {
    if (this.#fresh === undefined) this.#goOn()
  }

  async #readOne(): Promise<void> {
    try {
      const chunk = await this.#source.read()
      if (chunk === undefined) this.#ended = true
      else if (this.#waiting && this.#spool.isEmpty) this.#fresh = chunk
      else if (!this.#cancelled && (await this.#spool.push(chunk))) this.#source.free?.(chunk)
    } catch (error) {
      this.#ended = true
      this.#failure = error
    }
  }
}
