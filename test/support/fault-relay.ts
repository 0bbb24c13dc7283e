/**
 * A TCP relay in front of a uwsgi backend that does to a connection what networks and dying servers
 * do.
 *
 * @module
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** What goes wrong; offsets are bytes. */
export type Fault =
  | { readonly type: 'none' }
  /** Nobody listens. */
  | { readonly type: 'refuse' }
  /** Reset before a byte of the request is read. */
  | { readonly type: 'resetOnAccept' }
  /** Nothing of the request is read. */
  | { readonly type: 'stallInRequest' }
  /** Reset once the backend has got the whole request, whatever it answers. */
  | { readonly type: 'resetAfterRequest' }
  /** Reset behind so much of the answer, which should be less than its head. */
  | { readonly type: 'resetInHead'; readonly afterBytes: number }
  /** The backend gets the request, its answer goes nowhere. */
  | { readonly type: 'stallBeforeHead' }
  /** Nothing comes behind so much of the body. */
  | { readonly type: 'stallInBody'; readonly afterBytes: number }
  /** An orderly end behind so much of the body. */
  | { readonly type: 'cutInBody'; readonly afterBytes: number }
  /** A reset behind so much of the body. */
  | { readonly type: 'resetInBody'; readonly afterBytes: number }
  /** The answer comes byte by byte. */
  | { readonly type: 'trickle' }
  /** Every byte of the answer comes twice. */
  | { readonly type: 'duplicate' }
  /** Noise instead of an answer, then an orderly end. */
  | { readonly type: 'garbage' }
  /**
   * An orderly end of one direction: toward the bridge at once, while the request is still read; or
   * toward the backend behind the request, while the answer is still passed on.
   */
  | { readonly type: 'halfClose'; readonly toward: 'bridge' | 'backend' }

/** A running relay. */
export interface FaultRelay {
  /** `uwsgi://127.0.0.1:PORT` */
  readonly address: string
  /** What happens to connections from now on; resolves when it is in force. */
  setFault(fault: Fault): Promise<void>
  /** How many connections of bridges are open. */
  connections(): number
  /** How many connections of bridges there have been. */
  accepted(): number
  close(): Promise<void>
}

const HEADER_SIZE = 4
/** A line that begins no response, and an empty one. */
const GARBAGE = Buffer.from('\x16\x03\x01\x00\xff\xfe garbage \x00\x80\r\n\r\n', 'latin1')

/**
 * Starts a relay.
 *
 * @param target `uwsgi://host:port` of the backend.
 */
export async function startFaultRelay(target: string): Promise<FaultRelay> {
  const { hostname: host, port: backendPort } = new URL(target)
  const open = new Set<Socket>()
  let fault: Fault = { type: 'none' }
  let accepted = 0
  let server: Server | undefined
  let port = 0

  function onConnection(bridge: Socket): void {
    accepted++
    open.add(bridge)
    bridge.on('error', () => {}) // 'close' follows.
    bridge.on('close', () => open.delete(bridge))
    if (fault.type === 'resetOnAccept') bridge.resetAndDestroy()
    else if (fault.type === 'stallInRequest') stall(bridge)
    else
      relay(bridge, () => connect({ host, port: Number(backendPort), allowHalfOpen: true }), fault)
  }
  async function listen(): Promise<void> {
    if (server !== undefined) return
    server = createServer({ allowHalfOpen: true, noDelay: true }, onConnection)
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    ;({ port } = server.address() as AddressInfo)
  }
  async function refuse(): Promise<void> {
    const closing = server
    server = undefined
    closing?.close()
    // What waits in the queue of the system was not refused, and would keep the port.
    for (const socket of open) socket.destroy()
    if (closing !== undefined) await once(closing, 'close')
  }

  await listen()
  return {
    address: `uwsgi://127.0.0.1:${port}`,
    async setFault(next) {
      if (fault.type === 'stallInRequest') for (const bridge of open) bridge.resume()
      fault = next
      await (next.type === 'refuse' ? refuse() : listen())
    },
    connections: () => open.size,
    accepted: () => accepted,
    close: refuse,
  }
}

/** Reads nothing until the next fault: that a bridge has gone is behind what it has sent. */
function stall(bridge: Socket): void {
  bridge.pause()
  bridge.on('end', () => bridge.destroy())
}

