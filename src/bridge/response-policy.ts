/**
 * What of a backend's response goes to the client.
 *
 * @module
 */
import type { GatewayErrorCode } from '../core/errors.ts'
import type { GatewayResponse } from '../core/gateway-response.ts'
import { type HeaderField, TOKEN } from '../core/request-head.ts'
import { filtered } from '../core/filtered.ts'

/** An error that a client is about to be answered with. */
export interface InterceptedError {
  /** 400 to 599. */
  readonly status: number
  /** Request method. */
  readonly method: string
  /** Request-target as the client sent it: escape it before it goes into a page. */
  readonly target: string
  /** What went wrong here; `undefined` when the backend answered so. */
  readonly code: GatewayErrorCode | 'ERR_INTERNAL' | undefined
  /** `X-Request-Id`; `undefined` without `tracing`, or for a request that could not be read. */
  readonly requestId: string | undefined
}

/** Makes the answer in the place of an error; `undefined` leaves the error as it is. */
export type InterceptErrors = (
  error: InterceptedError
) => Response | undefined | Promise<Response | undefined>

/**
 * Controls for the web server in front, never for a client; nginx hides the same five. They are not
 * acted on, but for `X-Accel-Buffering: no`: a backend that could name a file or an internal path to
 * send would be a hole (SEC-76).
 */
const HIDDEN_HEADERS = [
  'x-accel-buffering',
  'x-accel-charset',
  'x-accel-expires',
  'x-accel-limit-rate',
  'x-accel-redirect',
]

/** Names of `hideHeader` and `passHeader` → the names that are hidden, in lower case. */
export function hiddenHeaders(
  hideHeader: readonly string[],
  passHeader: readonly string[]
): ReadonlySet<string> {
  const hidden = new Set(HIDDEN_HEADERS)
  for (const name of headerNames('hideHeader', hideHeader)) hidden.add(name)
  for (const name of headerNames('passHeader', passHeader)) hidden.delete(name)
  return hidden
}

/**
 * Header names of an option, in lower case.
 *
 * @throws {TypeError} naming the option and what is no name.
 */
export function headerNames(option: string, names: readonly string[]): string[] {
  return names.map((name) => {
    if (TOKEN.test(name)) return name.toLowerCase()
    throw new TypeError(`Cannot use ${option} ${JSON.stringify(name)}: wanted names of headers`)
  })
}

/** Leaves out the headers that are hidden. */
export function withoutHidden(
  headers: readonly HeaderField[],
  hidden: ReadonlySet<string>
): readonly HeaderField[] {
  return filtered(headers, ([name]) => !hidden.has(name.toLowerCase()))
}

/** Whether a response may be read ahead of its client; one that streams to it may not. */
export function mayBuffer(response: GatewayResponse, ignored: ReadonlySet<string>): boolean {
  for (const [name, value] of response.headers) {
    const lower = name.toLowerCase()
    if (lower === 'content-type' && /^text\/event-stream\b/i.test(value)) return false
    if (lower === 'x-accel-buffering' && value.toLowerCase() === 'no' && !ignored.has(lower)) {
      return false
    }
  }
  return true
}
