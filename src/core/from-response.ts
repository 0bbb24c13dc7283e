/**
 * A fetch handler's `Response` → a response on its way out (rules RSP-50 to RSP-52).
 *
 * @module
 */
import { type BodySource, bytesSource, exactly, streamSource } from './body-source.ts'
import { applicationError, responseTooShort } from './errors.ts'
import { type GatewayResponse, isBodyless, reasonPhrase } from './gateway-response.ts'
import { HOP_BY_HOP } from './header-field.ts'
import { isNative, textToNative } from './octets.ts'
import type { HeaderField } from './request-head.ts'

/** What was true of a body before `fetch()` decoded it. */
const OF_CODED_BODY = new Set(['content-encoding', 'content-length'])

/**
 * Takes a response apart. A body that is there at once and whole gets a Content-Length; one that takes
 * its time is not waited for.
 *
 * @param method Of the request: a body that is not to be sent is cancelled.
 * @throws {GatewayError} `ERR_APPLICATION` when it is no response that can be sent, and what its body
 *   fails with before the first byte.
 */
export async function fromResponse(response: Response, method: string): Promise<GatewayResponse> {
  // Not instanceof: Hono's Node server puts a class of its own in the place of the global one.
  if (!(typeof response?.status === 'number' && response.status >= 200)) {
    throw applicationError(
      'Cannot send what the handler returned: wanted a Response with a status from 200 to 599'
    )
  }
  const { status, body } = response
  const reason = response.statusText || reasonPhrase(status)
  const headers = headersOf(response)
  const source = body === null ? undefined : streamSource(body)
  if (isBodyless(status, method)) {
    void source?.cancel(undefined)
    return { status, reason, headers }
  }
  const announced = lengthOf(headers)
  if (Number.isNaN(announced)) {
    void source?.cancel(undefined)
    throw applicationError(
      'Cannot send response: its Content-Length is no number in decimal digits'
    )
  }
  if (source === undefined) {
    if (announced !== undefined && announced > 0) throw responseTooShort(announced)
    // Whoever is told nothing waits for the end of the connection.
    if (announced === undefined) headers.push(['content-length', '0'])
    return { status, reason, headers }
  }
  if (announced !== undefined) {
    return { status, reason, headers, body: exactly(source, announced, responseTooShort) }
  }
  const measured = await measure(source)
  const { bytes } = measured
  if (bytes !== undefined) headers.push(['content-length', String(bytes.length)])
  return { status, reason, headers, body: measured }
}

/** Set-Cookie lines stay apart: Fetch joins every other name, and sorts them. */
function headersOf(response: Response): HeaderField[] {
  // Only what fetch() got has a URL, and fetch() has decoded its body.
  const decoded = response.url !== '' && response.headers.has('content-encoding')
  const headers: HeaderField[] = []
  for (const field of response.headers) {
    const [name, value] = field
    if (HOP_BY_HOP.has(name) || (decoded && OF_CODED_BODY.has(name))) continue
    // Workers take header text as characters, where others take octets.
    headers.push([name, isNative(value) ? value : textToNative(value)])
  }
  return headers
}

/** The Content-Length; NaN where it is none. */
function lengthOf(headers: readonly HeaderField[]): number | undefined {
  const text = headers.find(([name]) => name === 'content-length')?.[1]
  if (text === undefined) return undefined
  const length = /^[0-9]+$/.test(text) ? Number(text) : NaN
  return Number.isSafeInteger(length) ? length : NaN
}

/** Takes a body that ends with its first chunk, within one turn of the event loop, into memory. */
async function measure(body: BodySource): Promise<BodySource> {
  const late = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => late.resolve('late'))
  const ahead: Promise<Uint8Array | undefined>[] = []
  function readAhead(): Promise<Uint8Array | 'late' | undefined> {
    const reading = body.read()
    // Whoever reads on finds the failure; the runtime must not find it first.
    reading.catch(() => {})
    ahead.push(reading)
    return Promise.race([reading, late.promise])
  }
  const source: BodySource = {
    read: () => ahead.shift() ?? body.read(),
    cancel: (reason) => body.cancel(reason),
  }
  try {
    const first = await readAhead()
    if (first === 'late') return source
    if (first === undefined) return bytesSource(new Uint8Array())
    // A failure here belongs behind the bytes that came before it.
    const second = await readAhead().catch((): 'late' => 'late')
    return second === undefined ? bytesSource(first) : source
  } finally {
    clearTimeout(timer)
  }
}
