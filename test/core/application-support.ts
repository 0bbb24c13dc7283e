/**
 * Runs applications for the tests of the core, and keeps what they write, close and leave behind.
 *
 * @module
 */
import { afterEach, beforeEach, expect } from 'vitest'
import {
  answerWith,
  type Application,
  type ApplicationResult,
  runApplication,
} from '../../src/core/application.ts'
import { type Environ, toEnviron, type WsgiErrors } from '../../src/core/environ.ts'
import type { GatewayResponse, ResponseForm } from '../../src/core/gateway-response.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import { fetchRequest, octets, type RequestParts } from './support.ts'

export const TEXT: HeaderField = ['Content-Type', 'text/plain']
export const LENGTH = (bytes: number | string): HeaderField => ['Content-Length', String(bytes)]
export const PAGE_500 = '500 Internal Server Error\n'

/** A `wsgi.errors` that keeps what is written. */
export class ErrorLog implements WsgiErrors {
  text = ''

  write(text: string): void {
    this.text += text
  }

  writelines(lines: Iterable<string>): void {
    for (const line of lines) this.write(line)
  }

  flush(): void {}
}

/** The environ of a request, with its own log. */
export async function environFor(
  parts: RequestParts = {},
  log: ErrorLog = new ErrorLog()
): Promise<Environ> {
  return { ...(await toEnviron(fetchRequest(parts))), 'wsgi.errors': log }
}

/** What a client saw, and what went to `wsgi.errors`. */
export interface Seen {
  readonly status: number
  readonly reason: string
  readonly headers: Headers
  /** One character a byte. */
  readonly body: string
  /** The pieces that the body came in. */
  readonly chunks: readonly string[]
  /** Whether the body broke off: a client must be able to tell that from its end. */
  readonly broken: boolean
  /** Whether there was no body at all, not even an empty one. */
  readonly bodyless: boolean
  readonly log: string
}

/** Runs an application as a runtime does that reads its response to the end. */
export async function serve(
  app: Application,
  parts: RequestParts = {},
  form?: ResponseForm
): Promise<Seen> {
  const log = new ErrorLog()
  const environ = await environFor(parts, log)
  const response = await (form === undefined
    ? runApplication(app, environ)
    : runApplication(app, environ, form))
  return { ...(await seen(response)), log: log.text }
}

/** Reads a response to its end. */
export async function seen(response: Response): Promise<Omit<Seen, 'log'>> {
  const { chunks, broken } = await drain(response.body)
  return {
    status: response.status,
    reason: response.statusText,
    headers: response.headers,
    body: chunks.join(''),
    chunks,
    broken,
    bodyless: response.body === null,
  }
}

/** Reads a stream until it ends or breaks. */
export async function drain(
  stream: ReadableStream<Uint8Array> | null
): Promise<{ chunks: string[]; broken: boolean }> {
  const chunks: string[] = []
  if (stream === null) return { chunks, broken: false }
  const reader = stream.getReader()
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      chunks.push(octetsToNative(read.value))
    }
  } catch {
    return { chunks, broken: true }
  }
  return { chunks, broken: false }
}

/** Runs an application below Fetch. */
export async function answer(
  app: Application,
  parts: RequestParts = {},
  signal?: AbortSignal
): Promise<GatewayResponse & { readonly log: ErrorLog }> {
  const log = new ErrorLog()
  const response = await answerWith(app, await environFor(parts, log), signal)
  return { ...response, log }
}

/** An application that begins a response and returns this. */
export function responding(
  result: () => unknown,
  status = '200 OK',
  headers: readonly HeaderField[] = [TEXT]
): Application {
  return untyped((_environ: Environ, startResponse: Parameters<Application>[1]) => {
    startResponse(status, headers)
    return result()
  })
}

/** An application of which only the type is wrong. */
export function untyped(application: (...args: never[]) => unknown): Application {
  return application as Application
}

/** Counts the calls of `close()` on it, and how often it was asked for a chunk. */
export class Result implements AsyncIterable<Uint8Array> {
  closed = 0
  pulled = 0
  /** Order of what was asked of it. */
  readonly calls: string[] = []
  readonly #chunks: Iterator<unknown> | AsyncIterator<unknown>

  constructor(chunks: Iterable<unknown> | AsyncIterable<unknown>) {
    this.#chunks =
      Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]()
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        this.pulled++
        this.calls.push('next')
        return (await this.#chunks.next()) as IteratorResult<Uint8Array>
      },
    }
  }

  close(): void {
    this.closed++
    this.calls.push('close')
  }
}

/** A generator of these chunks, octets as native strings. */
export function* yielding(...chunks: readonly string[]): Generator<Uint8Array> {
  for (const chunk of chunks) yield octets(chunk)
}

/** The asynchronous twin of {@link yielding}. */
export async function* yieldingLater(...chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield octets(chunk)
}

/** Something to free beside chunks, as a list has it. */
export function withClose(
  chunks: readonly string[],
  close: () => unknown
): ApplicationResult & Uint8Array[] {
  return Object.assign(chunks.map(octets), { close })
}

/** One turn of the event loop: by then every promise that can settle has settled. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Fails each test of a file that leaves a rejection to the runtime, which on Node ends the process. */
export function refuseUnhandledRejections(): void {
  const unhandled: unknown[] = []
  function note(reason: unknown): void {
    unhandled.push(reason)
  }
  beforeEach(() => {
    unhandled.length = 0
    process.on('unhandledRejection', note)
  })
  afterEach(async () => {
    await turn()
    await turn()
    process.off('unhandledRejection', note)
    expect(unhandled, 'rejections that nobody handled').toEqual([])
  })
}
