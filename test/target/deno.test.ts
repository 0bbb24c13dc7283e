import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/deadline.ts'
import { open, send } from '../support/http-client.ts'
import { type ScriptedBackend, startScriptedBackend } from '../support/scripted-backend.ts'
import { denoTarget } from './deno-target.ts'
import { describeTarget } from './suite.ts'

describeTarget(denoTarget)

describe('serve() on Deno, closed', () => {
  let backend: ScriptedBackend
  beforeAll(async () => {
    backend = await startScriptedBackend()
    backend.on('slow', { reply: 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none', ending: 'hold' })
  })
  afterAll(() => backend.stop())

  test('lets a request under way end, and answers 503 meanwhile', async () => {
    const deno = await denoTarget.start({ UPSTREAM: backend.address, CLOSE_TIMEOUT: '4000' })
    const response = await open(deno.origin, { target: '/script/slow' })
    const connection = await backend.connection('slow')
    const stopped = deno.stop()
    await eventually('503', async () => (await send(deno.origin, { target: '/' })).status === 503)
    connection.write('two')
    expect((await response.rest()).toString()).toBe('onetwo')
    await stopped
    expect(deno.log()).toMatch(/^Closed$/m)
  })

  test('breaks off what is still under way after closeTimeout', async () => {
    const deno = await denoTarget.start({ UPSTREAM: backend.address, CLOSE_TIMEOUT: '50' })
    const response = await open(deno.origin, { target: '/script/slow' })
    const rest = response.rest()
    rest.catch(() => {})
    await deno.stop()
    await expect(rest).rejects.toThrow(/./)
    expect(deno.log()).toMatch(/^Closed$/m)
  })
})
