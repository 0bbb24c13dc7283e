/**
 * The `start_response` contract of PEP 3333 (rules RSP-1 to RSP-21).
 *
 * Everything is checked when the application calls, on primitives copied there and then: a list that
 * changes after its check is a hole, and `Headers.append` would trim a CR LF instead of refusing it.
 *
 * @see https://peps.python.org/pep-3333/#the-start-response-callable
 * @module
 */
import { applicationError, GatewayError } from './errors.ts'
import { HOP_BY_HOP, trimWhitespace } from './header-field.ts'
import { type HeaderField, TOKEN } from './request-head.ts'

/** What an application knows of an error: Python's triple, or the error itself. */
export type ExcInfo = Error | readonly [type: unknown, error: unknown, traceback: unknown]

/**
 * Sends a piece of the body, as old applications do; new ones yield it.
 *
 * @param chunk Not copied: do not change it before the promise resolves.
 * @returns Resolves when the next piece is wanted; never rejects.
 * @throws {GatewayError} `ERR_APPLICATION` when it is no `Uint8Array`, or comes too late.
 */
export type Write = (chunk: Uint8Array) => Promise<void>

/**
 * Begins the response.
 *
 * @param status Such as `200 OK`.
 * @param headers Name and value pairs, native strings.
 * @param excInfo Given by an error handler, which may begin anew while nothing has been sent.
 * @throws {GatewayError} `ERR_APPLICATION` when an argument is wrong, `ERR_RESPONSE_STARTED` on a second
 *   call without `excInfo`; the error in `excInfo` when the head has been sent.
 */
export type StartResponse = (
  status: string,
  headers: readonly HeaderField[],
  excInfo?: ExcInfo | null
) => Write

/** Status and header fields of an application, checked and copied. */
export interface StartedResponse {
  readonly status: number
  readonly reason: string
  readonly headers: readonly HeaderField[]
  /** The Content-Length among them. */
  readonly length: number | undefined
}

const STATUS = /^([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** What PEP 3333 calls a fatal error, besides {@link HOP_BY_HOP}; `trailers` is wsgiref's spelling. */
const ALSO_HOP_BY_HOP = new Set(['proxy-authenticate', 'proxy-authorization', 'trailers'])

/**
 * Follows the calls of one application.
 *
 * ```
 * idle ──call──▶ started ──first byte──▶ sent
 *                   └──call with excInfo──▶ started
 * ```
 */
export class ResponseStart {
  readonly #write: Write
  #started: StartedResponse | undefined
  #called = false
  #sent = false
  /** The first breach; an application that swallows it still fails. */
  #violation: GatewayError | undefined

  /** @param write What `startResponse` returns. */
  constructor(write: Write) {
    this.#write = write
  }

  /** Handed to the application. Its arity is checked: a call by keyword arrives as one object. */
  readonly startResponse: StartResponse = (...args) => {
    try {
      return this.#start(args)
    } catch (error) {
      if (error instanceof GatewayError) this.#violation ??= error
      throw error
    }
  }

  /** What the application has begun, `undefined` before. */
  get started(): StartedResponse | undefined {
    return this.#started
  }

  /**
   * Takes the head: from here on it counts as sent, and only an error can replace the response.
   *
   * @throws {GatewayError} `ERR_APPLICATION` when there is none, or a call before was wrong.
   */
  take(): StartedResponse {
    if (this.#violation !== undefined) throw this.#violation
    if (this.#started === undefined) {
      throw applicationError('Cannot send a response: startResponse was never called')
    }
    this.#sent = true
    return this.#started
  }

  #start(args: readonly unknown[]): Write {
    const again = this.#called
    // A call that is wrong has been one: PEP 3333 allows no second without excInfo behind it.
    this.#called = true
    if (args.length < 2 || args.length > 3) {
      throw applicationError(
        `Cannot start response: startResponse takes 2 or 3 positional arguments, not ${args.length}`
      )
    }
    const [status, headers, excInfo] = args
    if (excInfo === undefined || excInfo === null) {
      if (again) throw startedTwice()
    } else if (this.#sent) throw errorOf(excInfo)
    // An error handler begins anew: what the failed attempt did wrong is forgiven with it.
    this.#violation = undefined
    this.#started = undefined
    this.#started = { ...checkStatus(status), ...checkHeaders(headers) }
    return this.#write
  }
}

function startedTwice(): GatewayError {
  return new GatewayError(
    'ERR_RESPONSE_STARTED',
    'Cannot start response: startResponse was called twice without excInfo'
  )
}

/** Whether a header is one that no application may send; the name in lower case. */
export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name) || ALSO_HOP_BY_HOP.has(name)
}

function errorOf(excInfo: unknown): unknown {
  if (Array.isArray(excInfo)) return excInfo[1]
  return excInfo
}

function checkStatus(status: unknown): Pick<StartedResponse, 'status' | 'reason'> {
  if (typeof status !== 'string') {
    throw applicationError(`Cannot start response: status is ${typeof status}, wanted a string`)
  }
  const match = STATUS.exec(status)
  if (match === null) {
    throw applicationError(
      'Cannot start response: wanted a status of three digits, a space and a reason without control characters'
    )
  }
  const code = Number(match[1])
  if (code < 200 || code > 599) {
    throw applicationError(`Cannot start response: status ${code} is not between 200 and 599`)
  }
  return { status: code, reason: match[2] ?? '' }
}

function checkHeaders(headers: unknown): Pick<StartedResponse, 'headers' | 'length'> {
  if (!Array.isArray(headers)) {
    throw applicationError('Cannot start response: headers is no array of [name, value] pairs')
  }
  const fields: HeaderField[] = []
  let length: number | undefined
  for (const item of headers as unknown[]) {
    const field = checkField(item)
    if (field[0].toLowerCase() !== 'content-length') fields.push(field)
    else {
      const value = checkLength(field[1], length)
      // Two lines that agree are one.
      if (length === undefined) fields.push([field[0], String(value)])
      length = value
    }
  }
  return { headers: fields, length }
}

function checkField(item: unknown): HeaderField {
  const [name, value] = Array.isArray(item) && item.length === 2 ? (item as unknown[]) : []
  if (typeof name !== 'string' || typeof value !== 'string') {
    throw applicationError('Cannot start response: a header is no pair of two strings')
  }
  if (!TOKEN.test(name) || /[-_]$/.test(name)) {
    throw applicationError(`Cannot start response: ${JSON.stringify(name)} is no header name`)
  }
  const lower = name.toLowerCase()
  if (lower === 'status') {
    throw applicationError('Cannot start response: the status is no header')
  }
  if (isHopByHop(lower)) {
    throw applicationError(`Cannot start response: ${name} is hop-by-hop, which is the server's`)
  }
  if (!VALUE.test(value)) {
    throw applicationError(
      `Cannot start response: header ${name} holds a control character or one above U+00FF`
    )
  }
  return [name, trimWhitespace(value)]
}

function checkLength(text: string, before: number | undefined): number {
  const length = /^[0-9]+$/.test(text) ? Number(text) : NaN
  if (!Number.isSafeInteger(length)) {
    throw applicationError('Cannot start response: Content-Length is no number in decimal digits')
  }
  if (before !== undefined && before !== length) {
    throw applicationError('Cannot start response: two Content-Length headers differ')
  }
  return length
}
