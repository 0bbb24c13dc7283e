import { describe, expect, test } from 'vitest'
import { type EnvironOptions, type RequestMeta, toEnviron } from '../../src/index.ts'
import { codeOf } from '../codec/decode.ts'
import type { HeaderField } from '../../src/core/request-head.ts'

/** A request as a runtime that speaks HTTP/2 might hand it over, were it careless. */
interface Careless {
  readonly headers?: readonly HeaderField[]
  readonly meta?: RequestMeta
  readonly method?: string
  readonly body?: string
}

/** Environ of a request over HTTP/2, or the code that refuses it. */
async function environOf(parts: Careless, options: EnvironOptions = {}) {
  const { headers = [], meta = {}, method, body } = parts
  const request = new Request(
    'http://h.example/p',
    body === undefined ? {} : { method: 'POST', body }
  )
  if (method !== undefined) Object.defineProperty(request, 'method', { value: method })
  const rawHeaders: HeaderField[] = [['host', 'h.example'], ...headers]
  try {
    return await toEnviron(request, { httpVersion: '2.0', rawHeaders, ...meta }, options)
  } catch (error) {
    return codeOf(error)
  }
}

/** Length of the body under a Content-Length, or the code it fails with; `abc` is what comes. */
async function bodyOf(length: string) {
  const environ = await environOf({ headers: [['content-length', length]], body: 'abc' })
  if (typeof environ === 'string') throw new Error(environ)
  return await environ['wsgi.input'].read().then((bytes) => bytes.length, codeOf)
}

describe('toEnviron() of what HTTP/2 lets through and HTTP/1.1 must not see (SEC-50)', () => {
  test.each<[string, Careless]>([
    ['CR LF in a value', { headers: [['x', 'a\r\ny: z']] }],
    ['LF in a value', { headers: [['x', 'a\nb']] }],
    ['NUL in a value', { headers: [['x', 'a\0b']] }],
    ['CR LF in a name', { headers: [['x\r\ny', 'a']] }],
    [
      'Transfer-Encoding, which would frame it anew',
      { headers: [['transfer-encoding', 'chunked']] },
    ],
    ['Transfer-Encoding with a body', { headers: [['transfer-encoding', 'gzip']], body: 'abc' }],
    ['a second host', { headers: [['host', 'evil.example']] }],
    [
      'two lengths',
      {
        headers: [
          ['content-length', '3'],
          ['content-length', '5'],
        ],
        body: 'abc',
      },
    ],
    ['a method with a space', { method: 'GET /x HTTP/1.1\r\nX:' }],
    ['a path that does not begin with a slash', { meta: { rawTarget: 'evil' } }],
    ['a path that is an authority', { meta: { rawTarget: 'evil.example:443' } }],
  ])('refuses %s', async (_what, parts) => {
    expect(await environOf(parts)).toBe('ERR_BAD_REQUEST')
  })

  const PSEUDO: readonly HeaderField[] = [
    [':path', '/evil'],
    [':authority', 'evil.example'],
    [':method', 'DELETE'],
    [':scheme', 'javascript'],
  ]

  test('has no variable of a pseudo-header', async () => {
    const plain = await environOf({})
    const {
      'wsgi.input': _input,
      'wsgi.errors': _errors,
      ...expected
    } = plain as object as Record<string, unknown>
    expect(await environOf({ headers: PSEUDO })).toMatchObject(expected)
    expect(Object.keys((await environOf({ headers: PSEUDO })) as object)).toEqual(
      Object.keys(plain)
    )
    expect(await environOf({ headers: PSEUDO }, { ambiguousHeaders: 'reject' })).toBe(
      'ERR_BAD_REQUEST'
    )
  })

  test('has nothing that concerns a connection, nor what Connection names', async () => {
    const headers: readonly HeaderField[] = [
      ['connection', 'x-named'],
      ['x-named', '1'],
      ['keep-alive', '5'],
      ['upgrade', 'h2c'],
      ['http2-settings', 'AAMAAABkAAQAAP__'],
      ['te', 'trailers'],
      ['proxy-connection', 'x'],
    ]
    const fields = Object.keys((await environOf({ headers })) as object).filter((key) =>
      key.startsWith('HTTP_')
    )
    expect(fields).toEqual(expect.arrayContaining(['HTTP_HOST']))
    expect(fields).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/NAMED|ALIVE|UPGRADE|HTTP_TE|CONNECTION/)])
    )
  })

  test('a body of another length than content-length is cut, or fails', async () => {
    expect(await bodyOf('2')).toBe(2)
    expect(await bodyOf('3')).toBe(3)
    expect(await bodyOf('5')).toBe('ERR_BODY_TOO_SHORT')
  })
})
