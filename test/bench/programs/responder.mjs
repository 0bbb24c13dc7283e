// The application of row 10 behind a responder of node:net alone, tuned and without any rule: no check, no
// timeout, no body but a small one. What it takes is what no responder with the Fetch interface comes below.
import { createServer } from 'node:net'
import app from './hono-app.mjs'

const names = new Map()

const server = createServer((socket) => {
  const gone = new AbortController()
  socket.on('data', (packet) => void answer(socket, packet, gone.signal))
  socket.on('error', () => gone.abort())
})

async function answer(socket, packet, signal) {
  const response = await app.fetch(toRequest(packet, signal))
  let text = `HTTP/1.1 ${response.status} OK\r\n`
  for (const [name, value] of response.headers) text += `${name}: ${value}\r\n`
  const body = await response.text()
  socket.end(`${text}\r\n${body}`, 'latin1')
}

function toRequest(packet, signal) {
  const headers = []
  const vars = {}
  const end = 4 + packet.readUInt16LE(1)
  for (let offset = 4; offset < end;) {
    const nameEnd = offset + 2 + packet.readUInt16LE(offset)
    const valueEnd = nameEnd + 2 + packet.readUInt16LE(nameEnd)
    const name = packet.latin1Slice(offset + 2, nameEnd)
    const value = packet.latin1Slice(nameEnd + 2, valueEnd)
    if (name.startsWith('HTTP_')) headers.push([fieldName(name), value])
    else vars[name] = value
    offset = valueEnd
  }
  const url = `http://localhost${vars.REQUEST_URI}`
  return new Request(url, { method: vars.REQUEST_METHOD, headers, signal })
}

function fieldName(variable) {
  let name = names.get(variable)
  if (name === undefined) {
    name = variable.slice('HTTP_'.length).toLowerCase().replaceAll('_', '-')
    names.set(variable, name)
  }
  return name
}

server.listen(0, '127.0.0.1', () => {
  console.log(`Listening on uwsgi://127.0.0.1:${server.address().port}`)
})
