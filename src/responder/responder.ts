/**
 * The responder: uwsgi packets in, responses out, what uWSGI is behind nginx's `uwsgi_pass`.
 *
 * One request a connection, as every front expects. The response is never chunked and ends with the
 * connection; a response that cannot be completed resets it, so that the front sees what is missing.
 *
 * @see https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
 * @module
 */
import { Deadline, inTime } from '../bridge/deadline.ts'
import { responseHeadText } from '../codec/response-encoder.ts'
import { MODIFIER1_PING, type Packet, PacketDecoder } from '../codec/uwsgi.ts'
import { bodyTooLarge } from '../core/body-framing.ts'
import { atMost, type BodySource, exactly, NOTHING } from '../core/body-source.ts'
import { Departure } from '../core/client-signal.ts'
import { badRequest, clientGone, GatewayError } from '../core/errors.ts'
import { uwsgiEnv } from '../core/fetch-application.ts'
import { type EnvironLike, environHead } from '../core/from-environ.ts'
import { errorResponse, type GatewayResponse } from '../core/gateway-response.ts'
import { type Answer, answerOf, type Handler } from '../core/handler.ts'
import { writeNative } from '../core/octets.ts'
import type { AcceptedConnection } from './accepted-connection.ts'
import { packetEnviron } from './packet-environ.ts'
import { ConnectionSource, dechunked } from './request-body.ts'
import {
  type ResolvedResponderOptions,
  type ResponderOptions,
  resolveResponderOptions,
} from './responder-options.ts'

/** Answers one connection; resolves when it is closed. Never rejects. */
export type Responder = (connection: AcceptedConnection) => Promise<void>

/** Answer to a ping: the packet header with `modifier2` 1. */
const PONG = Uint8Array.of(MODIFIER1_PING, 0, 0, 1)

/** How long a front may go on sending what nobody reads, and pause meanwhile (nginx: `lingering_*`). */
const LINGERING_TIME_MS = 30_000
const LINGERING_TIMEOUT_MS = 5000

/**
 * Creates a responder.
 *
 * @param handler A fetch handler gets `{ environ, requestMeta }` as `env`.
 * @throws {TypeError | RangeError} when the handler or an option is wrong.
 */
export function createResponder(handler: Handler, options: ResponderOptions = {}): Responder {
  const answer = answerOf(handler)
  const resolved = resolveResponderOptions(options)
  return function respond(connection) {
    return new ResponderExchange(connection, answer, resolved).run()
  }
}

/** One request and its response. */
class ResponderExchange {
  readonly #connection: AcceptedConnection
  readonly #answer: Answer
  readonly #options: ResolvedResponderOptions
  readonly #source: ConnectionSource
  /** Aborted when the front goes away, which it does when its client does. */
  readonly #gone = new Departure()
  /** For what the front has to do: send its packet, and close its side behind the response. */
  readonly #frontDeadline: Deadline
  /** There is one only for a front that still sends. */
  #longest: Deadline | undefined
  /** There is one only for a front that is slower than we are. */
  #sendDeadline: Deadline | undefined
  readonly #began = performance.now()
  #environ: EnvironLike = {}
  #status: number | undefined
  /** When all was sent. */
  #lingersSince: number | undefined
  /** The body under way to the front. */
  #sending: BodySource | undefined
  #answered = false

