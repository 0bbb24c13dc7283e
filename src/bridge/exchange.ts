/**
 * One request and its response over one connection.
 *
 * Reading and writing run side by side: a backend may answer before it has read the body and then
 * reset, and its answer counts (decision 2 of the design; nginx races here, Apache answers 503). The
 * connection is closed at the end, as uWSGI does itself, unless somebody keeps it.
 *
 * @module
 */
import { ResponseDecoder, type ResponseEvent } from '../codec/response-decoder.ts'
import { type BodySource, bytesSource, concat } from '../core/body-source.ts'
import { clientError, clientGone, GatewayError } from '../core/errors.ts'
import type { GatewayResponse } from '../core/gateway-response.ts'
import type { Tunnel } from '../core/tunnel.ts'
import type { Connection } from './connection.ts'
import type { Guard } from './guard.ts'
import { connectionTunnel } from './tunnel.ts'

/** What is sent. */
export interface ExchangeRequest {
  readonly method: string
  /** An encoded uwsgi packet. */
  readonly packet: Uint8Array
  /** Yields exactly the bytes that the packet's CONTENT_LENGTH announces, or fails. */
  readonly body: BodySource | undefined
  /**
   * Takes the connection behind an exchange that left it clean, for the next one.
   *
   * @default closes it
   */
  readonly keep?: ((connection: Connection) => void) | undefined
  /** Protocol that the packet asks to switch to; a 101 is an error otherwise. */
  readonly upgrade?: string | undefined
}

/** Limits of an exchange; milliseconds and bytes. */
export interface ExchangeLimits {
  readonly sendTimeout: number
  readonly readTimeout: number
  readonly bufferSize: number
}

/** uWSGI's default `--buffer-size`: it drops a larger vars block without an answer. */
const UWSGI_BUFFER_SIZE = 4096

/**
 * Sends a request and reads the head of its response; the body is read by whoever holds the result.
 *
 * @param connection Closed when the response is complete, failed or cancelled.
 * @param guard Watches over the exchange, as it may have done over the opening; stopped in the end.
 * @throws {GatewayError} from here until the head, from `body.read()` afterwards.
 */
export function exchange(
  connection: Connection,
  request: ExchangeRequest,
  limits: ExchangeLimits,
  guard: Guard
): Promise<GatewayResponse> {
  return new Exchange(connection, request, limits, guard).start()
}

class Exchange {
  readonly #connection: Connection
  readonly #request: ExchangeRequest
  readonly #decoder: ResponseDecoder
  readonly #limits: ExchangeLimits
  /** Keeps the time of writes and reads both, since while we send, we do not wait to read. */
  readonly #guard: Guard
  /** Why the exchange failed; the first reason counts. */
  #failure: GatewayError | undefined
  #over = false
  /** Whether no more of the request is to be sent: the backend has it all, or wants no more. */
  #sent = false
  #writeFailed = false
  #reading = false

  constructor(
    connection: Connection,
    request: ExchangeRequest,
    limits: ExchangeLimits,
    guard: Guard
  ) {
    this.#connection = connection
    this.#request = request
    this.#limits = limits
    this.#guard = guard
    const { method, upgrade } = request
    this.#decoder = new ResponseDecoder({ method, upgrade, maxHeadBytes: limits.bufferSize })
  }

