/**
 * A client that moves one large body and prints how many seconds it took, as JSON. A process of its
 * own, so that whoever watches memory meanwhile is not held up.
 *
 * `node transfer.ts up|down PORT BYTES BYTES_PER_SECOND`
 *
 * It speaks HTTP over a bare socket, because a client of Node's would be slower than nginx.
 *
 * @module
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const BLOCK = 65_536
const QUIET_MS = 30_000

const [direction, port, size, rate] = process.argv.slice(2)
const bytes = Number(size)
const bytesPerSecond = Number(rate)
const buffer = Buffer.alloc(BLOCK)
let head = ''
let received = 0
let began = 0

const done = Promise.withResolvers<void>()
const socket: Socket = connect({
  host: '127.0.0.1',
  port: Number(port),
  // One buffer for all that arrives.
  onread: { buffer, callback: onRead },
})
socket.setTimeout(QUIET_MS, () => socket.destroy(new Error(`nothing for ${QUIET_MS} ms`)))
socket.on('error', done.reject)
socket.on('close', () => done.resolve())
socket.on('connect', () => {
  began = performance.now()
  void (direction === 'up' ? upload() : download())
})
await done.promise

const seconds = (performance.now() - began) / 1000
check()
console.log(JSON.stringify({ seconds }))

function onRead(length: number): boolean {
  let body = length
  if (!head.includes('\r\n\r\n')) {
    head += buffer.toString('latin1', 0, length)
    const end = head.indexOf('\r\n\r\n')
    body = end < 0 ? 0 : head.length - end - 4
  }
  received += body
  if (!Number.isFinite(bytesPerSecond) || direction === 'up') return true
  const ahead = (received / bytesPerSecond) * 1000 - (performance.now() - began)
  if (ahead <= 0) return true
  setTimeout(() => socket.resume(), ahead)
  return false // It stops reading until then.
}

function download(): void {
  const path = `/download/${bytes / BLOCK}`
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
}

async function upload(): Promise<void> {
  socket.write(
    `POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${bytes}\r\n\r\n`
  )
  const block = Buffer.alloc(BLOCK)
  for (let sent = 0; sent < bytes && !socket.destroyed; sent += BLOCK) {
    if (!socket.write(block)) {
      await new Promise<void>((resolve) => {
        socket.once('drain', resolve)
        socket.once('close', resolve)
      })
    }
    const ahead = (sent / bytesPerSecond) * 1000 - (performance.now() - began)
    if (ahead > 1) await sleep(ahead)
  }
}

/** A transfer that broke off was fast for no reason. */
function check(): void {
  if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`it answers ${head.slice(0, 60)}`)
  if (direction === 'down' && received !== bytes) throw new Error(`${received} of ${bytes} bytes`)
  if (direction === 'up' && !head.endsWith(`\r\n\r\n${bytes}\n`)) {
    throw new Error(`the application got ${head.slice(-20)}`)
  }
}
