/**
 * What the loops share: requests made of what was generated, and a way to compare what comes back.
 *
 * @module
 */
import { trimWhitespace } from '../../src/core/header-field.ts'
import { octetsToNative, percentDecode } from '../../src/core/octets.ts'
import type { HeaderField, RequestMeta } from '../../src/core/request-head.ts'
import { chunksOf, lengthOf, type RequestSpec } from './arbitraries.ts'

const ORIGIN = 'http://h.example:8080'

/** Who asks, as a server would know. */
export const REMOTE = { addr: '192.0.2.9', port: 4711 }

/** A response, read to its end. */
export interface Answer {
  readonly status: number
  readonly reason: string
  /** Sorted; Set-Cookie lines are several, as Fetch has it. */
  readonly headers: readonly HeaderField[]
  /** One character a byte. */
  readonly body: string
}

/** The request of a client. */
export function requestOf(spec: RequestSpec): Request {
  const headers = new Headers()
  for (const [name, value] of spec.headers) headers.append(name, value)
  headers.set('host', headers.get('host')?.split(',')[0] ?? 'h.example:8080')
  if (headers.has('expect')) headers.set('expect', '100-continue')
  if (spec.body !== undefined && spec.hasLength) {
    headers.set('content-length', String(lengthOf(spec.body)))
  }
  const init: RequestInit & { duplex: 'half' } = { method: spec.method, headers, duplex: 'half' }
  if (spec.body !== undefined) init.body = streamOf(chunksOf(spec.body))
  return new Request(ORIGIN + spec.target, init)
}

/** What a server knows of it besides. */
export function metaOf(spec: RequestSpec): RequestMeta {
  return { rawTarget: rawTargetOf(spec), remote: REMOTE, mount: mountOf(spec) }
}

/** The target as it is spelled on the wire, where a gateway is told. */
export function rawTargetOf(spec: RequestSpec): string | undefined {
  return spec.isRaw ? spec.target : undefined
}

/** As many segments of the decoded path as are asked for, and are there. */
export function mountOf(spec: RequestSpec): string {
  const { pathname } = new URL(ORIGIN + spec.target)
  const segments = pathname.split('/').slice(1, 1 + spec.mounted)
  const mount = segments.map((segment) => `/${percentDecode(segment)}`).join('')
  return mount.endsWith('/') ? '' : mount
}

/** A stream of these chunks, empty ones passed over as every source of Fetch does. */
export function streamOf(
  chunks: readonly Uint8Array<ArrayBuffer>[],
  isLate = false
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const rest = [...chunks]
  return new ReadableStream(
    {
      async pull(controller) {
        if (isLate) await new Promise((resolve) => setImmediate(resolve))
        const chunk = rest.shift()
        if (chunk === undefined) controller.close()
        else controller.enqueue(chunk)
      },
    },
    { highWaterMark: 0 }
  )
}

/** Reads a response to its end. */
export async function answerOf(response: Response): Promise<Answer> {
  return {
    status: response.status,
    reason: response.statusText,
    headers: sorted([...response.headers]),
    body: octetsToNative(new Uint8Array(await response.arrayBuffer())),
  }
}

/**
 * Header fields in an order of their own. Blanks at the ends are no part of a value (RFC 9110 §5.5), but
 * joining two empty ones leaves some.
 */
export function sorted(fields: readonly HeaderField[]): HeaderField[] {
  const trimmed = fields.map(([name, value]): HeaderField => [name, trimWhitespace(value)])
  return trimmed.toSorted((a, b) => (`${a[0]}\0${a[1]}` < `${b[0]}\0${b[1]}` ? -1 : 1))
}

/** How often each loop is gone round. */
export const PROPERTY = { numRuns: 600 }
