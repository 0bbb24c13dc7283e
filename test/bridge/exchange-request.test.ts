import { afterEach, describe, expect, test, vi } from 'vitest'
import type { BridgeOptions } from '../../src/bridge/bridge-options.ts'
import { resolveBridgeOptions } from '../../src/bridge/resolve-bridge-options.ts'
import { prepareRequest } from '../../src/bridge/exchange-request.ts'
import type { ExchangeRequest } from '../../src/bridge/exchange.ts'
import { type BodySource, collect } from '../../src/core/body-source.ts'
import type { Variable } from '../../src/core/vars.ts'
import { type RequestHead, requestHead } from '../../src/core/request-head.ts'
import { codeOf, decodePacket } from '../codec/decode.ts'
import { text } from '../codec/wire.ts'
import { MemoryBody, never } from './memory-connection.ts'

const HEAD = requestHead(new Request('http://h.example/a?b'), {
  rawHeaders: [
    ['Host', 'h.example'],
    ['X-A', '1'],
    ['X-B', '2'],
    ['X-Forwarded-Proto', 'https'],
  ],
  remote: { addr: '192.0.2.7', port: 5555 },
})

afterEach(() => {
  vi.useRealTimers()
})

async function build(
  head: Partial<RequestHead>,
  options: BridgeOptions = {},
  body?: BodySource
): Promise<ExchangeRequest> {
  const request = await prepareRequest({ ...HEAD, ...head }, body, resolveBridgeOptions(options))
  return { ...request, body: request.body?.start() }
}

async function varsOf(
  head: Partial<RequestHead>,
  options?: BridgeOptions,
  body?: BodySource
): Promise<readonly Variable[]> {
  const { packet } = await build(head, options, body)
  return decodePacket([packet]).packet?.vars ?? []
}

/** The variables of a request that must occur once each (UW-3), by name. */
async function variables(
  head: Partial<RequestHead>,
  options?: BridgeOptions,
  body?: BodySource
): Promise<Record<string, string>> {
  const vars = await varsOf(head, options, body)
  expect(new Set(vars.map(([name]) => name)).size).toBe(vars.length)
  return Object.fromEntries(vars)
}

describe('prepareRequest() orders the variables', () => {
  test('UW-3, UW-6: those of the client first, then ours, then params, UWSGI_SCHEME last', async () => {
    const options = { params: { UWSGI_APPID: 'x', HTTP_X_C: '3' }, trustedProxies: ['192.0.2.7'] }
    const names = (await varsOf({}, options)).map(([name]) => name)
    const ours = names.findIndex((name) => !name.startsWith('HTTP_'))
    expect(names.slice(0, ours).toSorted()).toEqual([
      'HTTP_HOST',
      'HTTP_TRACEPARENT',
      'HTTP_X_A',
      'HTTP_X_B',
      'HTTP_X_FORWARDED_PROTO',
      'HTTP_X_REQUEST_ID',
    ])
    expect(names.slice(-3)).toEqual(['UWSGI_APPID', 'HTTP_X_C', 'UWSGI_SCHEME'])
    expect(names.slice(ours, -3).filter((name) => name.startsWith('HTTP_'))).toEqual([])
  })

  test.each<[string, string, BridgeOptions, string, string | undefined]>([
    ['untrusted', 'https', {}, 'http', undefined],
    ['untrusted', 'javascript', {}, 'http', undefined],
    ['trusted', 'https', { trustedProxies: ['192.0.2.0/24'] }, 'https', 'https'],
    ['trusted', 'javascript', { trustedProxies: ['192.0.2.0/24'] }, 'http', undefined],
    ['configured', 'https', { params: { UWSGI_SCHEME: 'wss' } }, 'wss', undefined],
  ])(
    'UW-6: UWSGI_SCHEME, from a proxy that is %s and says %s',
    async (_who, proto, options, scheme, kept) => {
      const vars = await varsOf(
        {
          headers: [
            ['Host', 'h.example'],
            ['X-Forwarded-Proto', proto],
          ],
        },
        options
      )
      expect(vars.at(-1)).toEqual(['UWSGI_SCHEME', scheme])
      expect(Object.fromEntries(vars)['HTTP_X_FORWARDED_PROTO']).toBe(kept)
    }
  )
})

