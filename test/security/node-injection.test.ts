/**
 * Text that is an order to somebody behind the gateway: a shell, a command line, another protocol's
 * parser, the address of a backend.
 *
 * @see wsgi.md 5.1, 5.3, 5.4
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { PROJECT_ROOT } from '../backend/programs.ts'
import {
  ask,
  dispatchedSince,
  expectCleanPackets,
  head,
  HOST,
  refusalForGood,
  refuseForGood,
  type Stack,
  startStack,
} from './harness.ts'
import { openRaw } from './raw-http.ts'
import { type Relay, startRelay } from './serve.ts'

const GET = 'GET / HTTP/1.1'

let stack: Stack
/** A backend that no configuration names. */
let other: Relay

beforeAll(async () => {
  stack = await startStack()
  other = await startRelay(stack.relay.address)
})
afterAll(async () => {
  await other?.stop()
  await stack?.stop()
})
afterEach(() => expectCleanPackets(stack))

describe('serve: text that other programs take for an order', () => {
  const SHELLSHOCK = '() { :;}; echo vulnerable; /bin/cat /etc/passwd'

  test('passes a function of bash on as text (SEC-22)', async () => {
    const lines = [`User-Agent: ${SHELLSHOCK}`, `Cookie: ${SHELLSHOCK}`, `X: ${SHELLSHOCK}`]
    const { environ } = await ask(stack, head(GET, HOST, ...lines))
    expect(environ).toMatchObject({
      HTTP_USER_AGENT: SHELLSHOCK,
      HTTP_COOKIE: SHELLSHOCK,
      HTTP_X: SHELLSHOCK,
    })
  })

  test('starts no process for a request (SEC-22, SEC-23)', () => {
    const sources = join(PROJECT_ROOT, 'src')
    const starting = readdirSync(sources, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .filter((name) =>
        /child_process|Deno\.Command|node:cluster/.test(readFileSync(join(sources, name), 'utf8'))
      )
    // `serve --workers`, which runs itself again, and the demo of `npm start`: neither knows a request.
    expect(starting.toSorted()).toEqual(['cli/workers.ts', 'start.ts'])
  })

  test.each(['-s', '-d+allow_url_include%3d1', '-d%20auto_prepend_file%3d/x', '%ADd+x', '+a+b'])(
    'makes a query without = no more than QUERY_STRING: %j (SEC-23)',
    async (query) => {
      const plain = await ask(stack, head(GET, HOST))
      const { environ, packet } = await ask(stack, head(`GET /?${query} HTTP/1.1`, HOST))
      expect(environ['QUERY_STRING']).toBe(query)
      const mentioned = packet.vars.filter(([name, value]) => `${name}=${value}`.includes(query))
      expect(mentioned.map(([name]) => name).toSorted()).toEqual(['QUERY_STRING', 'REQUEST_URI'])
      const names = packet.vars.map(([name]) => name)
      expect(names).toEqual(plain.packet.vars.map(([name]) => name))
    }
  )

  test('makes settings of PHP no more than HTTP_ variables (SEC-63)', async () => {
    const lines = [
      'Php-Value: auto_prepend_file=/etc/passwd',
      'PHP_VALUE: allow_url_include=1',
      'PHP_ADMIN_VALUE: open_basedir=',
      'Php-Admin-Value: disable_functions=',
    ]
    const { environ, packet } = await ask(stack, head(GET, HOST, ...lines))
    expect(environ).toMatchObject({
      HTTP_PHP_VALUE: 'auto_prepend_file=/etc/passwd',
      HTTP_PHP_ADMIN_VALUE: 'disable_functions=',
    })
    expect(packet.vars.filter(([name]) => name.startsWith('PHP'))).toEqual([])
  })

  test.each([
    ['a path', 'GET /a%00HTTP_X%00y%00 HTTP/1.1', 'X: y'],
    ['a value', GET, 'X: y\0REMOTE_USER\0root'],
    ['a name', GET, 'X\0REMOTE_USER: root'],
  ])(
    'refuses NUL in %s, which ends a variable of SCGI (SEC-30, SEC-64)',
    async (_where, request, line) => {
      expect(
        await refuseForGood(stack, head(request, HOST, 'Connection: close', line))
      ).toMatchObject(refusalForGood(400))
    }
  )

  test.each([
    '24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,',
    '99999999999:',
    '-1:x,',
    '007:abc\x00d\x00,',
  ])('takes a request of SCGI for none: %j (SEC-64)', async (netstring) => {
    expect(await refuseForGood(stack, netstring)).toMatchObject(refusalForGood(400))
  })
})

describe('serve: HTTP/2', () => {
  const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const SETTINGS = '\0\0\0\x04\0\0\0\0\0'

  test('is not spoken to a client that begins with it (SEC-50)', async () => {
    const before = stack.relay.connections()
    const connection = await openRaw(stack.origin)
    connection.send(PREFACE + SETTINGS)
    expect(await connection.closed()).toMatch(/^(?:HTTP\/1\.1 (?:400|505) [^]*)?$/)
    expect(await dispatchedSince(stack, before)).toBe(0)
  })

  test('is not changed to: the request is answered as it came (SEC-50)', async () => {
    const lines = [
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABk',
    ]
    const { response, environ } = await ask(stack, head(GET, HOST, ...lines))
    expect([response.status, response.version]).toEqual([200, '1.1'])
    expect(environ).not.toHaveProperty('HTTP_HTTP2_SETTINGS')
    expect(environ).not.toHaveProperty('HTTP_UPGRADE')
  })
})

describe('serve: the address of the backend', () => {
  test('is that of the configuration, whatever a request names (SEC-66)', async () => {
    const { host } = new URL(other.address)
    const before = stack.relay.connections()
    const requests = [
      head(GET, `Host: ${host}`),
      head(`GET http://${host}/ HTTP/1.1`, `Host: ${host}`),
      head(`GET /${other.address} HTTP/1.1`, HOST),
      head(`GET //${host}/ HTTP/1.1`, HOST),
      head(`GET /?upstream=${other.address}&UWSGI_FILE=/tmp/x.py HTTP/1.1`, HOST),
      head(
        GET,
        HOST,
        `Upstream: ${other.address}`,
        `X-Forwarded-Host: ${host}`,
        `X-Original-URL: http://${host}/`,
        `X-Rewrite-URL: http://${host}/`,
        `Forwarded: host="${host}"`,
        `Uwsgi-Upstream: ${other.address}`
      ),
    ]
    for (const bytes of requests) await ask(stack, bytes)
    expect(other.connections()).toBe(0)
    expect(stack.relay.connections() - before).toBe(requests.length)
  })
})
