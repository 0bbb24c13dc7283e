// The least that a Node server is: what `edge-wsgi serve` is started beside.
import { createServer } from 'node:http'

const server = createServer((_request, response) => response.end('Hello, world\n'))
server.listen(0, '127.0.0.1', () => {
  console.log(`Listening on http://127.0.0.1:${server.address().port}`)
})
