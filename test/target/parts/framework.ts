/**
 * One framework behind the bridge, used as its applications use it.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { eventually } from '../../support/deadline.ts'
import { type HeaderLine, open, openRaw, send, sendRaw } from '../../support/http-client.ts'
import { multipart } from '../../support/multipart.ts'
import { type App, type Echo, type SuiteContext, uniqueToken } from './context.ts'

const UPLOAD_BYTES = 20_000_000
const DOWNLOAD_BYTES = 50_000_000
const REJECTED_BYTES = 3_000_000
const REJECTED_TRIES = 20

const COOKIES: Readonly<Record<App, readonly RegExp[]>> = {
  django: [
    /^first=1; /,
    /^second=2; .*HttpOnly; Max-Age=3600/,
    /^third=3; expires=Fri, 01 Jan 2038/,
  ],
  flask: [
    /^first=1; /,
    /^second=2; .*Max-Age=3600; HttpOnly/,
    /^third=3; Expires=Fri, 01 Jan 2038/,
  ],
  bottle: [/^first=1; /, /^second=2; HttpOnly; Max-Age=3600/, /^third=3; expires=Fri, 01 Jan 2038/],
}

/** Describes one framework. */
export function describeFramework(app: App, context: SuiteContext): void {
  async function origin(): Promise<string> {
    return (await context.deployment()).origin
  }
  describeRequests(app, origin)
  describeForms(app, origin)
  describeState(app, origin)
  describeTransfers(app, origin)
  describeStatuses(app, context, origin)
  describeAborts(app, context, origin)
}

type Origin = () => Promise<string>

function describeRequests(app: App, origin: Origin): void {
  async function echo(target: string, method = 'GET'): Promise<Echo> {
    return (await send(await origin(), { method, target: `/${app}${target}` })).json()
  }

  test.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s arrives as itself',
    async (method) => {
      expect(await echo('/echo', method)).toMatchObject({
        method,
        script_name: `/${app}`,
        body_length: 0,
      })
    }
  )

  test.each([
    ['/echo/caf%C3%A9', '/echo/caf\xc3\xa9', '/echo/café'],
    ['/echo/%E2%82%AC/%F0%9F%90%8D', '/echo/\xe2\x82\xac/\xf0\x9f\x90\x8d', '/echo/€/🐍'],
    ['/echo/%FF%FE', '/echo/\xff\xfe', undefined],
    ['/echo/%0A', '/echo/\n', '/echo/\n'],
    ['/echo/a%2Fb', '/echo/a/b', '/echo/a/b'],
    ['/echo//a', '/echo//a', '/echo//a'],
    ['/echo/a%20b+c', '/echo/a b+c', '/echo/a b+c'],
    ['/echo/100%25', '/echo/100%', '/echo/100%'],
  ])('path %s arrives decoded once', async (target, octets, text) => {
    const { path_info_hex, path_info } = await echo(target)
    expect(Buffer.from(path_info_hex, 'hex').toString('latin1')).toBe(octets)
    if (text !== undefined) expect(path_info).toBe(text)
  })

  test.each([
    "a='b'",
    'a=%22b%22',
    'a+b=c+d',
    'a=%00',
    'a=b?c=d',
    'a=%C3%A9&a=%FF',
    '&&=&',
    'a=b%26c;d',
    'caf%c3%a9=%7e',
  ])('query %s arrives byte for byte', async (query) => {
    expect((await echo(`/echo?${query}`)).query_string).toBe(query)
  })
}

function describeForms(app: App, origin: Origin): void {
  test('a urlencoded form arrives', async () => {
    const response = await send(await origin(), {
      target: `/${app}/form`,
      headers: [['Content-Type', 'application/x-www-form-urlencoded']],
      body: 'a=1&a=2&b=caf%C3%A9+au+lait&c=',
    })
    expect(response.json()).toEqual({ a: ['1', '2'], b: ['café au lait'], c: [''] })
  })

  test('a multipart form arrives', async () => {
    const { headers, body } = multipart([
      { name: 'a', content: '1' },
      { name: 'a', content: '2' },
      { name: 'b', content: 'café' },
    ])
    const response = await send(await origin(), { target: `/${app}/form`, headers, body })
    expect(response.json()).toEqual({ a: ['1', '2'], b: ['café'] })
  })

  test('JSON arrives', async () => {
    const value = { text: 'naïve 🐍', list: [1, null, true] }
    const response = await send(await origin(), {
      target: `/${app}/json`,
      headers: [['Content-Type', 'application/json']],
      body: new TextEncoder().encode(JSON.stringify(value)),
    })
    expect(response.json()).toEqual({ received: value })
  })

  test('a chunked form arrives with a Content-Length', async () => {
    const response = await send(await origin(), {
      target: `/${app}/form`,
      headers: [['Content-Type', 'application/x-www-form-urlencoded']],
      body: Readable.from([Buffer.from('a=1&'), Buffer.from('b=2')]),
    })
    expect(response.json()).toEqual({ a: ['1'], b: ['2'] })
    const echo: Echo = (
      await send(await origin(), {
        target: `/${app}/echo`,
        body: Readable.from([Buffer.from('abc'), Buffer.from('defg')]),
      })
    ).json()
    expect(echo).toMatchObject({
      content_length: '7',
      body_length: 7,
      body_sha256: sha256(Buffer.from('abcdefg')),
    })
    expect(echo.headers).not.toHaveProperty('HTTP_TRANSFER_ENCODING')
  })
}

