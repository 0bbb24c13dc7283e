/**
 * A uwsgi front that a test plays by hand: it writes packets of its own, in any pieces, and tells a
 * connection that ended from one that was reset.
 *
 * @module
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { within } from './deadline.ts'

/** Variables in order, values as latin-1. */
export type Variables = readonly (readonly [name: string, value: string])[]

/** A packet, written by hand: what tests the codec must not depend on it. */
export function packet(pairs: Variables, modifier1 = 0, modifier2 = 0): Uint8Array {
  return packetOf(
    Buffer.concat(pairs.flat().flatMap((text) => [uint16(text.length), latin1(text)])),
    modifier1,
    modifier2
  )
}

/** A packet around any block. */
export function packetOf(block: Uint8Array | string, modifier1 = 0, modifier2 = 0): Uint8Array {
  const bytes = typeof block === 'string' ? latin1(block) : block
  return Buffer.concat([
    Uint8Array.of(modifier1),
    uint16(bytes.length),
    Uint8Array.of(modifier2),
    bytes,
  ])
}

/**
 * The variables of a request as nginx sends them, for a target that needs no decoding.
 *
 * @param more Replace those of the same name, or follow.
 */
export function variables(method: string, target: string, more: Variables = []): Variables {
  const [path = '', query = ''] = target.split('?')
  const usual: Variables = [
    ['QUERY_STRING', query],
    ['REQUEST_METHOD', method],
    ['CONTENT_TYPE', ''],
    ['CONTENT_LENGTH', ''],
    ['REQUEST_URI', target],
    ['PATH_INFO', path],
    ['SERVER_PROTOCOL', 'HTTP/1.1'],
    ['REQUEST_SCHEME', 'http'],
    ['REMOTE_ADDR', '192.0.2.1'],
    ['REMOTE_PORT', '4711'],
    ['SERVER_PORT', '80'],
    ['SERVER_NAME', 'localhost'],
    ['HTTP_HOST', 'h.example'],
  ]
  const replaced = new Set(more.map(([name]) => name))
  return [...usual.filter(([name]) => !replaced.has(name)), ...more]
}

/** What became of a connection. */
export interface Reply {
  /** `''` where nothing came. */
  readonly text: string
  /** Of the status line, `undefined` where there is none. */
  readonly status: number | undefined
  /** Field lines by lower-case name, joined by line breaks where there are several. */
  readonly headers: Readonly<Record<string, string>>
  /** As latin-1. */
  readonly body: string
  /** How the peer ended it. */
  readonly ending: 'end' | 'reset'
  /** The body parsed; the test knows its shape. */
  json(): never
}

/** A connection of a front. */
export interface UwsgiConnection {
  /** Writes latin-1 text or bytes; resolves when the system has taken them, or never will. */
  write(bytes: string | Uint8Array): Promise<void>
  /** Closes our side; reading goes on. */
  end(): void
  /** All that has arrived by the time `pattern` matches it, as latin-1. */
  until(pattern: RegExp): Promise<string>
  /** All that came, and how it ended. */
  reply(): Promise<Reply>
  /** Stops and goes on reading. */
  pause(): void
  resume(): void
  destroy(how?: 'close' | 'reset'): void
}

/** Opens a connection to `uwsgi://host:port` or `unix:/path`. */
export async function openUwsgi(address: string): Promise<UwsgiConnection> {
  const url = address.startsWith('unix:') ? undefined : new URL(address)
  const socket = connect(
    url === undefined
      ? { path: address.slice('unix:'.length), allowHalfOpen: true }
      : {
          host: url.hostname.replace(/^\[|\]$/g, ''),
          port: Number(url.port),
          allowHalfOpen: true,
        }
  )
  socket.setNoDelay(true)
  let received = ''
  let ending: Reply['ending'] | undefined
  let wake: (() => void) | undefined
  function changed(how?: Reply['ending']): void {
    ending ??= how
    wake?.()
  }
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => {
    received += text
    changed()
  })
  socket.on('error', () => changed('reset'))
  socket.on('end', () => changed('end'))
  socket.on('close', () => changed('end'))
  await within(`a connection to ${address}`, once(socket, 'connect'))

  async function waitFor(what: string, met: () => boolean): Promise<void> {
    while (!met()) {
      if (ending !== undefined)
        throw new Error(`${what}: ${ending} after ${JSON.stringify(received)}`)
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      await within(what, promise)
    }
  }
  return {
    write: (bytes) =>
      new Promise((resolve) => {
        socket.write(typeof bytes === 'string' ? latin1(bytes) : bytes, () => resolve())
      }),
    end: () => void socket.end(),
    async until(pattern) {
      await waitFor(String(pattern), () => pattern.test(received))
      return received
    },
    async reply() {
      await waitFor('the end of the connection', () => ending !== undefined)
      socket.destroy()
      return parse(received, ending ?? 'end')
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    // A unix socket knows no reset.
    destroy: (how) =>
      void (how === 'reset' && url !== undefined ? socket.resetAndDestroy() : socket.destroy()),
  }
}

/** Sends bytes and reads all that comes back. */
export async function exchange(
  address: string,
  ...bytes: readonly (string | Uint8Array)[]
): Promise<Reply> {
  const connection = await openUwsgi(address)
  for (const part of bytes) void connection.write(part)
  return await connection.reply()
}

/** Sends a request and reads the response. */
export async function request(
  address: string,
  method: string,
  target: string,
  more: Variables = [],
  body: string | Uint8Array = ''
): Promise<Reply> {
  const length: Variables =
    body.length > 0 && !more.some(([name]) => name === 'CONTENT_LENGTH')
      ? [['CONTENT_LENGTH', String(body.length)]]
      : []
  const head = packet(variables(method, target, [...more, ...length]))
  return await exchange(address, head, ...(body.length > 0 ? [body] : []))
}

function parse(text: string, ending: Reply['ending']): Reply {
  const [, head = '', body = ''] = /^([^]*?)\r\n\r\n([^]*)$/.exec(text) ?? []
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = name in headers ? `${headers[name]}\n${value}` : value
  }
  const status = /^HTTP\/1\.1 ([0-9]{3}) /.exec(statusLine)?.[1]
  return {
    text,
    status: status === undefined ? undefined : Number(status),
    headers,
    body,
    ending,
    json: () => JSON.parse(body) as never,
  }
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >> 8) & 0xff)
}
