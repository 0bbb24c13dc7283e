/**
 * An HTTP/1.1 client that writes what it is told, byte for byte, and reads strictly: an answer that
 * breaks RFC 9112 is an error, not a guess.
 *
 * @module
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const DEADLINE_MS = 10_000
const POLL_MS = 20
const STATUS_LINE = /^HTTP\/(1\.[01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)$/
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\t\x20-\x7e\x80-\xff]*?)[\t ]*$/
const BODILESS = new Set([204, 304])

/** A response, its body without the framing. */
export interface RawResponse {
  readonly version: string
  readonly status: number
  /** Names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

/** One connection. */
export interface RawConnection {
  /** The port that the server sees as the client's. */
  readonly port: number
  /** Writes octets; a character of a string is one. Writing to a closed connection is no error. */
  send(...parts: (string | Uint8Array)[]): void
  /** Closes our half of the connection. */
  end(): void
  /** Resets the connection. */
  reset(): void
  /**
   * The next response, interim ones included.
   *
   * @param method What was asked: a response to HEAD has no body.
   * @throws {Error} When the server closes first, sends what is no response, or takes too long.
   */
  response(method?: string): Promise<RawResponse>
  /** {@link response}, or `undefined` when the server closes instead, with nothing left to read. */
  responseOrEnd(): Promise<RawResponse | undefined>
  /** Waits until there is something to read or the server has closed, `patienceMs` at most. */
  arrived(patienceMs: number): Promise<void>
  /** Waits until the server has ended the connection, and returns what came and was not read. */
  closed(): Promise<string>
  /** Waits until the server takes no more either: one that closed only its own half holds a socket. */
  gone(): Promise<void>
}

/** Opens a connection to `http://host:port`. */
export async function openRaw(origin: string): Promise<RawConnection> {
  const { hostname, port } = new URL(origin)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  socket.setNoDelay(true)
  const reader = new SocketReader(socket)
  await reader.opened

  function send(...parts: (string | Uint8Array)[]): void {
    for (const part of parts) {
      socket.write(typeof part === 'string' ? Buffer.from(part, 'latin1') : part)
    }
  }
  async function response(method = 'GET'): Promise<RawResponse> {
    const { version, status, headers } = parseHead(await reader.readHead())
    const body = await readBody(reader, method, status, headers)
    return { version, status, headers, body }
  }
  async function responseOrEnd(): Promise<RawResponse | undefined> {
    return (await reader.atEnd()) ? undefined : await response()
  }
  async function closed(): Promise<string> {
    const rest = await reader.readToEnd()
    socket.destroy()
    return rest.toString('latin1')
  }
  async function gone(): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS
    while (!socket.closed) {
      if (Date.now() > deadline) throw new Error(`The server still reads after ${DEADLINE_MS} ms`)
      socket.write('x')
      await sleep(POLL_MS)
    }
  }
  const { localPort = 0 } = socket
  return {
    port: localPort,
    send,
    end: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
    response,
    responseOrEnd,
    arrived: (patienceMs) => reader.arrived(patienceMs),
    closed,
    gone,
  }
}

/** The values of a header field. */
export function valuesOf({ headers }: RawResponse, name: string): string[] {
  return headers.filter(([present]) => present === name).map(([, value]) => value)
}

/** What a socket has received, read by need. */
class SocketReader {
  readonly opened: Promise<void>
  #bytes: Buffer = Buffer.alloc(0)
  #over = false
  #wake: () => void = () => {}

  constructor(socket: Socket) {
    this.opened = new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    socket.on('data', (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#wake()
    })
    // A reset ends the connection as well as a FIN does, where a server closes on unread bytes.
    for (const event of ['end', 'error', 'close']) {
      socket.on(event, () => {
        this.#over = true
        this.#wake()
      })
    }
  }

  /** Up to the empty line, which is left out. */
  async readHead(): Promise<string> {
    const deadline = Date.now() + DEADLINE_MS
    for (;;) {
      const end = this.#bytes.indexOf('\r\n\r\n', 0, 'latin1')
      if (end >= 0) return this.#take(end + 4).toString('latin1', 0, end)
      await this.#more('a response head', deadline)
    }
  }

