/**
 * HTTP/1.1 clients that hide nothing: targets and header lines go out as they are written, octets
 * come back as they were on the wire, and a transfer that breaks off is an error.
 *
 * @module
 */
import { once } from 'node:events'
import { type IncomingMessage, request as startRequest } from 'node:http'
import { connect } from 'node:net'
import type { Readable } from 'node:stream'
import { within } from './deadline.ts'

/** One header line; the value holds one code unit an octet. */
export type HeaderLine = readonly [name: string, value: string]

/** A request. */
export interface ClientRequest {
  /** @default 'GET', or 'POST' with a body */
  method?: string
  /** Request-target, written as it is. */
  target: string
  /** Header lines, in order; Host and Connection are added, and the framing that `body` needs. */
  headers?: readonly HeaderLine[]
  /** Bytes or latin-1 text go with Content-Length, a stream goes chunked. */
  body?: Uint8Array | string | Readable
}

/** A response whose body is still to be read. */
export interface OpenResponse extends ResponseHeadView {
  /** Reads one chunk; `undefined` at the end. Rejects when the transfer breaks off. */
  read(): Promise<Uint8Array | undefined>
  /** Reads all there is to come. Rejects when the transfer breaks off. */
  rest(): Promise<Buffer>
  /** Closes the connection. */
  destroy(): void
}

/** Status and header lines of a response. */
export interface ResponseHeadView {
  readonly status: number
  readonly reason: string
  /** In wire order, one code unit an octet. */
  readonly headers: readonly HeaderLine[]
  /** The values of a field, in order. */
  all(name: string): string[]
  /** The value of a field that occurs once; `undefined` when it does not occur. */
  header(name: string): string | undefined
}

/** A complete response. */
export interface ClientResponse extends ResponseHeadView {
  readonly body: Buffer
  readonly text: string
  /** The body parsed; the test knows its shape. */
  json(): never
}

/** Sends a request and reads its response to the end. */
export async function send(origin: string, request: ClientRequest): Promise<ClientResponse> {
  const response = await open(origin, request)
  const body = await response.rest()
  const { status, reason, headers, all, header } = response
  const text = body.toString()
  return { status, reason, headers, all, header, body, text, json: () => parseJson(text) }
}

/** Sends a request and reads the head of its response. */
export async function open(origin: string, request: ClientRequest): Promise<OpenResponse> {
  const { method, target, headers = [], body } = request
  const { host, hostname, port } = new URL(origin)
  const lines: HeaderLine[] = headers.some(([name]) => /^host$/i.test(name))
    ? [...headers]
    : [['Host', host], ...headers]
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body
  if (bytes instanceof Uint8Array) lines.push(['Content-Length', String(bytes.length)])
  else if (bytes !== undefined) lines.push(['Transfer-Encoding', 'chunked'])
  lines.push(['Connection', 'close'])

  const outgoing = startRequest({
    host: hostname,
    port,
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    path: target,
    headers: lines.flat(),
    setDefaultHeaders: false,
    agent: false,
  })
  const arriving = once(outgoing, 'response') as Promise<[IncomingMessage]>
  if (bytes === undefined || bytes instanceof Uint8Array) outgoing.end(bytes)
  else bytes.pipe(outgoing)
  try {
    const [incoming] = await within(`${method ?? ''} ${target}`, arriving)
    // A server may answer and close without reading the body: the answer counts.
    outgoing.on('error', () => {})
    return openResponse(incoming)
  } catch (error) {
    outgoing.destroy()
    throw error
  }
}

function openResponse(incoming: IncomingMessage): OpenResponse {
  const headers = pairs(incoming.rawHeaders)
  const chunks = incoming[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  async function read(): Promise<Uint8Array | undefined> {
    const { done, value } = await within('the next chunk', chunks.next())
    if (!done) return value
    if (!incoming.complete) throw new Error('The transfer broke off')
    return undefined
  }
  async function rest(): Promise<Buffer> {
    const parts: Uint8Array[] = []
    for (let chunk = await read(); chunk !== undefined; chunk = await read()) parts.push(chunk)
    return Buffer.concat(parts)
  }
  return {
    ...headView(incoming.statusCode ?? 0, incoming.statusMessage ?? '', headers),
    read,
    rest,
    destroy: () => void incoming.destroy(),
  }
}

function headView(
  status: number,
  reason: string,
  headers: readonly HeaderLine[]
): ResponseHeadView {
  function all(name: string): string[] {
    return headers
      .filter(([field]) => field.toLowerCase() === name.toLowerCase())
      .map(([, value]) => value)
  }
  function header(name: string): string | undefined {
    const values = all(name)
    if (values.length > 1) throw new Error(`${name} occurs ${values.length} times`)
    return values[0]
  }
  return { status, reason, headers, all, header }
}

/** A connection on which a test writes and reads by hand. */
export interface RawConnection {
  /** Writes latin-1 text or bytes; resolves when the system has taken them. */
  write(bytes: string | Uint8Array): Promise<void>
  /** All that has arrived by the time `pattern` matches it, as latin-1. */
  until(pattern: RegExp): Promise<string>
  /** All that arrives before the server closes or resets the connection, as latin-1. */
  closed(): Promise<string>
  /** Reads no more, so that the server cannot write for long. */
  pause(): void
  /** Drops the connection; `reset` tells the server at once, where `close` waits for its next write. */
  destroy(how?: 'close' | 'reset'): void
}

/** Opens a connection to `http://host:port`, or to the unix socket at a path. */
export async function openRaw(origin: string): Promise<RawConnection> {
  const url = origin.startsWith('/') ? undefined : new URL(origin)
  const socket = connect(
    url === undefined ? { path: origin } : { host: url.hostname, port: Number(url.port) }
  )
  let received = ''
  let wake: (() => void) | undefined
  let over = false
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => {
    received += text
    wake?.()
  })
  // A reset is one way of closing: what came before it is in `received`.
  socket.on('error', () => {})
  socket.on('close', () => {
    over = true
    wake?.()
  })
  await within(`a connection to ${origin}`, once(socket, 'connect'))

  async function waitFor(what: string, met: () => boolean): Promise<string> {
    while (!met()) {
      if (over) throw new Error(`${what}: the connection closed after ${JSON.stringify(received)}`)
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      await within(what, promise)
    }
    return received
  }
  return {
    write: (bytes) =>
      new Promise((resolve) => {
        socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () =>
          resolve()
        )
      }),
    until: (pattern) => waitFor(String(pattern), () => pattern.test(received)),
    closed: () => waitFor('the end', () => over),
    pause: () => void socket.pause(),
    destroy: (how) => void (how === 'reset' ? socket.resetAndDestroy() : socket.destroy()),
  }
}

/**
 * Sends bytes, one after the other, and returns all that comes back, as latin-1; the request must
 * close the connection.
 */
export async function sendRaw(
  origin: string,
  bytes: string | readonly (string | Uint8Array)[]
): Promise<string> {
  const connection = await openRaw(origin)
  try {
    for (const part of typeof bytes === 'string' ? [bytes] : bytes) void connection.write(part)
    return await connection.closed()
  } finally {
    connection.destroy()
  }
}

function pairs(flat: readonly string[]): HeaderLine[] {
  const lines: HeaderLine[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) lines.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return lines
}

function parseJson(text: string): never {
  return JSON.parse(text) as never
}
