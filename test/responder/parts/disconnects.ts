/**
 * Clients that leave: the handler learns of it.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import { openRaw, send } from '../../support/http-client.ts'
import { fateOf, release, type ResponderContext, uniqueToken } from './context.ts'

/** Describes disconnects. */
export function describeDisconnects(context: ResponderContext): void {
  const { differs } = context.front

  describe('a client that leaves', () => {
    test.each(['close', 'reset'] as const)('while the handler works aborts it: %s', async (how) => {
      const { origin } = await context.server()
      const token = uniqueToken()
      const client = await openRaw(origin)
      await client.write(`GET /do/hold?token=${token} HTTP/1.1\r\nHost: h\r\n\r\n`)
      await fateOf(origin, token, 'started')
      client.destroy(how)
      const event = differs.leaveShows ? 'aborted' : 'started'
      expect(await fateOf(origin, token, event)).toContain(event)
      await release(origin, token)
    })

    test('when it has got its answer aborts nothing', async () => {
      const { origin } = await context.server()
      const token = uniqueToken()
      const answer = send(origin, { target: `/do/hold?token=${token}` })
      await fateOf(origin, token, 'started')
      await release(origin, token)
      expect((await answer).text).toBe('released')
      await send(origin, { target: '/' })
      expect(await fateOf(origin, token, 'started')).toEqual(['started'])
    })

    test('after its body aborts the handler', async () => {
      const { origin } = await context.server()
      const token = uniqueToken()
      const client = await openRaw(origin)
      await client.write(
        `POST /do/read?token=${token} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc`
      )
      await fateOf(origin, token, 'read 3')
      client.destroy()
      const event = differs.leaveShows ? 'aborted' : 'read 3'
      expect(await fateOf(origin, token, event)).toContain(event)
      await release(origin, token)
    })

    test('inside a response cancels it', async () => {
      const { origin } = await context.server()
      const token = uniqueToken()
      const client = await openRaw(origin)
      await client.write(`GET /do/stream?token=${token} HTTP/1.1\r\nHost: h\r\n\r\n`)
      await client.until(/one/)
      client.destroy()
      for (const event of differs.leaveShows ? ['cancelled', 'aborted'] : ['started']) {
        expect(await fateOf(origin, token, event)).toContain(event)
      }
      await release(origin, token)
    })

    test('inside a response that goes on stops it', async () => {
      const { origin } = await context.server()
      const token = uniqueToken()
      const client = await openRaw(origin)
      await client.write(`GET /do/endless?token=${token} HTTP/1.1\r\nHost: h\r\n\r\n`)
      await client.until(/\0/)
      client.destroy()
      for (const event of ['cancelled', 'aborted']) {
        expect(await fateOf(origin, token, event)).toContain(event)
      }
    })

    test('inside its body fails the reading of it', async () => {
      const { origin } = await context.server()
      const token = uniqueToken()
      const client = await openRaw(origin)
      await client.write(
        `POST /do/read?token=${token} HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n`
      )
      await client.write(Buffer.alloc(1_000_000))
      if (differs.cutOffArrives) await fateOf(origin, token, 'started')
      client.destroy()
      const outcome = differs.cutOffArrives
        ? await fateOf(origin, token, 'cut off')
        : (await send(origin, { target: `/do/fate?token=${token}` })).json()
      expect(outcome).toEqual(differs.cutOffArrives ? expect.arrayContaining(['cut off']) : [])
    })

    test('is nobody’s fault: no error is reported, and the next one is served', async () => {
      const { origin } = await context.server()
      expect((await send(origin, { target: '/do/status?code=204' })).status).toBe(204)
      expect(context.log()).not.toMatch(/\/do\/(?:hold|read|stream|endless)\S* 127\.0\.0\.1: /)
    })
  })
}