/** Joins two connections, with a fault between them. */
function relay(bridge: Socket, open: () => Socket, fault: Fault): void {
  const backend = open()
  backend.setNoDelay(true)
  backend.on('error', () => {}) // 'close' follows.
  bridge.on('close', () => backend.destroy())
  passRequest(bridge, backend, fault)
  const answer = new Answer(bridge, fault)
  backend.on('data', (bytes) => {
    answer.pass(bytes)
    if (!bridge.writableNeedDrain) return
    backend.pause()
    bridge.once('drain', () => backend.resume())
  })
  backend.on('end', () => {
    answer.end()
    backend.end()
  })
  backend.on('close', () => answer.end())
  if (fault.type === 'halfClose' && fault.toward === 'bridge') bridge.end()
}

function passRequest(bridge: Socket, backend: Socket, fault: Fault): void {
  let received = Buffer.alloc(0)
  bridge.on('data', (bytes) => {
    received = Buffer.concat([received, bytes])
    const whole = received.length >= requestLength(received)
    backend.write(bytes, () => {
      if (!whole) return
      if (fault.type === 'resetAfterRequest') bridge.resetAndDestroy()
      else if (fault.type === 'halfClose' && fault.toward === 'backend') backend.end()
    })
  })
  // A bridge ends its side only when it has done with the connection.
  bridge.on('end', () => bridge.destroy())
}

/** Bytes in a request, `Infinity` before that can be known: header, variables, CONTENT_LENGTH. */
function requestLength(received: Buffer): number {
  if (received.length < HEADER_SIZE) return Infinity
  const bodyStart = HEADER_SIZE + received.readUInt16LE(1)
  if (received.length < bodyStart) return Infinity
  const vars = received.toString('latin1', HEADER_SIZE, bodyStart)
  // Behind the name, a length in two bytes, and digits up to the length of the next name.
  const [, digits] = /CONTENT_LENGTH[^]{2}([0-9]*)/.exec(vars) ?? []
  return bodyStart + Number(digits ?? 0)
}

/** The answer of a backend on its way to the bridge. */
class Answer {
  readonly #bridge: Socket
  readonly #fault: Fault
  /** All of it, up to the end of the head. */
  #head = Buffer.alloc(0)
  #headLength: number | undefined
  #passed = 0
  /** Whether the bridge gets no more of it. */
  #over = false
  readonly #trickling: number[] = []

  constructor(bridge: Socket, fault: Fault) {
    this.#bridge = bridge
    this.#fault = fault
  }

  pass(bytes: Buffer): void {
    if (this.#over) return
    this.#learnHeadLength(bytes)
    const passed = bytes.subarray(0, this.#limit() - this.#passed)
    this.#passed += passed.length
    this.#write(passed)
    if (this.#passed < this.#limit()) return
    this.#over = true
    if (this.#fault.type.startsWith('reset')) this.#bridge.resetAndDestroy()
    if (this.#fault.type === 'cutInBody' || this.#fault.type === 'garbage') this.#bridge.end()
  }

  /** The backend has closed the connection. */
  end(): void {
    if (this.#over) return
    this.#over = true
    if (this.#fault.type !== 'trickle' || this.#trickling.length === 0) this.#bridge.end()
  }

  /** How much of the answer gets through. */
  #limit(): number {
    const fault = this.#fault
    switch (fault.type) {
      case 'resetInHead':
        return fault.afterBytes
      case 'stallInBody':
      case 'cutInBody':
      case 'resetInBody':
        return this.#headLength === undefined ? Infinity : this.#headLength + fault.afterBytes
      case 'stallBeforeHead':
      case 'resetAfterRequest':
      case 'garbage':
        return 0
      default:
        return Infinity
    }
  }

  #learnHeadLength(bytes: Buffer): void {
    if (this.#headLength !== undefined) return
    this.#head = Buffer.concat([this.#head, bytes])
    const end = this.#head.indexOf('\r\n\r\n')
    if (end >= 0) this.#headLength = end + 4
  }

  #write(bytes: Buffer): void {
    switch (this.#fault.type) {
      case 'garbage':
        this.#bridge.write(GARBAGE)
        return
      case 'duplicate':
        this.#bridge.write(Buffer.from([...bytes].flatMap((byte) => [byte, byte])))
        return
      case 'trickle':
        if (this.#trickling.push(...bytes) === bytes.length) this.#trickle()
        return
      default:
        if (bytes.length > 0 && this.#bridge.writable) this.#bridge.write(bytes)
    }
  }

  /** Writes a byte and, once the system has it, the next. */
  #trickle(): void {
    const [byte] = this.#trickling
    if (byte === undefined) return
    this.#bridge.write(Uint8Array.of(byte), () => {
      this.#trickling.shift()
      if (this.#trickling.length > 0) setImmediate(() => this.#trickle())
      else if (this.#over) this.#bridge.end()
    })
  }
}
