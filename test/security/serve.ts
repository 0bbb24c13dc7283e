/**
 * Starts `edge-wsgi serve`, the command line itself, and a relay that sees what it sends to uWSGI.
 *
 * @module
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { makeDirectory, type Server, startServer } from '../backend/process.ts'
import { PROJECT_ROOT } from '../backend/programs.ts'

/** How `edge-wsgi serve` is started. */
export interface ServeProcessOptions {
  /** Address of the backend. */
  upstream: string
  /** More command line options of `serve`. */
  args?: string[]
}

/** A running `edge-wsgi serve`. */
export interface ServeProcess extends Server {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
}

/** Starts `edge-wsgi serve` and waits until it says where it listens. */
export async function startServe(options: ServeProcessOptions): Promise<ServeProcess> {
  const { upstream, args = [] } = options
  const { log, stop, found } = await startServer({
    command: process.execPath,
    args: [
      join(PROJECT_ROOT, 'src', 'cli.ts'),
      'serve',
      '--upstream',
      upstream,
      '--listen',
      'http://127.0.0.1:0',
      // What an environ holds besides a request's own lines is counted here.
      '--tracing',
      'false',
      ...args,
    ],
    directory: await makeDirectory(),
    stopSignal: 'SIGTERM',
    probe: async (text) => /Listening on (http:\/\/[^\s,]+)/.exec(text)?.[1],
  })
  return { origin: found, log, stop }
}

/** One request as the backend received it. */
export interface Packet {
  readonly modifier1: number
  readonly modifier2: number
  /** In order, duplicates kept; one character an octet. */
  readonly vars: readonly (readonly [name: string, value: string])[]
  /** The bytes behind the variables so far. */
  body(): Buffer
}

/** A relay in front of a uwsgi socket. */
export interface Relay {
  /** `uwsgi://127.0.0.1:PORT` */
  readonly address: string
  /** How many connections were opened to the backend, whether a packet followed or not. */
  connections(): number
  /** In order: a connection of the bridge, and the first byte of an answer passed down to it. */
  events(): ('request' | 'response')[]
  /** The packets so far. */
  packets(): Packet[]
  stop(): Promise<void>
}

/**
 * Starts a relay that passes connections on to `upstream` and keeps what goes up. It reads packets
 * with its own few lines: what judges the codec must not depend on it.
 */
export async function startRelay(upstream: string): Promise<Relay> {
  const { hostname: host, port } = new URL(upstream)
  const received: Buffer[][] = []
  const events: ('request' | 'response')[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (down) => {
    const chunks: Buffer[] = []
    received.push(chunks)
    events.push('request')
    down.on('data', (chunk) => chunks.push(chunk))
    const up = connect({ host, port: Number(port), allowHalfOpen: true })
    up.once('data', () => events.push('response'))
    for (const [one, other] of [
      [down, up],
      [up, down],
    ] as const) {
      sockets.add(one)
      one.pipe(other)
      one.on('error', () => {}) // 'close' follows.
      one.on('close', () => {
        sockets.delete(one)
        other.destroySoon()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  async function stop(): Promise<void> {
    server.close()
    for (const socket of sockets) socket.destroy()
    await once(server, 'close')
  }
  return {
    address: `uwsgi://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => received.length,
    events: () => [...events],
    packets: () => received.filter((chunks) => chunks.length > 0).map(parsePacket),
    stop,
  }
}

/** `modifier1 | datasize, 16 bits | modifier2`, then length, name, length, value, and so on. */
function parsePacket(chunks: Buffer[]): Packet {
  const bytes = Buffer.concat(chunks)
  const end = 4 + bytes.readUInt16LE(1)
  const texts: string[] = []
  for (let offset = 4; offset < end;) {
    const length = bytes.readUInt16LE(offset)
    texts.push(bytes.toString('latin1', offset + 2, offset + 2 + length))
    offset += 2 + length
  }
  const vars: [string, string][] = []
  for (let i = 0; i < texts.length; i += 2) vars.push([texts[i] ?? '', texts[i + 1] ?? ''])
  return {
    modifier1: bytes.readUInt8(0),
    modifier2: bytes.readUInt8(3),
    vars,
    body: () => Buffer.concat(chunks).subarray(end),
  }
}