  /** A line without its CR LF. */
  async readLine(): Promise<string> {
    const deadline = Date.now() + DEADLINE_MS
    for (;;) {
      const end = this.#bytes.indexOf('\r\n', 0, 'latin1')
      if (end >= 0) return this.#take(end + 2).toString('latin1', 0, end)
      await this.#more('a line', deadline)
    }
  }

  async readExactly(length: number): Promise<Buffer> {
    const deadline = Date.now() + DEADLINE_MS
    while (this.#bytes.length < length) await this.#more(`${length} bytes`, deadline)
    return this.#take(length)
  }

  /** Whether the end comes before another byte. */
  async atEnd(): Promise<boolean> {
    const deadline = Date.now() + DEADLINE_MS
    while (this.#bytes.length === 0 && !this.#over) await this.#more('a byte or the end', deadline)
    return this.#bytes.length === 0
  }

  async arrived(patienceMs: number): Promise<void> {
    if (this.#bytes.length === 0 && !this.#over) await this.#woken(patienceMs)
  }

  async readToEnd(): Promise<Buffer> {
    const deadline = Date.now() + DEADLINE_MS
    while (!this.#over) await this.#more('the end', deadline)
    return this.#take(this.#bytes.length)
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(0, length)
    this.#bytes = this.#bytes.subarray(length)
    return taken
  }

  async #more(what: string, deadline: number): Promise<void> {
    const seen = JSON.stringify(this.#bytes.toString('latin1').slice(0, 200))
    if (this.#over) throw new Error(`Cannot read ${what}: the server closed, after ${seen}`)
    if (await this.#woken(Math.max(0, deadline - Date.now()))) return
    throw new Error(`Cannot read ${what}: nothing in ${DEADLINE_MS} ms, after ${seen}`)
  }

  /** Whether something happened within `patienceMs`. */
  async #woken(patienceMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => resolve(false), patienceMs)
    this.#wake = () => resolve(true)
    const woken = await promise
    clearTimeout(timer)
    return woken
  }
}

function parseHead(head: string): Omit<RawResponse, 'body'> {
  const [statusLine = '', ...lines] = head.split('\r\n')
  const [, version, status] = STATUS_LINE.exec(statusLine) ?? []
  if (version === undefined) throw new Error(`Not a status line: ${JSON.stringify(statusLine)}`)
  const headers = lines.map((line): [string, string] => {
    const [, name, value] = FIELD_LINE.exec(line) ?? []
    if (name === undefined) throw new Error(`Not a header line: ${JSON.stringify(line)}`)
    return [name.toLowerCase(), value ?? '']
  })
  return { version, status: Number(status), headers }
}

async function readBody(
  reader: SocketReader,
  method: string,
  status: number,
  headers: RawResponse['headers']
): Promise<Buffer> {
  const lengths = headers.filter(([name]) => name === 'content-length')
  const codings = headers.filter(([name]) => name === 'transfer-encoding')
  if (lengths.length + codings.length > 1) throw new Error('The response is framed twice')
  if (method === 'HEAD' || status < 200 || BODILESS.has(status)) return Buffer.alloc(0)
  const [[, coding] = []] = codings
  if (coding === 'chunked') return await readChunks(reader)
  if (coding !== undefined) throw new Error(`Not a transfer coding: ${coding}`)
  const [[, length] = []] = lengths
  if (length === undefined) return await reader.readToEnd()
  if (!/^[0-9]+$/.test(length)) throw new Error(`Not a length: ${JSON.stringify(length)}`)
  return await reader.readExactly(Number(length))
}

async function readChunks(reader: SocketReader): Promise<Buffer> {
  const chunks: Buffer[] = []
  for (;;) {
    const size = await reader.readLine()
    if (!/^[0-9A-Fa-f]{1,8}$/.test(size)) throw new Error(`Not a chunk size: ${size}`)
    if (/^0+$/.test(size)) break
    chunks.push(await reader.readExactly(Number.parseInt(size, 16)))
    if ((await reader.readLine()) !== '') throw new Error('A chunk is longer than its size')
  }
  if ((await reader.readLine()) !== '') throw new Error('Not the end of a chunked body')
  return Buffer.concat(chunks)
}
