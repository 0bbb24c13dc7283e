import { describe, expect, test } from 'vitest'
import type { HeaderField, RequestHead } from '../../src/core/request-head.ts'
import { isWebSocketRequest, wantsTunnel } from '../../src/core/tunnel.ts'

const FIELDS: readonly HeaderField[] = [
  ['Host', 'h.example'],
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
  ['Sec-WebSocket-Version', '13'],
]

function head(changes: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'GET',
    url: new URL('http://h.example/'),
    headers: FIELDS,
    raw: true,
    httpVersion: '1.1',
    hasBody: false,
    ...changes,
  }
}

/** The fields, with the value of one replaced, or without it. */
function fields(name: string, ...values: string[]): HeaderField[] {
  const others = FIELDS.filter(([field]) => field !== name)
  return [...others, ...values.map((value): HeaderField => [name, value])]
}

describe('isWebSocketRequest()', () => {
  test.each([
    ['as RFC 6455 writes it', {}],
    ['names in lower case', { headers: FIELDS.map(([n, v]): HeaderField => [n.toLowerCase(), v]) }],
    ['values in any case', { headers: fields('Upgrade', 'WebSocket') }],
    ['among other tokens', { headers: fields('Connection', 'keep-alive , upgrade') }],
    ['on a second line', { headers: fields('Upgrade', 'h2c', 'websocket') }],
  ])('is one: %s', (_what, changes) => {
    expect(isWebSocketRequest(head(changes))).toBe(true)
  })

  test.each([
    ['POST', { method: 'POST' }],
    ['HTTP/1.0', { httpVersion: '1.0' }],
    ['HTTP/2, which has another way', { httpVersion: '2.0' }],
    ['no Upgrade', { headers: fields('Upgrade') }],
    ['no Connection', { headers: fields('Connection') }],
    ['no key', { headers: fields('Sec-WebSocket-Key') }],
    ['no version', { headers: fields('Sec-WebSocket-Version') }],
    ['another protocol', { headers: fields('Upgrade', 'h2c') }],
    ['a name that only begins like it', { headers: fields('Upgrade', 'websocket2') }],
    ['a version of the protocol', { headers: fields('Upgrade', 'websocket/13') }],
  ])('is none: %s', (_what, changes) => {
    expect(isWebSocketRequest(head(changes))).toBe(false)
  })
})

describe('wantsTunnel()', () => {
  test('is true where the target has a connection to give', () => {
    expect(wantsTunnel(head({ canTunnel: true }))).toBe(true)
  })

  test('is false for any other request', () => {
    expect(wantsTunnel(head({ canTunnel: true, headers: fields('Upgrade', 'h2c') }))).toBe(false)
    expect(wantsTunnel(head({ headers: fields('Upgrade') }))).toBe(false)
  })

  test('refuses where the target has none, and says which has', () => {
    expect(() => wantsTunnel(head())).toThrow(
      expect.objectContaining({
        code: 'ERR_NOT_IMPLEMENTED',
        message: expect.stringMatching(/^Cannot forward WebSocket request: .*serve\(\)/),
      })
    )
  })

  test('refuses a body, wherever it may be (BODY-1)', () => {
    for (const canTunnel of [true, false]) {
      expect(() => wantsTunnel(head({ hasBody: true, canTunnel }))).toThrow(
        expect.objectContaining({ code: 'ERR_BAD_REQUEST' })
      )
    }
  })
})