describe('prepareRequest()', () => {
  test.each([
    ['1.0', 'HTTP/1.0'],
    ['1.1', 'HTTP/1.1'],
    ['2.0', 'HTTP/1.1'],
    ['3', 'HTTP/1.1'],
  ])('UW-7: sends HTTP %s as %s', async (httpVersion, protocol) => {
    expect(await variables({ httpVersion })).toMatchObject({ SERVER_PROTOCOL: protocol })
  })

  test('UW-14: always sends SCRIPT_NAME, and CONTENT_LENGTH only with a body', async () => {
    const vars = await variables({})
    expect(vars).toMatchObject({ SCRIPT_NAME: '', PATH_INFO: '/a', QUERY_STRING: 'b' })
    expect(vars).not.toHaveProperty('CONTENT_LENGTH')
    expect(await variables({}, { mount: '/a' })).toMatchObject({ SCRIPT_NAME: '/a', PATH_INFO: '' })
  })

  test('params replace, remove and add', async () => {
    const params = {
      HTTP_X_A: 'new',
      HTTP_X_B: '',
      HTTP_X_NONE: '',
      REMOTE_ADDR: '',
      REMOTE_USER: 'u',
    }
    const vars = await variables({}, { params })
    expect(vars).toMatchObject({ HTTP_X_A: 'new', REMOTE_ADDR: '', REMOTE_USER: 'u' })
    expect(vars).not.toHaveProperty('HTTP_X_B')
    expect(vars).not.toHaveProperty('HTTP_X_NONE')
  })

  test('SEC-05: a client reaches HTTP_ names only', async () => {
    const names = [
      'Remote-User',
      'Script-Name',
      'Https',
      'Uwsgi-File',
      'UWSGI_FILE',
      'Uwsgi-Scheme',
      'Http-Content-Length',
    ]
    const headers = names.map((name) => [name, 'evil'] as const)
    const vars = await varsOf({ headers: [['Host', 'h.example'], ...headers] })
    const evil = vars.filter(([, value]) => value === 'evil').map(([name]) => name)
    expect(evil).toEqual([
      'HTTP_REMOTE_USER',
      'HTTP_SCRIPT_NAME',
      'HTTP_HTTPS',
      'HTTP_UWSGI_FILE',
      'HTTP_UWSGI_SCHEME',
      'HTTP_HTTP_CONTENT_LENGTH',
    ])
  })

  test('leaves SSL_CLIENT_CERT out, whose line ends a packet cannot hold', async () => {
    const tls = { protocol: 'TLSv1.3', clientCert: '-----BEGIN\nEND-----' }
    const vars = await variables({ tls })
    expect(vars).toMatchObject({ SSL_PROTOCOL: 'TLSv1.3' })
    expect(vars).not.toHaveProperty('SSL_CLIENT_CERT')
  })

  test('UW-2: puts the modifiers of the options into the packet', async () => {
    const { packet } = await build({}, { modifier1: 5, modifier2: 7 })
    expect([packet[0], packet[3]]).toEqual([5, 7])
  })

  test('UW-4: refuses what is over maxVars or maxVarsBytes, params counted', async () => {
    const { packet } = await build({})
    const maxVars = (await varsOf({})).length
    const maxVarsBytes = packet.length - 4
    const code = (options: BridgeOptions): Promise<string> =>
      build({}, options).then(() => 'sent', codeOf)
    expect(await code({ maxVars, maxVarsBytes })).toBe('sent')
    for (const options of [
      { maxVars: maxVars - 1 },
      { maxVars, params: { A: '' } },
      { maxVarsBytes: maxVarsBytes - 1 },
      { maxVarsBytes, params: { A: '' } },
    ]) {
      expect(await code(options)).toBe('ERR_VARS_TOO_LARGE')
    }
  })
})

