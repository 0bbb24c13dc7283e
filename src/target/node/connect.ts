/**
 * Connections to backends through node:net and node:tls.
 *
 * @module
 */
import { isIP, type NetConnectOpts, type OnReadOpts, Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, type ConnectionOptions } from 'node:tls'
import type { Address } from '../../bridge/address.ts'
import type { Connect, Connection, Opening } from '../../bridge/connection.ts'
import type { SslOptions } from '../ssl-options.ts'
import { freeBytes } from './free-bytes.ts'
import { ReadBuffer } from './read-buffer.ts'
import { ReadQueue } from './read-queue.ts'
import { ownerOf, type SocketOwner, tellOwner } from './socket-owner.ts'

/** What any path takes in one TCP segment, in bytes: IPv6's least MTU, less the headers. */
const ONE_SEGMENT_BYTES = 1220

/** Opens TCP, unix and TLS connections, the latter trusting the certificate authorities Node trusts. */
export const connect: Connect = connectWith({})

/** {@link connect} with TLS options. */
export function connectWith(ssl: SslOptions): Connect {
  return (address) => new SocketConnection(address, ssl)
}

/**
 * A socket that goes on reading after a failed write. A backend that answers early closes with
 * unread bytes in its buffer, which resets our writes while its answer waits in ours; node:net
 * destroys the socket at that moment and the answer with it.
 */
class ReadableAfterWriteError extends Socket {
  #writeFailed = false

  override destroy(error?: Error): this {
    if (!this.#writeFailed && (error as NodeJS.ErrnoException | undefined)?.syscall === 'write') {
      this.#writeFailed = true
      ownerOf(this)?.onWriteError?.()
      return this
    }
    return super.destroy(error)
  }

  /** `null` is the end; a stream with a failed write emits no `end` event. */
  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null) ownerOf(this)?.onEnd()
    return super.push(chunk, encoding)
  }
}

const TLS_EVENTS = ['secureConnect', 'end', 'drain', 'error', 'close'] as const
/** No `end`, of which {@link ReadableAfterWriteError} tells itself. */
const PLAIN_EVENTS = ['connect', 'drain', 'error', 'close'] as const

class SocketConnection implements Connection, Opening, SocketOwner {
  readonly opened: Promise<Connection>
  readonly free = freeBytes
  readonly #socket: Socket
  readonly #arrived: ReadQueue
  readonly #opening = Promise.withResolvers<Connection>()
  #isOpen = false
  #failure: Error | undefined
  #hasWritten = false
  #writeFailed = false
  #writer: PromiseWithResolvers<void> | undefined

  constructor(address: Address, ssl: SslOptions) {
    this.opened = this.#opening.promise
    const buffer = new ReadBuffer()
    const callback = (size: number): boolean => this.#arrived.push(buffer.take(size))
    this.#socket = openSocket(address, ssl, { buffer: buffer.next, callback })
    this.#arrived = new ReadQueue(this.#socket)
    const isTls = address.type === 'tcp' && address.tls
    // Whoever has shaken hands has written already.
    if (isTls) this.#socket.setNoDelay(true)
    tellOwner(this.#socket, this, isTls ? TLS_EVENTS : PLAIN_EVENTS)
  }

  onOpen(): void {
    this.#isOpen = true
    this.#opening.resolve(this)
  }

  onDrain(): void {
    this.#settleWriter()
  }

  onEnd(): void {
    this.#arrived.end()
  }

  onWriteError(): void {
    this.#failWrites()
  }

  onError(error: Error): void {
    this.#failure = error
    this.#opening.reject(error)
  }

  onClose(): void {
    // Every connection closes in the end, and an error nobody sees would cost more than closing it.
    if (!this.#isOpen) this.#opening.reject(this.#failure ?? new Error('the connection was closed'))
    this.#failWrites()
    this.#arrived.end(this.#failure)
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#arrived.read()
  }

  write(bytes: Uint8Array, onTaken?: () => void): Promise<void> | undefined {
    if (this.#writeFailed) return Promise.reject(this.#writeError())
    // What fits in one segment, behind nothing, waits for nothing; most requests are that.
    if (this.#hasWritten || bytes.length > ONE_SEGMENT_BYTES) this.#socket.setNoDelay(true)
    this.#hasWritten = true
    const callback = onTaken && ((error?: Error | null) => error ?? onTaken())
    if (this.#socket.write(bytes, callback)) return undefined
    this.#writer ??= Promise.withResolvers()
    return this.#writer.promise
  }

  end(): void {
    this.#socket.end()
  }

  close(): void {
    this.#socket.destroy()
  }

  #failWrites(): void {
    this.#writeFailed = true
    this.#settleWriter()
  }

  #settleWriter(): void {
    if (this.#writeFailed) this.#writer?.reject(this.#writeError())
    else this.#writer?.resolve()
    this.#writer = undefined
  }

  #writeError(): Error {
    return this.#failure ?? new Error('the backend takes no more data')
  }
}

function openSocket(address: Address, ssl: SslOptions, onread: OnReadOpts): Socket {
  if (address.type === 'tcp' && address.tls) {
    const { hostname: host, port } = address
    const name = ssl.sslName ?? host
    const options: ConnectionOptions & { onread: OnReadOpts } = {
      host,
      port,
      onread,
      checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    }
    // SNI carries names only (RFC 6066 §3); an address is verified all the same.
    if (isIP(name) === 0) options.servername = name
    if (ssl.sslTrustedCertificate !== undefined) options.ca = ssl.sslTrustedCertificate
    if (ssl.sslCertificate !== undefined) options.cert = ssl.sslCertificate
    if (ssl.sslCertificateKey !== undefined) options.key = ssl.sslCertificateKey
    return connectTls(options)
  }
  const options: NetConnectOpts =
    address.type === 'unix'
      ? { path: address.path, onread }
      : { host: address.hostname, port: address.port, onread }
  return new ReadableAfterWriteError(options as object).connect(options)
}