  async start(): Promise<GatewayResponse> {
    this.#guard.tell((error) => this.#fail(error))
    const sent = this.#send()
    const head = await this.#receive()
    if (head.type !== 'head') throw new TypeError(`Cannot begin a response with ${head.type}`)
    const { status, reason, headers, framing } = head
    if (status === 101) return { status, reason, headers, tunnel: await this.#handOver(sent) }
    if (framing.type === 'none') return { status, reason, headers }
    if (this.#decoder.complete) {
      return { status, reason, headers, body: bytesSource(this.#takeRest()) }
    }
    const body: BodySource = {
      read: () => this.#readBody(),
      cancel: async () => this.#giveUp(),
      free: this.#connection.free,
    }
    return { status, reason, headers, body }
  }

  /** Lets go of a connection that speaks another protocol from here on. */
  async #handOver(sent: Promise<void> | undefined): Promise<Tunnel> {
    // The first frame must not overtake what is left of the packet.
    await sent
    if (this.#failure !== undefined) throw this.#failure
    const first: Uint8Array[] = []
    for (let event = this.#decoder.next(); event?.type === 'body'; event = this.#decoder.next()) {
      first.push(event.data)
    }
    this.#release()
    return connectionTunnel(this.#connection, first, this.#limits.readTimeout)
  }

  /** What has come of the body, once all of it has. */
  #takeRest(): Uint8Array {
    const chunks: Uint8Array[] = []
    let total = 0
    for (let event = this.#decoder.next(); event?.type === 'body'; event = this.#decoder.next()) {
      chunks.push(event.data)
      total += event.data.length
    }
    return concat(chunks, total)
  }

  #giveUp(): void {
    // Every response is cancelled in the end, and an error costs more than most of them.
    if (!this.#over) this.#fail(clientGone())
  }

  /**
   * Writes packet and body. Never rejects: what goes wrong decides the exchange, or does not matter.
   *
   * @returns `undefined` when all of it is sent, as most requests are at once.
   */
  #send(): Promise<void> | undefined {
    const { packet, body } = this.#request
    const writing = this.#connection.write(packet)
    if (writing !== undefined || body !== undefined) return this.#sendRest(writing, body)
    this.#sent = true
    return undefined
  }

  async #sendRest(writing: Promise<void> | undefined, body: BodySource | undefined): Promise<void> {
    try {
      await this.#taken(writing)
      if (body !== undefined) await this.#sendBody(body)
    } catch (error) {
      this.#fail(clientError(error))
    }
    this.#sent = true
    // Until now the backend was waiting for us; from here on we wait for it.
    if (this.#reading && !this.#over) this.#awaitAnswer()
  }

  async #sendBody(body: BodySource): Promise<void> {
    while (!this.#sent) {
      const chunk = await body.read()
      if (chunk === undefined || this.#sent) return
      await this.#taken(this.#connection.write(chunk, () => body.free?.(chunk)))
    }
  }

  /** Waits until the backend takes what has been written. */
  async #taken(writing: Promise<void> | undefined): Promise<void> {
    if (writing === undefined) return
    this.#guard.start(this.#limits.sendTimeout, sendTimeout)
    try {
      await writing
    } catch {
      // The backend wants no more of the request. Its answer, complete or not, tells why.
      this.#writeFailed = true
      this.#cancelRequest(undefined)
    }
    this.#guard.pause()
  }

  /** The next event; the exchange is over when the decoder says so. */
  async #receive(): Promise<ResponseEvent> {
    try {
      for (;;) {
        const event = this.#decoder.next()
        if (event !== undefined) return event
        if (this.#decoder.complete) return { type: 'end' }
        this.#reading = true
        if (this.#sent) this.#awaitAnswer()
        const bytes = await this.#connection.read()
        this.#reading = false
        if (this.#sent) this.#guard.pause()
        // A connection closed by us may read as closed by the backend.
        if (this.#failure !== undefined) throw this.#failure
        if (bytes !== undefined) this.#decoder.push(bytes)
        // A reset reads as an end on some systems, so behind a failed write it proves nothing.
        else if (this.#writeFailed) throw new TypeError('the upstream reset the connection')
        else this.#decoder.pushEnd()
        if (this.#decoder.complete) this.#finish(this.#decoder.reusable)
      }
    } catch (error) {
      throw this.#fail(this.#explain(error))
    }
  }

  async #readBody(): Promise<Uint8Array | undefined> {
    const event = await this.#receive()
    return event.type === 'body' ? event.data : undefined
  }

  /** Turns what stopped the reading into the error that says what happened. */
  #explain(error: unknown): GatewayError {
    if (this.#failure !== undefined) return this.#failure
    if (error instanceof GatewayError && error.code !== 'ERR_UPSTREAM_EMPTY') return error
    if (this.#decoder.received) {
      return new GatewayError(
        'ERR_UPSTREAM_TRUNCATED',
        'The upstream reset the connection inside its response',
        {
          cause: error,
        }
      )
    }
    const datasize = this.#request.packet.length - 4
    const hint =
      datasize > UWSGI_BUFFER_SIZE
        ? `: the vars block is ${datasize} bytes, and uWSGI drops one over its --buffer-size (default ${UWSGI_BUFFER_SIZE})`
        : ''
    return new GatewayError(
      'ERR_UPSTREAM_EMPTY',
      `The upstream closed the connection without an answer${hint}`,
      {
        cause: error,
      }
    )
  }

  /** Ends the exchange with an error, unless it is over. */
  #fail(error: GatewayError): GatewayError {
    if (!this.#over) {
      this.#failure = error
      this.#finish()
    }
    return this.#failure ?? error
  }

  /** @param isClean Whether the connection stands where a request may begin. */
  #finish(isClean = false): void {
    if (this.#over) return
    this.#release()
    const isWhole = this.#decoder.complete && this.#sent && !this.#writeFailed
    const { keep } = this.#request
    if (isWhole && isClean && keep !== undefined) keep(this.#connection)
    else if (isWhole && this.#connection.leave !== undefined) this.#connection.leave()
    else this.#connection.close()
    this.#cancelRequest(this.#failure)
  }

  /** Ends the watch over the connection. */
  #release(): void {
    this.#over = true
    this.#guard.stop()
  }

  /** Sends no more of the request. */
  #cancelRequest(reason: unknown): void {
    if (this.#sent) return
    this.#sent = true
    void this.#request.body?.cancel(reason)
  }

  #awaitAnswer(): void {
    this.#guard.start(this.#limits.readTimeout, readTimeout)
  }
}

function sendTimeout(timeoutMs: number): GatewayError {
  return new GatewayError('ERR_SEND_TIMEOUT', `The upstream took no data for ${timeoutMs} ms`)
}

function readTimeout(timeoutMs: number): GatewayError {
  return new GatewayError('ERR_READ_TIMEOUT', `The upstream sent nothing for ${timeoutMs} ms`)
}