function describeState(app: App, origin: Origin): void {
  test('several Set-Cookie stay separate and in order', async () => {
    const response = await send(await origin(), { target: `/${app}/cookies/set` })
    expect(response.all('set-cookie')).toEqual(
      COOKIES[app].map((pattern) => expect.stringMatching(pattern))
    )
  })

  test('two Cookie lines arrive as one', async () => {
    const response = await send(await origin(), {
      target: `/${app}/cookies`,
      headers: [
        ['Cookie', 'a=1; b=2'],
        ['Cookie', 'c=3'],
      ],
    })
    expect(response.json()).toEqual({ a: '1', b: '2', c: '3' })
  })

  test('a session counts', async () => {
    let cookie: readonly HeaderLine[] = []
    for (const count of [1, 2, 3]) {
      const response = await send(await origin(), { target: `/${app}/session`, headers: cookie })
      expect(response.json()).toEqual({ count })
      cookie = [['Cookie', cookiesOf(response.all('set-cookie'))]]
    }
  })

  test('a redirect leads to the mount, on the host that was asked', async () => {
    const host = 'www.example.com:8443'
    const target = `/${app}/redirect`
    const headers: HeaderLine[] = [['Host', host]]
    const relative = await send(await origin(), { target, headers })
    expect(relative.status).toBe(302)
    const location = relative.header('location') ?? ''
    expect(new URL(location, `http://${host}/`).href).toBe(
      `http://${host}/${app}/echo?from=redirect`
    )
    if (app === 'bottle') return
    const absolute = await send(await origin(), { target: `${target}?absolute`, headers })
    expect(absolute.header('location')).toBe(`http://${host}/${app}/echo?from=redirect`)
  })

  // The other two have no CSRF protection of their own.
  test.each(app === 'django' ? ['/django/csrf'] : [])(
    'CSRF protection of %s: 403 without the token, 200 with it',
    async (target) => {
      const page = await send(await origin(), { target })
      const token = /name="csrfmiddlewaretoken" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
      const fields = [{ name: 'note', content: 'hi' }]
      const file = { name: 'file', filename: 'a.txt', content: 'content' }
      const bare = multipart([...fields, file])
      const refused = await send(await origin(), { target, ...bare })
      expect(refused.status).toBe(403)
      const full = multipart([{ name: 'csrfmiddlewaretoken', content: token }, ...fields, file])
      const accepted = await send(await origin(), {
        target,
        headers: [...full.headers, ['Cookie', cookiesOf(page.all('set-cookie'))]],
        body: full.body,
      })
      expect(accepted.status).toBe(200)
      expect(accepted.json()).toEqual({
        fields: { note: ['hi'] },
        file: { name: 'a.txt', length: 7, sha256: sha256(Buffer.from('content')) },
      })
    }
  )
}

function describeTransfers(app: App, origin: Origin): void {
  test('a file of 20 MB is uploaded whole', async () => {
    const content = patternBytes(UPLOAD_BYTES)
    const { headers, body } = multipart([{ name: 'file', filename: 'größe.bin', content }])
    const response = await send(await origin(), { target: `/${app}/upload`, headers, body })
    expect(response.json()).toEqual({
      name: 'größe.bin',
      length: UPLOAD_BYTES,
      sha256: sha256(content),
    })
  })

  test('50 MB are downloaded whole, with their Content-Length', async () => {
    const response = await open(await origin(), {
      target: `/${app}/download?bytes=${DOWNLOAD_BYTES}`,
    })
    expect(response.header('content-length')).toBe(String(DOWNLOAD_BYTES))
    const digest = createHash('sha256')
    let length = 0
    for (let chunk = await response.read(); chunk !== undefined; chunk = await response.read()) {
      digest.update(chunk)
      length += chunk.length
    }
    expect(length).toBe(DOWNLOAD_BYTES)
    expect(digest.digest('hex')).toBe(response.header('x-sha256'))
  })

  test('a download without length is whole', async () => {
    const response = await send(await origin(), {
      target: `/${app}/download?bytes=1234567&length=none`,
    })
    expect(response.header('content-length')).toBeUndefined()
    expect(response.body.length).toBe(1_234_567)
    expect(sha256(response.body)).toBe(response.header('x-sha256'))
  })

  test('what the application yields arrives before it yields more', async () => {
    const token = uniqueToken()
    const response = await open(await origin(), { target: `/${app}/stream?token=${token}` })
    expect(Buffer.from((await response.read()) ?? []).toString()).toBe('one\n')
    await send(await origin(), { method: 'POST', target: `/${app}/confirm?token=${token}` })
    expect((await response.rest()).toString()).toBe('two\n')
  })
}