/** A chunk that takes its time. */
function slow(): Promise<string> {
  return new Promise((resolve) => setTimeout(() => resolve('a'), 2900))
}

describe('prepareRequest() frames the body (UW-8)', () => {
  const CHUNKED: Partial<RequestHead> = { method: 'POST', hasBody: true }

  function withLength(length: string): Partial<RequestHead> {
    return {
      ...CHUNKED,
      headers: [
        ['Host', 'h.example'],
        ['Content-Length', length],
      ],
    }
  }

  test.each([
    ['3', '3'],
    ['003', '3'],
  ])('sends Content-Length %s as %s, and no more bytes than that', async (length, canonical) => {
    const body = new MemoryBody('abcEXTRA')
    expect(await variables(withLength(length), {}, body)).toMatchObject({
      CONTENT_LENGTH: canonical,
    })
    const request = await build(withLength(length), {}, new MemoryBody('abcEXTRA'))
    expect(request.body && text(await collect(request.body))).toBe('abc')
  })

  test.each(['+3', '-3', '3abc', '0x3', '3, 3', '', '\xb3', '1e3'])(
    'refuses Content-Length %j',
    async (length) => {
      await expect(build(withLength(length), {}, new MemoryBody('abc'))).rejects.toMatchObject({
        status: 400,
      })
    }
  )

  test('learns a length that is unknown, and drops Transfer-Encoding', async () => {
    const headers: RequestHead['headers'] = [
      ['Host', 'h.example'],
      ['Transfer-Encoding', 'chunked'],
    ]
    const vars = await variables({ ...CHUNKED, headers }, {}, new MemoryBody('ab', 'c'))
    expect(vars).toMatchObject({ CONTENT_LENGTH: '3' })
    expect(vars).not.toHaveProperty('HTTP_TRANSFER_ENCODING')
    const request = await build({ ...CHUNKED, headers }, {}, new MemoryBody('ab', 'c'))
    expect(request.body && text(await collect(request.body))).toBe('abc')
  })

  test('says CONTENT_LENGTH 0 for a body of unknown length that is empty', async () => {
    expect(await variables(CHUNKED, {}, new MemoryBody())).toMatchObject({ CONTENT_LENGTH: '0' })
  })

  test.each<[string, BridgeOptions, string]>([
    ['maxBodyBytes', { maxBodyBytes: 2 }, 'ERR_BODY_TOO_LARGE'],
    ['maxBufferedBodyBytes', { maxBufferedBodyBytes: 2 }, 'ERR_BODY_TOO_LARGE'],
    ['unknownLength', { unknownLength: 'reject' }, 'ERR_LENGTH_REQUIRED'],
  ])('SEC-81: keeps to %s while it learns it', async (_what, options, code) => {
    const body = new MemoryBody('ab', 'c', 'd')
    await expect(build(CHUNKED, options, body).then(() => 'sent', codeOf)).resolves.toBe(code)
    expect(body.reads).toBeLessThan(3)
  })

  test('SEC-48: waits for each piece of it no longer than clientBodyTimeout', async () => {
    vi.useFakeTimers()
    const body = new MemoryBody(slow, slow, never)
    const outcome = build(CHUNKED, { clientBodyTimeout: 3000 }, body).then(() => 'sent', codeOf)
    await vi.advanceTimersByTimeAsync(2 * 2900 + 2999)
    expect(await Promise.race([outcome, 'waits'])).toBe('waits')
    await vi.advanceTimersByTimeAsync(1)
    expect(await Promise.race([outcome, 'waits'])).toBe('ERR_CLIENT_TIMEOUT')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('says that the client is gone when reading it fails, as for a body that streams', async () => {
    const body = new MemoryBody('ab', new TypeError('aborted'))
    await expect(build(CHUNKED, {}, body)).rejects.toMatchObject({
      code: 'ERR_CLIENT_CLOSED',
      status: 499,
    })
  })
})
