// A proxy with http-proxy-3, as its README writes it.
import { createServer } from 'node:http'
import { createProxyServer } from 'http-proxy-3'

const proxy = createProxyServer({ target: process.env.ORIGIN })
proxy.on('error', (error, _request, response) => {
  if ('writeHead' in response && !response.headersSent) response.writeHead(502)
  response.end(String(error))
})
const server = createServer((request, response) => proxy.web(request, response))
server.listen(0, '127.0.0.1', () => {
  console.log(`Listening on http://127.0.0.1:${server.address().port}`)
})