function describeStatuses(app: App, { differs }: SuiteContext, origin: Origin): void {
  test('HEAD has the Content-Length of GET and no body', async () => {
    const get = await send(await origin(), { target: `/${app}/head` })
    expect(get.text).toBe('hello')
    const raw = await sendRaw(
      await origin(),
      `HEAD /${app}/head HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
    )
    expect(raw).toMatch(/^HTTP\/1.1 200 /)
    expect(raw).toMatch(/^content-length: 5\r$/im)
    expect(raw).toMatch(/\r\n\r\n$/)
  })

  test.each([204, 205, 304])('%d has no body', async (status) => {
    const raw = await sendRaw(
      await origin(),
      `GET /${app}/status/${status} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
    )
    const [head = '', body] = raw.split('\r\n\r\n')
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    // An empty chunked body is one way to say that a 205 has none (RFC 9110 §15.3.6).
    if (status === 205) expect(['', '0']).toContain(body)
    else expect(body).toBe('')
    if (status === 204) expect(head).not.toMatch(/^content-length:/im)
    if (status === 304) expect(head).toMatch(/^etag: "abc"/im)
  })

  test('404 arrives with its page', async () => {
    const { status, reason, text } = await send(await origin(), { target: `/${app}/status/404` })
    expect({ status, text }).toEqual({ status: 404, text: 'status 404\n' })
    const own = app === 'flask' ? 'NOT FOUND' : 'Not Found'
    expect(reason).toBe(differs.reason ? own : 'Not Found')
  })

  test('a big response header arrives', async () => {
    // uWSGI makes room for a header of its --buffer-size.
    const { header } = await send(await origin(), { target: `/${app}/bigheader?bytes=15000` })
    expect(header('x-big')).toBe('x'.repeat(15_000))
  })

  test('response headers arrive in the octets that were sent', async () => {
    const response = await send(await origin(), { target: `/${app}/latin` })
    expect(response.header('x-utf8')).toBe('\xc3\xa9')
    if (app !== 'bottle') expect(response.header('x-latin')).toBe(differs.latin1Out)
  })

  test('an application that fails before its first byte is a 502 that tells nothing', async () => {
    const { status, text, headers } = await send(await origin(), { target: `/${app}/fail/before` })
    expect({ status, text }).toEqual({ status: 502, text: '502 Bad Gateway\n' })
    expect(JSON.stringify(headers)).not.toMatch(/uwsgi|upstream|127\.0\.0\.1/i)
  })

  test('an application that fails inside its body breaks the transfer off', async () => {
    await expect(send(await origin(), { target: `/${app}/fail/after?length=100` })).rejects.toThrow(
      /broke off|aborted|ECONNRESET|hang up/
    )
  })
}

function describeAborts(app: App, { differs }: SuiteContext, origin: Origin): void {
  test('an answer that does not wait for the body arrives', async () => {
    const host = await origin()
    const body = Buffer.alloc(REJECTED_BYTES, 'x')
    const statuses: string[] = []
    for (let i = 0; i < REJECTED_TRIES; i++) {
      const raw = await sendRaw(host, [
        `POST /${app}/reject HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`,
        `Content-Length: ${REJECTED_BYTES}\r\n\r\n`,
        body,
      ])
      statuses.push(raw.slice('HTTP/1.1 '.length, 'HTTP/1.1 413'.length))
    }
    const answered = statuses.filter((status) => differs.answersWhileSending || status !== '')
    const lost = answered.filter((status) => status !== '413')
    expect(answered).toContain('413')
    expect(lost.length, lost.join()).toBeLessThanOrEqual(
      (REJECTED_TRIES * differs.lostAnswers) / 100
    )
  })

  test('the application is told that its client has gone', async () => {
    const token = uniqueToken()
    const client = await openRaw(await origin())
    await client.write(`GET /${app}/endless?token=${token} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await client.until(/\.\.\./)
    client.destroy(differs.leave)
    const observed = eventually('the end of its generator', async () => {
      const target = `/${app}/observed?token=${token}`
      const answer: { observed: boolean } = (await send(await origin(), { target })).json()
      return answer.observed
    })
    await expect(observed).resolves.toBe(true)
  })
}

function cookiesOf(setCookies: readonly string[]): string {
  return setCookies.map((line) => line.slice(0, line.indexOf(';'))).join('; ')
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Bytes with no short period, which would hide lost or swapped pieces. */
function patternBytes(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 0xff
  return bytes
}
