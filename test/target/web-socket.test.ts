import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BACKEND } from '../backend/programs.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { eventually, logged } from '../support/deadline.ts'
import { openRaw, type RawConnection, send, sendRaw } from '../support/http-client.ts'
import { type ScriptedBackend, startScriptedBackend } from '../support/scripted-backend.ts'
import {
  handshake,
  openWebSocket,
  textFrame,
  WEBSOCKET_ACCEPT,
  WEBSOCKET_LINES,
} from '../support/web-socket.ts'
import { denoTarget } from './deno-target.ts'
import { nodeTarget } from './node-target.ts'
import type { RunningTarget } from './target.ts'

const APP = { app: join(BACKEND, 'websocket_app.py'), threads: 8, bufferSize: 16_384 }
/** uWSGI's own words, and the fields that each hop says anew. */
const SWITCHED = /^HTTP\/1\.1 101 Web Socket Protocol Handshake\r\n(?:[^\r]+\r\n)+\r\n/
const CODE_101 = 'HTTP/1.1 101 Switching Protocols\r\n'
const HELLO_FRAME = '\x81\x05hello'

type Environ = Readonly<Record<string, string>>

/** The environ in a response that came raw. */
function environIn(response: string): Environ {
  return JSON.parse(/\{.*\}/.exec(response)?.[0] ?? '') as Environ
}

/** Waits until as many sockets are open in the application behind `server`. */
async function untilOpen(server: RunningTarget, count: number): Promise<void> {
  await eventually(`${count} open sockets`, async () => {
    const { text } = await send(server.origin, { target: '/count' })
    return text === String(count)
  })
}

