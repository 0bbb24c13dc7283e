import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium } from 'playwright-core'
import { afterEach, describe, expect, test } from 'vitest'
import { gateway } from '../../src/index.ts'
import { type Bridge, createBridge, type Handler, serve } from '../../src/target/node/index.ts'
import { BACKEND, findChromium } from '../backend/programs.ts'
import { startUwsgi } from '../backend/uwsgi.ts'
import { eventually, within } from '../support/deadline.ts'
import { openRaw, sendRaw } from '../support/http-client.ts'
import { startScriptedBackend } from '../support/scripted-backend.ts'
import { handshake, textFrame } from '../support/web-socket.ts'

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop()
})

interface Stack {
  readonly origin: string
  readonly bridge: Bridge
  readonly backend: Awaited<ReturnType<typeof startScriptedBackend>>
  readonly lines: string[]
  readonly errors: string[]
  close(): Promise<void>
}

/** A scripted backend that switches protocols, a bridge to it, and `serve`, all in this process. */
async function startStack(
  handlerOf: (bridge: Bridge) => Handler = (bridge) => bridge
): Promise<Stack> {
  const backend = await startScriptedBackend()
  stops.push(backend.stop)
  backend.on('ws', { reply: SWITCHING, ending: 'hold' })
  const errors: string[] = []
  const bridge = createBridge(backend.address, { onError: (error) => errors.push(error.message) })
  const lines: string[] = []
  const server = await serve(handlerOf(bridge), {
    listen: 'http://127.0.0.1:0',
    closeTimeout: 300,
    log: (line) => lines.push(line.replace(/^\S+ /, '')),
  })
  stops.push(server.close)
  return { origin: server.url, bridge, backend, lines, errors, close: server.close }
}

/** A client whose sending side can end alone. */
async function openHalf(origin: string): Promise<Socket> {
  const { hostname: host, port } = new URL(origin)
  const socket = connect({ host, port: Number(port), allowHalfOpen: true })
  stops.push(async () => void socket.destroy())
  await within('a connection', once(socket, 'connect'))
  return socket
}

