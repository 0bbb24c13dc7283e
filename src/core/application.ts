/**
 * Runs a gateway-interface application: environ in, response out (rules RSP-30 to RSP-43).
 *
 * The result of the application is pulled one chunk at a time, and only when the client's side asks.
 * Nothing is sent before the first byte of the body, so that an application which fails until then is
 * answered 500. Whatever happens, `close()` of the result is called exactly once.
 *
 * @see https://peps.python.org/pep-3333/#specification-details
 * @module
 */
import type { BodySource } from './body-source.ts'
import type { ClientSignal } from './client-signal.ts'
import type { Environ, WsgiErrors } from './environ.ts'
import { applicationError, clientGone, GatewayError, responseTooShort } from './errors.ts'
import {
  errorResponse,
  type GatewayResponse,
  isBodyless,
  type ResponseForm,
  toResponse,
} from './gateway-response.ts'
import type { HeaderField } from './request-head.ts'
import { ResponseStart, type StartedResponse, type StartResponse } from './start-response.ts'

/** The body of a response: any iterable of bytes, with `close()` where there is something to free. */
export type ApplicationResult = (Iterable<Uint8Array> | AsyncIterable<Uint8Array>) & {
  close?: (() => unknown) | undefined
}

/**
 * An application as PEP 3333 defines it, or its asynchronous twin.
 *
 * @param environ Fresh for each request, and the application's to change.
 * @param startResponse Called once before the first byte of the body.
 */
export type Application = (
  environ: Environ,
  startResponse: StartResponse
) => ApplicationResult | Promise<ApplicationResult>

/**
 * Runs an application.
 *
 * @param environ From `toEnviron`; what goes wrong is written to its `wsgi.errors`.
 * @param form How the runtime wants its `Response`: `headerEncoding` is `utf8` on Workers.
 * @returns What the application answered, or a bare 500 when it failed before its first byte. Where it
 *   fails later, the body stream errors.
 */
export async function runApplication(
  app: Application,
  environ: Environ,
  form: ResponseForm = { headerEncoding: 'latin1' }
): Promise<Response> {
  return toResponse(await answerWith(app, environ), form)
}

/**
 * {@link runApplication} below Fetch.
 *
 * @param signal Aborted when the client goes away before there is a response: the result is closed
 *   then. Afterwards, cancelling the body does that.
 */
