import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, logged } from '../support/deadline.ts'
import { open, send, sendRaw } from '../support/http-client.ts'
import { type ScriptedBackend, startScriptedBackend } from '../support/scripted-backend.ts'
import { handshake } from '../support/web-socket.ts'
import { denoServeTarget, denoTarget } from './deno-target.ts'
import { describeTarget } from './suite.ts'

describeTarget(denoTarget)
describeTarget(denoServeTarget)

describe('serve() on Deno, closed', () => {
  let backend: ScriptedBackend
  beforeAll(async () => {
    backend = await startScriptedBackend()
    backend.on('slow', { reply: 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none', ending: 'hold' })
  })
  afterAll(() => backend.stop())

  test('lets a request under way end, and takes no connection meanwhile', async () => {
    const deno = await denoTarget.start({ UPSTREAM: backend.address, CLOSE_TIMEOUT: '4000' })
    const response = await open(deno.origin, { target: '/script/slow' })
    const connection = await backend.connection('slow')
    const stopped = deno.stop()
    await eventually('no connection', () =>
      send(deno.origin, { target: '/' }).then(
        () => false,
        () => true
      )
    )
    connection.write('two')
    expect((await response.rest()).toString()).toBe('onetwo')
    await stopped
    expect(deno.log()).toMatch(/^Closed$/m)
  })

  test('lets a request of Deno.serve end, and answers 503 meanwhile', async () => {
    const deno = await denoServeTarget.start({ UPSTREAM: backend.address, CLOSE_TIMEOUT: '4000' })
    const response = await open(deno.origin, { target: '/script/slow' })
    const connection = await backend.connection('slow')
    const stopped = deno.stop()
    await eventually('503', async () => (await send(deno.origin, { target: '/' })).status === 503)
    connection.write('two')
    expect((await response.rest()).toString()).toBe('onetwo')
    await stopped
    expect(deno.log()).toMatch(/^Closed$/m)
  })

  test.each([denoTarget, denoServeTarget])(
    'breaks off what is still under way after closeTimeout ($name)',
    async (target) => {
      const deno = await target.start({ UPSTREAM: backend.address, CLOSE_TIMEOUT: '50' })
      const response = await open(deno.origin, { target: '/script/slow' })
      const rest = response.rest()
      rest.catch(() => {})
      await deno.stop()
      await expect(rest).rejects.toThrow(/./)
      expect(deno.log()).toMatch(/^Closed$/m)
    }
  )

  test('answers a WebSocket 501 behind Deno.serve, which has no connection to give', async () => {
    const deno = await denoServeTarget.start({ UPSTREAM: backend.address })
    const answer = sendRaw(deno.origin, handshake('/script/slow', 'Connection: close'))
    expect(await answer).toMatch(/^HTTP\/1\.1 501 /)
    await logged(deno, /Cannot forward WebSocket request: this server gives no connection/)
    await deno.stop()
  })
})
