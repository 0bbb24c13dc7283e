/**
 * Handlers that are no functions of a Request: a Hono app, a `gateway(app)`, and a bridge, with which
 * uwsgi comes in and goes out again.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import { downloadBytes, sha256 } from '../../backend/download.ts'
import { type HeaderLine, send } from '../../support/http-client.ts'
import type { ResponderContext } from './context.ts'

const HOST: HeaderLine = ['Host', 'h.example']

/** Describes handlers. */
export function describeHandlers(context: ResponderContext): void {
  const { differs } = context.front

  test('a Hono app is served', async () => {
    const { origin } = await context.server('hono')
    const response = await send(origin, { target: '/hono/w%C3%B6rld?q=1', body: 'hello' })
    expect(response.json()).toEqual({
      name: 'wörld',
      query: '1',
      text: 'hello',
      client: '127.0.0.1',
      front: '127.0.0.1',
    })
    expect(response.all('set-cookie')).toEqual(['a=1', 'b=2'])
    expect((await send(origin, { target: '/nowhere' })).status).toBe(404)
  })

  describe('a gateway(app)', () => {
    test('is served', async () => {
      const { origin } = await context.server('gateway')
      const headers = [HOST, ['X-A', 'caf\xe9']] as const
      const response = await send(origin, { target: '/a%2Fb?x=%41', headers, body: 'abc\ndef' })
      expect([response.status, response.reason]).toEqual([299, 'Fine Thing'])
      expect(response.all('set-cookie')).toEqual(['a=1', 'b=2'])
      expect(response.json()).toMatchObject({
        REQUEST_METHOD: 'POST',
        SCRIPT_NAME: '',
        PATH_INFO: '/a/b',
        QUERY_STRING: 'x=%41',
        REQUEST_URI: '/a%2Fb?x=%41',
        SERVER_PROTOCOL: 'HTTP/1.1',
        REMOTE_ADDR: '127.0.0.1',
        CONTENT_LENGTH: '7',
        HTTP_HOST: 'h.example',
        HTTP_X_A: 'caf\xe9',
        'wsgi.url_scheme': 'http',
        bodyLength: 7,
      })
    })

    test('knows where the front has mounted it', async () => {
      const { origin } = await context.server('gateway', { mount: '/mnt' })
      for (const [target, path] of [
        ['/mnt/a%2Fb', '/a/b'],
        ['/mnt/', '/'],
        ['/mnt', differs.pathOfMount],
      ] as const) {
        const { json } = await send(origin, { target, headers: [HOST] })
        expect(json()).toMatchObject({ SCRIPT_NAME: '/mnt', PATH_INFO: path, REQUEST_URI: target })
      }
    })

    test('refuses %00 where the front does not (SEC-30)', async () => {
      const { origin } = await context.server('gateway')
      expect((await send(origin, { target: '/a%00b' })).status).toBeOneOf([400, 404])
    })
  })

  describe('a bridge', () => {
    test('hands on what came', async () => {
      const { origin } = await context.server('bridge')
      const headers = [HOST, ['X-A', 'caf\xe9'], ['Content-Type', 'text/plain']] as const
      const response = await send(origin, { target: '/a%2Fb?x=%41', headers, body: 'abc' })
      expect(response.json()).toMatchObject({
        REQUEST_METHOD: 'POST',
        SCRIPT_NAME: '',
        PATH_INFO: '/a/b',
        QUERY_STRING: 'x=%41',
        REQUEST_URI: '/a%2Fb?x=%41',
        REMOTE_ADDR: '127.0.0.1',
        CONTENT_LENGTH: '3',
        CONTENT_TYPE: 'text/plain',
        HTTP_HOST: 'h.example',
        HTTP_X_A: 'caf\xe9',
        body_length: 3,
      })
    })

    test('carries large bodies both ways', async () => {
      const { origin } = await context.server('bridge')
      const body = downloadBytes(5_000_000)
      const up = await send(origin, { method: 'POST', target: '/up', body })
      expect(up.json()).toMatchObject({ body_length: body.length, body_sha256: sha256(body) })
      const down = await send(origin, { target: '/flask/download?bytes=5000000' })
      expect(sha256(down.body)).toBe(sha256(body))
    })

    test('serves the frameworks at their mounts', async () => {
      const { origin } = await context.server('bridge')
      for (const app of ['django', 'flask', 'bottle']) {
        const { json } = await send(origin, { target: `/${app}/echo?a=1`, headers: [HOST] })
        expect(json()).toMatchObject({ script_name: `/${app}`, path_info: '/echo', scheme: 'http' })
      }
    })
  })
}