export async function answerWith(
  app: Application,
  environ: Environ,
  signal?: ClientSignal
): Promise<GatewayResponse> {
  const run = new ApplicationRun(environ)
  const stop = (): void => void run.close()
  signal?.addEventListener('abort', stop)
  try {
    return await run.start(app)
  } catch (error) {
    run.log(error)
    await run.close()
    return errorResponse(error)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** A written chunk, and whoever waits for it to be taken. */
interface Written {
  readonly chunk: Uint8Array
  readonly taken: () => void
}

class ApplicationRun {
  readonly #environ: Environ
  // Both are read now: the application may change the environ.
  readonly #errors: WsgiErrors
  readonly #method: string
  readonly #head = new ResponseStart((chunk) => this.#write(chunk))
  readonly #written: Written[] = []
  #writeCalled = false
  #writtenBytes = 0
  #onWrite = Promise.withResolvers<void>()
  /** Settles when the application has returned or failed. */
  #returned: Promise<void> = Promise.resolve()
  #returning = false
  #result: ApplicationResult | undefined
  #iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined
  #iterating = false
  #exhausted = false
  #closed: Promise<void> | undefined
  /** What has been written to `wsgi.errors`: an error may come by more than once. */
  readonly #logged = new Set<unknown>()

  constructor(environ: Environ) {
    this.#environ = environ
    this.#errors = environ['wsgi.errors']
    this.#method = environ.REQUEST_METHOD
  }

  /** Runs the application up to its first byte. */
  async start(app: Application): Promise<GatewayResponse> {
    this.#returning = true
    this.#returned = this.#call(app)
    // Whoever reads on finds the failure; the runtime must not find it first.
    this.#returned.catch(() => {})
    const first = await this.#next()
    const started = this.#head.take()
    const { status, reason } = started
    const length = started.length ?? this.#inferLength(first)
    const headers = headersOf(started, length)
    if (isBodyless(status, this.#method) || length === 0) {
      if (first !== undefined && !isBodyless(status, this.#method)) this.#logCut()
      await this.close()
      return { status, reason, headers }
    }
    if (first === undefined) {
      if (length !== undefined) throw responseTooShort(length)
      await this.close()
      return { status, reason, headers }
    }
    return { status, reason, headers, body: this.#body(first, length ?? Infinity) }
  }

  /** Frees the result, once; never rejects. An application that has not returned is waited for. */
  close(): Promise<void> {
    return (this.#closed ??= this.#closeOnce())
  }

  /** Writes an error to `wsgi.errors`, in full: the client gets none of it. */
  log(error: unknown): void {
    // A client that has gone is nobody's error.
    if (this.#logged.has(error) || isClientGone(error)) return
    this.#logged.add(error)
    this.#errors.write(`${textOf(error)}\n`)
  }

  async #call(app: Application): Promise<void> {
    try {
      const result: unknown = await app(this.#environ, this.#head.startResponse)
      this.#result = checkResult(result)
      this.#iterator = iteratorOf(this.#result)
    } finally {
      this.#returning = false
    }
  }

  #write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array)) {
      throw applicationError(`Cannot write ${typeof chunk}: wanted a Uint8Array`)
    }
    if (this.#iterating || this.#closed !== undefined) {
      const error = applicationError(
        'Cannot write: the result is being iterated, or the response is over'
      )
      // To HEAD, or to a client that has gone, nobody writes wrongly: only the application is told.
      if (this.#closed !== undefined) this.#logged.add(error)
      throw error
    }
    const { length = Infinity } = this.#head.take()
    this.#writeCalled = true
    const taken = Promise.withResolvers<void>()
    const room = chunk.subarray(0, length - this.#writtenBytes)
    this.#writtenBytes += room.length
    this.#written.push({ chunk: room, taken: taken.resolve })
    this.#onWrite.resolve()
    if (room.length < chunk.length) {
      throw applicationError('Cannot write the whole chunk: it is over the Content-Length')
    }
    return taken.promise
  }

  /** The next chunk that is not empty: first what was written, then what the result yields. */
  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const written = this.#written.shift()
      if (written !== undefined) {
        written.taken()
        if (written.chunk.length > 0) return written.chunk
      } else if (this.#returning) {
        this.#onWrite = Promise.withResolvers()
        await Promise.race([this.#returned, this.#onWrite.promise])
      } else {
        await this.#returned
        const chunk = await this.#pull()
        if (chunk === undefined || chunk.length > 0) return chunk
      }
    }
  }

  /** One chunk of the result, maybe empty. */
  async #pull(): Promise<Uint8Array | undefined> {
    // PEP 3333 lets an explicit length of zero be sent without waiting for the first byte.
    if (this.#exhausted || this.#iterator === undefined || this.#head.started?.length === 0) {
      return undefined
    }
    if (this.#closed !== undefined) throw clientGone()
    this.#iterating = true
    const { done, value } = await this.#iterator.next()
    this.#iterating = false
    if (done === true) {
      this.#exhausted = true
      return undefined
    }
    if (!(value instanceof Uint8Array)) {
      throw applicationError(`Cannot send ${typeof value}: an application yields Uint8Array`)
    }
    // Says which call was wrong, or that there was none.
    if (value.length > 0 && this.#head.started === undefined) this.#head.take()
    return value
  }

  /** PEP 3333, "Handling the Content-Length Header": only a list says how long it is. */
  #inferLength(first: Uint8Array | undefined): number | undefined {
    if (!Array.isArray(this.#result) || this.#result.length > 1 || this.#writeCalled)
      return undefined
    // An empty list for HEAD says nothing of what GET would get (RFC 9110 §8.6).
    return this.#result.length === 0 && this.#method === 'HEAD' ? undefined : (first?.length ?? 0)
  }

  #body(first: Uint8Array, length: number): BodySource {
    let ready: Uint8Array | undefined = first
    let left = length
    const take = async (): Promise<Uint8Array | undefined> => {
      if (left === 0) return undefined
      const chunk = ready ?? (await this.#next())
      ready = undefined
      if (chunk === undefined) {
        if (left !== Infinity) throw responseTooShort(left)
        await this.close()
        return undefined
      }
      const sent = chunk.subarray(0, left)
      left -= sent.length
      if (sent.length < chunk.length) this.#logCut()
      // The end is known without another read, which a reader that counts does not make.
      if (left === 0) void this.close()
      return sent
    }
    return {
      read: async () => {
        try {
          return await take()
        } catch (error) {
          this.log(error)
          await this.close()
          throw error
        }
      },
      cancel: () => this.close(),
    }
  }

  async #closeOnce(): Promise<void> {
    for (const { taken } of this.#written) taken()
    // Behind the end of a response nobody else finds it.
    await this.#returned.catch((error: unknown) => this.log(error))
    try {
      if (this.#result?.close !== undefined) await this.#result.close()
      else if (!this.#exhausted) await this.#iterator?.return?.()
    } catch (error) {
      // The response stays as it was: what was sent was right.
      this.log(error)
    }
  }

  #logCut(): void {
    this.log(applicationError('Cannot send the whole body: it is over its Content-Length'))
  }
}

function isClientGone(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'ERR_CLIENT_CLOSED'
}

/** An error in full; whatever an application throws, this does not. */
function textOf(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  } catch {
    return 'an error that has no text'
  }
}

function headersOf(started: StartedResponse, length: number | undefined): HeaderField[] {
  const { status, headers } = started
  if (status === 204 || status === 205) {
    return headers.filter(([name]) => name.toLowerCase() !== 'content-length')
  }
  if (started.length !== undefined || length === undefined || status === 304) return [...headers]
  return [...headers, ['Content-Length', String(length)]]
}

function checkResult(result: unknown): ApplicationResult {
  const iterable =
    typeof result === 'object' &&
    result !== null &&
    !ArrayBuffer.isView(result) &&
    (Symbol.iterator in result || Symbol.asyncIterator in result)
  if (iterable) return result as ApplicationResult
  throw applicationError(
    'Cannot send a response: the application returned no iterable of Uint8Array (a single one goes into a list)'
  )
}

function iteratorOf(result: ApplicationResult): Iterator<unknown> | AsyncIterator<unknown> {
  return Symbol.asyncIterator in result ? result[Symbol.asyncIterator]() : result[Symbol.iterator]()
}
