/**
 * Asks a server for a sign of life, with packets written by hand: what tests the codec must not
 * depend on it.
 *
 * @module
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** modifier1 100 with no variables: uWSGI answers `64 00 00 01` from a worker. */
export const PING: Uint8Array = Uint8Array.of(100, 0, 0, 0)
/** GET / for servers that know no ping. */
export const GET: Uint8Array = packet({
  REQUEST_METHOD: 'GET',
  PATH_INFO: '/',
  SERVER_PROTOCOL: 'HTTP/1.1',
  // gunicorn would keep the connection and log its end as an error.
  HTTP_CONNECTION: 'close',
})

const REPLY_DEADLINE_MS = 1000

/** What a client shows to a server that asks for a certificate, as PEM. */
export interface Identity {
  readonly cert: string
  readonly key: string
}

/**
 * Opens a connection to `uwsgi://host:port`, `unix:/path` or `suwsgi://host:port`, whatever the
 * certificate of the last.
 */
export function open(address: string, identity?: Identity): Socket {
  if (address.startsWith('unix:')) {
    return connectTcp({ path: address.slice('unix:'.length) })
  }
  const { protocol, hostname: host, port } = new URL(address)
  return protocol === 'suwsgi:'
    ? connectTls({ host, port: Number(port), rejectUnauthorized: false, ...identity })
    : connectTcp({ host, port: Number(port) })
}

/** Whether the server at `address` accepts a connection and answers `request` with anything. */
export async function answers(
  address: string,
  request: Uint8Array,
  identity?: Identity
): Promise<boolean> {
  const socket = open(address, identity)
  socket.setTimeout(REPLY_DEADLINE_MS)
  try {
    return await new Promise((resolve) => {
      socket.once('data', () => resolve(true))
      for (const event of ['end', 'close', 'error', 'timeout']) {
        socket.on(event, () => resolve(false))
      }
      socket.write(request)
    })
  } finally {
    socket.destroy()
  }
}

function packet(vars: Record<string, string>): Uint8Array {
  const parts = Object.entries(vars)
    .flat()
    .map((text) => Buffer.from(text, 'latin1'))
  const block = Buffer.concat(parts.flatMap((part) => [uint16(part.length), part]))
  return Buffer.concat([Uint8Array.of(0), uint16(block.length), Uint8Array.of(0), block])
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}