describe('serve() with a WebSocket', () => {
  test('passes on the end of one direction, and keeps the other', async () => {
    const { origin, backend, bridge, errors } = await startStack()
    const socket = await openHalf(origin)
    let received = ''
    socket.on('data', (bytes) => (received += bytes.toString('latin1')))
    socket.write(handshake('/script/ws'))
    const seen = await backend.connection('ws')
    await eventually('101', () => received.endsWith('\r\n\r\n'))
    socket.end(textFrame('last'), 'latin1')
    await seen.until(/last$/)
    await seen.ended()
    seen.write('and this')
    await eventually('what the backend says behind', () => received.endsWith('and this'))
    await seen.closed()
    await within('the end', once(socket, 'end'))
    await bridge.close()
    expect(errors).toEqual([])
  })

  test('writes a line to the access log when it ends', async () => {
    const { origin, lines } = await startStack()
    const socket = await openRaw(origin)
    await socket.write(handshake('/script/ws'))
    await socket.until(/\r\n\r\n$/)
    expect(lines).toEqual([])
    socket.destroy('reset')
    await eventually('a line', () => lines.length > 0)
    expect(lines.join()).toMatch(/^127\.0\.0\.1 "GET \/script\/ws HTTP\/1\.1" 101 [0-9.]+ms$/)
  })

  test('is under way until its end: close() of the bridge waits', async () => {
    const { origin, bridge } = await startStack()
    const socket = await openRaw(origin)
    await socket.write(handshake('/script/ws'))
    await socket.until(/\r\n\r\n$/)
    let closed = false
    const closing = bridge.close().then(() => (closed = true))
    await sleep(50)
    expect(closed).toBe(false)
    socket.destroy('reset')
    await within('the end of the bridge', closing)
  })

  test('is broken off by close() of the server after closeTimeout', async () => {
    const { origin, bridge, backend, close } = await startStack()
    const socket = await openRaw(origin)
    await socket.write(handshake('/script/ws'))
    const seen = await backend.connection('ws')
    await socket.until(/\r\n\r\n$/)
    const closing = close()
    await sleep(100)
    await socket.write(textFrame('still open'))
    await seen.until(/still open$/)
    await within('the server', closing)
    expect(await socket.closed()).toMatch(/^HTTP\/1\.1 101 /)
    await within('the bridge', bridge.close())
    await seen.closed()
  })

  test('is broken off by close() of the server before it is answered, too', async () => {
    const { origin, backend, close } = await startStack()
    backend.on('silent', { ending: 'hold' })
    const socket = await openRaw(origin)
    await socket.write(handshake('/script/silent'))
    const seen = await backend.connection('silent')
    await within('the server', close())
    expect(await socket.closed()).toBe('')
    await seen.closed()
  })

  test('outlives the keep-alive timeout of a request before it on its connection', async () => {
    const { origin, backend } = await startStack()
    backend.on('plain', { reply: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' })
    const socket = await openRaw(origin)
    await socket.write(`GET /script/plain HTTP/1.1\r\nHost: h\r\n\r\n${handshake('/script/ws')}`)
    await socket.until(/ok.*101 .*\r\n\r\n$/s)
    // node:http gives a connection 5 s for its next request, and one more.
    await sleep(6500)
    const seen = await backend.connection('ws')
    await socket.write(textFrame('here'))
    await seen.until(/here$/)
    expect(seen.received()).toContain('HTTP_UPGRADE')
    socket.destroy()
  })

  test('is answered 501 by a bridge behind fetch, with the reason for the operator', async () => {
    const { origin, errors } = await startStack((bridge) => ({ fetch: bridge.fetch }))
    const answer = await sendRaw(origin, handshake('/script/ws'))
    expect(answer).toMatch(/^HTTP\/1\.1 501 Not Implemented\r\n/)
    expect(errors).toEqual([expect.stringMatching(/^Cannot forward WebSocket request: /)])
  })

  test('is a request like any other to an application in TypeScript', async () => {
    const app = gateway((environ, startResponse) => {
      startResponse('200 OK', [['Content-Type', 'text/plain']])
      return [new TextEncoder().encode(`upgrade: ${String(environ['HTTP_UPGRADE'])}`)]
    })
    const { origin } = await startStack(() => app)
    expect(await sendRaw(origin, handshake('/'))).toMatch(/^HTTP\/1\.1 200 .*upgrade: undefined/s)
  })

  test('carries what a page in Chromium says and hears', async () => {
    const uwsgi = await startUwsgi({
      app: join(BACKEND, 'websocket_app.py'),
      bufferSize: 16_384,
      threads: 4,
    })
    stops.push(uwsgi.stop)
    const server = await serve(createBridge(uwsgi.address), { listen: 'http://127.0.0.1:0' })
    stops.push(server.close)
    const executablePath = findChromium()
    if (executablePath === undefined)
      throw new Error('Cannot find Chromium: run node test/backend/install.ts')
    const browser = await chromium.launch({
      executablePath,
      args: ['--no-sandbox', '--disable-gpu'],
    })
    stops.push(() => browser.close())
    const page = await browser.newPage()
    await page.goto(`${server.url}/count`)
    const heard = await page.evaluate(`new Promise((resolve, reject) => {
      const socket = new WebSocket(location.origin.replace('http', 'ws') + '/echo')
      socket.onerror = reject
      socket.onopen = () => socket.send('from Chromium')
      socket.onmessage = ({ data }) => resolve(data)
    })`)
    expect(heard).toBe('from Chromium')
  })

  test('frees the socket of a client that does not close after its backend has', async () => {
    const { origin, backend, lines } = await startStack()
    backend.on('ended', { reply: `${SWITCHING}bye` })
    const socket = await openHalf(origin)
    let received = ''
    socket.on('data', (bytes) => (received += bytes.toString('latin1')))
    socket.write(handshake('/script/ended'))
    await within('the end', once(socket, 'end'))
    expect(received).toMatch(/bye$/)
    expect(lines).toEqual([])
    await eventually('the line of its end', () => lines.length > 0)
  })
})
