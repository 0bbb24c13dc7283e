import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { PROJECT_ROOT } from '../backend/programs.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { logged, within } from '../support/deadline.ts'
import { openRaw, send } from '../support/http-client.ts'
import { type ScriptedBackend, startScriptedBackend } from '../support/scripted-backend.ts'
import { handshake } from '../support/web-socket.ts'
import { describeTarget } from './suite.ts'
import type { RunningTarget, TargetVariables } from './target.ts'
import { bundleWorker, startBundled } from './workers-target.ts'

const target = await bundleWorker()

describeTarget(target)

describe('the Worker', () => {
  const stops: (() => Promise<void>)[] = []
  afterAll(async () => {
    await Promise.all(stops.map((stop) => stop()))
  })

  async function start(variables: TargetVariables): Promise<RunningTarget> {
    const worker = await target.start(variables)
    stops.push(worker.stop)
    return worker
  }
  async function uwsgi(): Promise<UwsgiServer> {
    const server = await startUwsgi({ app: 'environ' })
    stops.push(server.stop)
    return server
  }
  async function scripted(): Promise<ScriptedBackend> {
    const backend = await startScriptedBackend()
    stops.push(backend.stop)
    return backend
  }

  test('answers a WebSocket 501: workerd has no connection to give behind a 101', async () => {
    const backend = await uwsgi()
    const worker = await start({ UPSTREAM: backend.address })
    const socket = await openRaw(worker.origin)
    await socket.write(handshake('/'))
    await socket.until(/^HTTP\/1\.1 501 Not Implemented\r\n/)
    socket.destroy()
    await logged(worker, /Cannot forward WebSocket request: this server gives no connection/)
    expect((await send(worker.origin, { target: '/' })).status).toBe(200)
  })

  describe('GET /_gateway/health', () => {
    test('is 200 while uWSGI answers pings, 503 once it does not', async () => {
      const backend = await uwsgi()
      const worker = await start({ UPSTREAM: backend.address })
      const { origin } = worker
      const up = await send(origin, { target: '/_gateway/health' })
      expect(up.status).toBe(200)
      expect(up.json()).toEqual({ status: 'ok' })
      expect(up.header('cache-control')).toBe('no-store')
      expect(up.header('content-type')).toBe('application/json')

      await backend.stop()
      const down = await send(origin, { target: '/_gateway/health' })
      expect(down.status).toBe(503)
      expect(down.json()).toEqual({ status: 'error', code: 'ERR_UPSTREAM_CONNECT' })
      expect(down.header('cache-control')).toBe('no-store')
      await logged(worker, /Cannot connect to uwsgi:\/\/127\.0\.0\.1:/)
    })

    test('is 503 when something else answers, or nothing in READ_TIMEOUT', async () => {
      const backend = await scripted()
      backend.on('', { reply: 'HTTP/1.1 200 OK\r\n\r\n' })
      const { origin } = await start({ UPSTREAM: backend.address, READ_TIMEOUT: '1000' })
      const wrong = await send(origin, { target: '/_gateway/health' })
      expect(wrong.status).toBe(503)
      expect(wrong.json()).toEqual({ status: 'error', code: 'ERR_UPSTREAM_PROTOCOL' })

      backend.on('', { ending: 'hold' })
      const silent = await send(origin, { target: '/_gateway/health' })
      expect(silent.status).toBe(503)
      expect(silent.json()).toEqual({ status: 'error', code: 'ERR_READ_TIMEOUT' })
    })

    test('HEALTH_PATH moves it or turns it off', async () => {
      const { address } = await uwsgi()
      const moved = await start({ UPSTREAM: address, HEALTH_PATH: '/up' })
      expect((await send(moved.origin, { target: '/up' })).json()).toEqual({ status: 'ok' })
      expect((await send(moved.origin, { target: '/up?now' })).json()).toEqual({ status: 'ok' })
      const old = await send(moved.origin, { target: '/_gateway/health' })
      expect(old.json()).toMatchObject({ PATH_INFO: '/_gateway/health' })

      const off = await start({ UPSTREAM: address, HEALTH_PATH: 'off' })
      const through = await send(off.origin, { target: '/_gateway/health' })
      expect(through.json()).toMatchObject({ PATH_INFO: '/_gateway/health' })
    })
  })

  describe('without UPSTREAM', () => {
    const HOSTILE = '<script>alert(1)</script>'

    test('shows the environ as a page that runs nothing', async () => {
      const { origin } = await start({ UPSTREAM: '' })
      const page = await send(origin, {
        target: '/caf%C3%A9?a=b',
        headers: [
          ['Accept', 'text/html,*/*;q=0.8'],
          ['X-Hostile', HOSTILE],
        ],
      })
      expect(page.status).toBe(200)
      expect(page.header('content-type')).toMatch(/^text\/html/)
      expect(page.header('content-security-policy')).toContain("default-src 'none'")
      expect(page.header('cache-control')).toBe('no-store')
      expect(page.header('vary')).toBe('Accept')
      expect(page.header('x-content-type-options')).toBe('nosniff')
      expect(page.text).toContain('PATH_INFO')
      expect(page.text).toContain('HTTP_X_HOSTILE')
      expect(page.text).not.toContain(HOSTILE)
    })

    test('shows it as JSON to who asks for that', async () => {
      const { origin } = await start({ MOUNT: '/m' })
      const response = await send(origin, {
        target: '/m/caf%C3%A9?a=b',
        headers: [
          ['Accept', 'application/json'],
          ['CF-Connecting-IP', '203.0.113.7'],
        ],
      })
      expect(response.header('content-type')).toBe('application/json')
      const shown = response.text
      for (const part of ['"SCRIPT_NAME": "/m"', '"QUERY_STRING": "a=b"', '203.0.113.7']) {
        expect(shown).toContain(part)
      }
      expect(shown).not.toContain('CF_CONNECTING_IP')
    })

    test('refuses what a bridge refuses', async () => {
      const { origin } = await start({ MOUNT: '/m' })
      expect((await send(origin, { target: '/other' })).status).toBe(404)
      expect((await send(origin, { target: '/m/%00' })).status).toBe(400)
    })
  })

  test.each([
    ['UPSTREAM', 'http://secret.internal:80'],
    ['UPSTREAM', 'unix:/secret.sock'],
    ['READ_TIMEOUT', 'secret'],
    ['READ_TIMEOUT', '0'],
    ['TRUSTED_PROXIES', 'secret'],
    ['HEALTH_PATH', 'secret'],
    ['ENCODED_SLASH', 'secret'],
    ['MODIFIER1', '173'],
    ['PARAMS', 'secret'],
  ])('a wrong %s is a 500 that names it and keeps its value', async (name, value) => {
    const worker = await start({ UPSTREAM: 'uwsgi://127.0.0.1:1', [name]: value })
    for (const path of ['/', '/_gateway/health']) {
      const { status, text } = await send(worker.origin, { target: path })
      expect({ status, text }).toEqual({
        status: 500,
        text: `500 Internal Server Error: variable ${name} is wrong\n`,
      })
    }
    // Who reads the log is told the value, too.
    await logged(worker, new RegExp(value))
  })

  test('UPSTREAM_BINDING connects through connect() of that binding', async () => {
    const { address } = await uwsgi()
    const upstream = address.replace('127.0.0.1', 'backend.internal')
    const direct = await start({ UPSTREAM: upstream })
    expect((await send(direct.origin, { target: '/a' })).status).toBe(502)
    const bound = await start({ UPSTREAM: upstream, UPSTREAM_BINDING: 'NET' })
    const answer = await send(bound.origin, { target: '/a' })
    expect(answer.status).toBe(200)
    expect(answer.json()).toMatchObject({ PATH_INFO: '/a' })
    const health = await send(bound.origin, { target: '/_gateway/health' })
    expect(health.status).toBe(200)
  })

  test('UPSTREAM_BINDING that is no binding is a 502 or 500 without its name', async () => {
    const variables = { UPSTREAM: 'uwsgi://127.0.0.1:1', UPSTREAM_BINDING: 'MISSING' }
    const worker = await start(variables)
    const { status, text } = await send(worker.origin, { target: '/' })
    expect(status).toBeGreaterThanOrEqual(500)
    expect(text).not.toContain('MISSING')
    await logged(worker, /env\.MISSING has no connect\(\)/)
  })
})

