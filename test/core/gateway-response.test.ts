import { expect, test } from 'vitest'
import { bytesSource, type BodySource, collect, sourceStream } from '../../src/core/body-source.ts'
import { ERROR_STATUS, GatewayError, type GatewayErrorCode } from '../../src/core/errors.ts'
import { errorResponse, toResponse } from '../../src/core/gateway-response.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { octets } from './support.ts'

const LATIN1 = { headerEncoding: 'latin1' } as const

async function pageOf(body: BodySource | undefined): Promise<string> {
  return body === undefined ? '' : octetsToNative(await collect(body))
}

test.each(Object.keys(ERROR_STATUS) as GatewayErrorCode[])(
  'errorResponse() of %s is its status and the name of it, nothing else (SEC-79)',
  async (code) => {
    const { status, reason, headers, body } = errorResponse(new GatewayError(code, 'secret'))
    const page = await pageOf(body)
    expect(status).toBe(ERROR_STATUS[code])
    expect(reason).toMatch(/^[A-Z][A-Za-z -]+$/)
    expect(page).toBe(status === 204 ? '' : `${status} ${reason}\n`)
    expect(Object.fromEntries(headers)['Content-Length']).toBe(
      status === 204 ? undefined : String(page.length)
    )
    expect(JSON.stringify(headers)).not.toContain('secret')
  }
)

test.each([new Error('secret'), 'secret', undefined, { status: 200, code: 'ERR_BAD_REQUEST' }])(
  'errorResponse() answers 500 to a bug: %o (SEC-79)',
  async (error) => {
    const { status, body } = errorResponse(error)
    expect([status, await pageOf(body)]).toEqual([500, '500 Internal Server Error\n'])
  }
)

test.each(['ERR_METHOD_NOT_ALLOWED', 'ERR_ASTERISK_FORM'] as const)(
  'errorResponse() of %s names the methods (TGT-2, TGT-3)',
  (code) => {
    const allow = new Headers(
      errorResponse(new GatewayError(code, '')).headers as [string, string][]
    )
    expect(allow.get('allow')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  }
)

test('toResponse() keeps status, reason, duplicates in order and the body', async () => {
  const response = toResponse(
    {
      status: 404,
      reason: 'Nicht da',
      headers: [
        ['Set-Cookie', 'a=1'],
        ['X-A', '1'],
        ['Set-Cookie', 'b=2, c'],
        ['X-A', '2'],
      ],
      body: bytesSource(octets('page')),
    },
    LATIN1
  )
  expect([response.status, response.statusText]).toEqual([404, 'Nicht da'])
  expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2, c'])
  expect(response.headers.get('x-a')).toBe('1, 2')
  expect(response.headers.has('content-type')).toBe(false)
  expect(await response.text()).toBe('page')
})

test.each([
  ['latin1', 'caf\xc3\xa9', 'caf\xc3\xa9'],
  ['latin1', '\xff', '\xff'],
  ['utf8', '\xff', '\xff'],
] as const)(
  'toResponse() writes a header on a %s runtime: %j as %j',
  (headerEncoding, native, text) => {
    const headers = [['X-A', native] as const]
    const response = toResponse({ status: 200, reason: '', headers }, { headerEncoding })
    expect(response.headers.get('x-a')).toBe(text)
  }
)

test('toResponse() gives a UTF-8 runtime the text whose octets are meant', () => {
  const headers = [['X-A', 'caf\xc3\xa9'] as const]
  const response = toResponse({ status: 200, reason: '', headers }, { headerEncoding: 'utf8' })
  expect(response.headers.get('x-a')).toBe('café')
})

test.each([204, 205, 304])('toResponse() makes a %d of a response without a body', (status) => {
  expect(toResponse({ status, reason: '', headers: [] }, LATIN1).body).toBeNull()
})

test.each([
  [[['Content-Length', '4'] as const], 4],
  [[], undefined],
])('toResponse() tells the length to a runtime that wants it: %#', async (headers, told) => {
  const lengths: unknown[] = []
  const response = toResponse(
    { status: 200, reason: '', headers, body: unknownSource('page') },
    {
      ...LATIN1,
      bodyStream(source, length) {
        lengths.push(length)
        return sourceStream(source)
      },
    }
  )
  expect([await response.text(), lengths]).toEqual(['page', [told]])
})

test('toResponse() hands over what is in memory as it is', async () => {
  const form = { ...LATIN1, bodyStream: () => expect.unreachable() }
  const body = bytesSource(octets('page'))
  const response = toResponse({ status: 200, reason: '', headers: [], body }, form)
  expect(await response.text()).toBe('page')
})

/** A source that does not say that it is in memory. */
function unknownSource(text: string): BodySource {
  const { read, cancel } = bytesSource(octets(text))
  return { read, cancel }
}