describe.each([nodeTarget, denoTarget])('a WebSocket through serve() on $name', (runtime) => {
  let unix: UwsgiServer
  let tcp: UwsgiServer
  let scripted: ScriptedBackend
  let toUnix: RunningTarget
  let toTcp: RunningTarget
  let toScript: RunningTarget

  beforeAll(async () => {
    ;[unix, tcp, scripted] = await Promise.all([
      startUwsgi({ ...APP, socket: 'unix' }),
      startUwsgi(APP),
      startScriptedBackend(),
    ])
    ;[toUnix, toTcp, toScript] = await Promise.all([
      runtime.start({ UPSTREAM: unix.address }),
      runtime.start({ UPSTREAM: tcp.address, READ_TIMEOUT: '1500' }),
      runtime.start({ UPSTREAM: scripted.address, READ_TIMEOUT: '1500' }),
    ])
  })
  afterAll(async () => {
    await Promise.all([toUnix, toTcp, toScript].map((server) => server?.stop()))
    await Promise.all([unix, tcp, scripted].map((server) => server?.stop()))
  })

  /** A connection on which a handshake has been answered. */
  async function shakeHands(target: string): Promise<RawConnection> {
    const connection = await openRaw(toScript.origin)
    await connection.write(handshake(target))
    await connection.until(/^HTTP\/1\.1 101 .*\r\n\r\n/s)
    return connection
  }

  describe.each([
    ['a unix socket', () => toUnix],
    ['TCP', () => toTcp],
  ])('over %s', (_socket, server) => {
    test('carries text and bytes, up to 1 MiB', async () => {
      const text = await openWebSocket(server().origin, '/echo')
      const bytes = await openWebSocket(server().origin, '/echo?binary')
      text.send('grüße')
      expect(await text.next()).toBe('grüße')
      const mebibyte = Buffer.alloc(1_048_576, 'abcdefg')
      bytes.send(mebibyte)
      expect(mebibyte.equals((await bytes.next()) as Buffer)).toBe(true)
      text.send('a'.repeat(1_048_576))
      expect(await text.next()).toHaveLength(1_048_576)
      text.close()
      bytes.close()
      await untilOpen(server(), 0)
    })

    test('carries many messages, in order', async () => {
      const socket = await openWebSocket(server().origin, '/echo')
      const messages = Array.from({ length: 1000 }, (_, i) => String(i).repeat(i % 50) + i)
      for (const message of messages) socket.send(message)
      for (const message of messages) expect(await socket.next()).toBe(message)
      socket.close(1000, 'done')
      expect(await socket.closed()).toEqual([])
      await untilOpen(server(), 0)
    })

    test('ends when the application ends it, behind its last message', async () => {
      const socket = await openWebSocket(server().origin, '/talk?count=500&bytes=5000')
      const messages = await socket.closed()
      expect(messages).toHaveLength(500)
      expect(messages.at(-1)).toBe('499'.padStart(5000, '.'))
    })

    test('frees the worker of a client that resets, or ends', async () => {
      const connections = [await openRaw(server().origin), await openRaw(server().origin)]
      for (const connection of connections) {
        await connection.write(handshake('/listen'))
        await connection.until(/\x81\x05ready$/)
      }
      await untilOpen(server(), 2)
      connections[0]?.destroy('reset')
      await untilOpen(server(), 1)
      connections[1]?.destroy('close')
      await untilOpen(server(), 0)
      expect((await send(server().origin, { target: '/answer' })).status).toBe(200)
    })
  })

  test('HDR-3: reaches the application with Upgrade and Connection, and all Sec-WebSocket fields', async () => {
    const socket = await openRaw(toUnix.origin)
    await socket.write(
      handshake('/environ?a=b', 'Sec-WebSocket-Extensions: x-none', 'TE: trailers')
    )
    const environ = environIn(await socket.until(/\}$/))
    socket.destroy()
    expect(environ).toMatchObject({
      HTTP_UPGRADE: 'websocket',
      HTTP_CONNECTION: 'Upgrade',
      HTTP_SEC_WEBSOCKET_KEY: 'dGhlIHNhbXBsZSBub25jZQ==',
      HTTP_SEC_WEBSOCKET_VERSION: '13',
      HTTP_SEC_WEBSOCKET_EXTENSIONS: 'x-none',
      SERVER_PROTOCOL: 'HTTP/1.1',
      QUERY_STRING: 'a=b',
    })
    expect(environ).not.toHaveProperty('HTTP_TE')
    expect(environ).not.toHaveProperty('CONTENT_LENGTH')
  })

  test('UW-10: is answered with the 101 of the backend, Upgrade and Connection said anew', async () => {
    const socket = await openRaw(toUnix.origin)
    await socket.write(handshake('/listen'))
    const [head = ''] = SWITCHED.exec(await socket.until(SWITCHED)) ?? []
    socket.destroy()
    const lines = head.toLowerCase().split('\r\n')
    expect(lines.filter((line) => line.startsWith('upgrade:'))).toEqual(['upgrade: websocket'])
    expect(lines.filter((line) => line.startsWith('connection:'))).toEqual(['connection: upgrade'])
    expect(head).toContain(`Sec-WebSocket-Accept: ${WEBSOCKET_ACCEPT}\r\n`)
    expect(head).not.toMatch(/content-length|transfer-encoding/i)
  })

  test('carries a frame that came behind the request, and behind one before it', async () => {
    const socket = await openRaw(toUnix.origin)
    await socket.write(
      `GET /answer HTTP/1.1\r\nHost: h\r\n\r\n${handshake('/echo')}${textFrame('first')}`
    )
    const received = await socket.until(/\x81\x05first$/)
    await socket.write(textFrame('second'))
    await socket.until(/\x81\x05first\x81\x06second$/)
    socket.destroy()
    expect(received).toMatch(/^HTTP\/1\.1 200 .*\}HTTP\/1\.1 101 /s)
  })

  test('carries a frame that came behind the 101', async () => {
    scripted.on('hasty', {
      reply: `${CODE_101}upgrade: WebSocket\r\n\r\n${HELLO_FRAME}`,
      ending: 'hold',
    })
    const socket = await shakeHands('/script/hasty')
    const backend = await scripted.connection('hasty')
    expect(await socket.until(/hello$/)).toMatch(/\r\n\r\n\x81\x05hello$/)
    await socket.write(textFrame('hi'))
    await backend.until(/\x81\x82\0\0\0\0hi$/)
    socket.destroy()
    await backend.closed()
  })

  test('holds the backend up while the client does not read', async () => {
    const socket = await openRaw(toUnix.origin)
    socket.pause()
    await socket.write(handshake('/talk?count=4000&bytes=65000'))
    await sleep(1500)
    // 260 MB of which the sockets between take a few: uWSGI waits, or has given up waiting.
    const { text } = await send(toUnix.origin, { target: '/count' })
    expect(text).toBe('1')
    socket.destroy('reset')
    await untilOpen(toUnix, 0)
  })

  test.each(['403 Forbidden', '404 Not Found', '302 Found', '200 OK'])(
    'is refused in HTTP where the application answers %s',
    async (status) => {
      const answer = await sendRaw(
        toUnix.origin,
        handshake(`/answer?status=${encodeURIComponent(status)}`)
      )
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status}\r\n`))
      expect(answer).toMatch(/^connection: close\r$/im)
      expect(answer).not.toMatch(/^upgrade:/im)
      expect(environIn(answer)['PATH_INFO']).toBe('/answer')
    }
  )

  test.each([
    ['for which nobody asked (RSP-12)', 'GET / HTTP/1.1\r\nHost: h\r\n', 'Upgrade: websocket\r\n'],
    ['to another protocol', undefined, 'Upgrade: h2c\r\n'],
    ['to nothing', undefined, ''],
    ['with Content-Length', undefined, 'Upgrade: websocket\r\nContent-Length: 2\r\n'],
    ['in chunks', undefined, 'Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n'],
  ])('a 101 %s is answered 502 (UW-10)', async (_what, request, fields) => {
    scripted.on('wrong', { reply: `${CODE_101}${fields}\r\n${HELLO_FRAME}`, ending: 'hold' })
    const head = request?.replace('/ ', '/script/wrong ')
    const answer = await sendRaw(
      toScript.origin,
      head === undefined ? handshake('/script/wrong') : `${head}Connection: close\r\n\r\n`
    )
    expect(answer).toMatch(/^HTTP\/1\.1 502 /)
    expect(answer).not.toContain(HELLO_FRAME)
    await (await scripted.connection('wrong')).closed()
  })

  test.each([
    ['Upgrade to something else', 'GET', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c']],
    ['a POST', 'POST', [...WEBSOCKET_LINES, 'Content-Length: 3']],
    ['no key', 'GET', WEBSOCKET_LINES.filter((line) => !/-Key/.test(line))],
    ['no version', 'GET', WEBSOCKET_LINES.filter((line) => !/-Version/.test(line))],
  ])('a request with %s is like any other (HDR-3)', async (_what, method, lines) => {
    const bytes = `${[`${method} /answer HTTP/1.1`, 'Host: h', ...lines].join('\r\n')}\r\n\r\n`
    const answer = await sendRaw(toUnix.origin, method === 'POST' ? `${bytes}abc` : bytes)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    const environ = environIn(answer)
    expect(environ).not.toHaveProperty('HTTP_UPGRADE')
    expect(environ).not.toHaveProperty('HTTP_CONNECTION')
    expect(environ['CONTENT_LENGTH'] || undefined).toBe(method === 'POST' ? '3' : undefined)
  })

  test('HTTP/1.0 knows no Upgrade', async () => {
    const bytes = handshake('/answer').replace('HTTP/1.1', 'HTTP/1.0')
    expect(environIn(await sendRaw(toUnix.origin, bytes))).not.toHaveProperty('HTTP_UPGRADE')
  })

  test.each([
    ['Content-Length', 'Content-Length: 30', ''],
    ['chunks', 'Transfer-Encoding: chunked', '0\r\n\r\n'],
    ['both', 'Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\n'],
  ])(
    'with %s is refused, and nothing behind it is read (BODY-1, SEC-49)',
    async (_what, line, body) => {
      for (const name of ['body', 'smuggled']) {
        scripted.on(name, { reply: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' })
      }
      const smuggled = 'GET /script/smuggled HTTP/1.1\r\nHost: h\r\n\r\n'
      const answer = await sendRaw(
        toScript.origin,
        handshake('/script/body', line) + body + smuggled
      )
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
      expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1)
    }
  )

  test('ends after readTimeout without a byte either way, and not before', async () => {
    scripted.on('idle', { reply: `${CODE_101}Upgrade: websocket\r\n\r\n`, ending: 'hold' })
    const socket = await shakeHands('/script/idle')
    const backend = await scripted.connection('idle')
    for (let i = 0; i < 4; i++) {
      await sleep(500)
      if (i % 2 === 0) await socket.write(textFrame('x'))
      else backend.write(HELLO_FRAME)
    }
    await sleep(1000)
    await socket.write(textFrame('still here'))
    await backend.until(/still here$/)
    expect(await socket.closed()).toMatch(/hello\x81\x05hello$/)
    await backend.closed()
    await logged(toScript, /ERR_READ_TIMEOUT|Nothing went through the tunnel for 1500 ms/)
  })

  test('reaches nobody when the client leaves before the answer', async () => {
    scripted.on('silent', { ending: 'hold' })
    for (const how of ['close', 'reset'] as const) {
      const socket = await openRaw(toScript.origin)
      await socket.write(handshake('/script/silent'))
      const backend = await scripted.connection('silent')
      socket.destroy(how)
      await backend.closed()
      expect(backend.received()).toContain('HTTP_UPGRADE')
      await sleep(100)
      expect(toScript.log()).not.toContain('The upstream sent nothing')
    }
  })

  test('ends for the client when the backend resets it, or is killed', async () => {
    scripted.on('reset', { reply: `${CODE_101}Upgrade: websocket\r\n\r\n`, ending: 'reset' })
    const socket = await openRaw(toScript.origin)
    await socket.write(handshake('/script/reset'))
    expect(await socket.closed()).toMatch(/^HTTP\/1\.1 (?:101|502) /)

    const doomed = await startUwsgi(APP)
    const server = await runtime.start({ UPSTREAM: doomed.address })
    const victim = await openWebSocket(server.origin, '/echo')
    await doomed.stop()
    await victim.closed()
    expect((await send(server.origin, { target: '/count' })).status).toBe(502)
    await server.stop()
  })
})
