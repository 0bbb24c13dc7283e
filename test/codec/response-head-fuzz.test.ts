import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseResponseHead, type ResponseHead } from '../../src/codec/response-head.ts'
import { codeOf } from './decode.ts'

/** The head of these lines, `undefined` where it is refused; throws what is not a GatewayError. */
function parse(lines: readonly string[], method: string): ResponseHead | undefined {
  try {
    return parseResponseHead(`${lines.join('\r\n')}\r\n\r\n`, method)
  } catch (error) {
    expect(codeOf(error)).toBe('ERR_UPSTREAM_PROTOCOL')
    return undefined
  }
}

const octet = fc.integer({ min: 0, max: 255 }).map((unit) => String.fromCharCode(unit))
const noise = fc.string({ unit: octet, maxLength: 12 })
const status = fc.constantFrom(
  'HTTP/1.1 200 OK',
  'HTTP/1.1 204 X',
  'HTTP/1.1 99 X',
  'Status: 404 X'
)
const field = fc.oneof(
  fc.constantFrom(
    'Content-Length: 3',
    'Content-Length: 03',
    'Transfer-Encoding: chunked',
    'Connection: A, Set-Cookie',
    'Set-Cookie: a=b',
    'Location: /',
    ' folded'
  ),
  fc
    .tuple(fc.constantFrom('A', 'B', 'X-\xe9', ''), noise)
    .map(([name, value]) => `${name}: ${value}`),
  noise
)
const head = fc
  .tuple(fc.oneof({ weight: 5, arbitrary: status }, noise), fc.array(field, { maxLength: 5 }))
  .map(([first, fields]) => [first].concat(fields))

test('parseResponseHead() of any lines is a head made of the lines there are, or a GatewayError (UW-10, SEC-70, SEC-74)', () => {
  const seen = { head: 0, refused: 0 }
  fc.assert(
    fc.property(head, fc.constantFrom('GET', 'HEAD'), (lines, method) => {
      const got = parse(lines, method)
      seen[got === undefined ? 'refused' : 'head']++
      if (got === undefined) return
      expect(got.status).toBeGreaterThanOrEqual(100)
      expect(got.status).toBeLessThanOrEqual(599)
      const written = lines.join('\n').split('\n')
      for (const [name, value] of got.headers) {
        expect(name).toMatch(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/)
        expect(value).toMatch(
          /^(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?$/
        )
        // Nothing is invented: one of the lines says so.
        const line = written.find(
          (candidate) => candidate.startsWith(`${name}:`) && candidate.includes(value)
        )
        expect(line).toBeDefined()
      }
      const lengths = got.headers.filter(([name]) => /^content-length$/i.test(name))
      expect(lengths.length).toBeLessThanOrEqual(1)
    }),
    { numRuns: 3000 }
  )
  expect(Math.min(seen.head, seen.refused)).toBeGreaterThan(100)
})
