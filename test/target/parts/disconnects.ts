/**
 * Clients that leave: the backend is let go at once, whatever it was doing.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import { openRaw, type RawConnection, send } from '../../support/http-client.ts'
import type { Script, SeenConnection } from '../../support/scripted-backend.ts'
import type { SuiteContext } from './context.ts'

/** Describes disconnects. */
export function describeDisconnects(context: SuiteContext): void {
  const { leave } = context.differs
  /** A client in the middle of a request, and the connection that the backend has for it. */
  async function underWay(
    name: string,
    script: Script,
    request: string
  ): Promise<{ client: RawConnection; backend: SeenConnection }> {
    context.scripted().on(name, script)
    const { origin } = await context.deployment({ UPSTREAM: context.scripted().address })
    const client = await openRaw(origin)
    await client.write(request.replace('/', `/script/${name} `))
    return { client, backend: await context.scripted().connection(name) }
  }

  describe('a client that leaves', () => {
    test('before the head closes the connection to the backend', async () => {
      const request = 'GET /HTTP/1.1\r\nHost: localhost\r\n\r\n'
      const { client, backend } = await underWay('gone-early', { ending: 'hold' }, request)
      client.destroy(leave)
      await expect(backend.closed()).resolves.toBeUndefined()
    })

    test('inside its body closes the connection to the backend', async () => {
      const request = 'POST /HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc'
      const { client, backend } = await underWay('gone-sending', { ending: 'hold' }, request)
      await backend.until(/abc$/)
      client.destroy(leave)
      await expect(backend.closed()).resolves.toBeUndefined()
      expect(backend.received()).toMatch(/abc$/)
    })

    test('inside the response closes the connection to the backend', async () => {
      const script: Script = { reply: 'HTTP/1.1 200 OK\r\n\r\none', ending: 'hold' }
      const request = 'GET /HTTP/1.1\r\nHost: localhost\r\n\r\n'
      const { client, backend } = await underWay('gone-reading', script, request)
      await client.until(/one/)
      client.destroy(leave)
      await expect(backend.closed()).resolves.toBeUndefined()
    })

    test('is nobody’s fault: the log is silent, and the next one is served', async () => {
      const deployment = await context.deployment({ UPSTREAM: context.scripted().address })
      expect(deployment.log()).not.toMatch(/\/script\/gone-\S+ .*ERR_/)
      context.scripted().on('next', { reply: 'HTTP/1.1 204 No Content\r\n\r\n' })
      expect((await send(deployment.origin, { target: '/script/next' })).status).toBe(204)
    })
  })
}
