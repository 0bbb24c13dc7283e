// A gateway to uWSGI of node:http and node:net alone, tuned and without any rule: no check, no timeout,
// no retry, no body but a small one. What it takes is what no gateway in JavaScript comes below.
import { createServer } from 'node:http'
import { Socket } from 'node:net'

const upstream = process.env['UPSTREAM']
const { hostname, port } = new URL(upstream)
const address = upstream.startsWith('unix:')
  ? { path: upstream.slice('unix:'.length) }
  : { host: hostname, port: Number(port) }

/** Whether connections serve one request after the other, as gunicorn's may. */
const keeps = process.env['KEEP'] === '1'

const readBuffer = Buffer.allocUnsafe(65_536)
const names = new Map()
const idle = []

const server = createServer((request, response) => {
  const socket = idle.pop() ?? openSocket()
  let text = ''
  let done = false
  function take(more) {
    text += more
    const end = text.indexOf('\r\n\r\n')
    if (end < 0) return
    const [status, ...lines] = text.slice(0, end).split('\r\n')
    const headers = []
    let length = 0
    for (const line of lines) {
      const colon = line.indexOf(':')
      const name = line.slice(0, colon)
      const value = line.slice(colon + 2)
      headers.push(name, value)
      if (name === 'Content-Length') length = Number(value)
    }
    const body = text.slice(end + 4)
    if (body.length < length) return
    done = true
    response.writeHead(Number(status.slice(9, 12)), headers)
    response.end(body, 'latin1')
    if (keeps) idle.push(socket)
    else socket.destroy()
  }
  socket.take = take
  socket.onEnd = () => done || response.destroy()
  socket.write(packet(request))
})

function openSocket() {
  const socket = new Socket({
    onread: {
      buffer: readBuffer,
      callback: (size) => socket.take(readBuffer.latin1Slice(0, size)),
    },
  })
  socket.on('end', () => leave(socket))
  socket.on('error', () => leave(socket))
  socket.connect(address)
  return socket
}

function leave(socket) {
  const place = idle.indexOf(socket)
  if (place >= 0) idle.splice(place, 1)
  socket.onEnd()
}

function packet({ method, url, rawHeaders, socket }) {
  const mark = url.indexOf('?')
  const texts = ['REQUEST_METHOD', method, 'REQUEST_URI', url, 'SCRIPT_NAME', '']
  texts.push('PATH_INFO', mark < 0 ? url : url.slice(0, mark))
  texts.push('QUERY_STRING', mark < 0 ? '' : url.slice(mark + 1))
  texts.push('SERVER_PROTOCOL', 'HTTP/1.1', 'SERVER_NAME', 'localhost', 'SERVER_PORT', '80')
  texts.push('REMOTE_ADDR', socket.remoteAddress)
  for (let i = 0; i < rawHeaders.length; i += 2) {
    texts.push(variableName(rawHeaders[i]), rawHeaders[i + 1])
  }
  let size = 0
  for (const text of texts) size += 2 + text.length
  const bytes = Buffer.allocUnsafe(4 + size)
  bytes.set([0, size & 0xff, size >> 8, 0])
  let offset = 4
  for (const text of texts) {
    bytes.writeUInt16LE(text.length, offset)
    offset += 2 + bytes.latin1Write(text, offset + 2)
  }
  return bytes
}

function variableName(name) {
  let variable = names.get(name)
  if (variable === undefined) {
    variable = `HTTP_${name.toUpperCase().replaceAll('-', '_')}`
    names.set(name, variable)
  }
  return variable
}

server.listen(0, '127.0.0.1', () => {
  console.log(`Listening on http://127.0.0.1:${server.address().port}`)
})
