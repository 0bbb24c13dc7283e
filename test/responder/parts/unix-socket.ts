/**
 * The responder on a unix socket, behind nginx.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FrontServer } from '../../backend/front.ts'
import { startNginx } from '../../backend/nginx.ts'
import { send } from '../../support/http-client.ts'
import { seenBy } from './context.ts'

/** Describes the unix socket. */
export function describeUnixSocket(address: () => string): void {
  describe('on a unix socket behind nginx', () => {
    let nginx: FrontServer
    beforeAll(async () => {
      nginx = await startNginx({ upstream: address() })
    })
    afterAll(() => nginx.stop())

    test('a request arrives', async () => {
      const body = Buffer.alloc(1_000_000)
      const seen = await seenBy(nginx.origin, { target: '/a%2Fb?x', body })
      expect(seen).toMatchObject({ method: 'POST', url: `${nginx.origin}/a%2Fb?x` })
      expect([seen.bodyLength, seen.meta.remote?.addr]).toEqual([body.length, '127.0.0.1'])
    })

    test('an early answer survives', async () => {
      const request = { target: '/do/early', body: Buffer.alloc(5_000_000) }
      for (let i = 0; i < 20; i++) expect((await send(nginx.origin, request)).status).toBe(413)
    })

    test('20 MB arrive', async () => {
      const { body } = await send(nginx.origin, { target: '/do/body?bytes=20000000' })
      expect(body.length).toBe(20_000_000)
    })

    test('a response that is cut short breaks off where it has a length, and only there', async () => {
      const announced = send(nginx.origin, { target: '/do/fail?bytes=5&length=9' })
      await expect(announced).rejects.toThrow(/aborted|broke off/)
      // A unix socket knows no reset.
      expect((await send(nginx.origin, { target: '/do/fail?bytes=5' })).text).toBe('aaaaa')
    })
  })
}
