/**
 * WebSocket clients: Node's own, and one by hand.
 *
 * @module
 */
import { within } from './deadline.ts'

/** A WebSocket that a test reads message by message. */
export interface TestSocket {
  /** Subprotocol and extensions that were agreed on. */
  readonly protocol: string
  send(data: string | Uint8Array<ArrayBuffer>): void
  /** The next message: text, or bytes. */
  next(): Promise<string | Buffer>
  close(code?: number, reason?: string): void
  /** Resolves when the connection is over, with the messages that nobody has read. */
  closed(): Promise<(string | Buffer)[]>
}

/** Opens a WebSocket to `http://host:port` and a target; rejects when the handshake is refused. */
export async function openWebSocket(
  origin: string,
  target: string,
  protocols: string[] = []
): Promise<TestSocket> {
  const socket = new WebSocket(origin.replace('http', 'ws') + target, protocols)
  socket.binaryType = 'arraybuffer'
  const arrived: (string | Buffer)[] = []
  let wake: (() => void) | undefined
  const over = new Promise<void>((resolve) => {
    socket.addEventListener('close', () => resolve())
  })
  socket.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => {
    arrived.push(typeof data === 'string' ? data : Buffer.from(data))
    wake?.()
  })
  const opening = new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve())
    socket.addEventListener('error', () => reject(new Error(`${target}: no WebSocket`)))
  })
  await within(`a WebSocket to ${target}`, opening)
  return {
    protocol: socket.protocol,
    send: (data) => socket.send(data),
    async next() {
      for (;;) {
        const message = arrived.shift()
        if (message !== undefined) return message
        const { promise, resolve } = Promise.withResolvers<void>()
        wake = resolve
        await within('the next message', promise)
      }
    },
    close: (code, reason) => socket.close(code, reason),
    async closed() {
      await within('the end of the WebSocket', over)
      return arrived
    },
  }
}

/** The lines that make a request one for a WebSocket. */
export const WEBSOCKET_LINES: readonly string[] = [
  'Connection: keep-alive, Upgrade',
  'Upgrade: WebSocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
/** What RFC 6455 §1.3 has a server answer to that key. */
export const WEBSOCKET_ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

/** The head of a WebSocket request. */
export function handshake(target: string, ...lines: string[]): string {
  return `${[`GET ${target} HTTP/1.1`, 'Host: h.example', ...WEBSOCKET_LINES, ...lines].join('\r\n')}\r\n\r\n`
}

/** A text frame of a client, of up to 125 octets, under the mask 0 0 0 0. */
export function textFrame(text: string): string {
  return `\x81${String.fromCharCode(0x80 + text.length)}\0\0\0\0${text}`
}
