/**
 * Heads, requests and outcomes for the tests of the core.
 *
 * @module
 */
import { resolveEnvironOptions, type EnvironOptions } from '../../src/core/environ-options.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import type { HeaderField, RequestHead } from '../../src/core/request-head.ts'
import { cgiVars } from '../../src/core/vars.ts'

/** The members of a head that matter to a test. */
export interface HeadParts extends Partial<Omit<RequestHead, 'url'>> {
  readonly url?: string
  /** Value of the Host line; `null` leaves it out. Without it, the host of the URL. */
  readonly host?: string | null
}

/** A head of wire lines, as a server that owns its HTTP parser hands it over. */
export function rawHead(parts: HeadParts = {}): RequestHead {
  const { url: href = 'http://h.example/', host, headers = [], ...rest } = parts
  const url = new URL(href)
  const line: HeaderField[] = host === null ? [] : [['Host', host ?? url.host]]
  return {
    method: 'GET',
    url,
    headers: [...line, ...headers],
    raw: true,
    httpVersion: '1.1',
    hasBody: false,
    ...rest,
  }
}

/** The CGI variables of a head, as an object. */
export function variables(
  parts: HeadParts = {},
  options: EnvironOptions = {}
): Record<string, string> {
  return Object.fromEntries(cgiVars(rawHead(parts), resolveEnvironOptions(options)).vars)
}

/** A header that is sent `count` times. */
export function repeated(field: HeaderField, count: number): HeaderField[] {
  return Array.from({ length: count }, () => field)
}

/** How a call is refused, such as `400 ERR_BAD_REQUEST`. Errors that are bugs go on. */
export function refusal(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    return refusalText(error)
  }
  return 'not refused'
}

/** {@link refusal} for what fails later. */
export async function refusalOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    return refusalText(error)
  }
  return 'not refused'
}

function refusalText(error: unknown): string {
  if (!(error instanceof GatewayError)) throw error
  return `${error.status} ${error.code}`
}

/** The members of a request that matter to a test. */
export interface RequestParts {
  readonly url?: string
  readonly method?: string
  readonly headers?: readonly HeaderField[]
  readonly body?: ReadableStream<Uint8Array>
}

/** A Fetch request as a server makes one: with headers that a page's script may not set. */
export function fetchRequest(parts: RequestParts = {}): Request {
  const { url = 'http://h.example/', headers = [['host', 'h.example']], body } = parts
  const init: RequestInit = { method: parts.method ?? (body === undefined ? 'GET' : 'POST') }
  if (body !== undefined) Object.assign(init, { body, duplex: 'half' })
  const request = new Request(url, init)
  for (const [name, value] of headers) request.headers.append(name, value)
  return request
}

/** A stream of these chunks, octets as native strings; it ends, fails, or just stops. */
export function chunkStream(
  chunks: readonly string[],
  end: 'close' | 'stall' | Error = 'close'
): ReadableStream<Uint8Array> {
  const left = chunks.map(octets)
  return new ReadableStream(
    {
      async pull(controller) {
        const chunk = left.shift()
        if (chunk !== undefined) controller.enqueue(chunk)
        else if (end === 'close') controller.close()
        else if (end !== 'stall') controller.error(end)
        else await new Promise<never>(() => {})
      },
    },
    { highWaterMark: 0 }
  )
}

/** The bytes of a native string, by a way of their own. */
export function octets(text: string): Uint8Array {
  return Uint8Array.from(text, (unit) => unit.charCodeAt(0))
}

/** Bytes, or several of them, as native strings. */
export function natives(lines: readonly Uint8Array[]): string[] {
  return lines.map((line) => octetsToNative(line))
}
