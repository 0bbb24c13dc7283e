import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, test } from 'vitest'
import { targetMeta } from '../../src/core/raw-target.ts'
import type { RequestMeta } from '../../src/core/request-head.ts'
import {
  contextMeta,
  denoMeta,
  denoPeer,
  isEncrypted,
  nodeMeta,
  workersMeta,
} from '../../src/core/request-meta.ts'
import type { IncomingRequest, WorkersCf } from '../../src/core/runtime-types.ts'
import { chunkStream, fetchRequest } from './support.ts'

/** What is known of a request that node:http has read from these bytes. */
async function metaOf(wire: string): Promise<{ meta: RequestMeta; port: number | undefined }> {
  const arrived = Promise.withResolvers<{ meta: RequestMeta; port: number | undefined }>()
  const server = createServer((incoming, outgoing) => {
    arrived.resolve({ meta: nodeMeta(incoming), port: incoming.socket.remotePort })
    outgoing.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(wire, 'latin1')
  const found = await arrived.promise
  socket.destroy()
  await new Promise((resolve) => server.close(resolve))
  return found
}

test('nodeMeta() keeps target and header lines as on the wire (PATH-2, HDR-8)', async () => {
  const { meta, port } = await metaOf(
    'GET //a/../b?q=%zz HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: \xe9\r\nConnection: close\r\n\r\n'
  )
  expect(meta).toEqual({
    rawTarget: '//a/../b?q=%zz',
    rawHeaders: [
      ['Host', 'h'],
      ['X-A', '1'],
      ['x-a', '\xe9'],
      ['Connection', 'close'],
    ],
    httpVersion: '1.1',
    remote: { addr: '127.0.0.1', port },
    tls: undefined,
  })
})

/** A message with changes of its socket. */
function message(socket: IncomingRequest['socket'], url?: string): IncomingRequest {
  return { url, rawHeaders: [], httpVersion: '1.1', socket }
}

test('nodeMeta() knows no peer without an address', () => {
  expect(nodeMeta(message({})).remote).toBeUndefined()
  expect(nodeMeta(message({ remotePort: 5 })).remote).toBeUndefined()
  expect(nodeMeta(message({ remoteAddress: '::1' })).remote).toEqual({ addr: '::1' })
})

test('nodeMeta() of a message without a target is one that gets refused (TGT-4)', () => {
  expect(nodeMeta(message({})).rawTarget).toBe('')
  expect(nodeMeta(message({}, '/x')).rawTarget).toBe('/x')
})

test('nodeMeta() leaves a name without a value out', () => {
  const incoming = { ...message({}), rawHeaders: ['A', '1', 'B'] }
  expect(nodeMeta(incoming).rawHeaders).toEqual([['A', '1']])
})

test('nodeMeta() tells of TLS what the socket tells', () => {
  const socket = {
    encrypted: true,
    servername: 'h.example',
    getProtocol: () => 'TLSv1.3',
    getCipher: () => ({ standardName: 'TLS_AES_128_GCM_SHA256' }),
  }
  expect(nodeMeta(message(socket)).tls).toEqual({
    protocol: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    serverName: 'h.example',
  })
  const silent = {
    ...socket,
    servername: false,
    getProtocol: () => null,
    getCipher: () => undefined,
  }
  const nothing = { protocol: undefined, cipher: undefined, serverName: undefined }
  expect(nodeMeta(message(silent)).tls).toEqual(nothing)
  expect(nodeMeta(message({ encrypted: true })).tls).toEqual(nothing)
  expect(nodeMeta(message({ ...socket, encrypted: false })).tls).toBeUndefined()
})

test.each([
  [true, true],
  [false, false],
  [undefined, false],
  ['true', false],
])('isEncrypted() of %o is %o', (encrypted, is) => {
  expect(isEncrypted({ encrypted })).toBe(is)
})

test.each<[unknown, unknown]>([
  [
    { transport: 'tcp', hostname: '192.0.2.7', port: 5 },
    { addr: '192.0.2.7', port: 5 },
  ],
  [{ transport: 'unix', path: '/run/x' }, { addr: 'unix:' }],
  [{ transport: 'unix', path: '' }, { addr: 'unix:' }],
  [undefined, undefined],
])('denoPeer() of %j is %j', (addr, peer) => {
  expect(denoPeer(addr as never)).toEqual(peer)
})

test.each<[string, boolean, readonly (readonly [string, string])[], boolean]>([
  ['a length', true, [['content-length', '3']], true],
  ['a coding', true, [['transfer-encoding', 'chunked']], true],
  ['neither', true, [], false],
  ['neither, on HTTP/2', true, [['host', '']], true],
  ['a length, but no body', false, [['content-length', '3']], false],
])('denoMeta() finds out whether a body follows: %s (BODY-5)', (...row) => {
  const [title, body, headers, has] = row
  const lines = title.endsWith('HTTP/2') ? [] : [['host', 'h.example'] as const, ...headers]
  const request = fetchRequest({ headers: lines, ...(body ? { body: chunkStream([]) } : {}) })
  expect(denoMeta(request, undefined).hasBody).toBe(has)
})

test('denoMeta() has the target and the peer', () => {
  const request = fetchRequest({ url: 'http://h.example/a?b' })
  const peer = { transport: 'tcp', hostname: '::1', port: 5 } as const
  expect(denoMeta(request, peer)).toEqual({
    url: 'http://h.example/a?b',
    rawTarget: '/a?b',
    remote: { addr: '::1', port: 5 },
    hasBody: false,
  })
})

/** A request as Workers hand it over. */
function workersRequest(url: string, addr: string | undefined, cf: WorkersCf | undefined): Request {
  const headers = addr === undefined ? [] : [['cf-connecting-ip', addr] as const]
  return Object.defineProperty(fetchRequest({ url, headers }), 'cf', { value: cf })
}

test.each([
  ['192.0.2.7', { addr: '192.0.2.7' }],
  ['2001:db8::1', { addr: '2001:db8::1' }],
  ['nonsense', undefined],
  ['192.0.2.7, 192.0.2.8', undefined],
  [undefined, undefined],
])('workersMeta() takes the peer of the platform: %s (TRUST-6)', (addr, remote) => {
  const meta = workersMeta(workersRequest('http://h.example/', addr, {}))
  expect(meta).toMatchObject({ remote, consumedHeaders: ['cf-connecting-ip'] })
})

test.each<[string, WorkersCf | undefined, unknown]>([
  ['https', { tlsVersion: 'TLSv1.3', tlsCipher: 'X' }, { protocol: 'TLSv1.3', cipher: 'X' }],
  ['https', { tlsVersion: 'TLSv1.3' }, { protocol: 'TLSv1.3', cipher: undefined }],
  ['https', { tlsCipher: 'X' }, undefined],
  ['https', { tlsVersion: '' }, undefined],
  ['https', undefined, undefined],
  // The connection of the client to Cloudflare may be TLS where the URL is not.
  ['http', { tlsVersion: 'TLSv1.3', tlsCipher: 'X' }, undefined],
])('workersMeta() tells of TLS what cf tells: %s %j', (scheme, cf, tls) => {
  expect(workersMeta(workersRequest(`${scheme}://h.example/`, undefined, cf)).tls).toEqual(tls)
})

test('workersMeta() says how workerd writes headers (HDR-5)', () => {
  const meta = workersMeta(workersRequest('https://h.example/a', undefined, {}))
  expect(meta).toMatchObject({ headerEncoding: 'utf8', rawTarget: '/a' })
})

test.each<[unknown]>([[undefined], [null], [{}], ['text'], [5], [[]], [{ other: 1 }]])(
  'contextMeta() finds nothing in %j',
  (env) => {
    expect(contextMeta(fetchRequest(), env)).toEqual({})
  }
)

test('contextMeta() prefers cf, then the meta of ours, then Node, then Deno', () => {
  const incoming = message({ remoteAddress: '192.0.2.1' }, '/node')
  const remoteAddr = { transport: 'tcp', hostname: '192.0.2.2', port: 5 }
  const requestMeta = { mount: '/ours' }
  const all = { requestMeta, incoming, remoteAddr }
  const workers = workersRequest('http://h.example/', '192.0.2.3', undefined)
  expect(contextMeta(workers, all)).toMatchObject({ remote: { addr: '192.0.2.3' } })
  expect(contextMeta(fetchRequest(), all)).toBe(requestMeta)
  expect(contextMeta(fetchRequest(), { incoming, remoteAddr })).toMatchObject({
    rawTarget: '/node',
    remote: { addr: '192.0.2.1' },
  })
  expect(contextMeta(fetchRequest(), { remoteAddr })).toMatchObject({
    remote: { addr: '192.0.2.2', port: 5 },
  })
})

test.each<[string, string, string | undefined]>([
  ['http://h/', 'http://h/', '/'],
  ['https://h.example:81/a/../b?c', 'https://h.example:81/a/../b?c', '/a/../b?c'],
  ['http://h/a?q=\'"<>', 'http://h/a?q=\'"<>', '/a?q=\'"<>'],
  ['http://h//evil.com/p', 'http://h//evil.com/p', '//evil.com/p'],
  ['http://h/*', 'http://h/*', '/*'],
  // workerd's form of the asterisk.
  ['http://h.example*', 'http://h.example/', '*'],
  ['https://h:81*', 'https://h:81/', '*'],
  // Deno's form of a unix socket.
  ['http+unix://%2Frun%2Fx.sock/a', 'http://%2Frun%2Fx.sock/a', '/a'],
  ['http+unix://x*', 'http://x/', '*'],
  // No target that is plainly one.
  ['http://h', 'http://h', undefined],
  ['http://h?q', 'http://h?q', undefined],
  ['http://h#/x', 'http://h#/x', undefined],
  ['http://h?/x', 'http://h?/x', undefined],
  ['http://h/a b', 'http://h/a b', undefined],
  ['http://h/\n', 'http://h/\n', undefined],
  ['http://h/a\x7f', 'http://h/a\x7f', undefined],
  ['http://h/é', 'http://h/é', undefined],
  ['http://h/a*', 'http://h/a*', '/a*'],
  ['http://a*b*', 'http://a*b*', undefined],
  ['http://h?*', 'http://h?*', undefined],
  ['ftp://h/a', 'ftp://h/a', undefined],
  ['xhttp://h/a', 'xhttp://h/a', undefined],
  ['', '', undefined],
])('targetMeta() cuts the target out of %j (PATH-2, PATH-12, TGT-2)', (text, url, rawTarget) => {
  expect(targetMeta(text)).toEqual({ url, rawTarget })
})
