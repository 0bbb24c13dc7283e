import { afterEach, describe, expect, test } from 'vitest'
import type { Handler } from '../../src/target/node/index.ts'
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
