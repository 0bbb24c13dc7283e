/**
 * A fetch handler's `Response` → a response on its way out (rules RSP-50 to RSP-52).
 *
 * @module
 */
import { type BodySource, bytesSource, exactly, NOTHING, streamSource } from './body-source.ts'
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
  const headers: HeaderField[] = []
  let isCoded = false
  for (const [name, value] of response.headers) {
    if (HOP_BY_HOP.has(name)) continue
    if (name === 'content-encoding') isCoded = true
    // Workers take header text as characters, where others take octets.
    headers.push([name, isNative(value) ? value : textToNative(value)])
  }
  // Only what fetch() got has a URL, and fetch() has decoded its body.
  const isDecoded = isCoded && response.url !== ''
  return isDecoded ? headers.filter(([name]) => !OF_CODED_BODY.has(name)) : headers
}

/** The Content-Length; NaN where it is none. */
function lengthOf(headers: readonly HeaderField[]): number | undefined {
  const text = headers.find(([name]) => name === 'content-length')?.[1]
  if (text === undefined) return undefined
  const length = /^[0-9]+$/.test(text) ? Number(text) : NaN
  return Number.isSafeInteger(length) ? length : NaN
}

/** Takes a body that ends with its first chunk, within one turn of the event loop, into memory. */
function measure(body: BodySource): Promise<BodySource> {
  const ahead: Promise<Uint8Array | undefined>[] = []
  const source: BodySource = {
    read: () => ahead.shift() ?? body.read(),
    cancel: (reason) => body.cancel(reason),
  }
  let isOver = false
  function readAhead(): Promise<Uint8Array | undefined> {
    const reading = body.read()
    ahead.push(reading)
    return reading
  }
  async function readWhole(): Promise<BodySource> {
    const first = await readAhead()
    if (first === undefined) return bytesSource(NOTHING)
    if (isOver) return source
    try {
      return (await readAhead()) === undefined ? bytesSource(first) : source
    } catch {
      // The failure belongs behind the bytes that came before it.
      return source
    }
  }
  return new Promise((resolve, reject) => {
    function take(found: BodySource): void {
      // Once: V8 looks into a promise that is resolved again, which takes it 2000 instructions.
      if (!isOver) resolve(found)
      isOver = true
    }
    // Never cleared, which would take longer than to let it fire.
    setTimeout(() => take(source))
    void readWhole().then(take, reject)
  })
}