  constructor(connection: AcceptedConnection, answer: Answer, options: ResolvedResponderOptions) {
    this.#connection = connection
    this.#answer = answer
    this.#options = options
    this.#frontDeadline = new Deadline(LINGERING_TIMEOUT_MS, () => {
      const { clientHeaderTimeout } = options
      if (this.#answered) connection.close()
      else connection.interrupt(timedOut('packet', clientHeaderTimeout))
    })
    this.#source = new ConnectionSource(connection, () => {
      if (this.#lingersSince === undefined) return
      this.#frontDeadline.start(LINGERING_TIMEOUT_MS)
      this.#longest ??= this.#limitLingering(this.#lingersSince)
    })
  }

  async run(): Promise<void> {
    void this.#serve()
    // A handler that never settles is left to itself once nobody waits for it.
    await this.#connection.ended
    this.#frontDeadline.stop()
    this.#sendDeadline?.stop()
    this.#longest?.stop()
    // A front closes its side behind the response too.
    if (!this.#answered) this.#leave()
    this.#connection.close()
    this.#logAccess()
  }

  /** The front has gone. */
  #leave(): void {
    this.#gone.abort()
    void this.#sending?.cancel(clientGone())
  }

  /** All that is done for a front until its connection ends, which this sees to. */
  async #serve(): Promise<void> {
    try {
      const reply = await this.#reply()
      if (reply === undefined) {
        this.#connection.close()
        return
      }
      if (reply === 'pong') await this.#write(PONG)
      else await this.#respond(reply)
      this.#answered = true
      void this.#source.cancel()
      // Closing while the front still sends would reset the connection, and the reset would overtake the
      // response.
      await this.#taken(this.#connection.end())
      this.#linger()
    } catch {
      // A write failed because the front has gone, or a body broke off: both are dealt with.
      this.#connection.close()
    }
  }

  /** What to send; nothing where a connection was opened and closed, as health checks do. */
  async #reply(): Promise<GatewayResponse | 'pong' | undefined> {
    try {
      if (!this.#options.isAllowed(this.#connection.remote.addr)) throw forbidden()
      const packet = await this.#receive()
      if (packet === undefined) return undefined
      if (isPing(packet)) return 'pong'
      this.#environ = packetEnviron(packet.vars)
      const head = environHead(this.#environ)
      const body = this.#body()
      if (body === undefined) void this.#source.cancel()
      const env = uwsgiEnv(this.#environ, head)
      const hasBody = body !== undefined
      // They differ where the body is chunked.
      const whole = head.hasBody === hasBody ? head : { ...head, hasBody }
      return await this.#answer(whole, body, this.#gone, env)
    } catch (error) {
      this.#report(error)
      return errorResponse(error)
    }
  }

  /** Reads a packet, within the time there is for all of it. */
  async #receive(): Promise<Packet | undefined> {
    const { clientHeaderTimeout, maxVars, maxVarsBytes } = this.#options
    const decoder = new PacketDecoder({ maxVars, maxDatasize: maxVarsBytes })
    let received = false
    this.#frontDeadline.start(clientHeaderTimeout)
    try {
      for (;;) {
        const bytes = await this.#connection.read()
        if (bytes === undefined) break
        received = true
        decoder.push(bytes)
        // Before the rest: HTTP on this port announces a packet of 21 573 bytes that never comes.
        if (decoder.modifiers !== undefined) checkModifiers(decoder.modifiers)
        const packet = decoder.decode()
        if (packet === undefined) continue
        this.#source.unread(decoder.rest())
        return packet
      }
    } finally {
      this.#frontDeadline.pause()
    }
    if (!received) return undefined
    throw badRequest('Cannot read packet: the connection ended inside it')
  }

  /** The body behind the packet, as long as its front announces. */
  #body(): BodySource | undefined {
    const { CONTENT_LENGTH: length = '', HTTP_TRANSFER_ENCODING: coding } = this.#environ
    const { maxBodyBytes } = this.#options
    if (length !== '') {
      const bytes = Number(length)
      if (bytes > maxBodyBytes) throw bodyTooLarge(bytes, maxBodyBytes)
      return bytes > 0 ? exactly(this.#timedSource(), bytes) : undefined
    }
    if (coding === undefined) return undefined
    if (String(coding).toLowerCase() === 'chunked') {
      return atMost(dechunked(this.#timedSource()), maxBodyBytes)
    }
    throw new GatewayError(
      'ERR_NOT_IMPLEMENTED',
      'Cannot decode Transfer-Encoding: wanted "chunked"'
    )
  }

  #timedSource(): BodySource {
    const { clientBodyTimeout } = this.#options
    return inTime(this.#source, clientBodyTimeout, () => timedOut('body', clientBodyTimeout))
  }

  /** Sends a response; rejects when it cannot be completed. */
  #respond(response: GatewayResponse): Promise<void> | undefined {
    const { status, body } = response
    if (this.#gone.aborted) {
      void body?.cancel(clientGone())
      return undefined
    }
    this.#sending = body
    const head = this.#headText(response)
    if (head === undefined) return this.#respond(errorResponse(undefined))
    this.#status = status
    // One write, and one packet to the front.
    const writing = this.#write(this.#joined(head, body?.bytes ?? NOTHING))
    if (body === undefined || body.bytes !== undefined) return writing
    return this.#sendBody(body, writing)
  }

  async #sendBody(body: BodySource, writingHead: Promise<void> | undefined): Promise<void> {
    await writingHead
    for (let chunk = await this.#read(body); chunk; chunk = await this.#read(body)) {
      await this.#write(chunk)
    }
  }

  #joined(head: string, bytes: Uint8Array): Uint8Array {
    const size = head.length + bytes.length
    const joined = this.#connection.allocate?.(size) ?? new Uint8Array(size)
    writeNative(joined, 0, head)
    joined.set(bytes, head.length)
    return joined
  }

  /** `undefined` when the handler made a head that no front could read. */
  #headText(response: GatewayResponse): string | undefined {
    try {
      return responseHeadText(response)
    } catch (error) {
      this.#report(error)
      void response.body?.cancel(error)
      return undefined
    }
  }

  /** A body that fails breaks the connection off: its front must not take the part for the whole. */
  async #read(body: BodySource): Promise<Uint8Array | undefined> {
    try {
      return await body.read()
    } catch (error) {
      this.#report(error)
      this.#connection.reset()
      throw error
    }
  }

  /** @returns `undefined` where nothing is to be waited for. */
  #write(bytes: Uint8Array): Promise<void> | undefined {
    return this.#taken(this.#connection.write(bytes))
  }

  #taken(writing: Promise<void> | undefined): Promise<void> | undefined {
    return writing && this.#wait(writing)
  }

  /** Waits for a front that is slower than we are. */
  async #wait(writing: Promise<void>): Promise<void> {
    this.#sendDeadline ??= this.#limitSending()
    this.#sendDeadline.start()
    await writing
    this.#sendDeadline.pause()
  }

  #limitSending(): Deadline {
    const { sendTimeout } = this.#options
    return new Deadline(sendTimeout, () => {
      this.#report(
        new GatewayError('ERR_SEND_TIMEOUT', `The front took no data for ${sendTimeout} ms`)
      )
      this.#connection.reset()
    })
  }

  /** From here on, what the front still sends keeps it waited for, and no longer than `LINGERING_*` say. */
  #linger(): void {
    this.#lingersSince = performance.now()
    this.#frontDeadline.start(LINGERING_TIMEOUT_MS)
  }

  #limitLingering(since: number): Deadline {
    const left = since + LINGERING_TIME_MS - performance.now()
    const deadline = new Deadline(left, () => this.#connection.close())
    deadline.start()
    return deadline
  }

  #report(error: unknown): void {
    // Nobody's fault; and what happens to a response that nobody waits for follows from it.
    if (this.#gone.aborted) return
    const { REQUEST_METHOD: method = '', REQUEST_URI: path = '' } = this.#environ
    try {
      this.#options.onError(error instanceof Error ? error : new TypeError(String(error)), {
        method,
        path,
        peer: this.#connection.remote.addr,
      })
    } catch (failure) {
      // A hook that fails must not take the answer with it.
      console.error(failure)
    }
  }

  #logAccess(): void {
    const { REQUEST_METHOD: method, REQUEST_URI: target = '', REMOTE_ADDR: addr } = this.#environ
    if (method === undefined) return
    this.#options.onAccess?.({
      remote: typeof addr === 'string' ? addr : undefined,
      method,
      target,
      protocol: this.#environ.SERVER_PROTOCOL ?? 'uwsgi',
      status: this.#status,
      durationMs: performance.now() - this.#began,
    })
  }
}

/** The two bytes that say what a packet is. */
type Modifiers = Pick<Packet, 'modifier1' | 'modifier2'>

function isPing({ modifier1, modifier2 }: Modifiers): boolean {
  return modifier1 === MODIFIER1_PING && modifier2 === 0
}

/** Other packets run code, spool jobs or reload the server: nothing here does that (UW-2). */
function checkModifiers(modifiers: Modifiers): void {
  const { modifier1, modifier2 } = modifiers
  if (isPing(modifiers) || (modifier1 === 0 && modifier2 === 0)) return
  throw new GatewayError(
    'ERR_NOT_IMPLEMENTED',
    `Cannot serve packet with modifiers ${modifier1} and ${modifier2}: wanted 0 and 0, or a ping`
  )
}

function forbidden(): GatewayError {
  return new GatewayError(
    'ERR_PEER_FORBIDDEN',
    'Cannot serve this front: allowFrom does not list its address'
  )
}

function timedOut(what: 'packet' | 'body', timeoutMs: number): GatewayError {
  return new GatewayError('ERR_CLIENT_TIMEOUT', `The front sent no ${what} within ${timeoutMs} ms`)
}
