// A uwsgi backend for many downloads at once, for which uWSGI would need as many workers. Answers every
// packet with as many bytes as BYTES says, as fast as they are taken, and closes.
import { createServer } from 'node:net'

const BYTES = Number(process.env.BYTES)
const BLOCK = Buffer.alloc(65_536)
const HEAD = `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${BYTES}\r\n\r\n`

const server = createServer((socket) => {
  let left = BYTES
  function send() {
    while (left > 0) {
      const block = BLOCK.subarray(0, left)
      left -= block.length
      if (!socket.write(block)) return
    }
    socket.end()
  }
  // A client that goes away is part of the work.
  socket.on('error', () => {})
  // The packet fits in one segment: its requests are small.
  socket.once('data', () => {
    socket.write(HEAD)
    socket.on('drain', send)
    send()
  })
})
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log(`Listening on uwsgi://127.0.0.1:${server.address().port}`)
})
