/**
 * Paths: decoded once, judged as the application sees them, and escaped where they are logged.
 *
 * @see wsgi.md 5.2
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  ask,
  expectCleanPackets,
  head,
  HOST,
  refusal,
  refusalForGood,
  refuse,
  refuseForGood,
  type Stack,
  startStack,
  until,
} from './harness.ts'

let stack: Stack
let mounted: Stack

beforeAll(async () => {
  stack = await startStack()
  mounted = await stack.also('--mount', '/app')
})
afterAll(() => stack?.stop())
afterEach(() => expectCleanPackets(stack))

function get(target: string): string {
  return head(`GET ${target} HTTP/1.1`, HOST)
}

describe('serve: paths', () => {
  test.each(['/a%00.php', '/%00', '/a%00HTTP_X%00y', '/a/%2500/%00?x'])(
    'refuses NUL in the path %s (SEC-30)',
    async (target) => {
      expect(await refuse(stack, get(target))).toMatchObject(refusal(400))
    }
  )

  test('passes %00 in the query as it is (SEC-30)', async () => {
    const { environ } = await ask(stack, get('/?a=%00'))
    expect(environ['QUERY_STRING']).toBe('a=%00')
  })

  test.each([
    '/..%2f..%2fetc/passwd',
    '/..%2F',
    '/a%2f..%2fb',
    '/a%2f%2e%2e',
    '/a/.%2e%2f..',
    '/a%2f.',
    '/admin%2F..%2Fx',
  ])('refuses dot segments that decoding uncovers: %s (SEC-31, SEC-32)', async (target) => {
    expect(await refuse(stack, get(target))).toMatchObject(refusal(400))
  })

  test.each([
    ['/%2e%2e/', '/'],
    ['/a/%2e%2E/b', '/b'],
    ['/../../etc/passwd', '/etc/passwd'],
    ['/a/..;/', '/a/..;/'],
    ['/a/%252e%252e/', '/a/%2e%2e/'],
    ['/a/...', '/a/...'],
    ['/a\\..\\b', '/b'],
  ])('hands %s on as %s, decoded once (SEC-31)', async (target, path) => {
    const { environ } = await ask(stack, get(target))
    expect(environ['PATH_INFO']).toBe(path)
    expect(environ['SCRIPT_NAME']).toBe('')
    expect(environ['REQUEST_URI']).toBe(target)
  })

  test.each([
    ['/x.php%0a', '/x.php\n'],
    ['/index.php/PATH%0aINFO', '/index.php/PATH\nINFO'],
    ['/%0a', '/\n'],
    ['/%0d%0a%0d%0a', '/\r\n\r\n'],
  ])('keeps the line feed of %s and all around it (SEC-34)', async (target, path) => {
    const { environ } = await ask(stack, get(target))
    expect(environ['PATH_INFO']).toBe(path)
  })

  test('keeps CR LF of a path out of every header (SEC-35)', async () => {
    const target = '/a%0d%0aSet-Cookie:x=1%0d%0a'
    const { environ, response } = await ask(stack, get(target))
    expect(environ['PATH_INFO']).toBe('/a\r\nSet-Cookie:x=1\r\n')
    expect(environ['REQUEST_URI']).toBe(target)
    const refused = await refuse(stack, get(`${target}%00`))
    expect(refused).toMatchObject(refusal(400))
    for (const { headers, body } of [response, refused.response]) {
      expect(headers.map(([name]) => name)).not.toContain('set-cookie')
      expect(headers.some(([, value]) => value.includes('Set-Cookie'))).toBe(false)
      expect(body.toString()).not.toContain('\r')
    }
    expect(refused.response.body.toString()).toBe('400 Bad Request\n')
  })

  test('refuses a target of 8193 bytes and takes one of 8192 (SEC-37)', async () => {
    expect(await refuse(stack, get(`/${'a'.repeat(8192)}`))).toMatchObject(refusal(414))
    const { environ } = await ask(stack, get(`/${'a'.repeat(8191)}`))
    expect(environ['PATH_INFO']).toHaveLength(8192)
  })

  test('names no document root for a client to climb out of (SEC-37)', async () => {
    const { packet } = await ask(
      stack,
      head(
        'GET /x HTTP/1.1',
        HOST,
        'Document-Root: /etc',
        'Path-Translated: /etc',
        'Script-Filename: /x'
      )
    )
    const names = packet.vars.map(([name]) => name)
    expect(
      names.filter((name) => /^(?:DOCUMENT_ROOT|PATH_TRANSLATED|SCRIPT_FILENAME)$/.test(name))
    ).toEqual([])
  })

  test.each([
    'foo',
    '?x',
    '',
    '/a b',
    '/a\tb',
    '/a\x01',
    '/a\x7f',
    '/a\0',
    'h.example:80',
    'javascript:x',
  ])('refuses %j, which is no target (SEC-31)', async (target) =>
    expect(await refuseForGood(stack, get(target))).toMatchObject(refusalForGood(400))
  )
})

describe('serve: mounts', () => {
  test.each([
    ['/app', '/app', ''],
    ['/app/', '/app', '/'],
    ['/app/x', '/app', '/x'],
    ['/%61pp/x', '/app', '/x'],
    ['/app%2Fx', '/app', '/x'],
    ['/app//x', '/app', '//x'],
    ['/x/../app/y', '/app', '/y'],
  ])('splits %s into %s and %j as decoded (SEC-32, SEC-33)', async (target, script, path) => {
    const { environ, packet } = await ask(mounted, get(target))
    expect(Object.fromEntries(packet.vars)).toMatchObject({ SCRIPT_NAME: script, PATH_INFO: path })
    expect(environ['REQUEST_URI']).toBe(target)
  })

  test.each([
    '/apple',
    '/app.',
    '/%E3%81%82pp/x',
    '/APP/x',
    '//app/x',
    '/app%0a',
    '/app;x',
    '/app/..',
  ])('answers 404 to %s, which is outside (SEC-33)', async (target) => {
    expect(await refuse(mounted, get(target))).toMatchObject(refusal(404))
  })

  test.each(['/app/..%2f', '/app/..%2f..%2fx', '/app%2f..'])(
    'refuses to leave the mount by %s (SEC-33)',
    async (target) => {
      expect(await refuse(mounted, get(target))).toMatchObject(refusal(400))
    }
  )

  test.each(['/', '/a', '/ap', '/ap%70le', '/?app', '/%61'])(
    'measures %s, which is shorter than the mount or nearly it (SEC-38)',
    async (target) => {
      expect(await refuse(mounted, get(target))).toMatchObject(refusal(404))
    }
  )
})

describe('serve --log', () => {
  const LINE =
    /^(?:[0-9T:.Z-]+ 127\.0\.0\.1 "[A-Z]+ [\x21-\x7e]+ HTTP\/1\.1" [0-9]{3} [0-9.]+ms|[A-Z]+ [\x21-\x7e]+(?: uwsgi:\/\/[0-9.:]+)?: ERR_[A-Z_]+ [\x20-\x7e]+|Listening on [\x20-\x7e]+)$/

  test('escapes what a client would break out with (SEC-36)', async () => {
    await ask(stack, get('/log%0a1.2.3.4%20-%20-%20"GET%1b[31m\\x0a'))
    expect(await refuse(stack, get('/log%00"\\u000a%9b'))).toMatchObject(refusal(400))
    expect(await refuse(stack, head('GET /log* HTTP/1.1', 'Host: evil\x1b"'))).toMatchObject(
      refusal(400)
    )
    await ask(stack, get('/log/end'))
    const lines = await until('the log line of /log/end', () => {
      const log = stack.serve.log()
      return log.includes('/log/end') ? log.split('\n').slice(0, -1) : undefined
    })
    expect(lines.filter((line) => !LINE.test(line))).toEqual([])
    const logged = lines.filter((line) => line.includes('/log'))
    expect(
      logged.some((line) =>
        line.includes('"GET /log%0a1.2.3.4%20-%20-%20%22GET%1b[31m\\x5cx0a HTTP/1.1" 200')
      )
    ).toBe(true)
    expect(logged.some((line) => line.includes('"GET /log%00%22\\x5cu000a%9b HTTP/1.1" 400'))).toBe(
      true
    )
  })
})
