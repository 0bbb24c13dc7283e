import { afterEach, describe, expect, test, vi } from 'vitest'
import { createBridgeOn } from '../../src/bridge/bridge.ts'
import { exchange, type ExchangeLimits } from '../../src/bridge/exchange.ts'
import { Guard } from '../../src/bridge/guard.ts'
import { connectionTunnel, watchTunnel } from '../../src/bridge/tunnel.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { GatewayResponse } from '../../src/core/gateway-response.ts'
import { requestHead } from '../../src/core/request-head.ts'
import type { Tunnel } from '../../src/core/tunnel.ts'
import { octets, text } from '../codec/wire.ts'
import { MemoryConnection, opening } from './memory-connection.ts'

const LIMITS: ExchangeLimits = { sendTimeout: 1000, readTimeout: 2000, bufferSize: 65_536 }
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nX-A: a\r\n\r\n'
const PACKET = '\0\0\0\0'

afterEach(() => {
  vi.useRealTimers()
})

/** Begins an exchange that asks for a WebSocket. */
function begin(connection: MemoryConnection, signal?: AbortSignal): Promise<GatewayResponse> {
  const request = {
    method: 'GET',
    packet: octets(PACKET),
    body: undefined,
    upgrade: 'websocket',
  }
  return exchange(connection, request, LIMITS, new Guard(signal))
}

function tunnelOf({ tunnel }: GatewayResponse): Tunnel {
  if (tunnel === undefined) throw new Error('Cannot go on: there is no tunnel')
  return tunnel
}

async function readText(tunnel: Tunnel): Promise<string | undefined> {
  const bytes = await tunnel.read()
  return bytes === undefined ? undefined : text(bytes)
}

describe('exchange() that asks for a WebSocket', () => {
  test('hands over the connection behind a 101, and what came along', async () => {
    const connection = new MemoryConnection().respond(`${SWITCHING}first`).respond('second')
    const response = await begin(connection)
    expect(response).toMatchObject({ status: 101, headers: [['X-A', 'a']] })
    expect(response.body).toBeUndefined()
    const tunnel = tunnelOf(response)
    expect(tunnel.idleTimeout).toBe(2000)
    expect([await readText(tunnel), await readText(tunnel)]).toEqual(['first', 'second'])
    await tunnel.write(octets('third'))
    expect(connection.written).toBe(`${PACKET}third`)
    connection.end()
    expect(await readText(tunnel)).toBeUndefined()
    expect(connection.closed).toBe(false)
    tunnel.close()
    expect(connection.closed).toBe(true)
  })

  test('leaves no timer behind, and hears the client no more', async () => {
    vi.useFakeTimers()
    const client = new AbortController()
    const connection = new MemoryConnection().respond(SWITCHING)
    await begin(connection, client.signal)
    expect(vi.getTimerCount()).toBe(0)
    client.abort()
    expect(connection.closed).toBe(false)
  })

  test('hands over behind the last byte of the packet', async () => {
    const written = Promise.withResolvers<void>()
    const connection = new MemoryConnection().respond(SWITCHING)
    connection.onWrite = () => written.promise
    let handedOver = false
    const response = begin(connection).then((value) => {
      handedOver = true
      return value
    })
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    expect(handedOver).toBe(false)
    written.resolve()
    expect((await response).status).toBe(101)
  })

  test('fails where the client leaves while the packet is still being written', async () => {
    const client = new AbortController()
    const written = Promise.withResolvers<void>()
    const connection = new MemoryConnection().respond(SWITCHING)
    connection.onWrite = () => written.promise
    const response = begin(connection, client.signal)
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    client.abort()
    written.resolve()
    await expect(response).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
    expect(connection.closed).toBe(true)
  })

  test('takes any other answer as it is', async () => {
    const connection = new MemoryConnection().respond(
      'HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n'
    )
    const response = await begin(connection)
    expect([response.status, response.tunnel]).toEqual([403, undefined])
    expect(await response.body?.read()).toBeUndefined()
  })
})

describe('connectionTunnel()', () => {
  test('tells a reset from an end', async () => {
    const connection = new MemoryConnection().reset()
    const tunnel = connectionTunnel(connection, [], 1000)
    await expect(tunnel.read()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TRUNCATED' })
  })

  test('ends one direction where the connection can, and both where not', () => {
    const end = vi.fn<() => void>()
    const half = Object.assign(new MemoryConnection(), { end })
    connectionTunnel(half, [], 1000).end()
    expect([end.mock.calls.length, half.closed]).toEqual([1, false])

    const whole = new MemoryConnection()
    connectionTunnel(Object.assign(whole, { end: undefined }) as never, [], 1000).end()
    expect(whole.closed).toBe(true)
  })
})

test('watchTunnel() tells of the end once, and of its first error', () => {
  const connection = new MemoryConnection()
  const onClose = vi.fn<(error: unknown) => void>()
  const tunnel = watchTunnel(connectionTunnel(connection, [], 1000), { onEnd: onClose })
  const error = new GatewayError('ERR_READ_TIMEOUT', 'idle')
  tunnel.close(error)
  tunnel.close()
  tunnel.close(new Error('later'))
  expect(onClose.mock.calls).toEqual([[error]])
  expect(connection.closed).toBe(true)
})

describe('bridge.handle() with a WebSocket', () => {
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
  }
  const meta = { rawHeaders: [['Host', 'h'], ...Object.entries(headers)] as [string, string][] }
  const head = requestHead(new Request('http://h/'), meta)

  function setUp(wire: string) {
    const connection = new MemoryConnection().respond(wire)
    const errors: unknown[] = []
    const bridge = createBridgeOn(
      {
        connect: () => () => opening(Promise.resolve(connection)),
        requestMeta: () => meta,
        headerEncoding: 'latin1',
      },
      'uwsgi://127.0.0.1:3031',
      { onError: (error) => errors.push((error as GatewayError).code) }
    )
    return { bridge, connection, errors }
  }

  test('is under way until the tunnel is closed, and reports what closed it', async () => {
    const { bridge, connection, errors } = setUp(SWITCHING)
    expect(bridge.tunnels).toBe(true)
    const response = await bridge.handle({ ...head, canTunnel: true }, undefined)
    expect(connection.written).toContain('HTTP_UPGRADE')
    let closed = false
    const closing = bridge.close().then(() => (closed = true))
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    expect(closed).toBe(false)
    tunnelOf(response).close(new GatewayError('ERR_READ_TIMEOUT', 'idle'))
    await closing
    expect(errors).toEqual(['ERR_READ_TIMEOUT'])
  })

  test('is 501 where the target cannot tunnel, fetch() among them, and sends nothing', async () => {
    const { bridge, connection, errors } = setUp(SWITCHING)
    expect((await bridge.handle(head, undefined)).status).toBe(501)
    expect((await bridge.fetch(new Request('http://h/'))).status).toBe(501)
    expect(errors).toEqual(['ERR_NOT_IMPLEMENTED', 'ERR_NOT_IMPLEMENTED'])
    expect(connection.written).toBe('')
  })
})
