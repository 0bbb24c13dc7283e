import { afterEach, describe, expect, test } from 'vitest'
import { type Handler, serve } from '../../src/target/node/index.ts'
import { openRaw } from '../security/raw-http.ts'
import { within } from '../support/deadline.ts'
import { send } from '../support/http-client.ts'
import { cleanUp, serving } from './serving.ts'

afterEach(cleanUp)

/** Every octet, again and again. */
function octetsOf(size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, index) => index & 0xff)
}

const counting: Handler = ({ url }) => {
  return new Response(octetsOf(Number(new URL(url).searchParams.get('size'))))
}

describe('a body that is in memory', () => {
  // 8192 is the last size that leaves as text; 65 536, the last in one write.
  test.each([0, 1, 255, 256, 8191, 8192, 8193, 65_535, 65_536, 65_537])(
    'of %i octets arrives as they are',
    async (size) => {
      const { origin } = await serving(counting)
      const { body, header } = await send(origin, { target: `/?size=${size}` })
      expect(body.equals(octetsOf(size))).toBe(true)
      expect(header('content-length')).toBe(String(size))
    }
  )
})

describe('the body of a request', () => {
  test.each([
    ['that is given up has ended', true, 'ended'],
    ['that is wanted still has failed', false, 'ERR_CLIENT_CLOSED'],
  ])('%s once its client has gone', async (_what, isGivenUp, expected) => {
    const started = Promise.withResolvers<void>()
    const found = Promise.withResolvers<unknown>()
    const server = await serve(
      {
        fetch: () => new Response(),
        async handle(_head, body, signal) {
          await body?.read()
          if (isGivenUp) await body?.cancel(undefined)
          const left = new Promise<void>((resolve) => signal?.addEventListener('abort', resolve))
          started.resolve()
          await left
          await new Promise(setImmediate)
          found.resolve(
            await body?.read().then(
              () => 'ended',
              (error: { code?: string }) => error.code
            )
          )
          return { status: 200, reason: 'OK', headers: [] }
        },
      },
      { listen: 'http://127.0.0.1:0' }
    )
    const connection = await openRaw(server.url)
    connection.send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc')
    await started.promise
    connection.reset()
    expect(await within('the end of the body', found.promise)).toBe(expected)
    await server.close()
  })
})