/** A Worker that reads a response, or gives it up, and works on without it. */
const WORKING_ON = `
import { createBridge } from ${JSON.stringify(join(PROJECT_ROOT, 'src', 'target', 'workers.ts'))}
export default {
  async fetch(request, env) {
    const response = await createBridge(env.UPSTREAM).fetch(request)
    if (request.url.includes('whole')) await response.text()
    else await response.body.cancel()
    await fetch(env.NEXT)
    return new Response('done')
  },
}`

describe('a bridge on Workers lets its backend go', () => {
  test.each([
    ['whole', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome', 'ended'],
    ['given-up', 'HTTP/1.1 200 OK\r\n\r\nsome', 'closed'],
  ] as const)('when a response is %s, not when the Worker ends', async (name, reply, event) => {
    const backend = await startScriptedBackend()
    const started = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const next = createServer((_request, response) => {
      started.resolve()
      void goOn.promise.then(() => response.end())
    })
    next.listen(0, '127.0.0.1')
    await once(next, 'listening')
    const { port } = next.address() as AddressInfo
    const worker = await startBundled(
      { contents: WORKING_ON },
      {
        UPSTREAM: backend.address,
        NEXT: `http://127.0.0.1:${port}`,
      }
    )
    try {
      backend.on(name, { reply, ending: 'hold' })
      const answered = send(worker.origin, { target: `/script/${name}` })
      const connection = await backend.connection(name)
      await within('the rest of the Worker', started.promise)
      await connection[event]()
      goOn.resolve()
      expect((await answered).text).toBe('done')
    } finally {
      goOn.resolve()
      await worker.stop()
      next.close()
      await backend.stop()
    }
  })
})
