import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { type Application, runApplication } from '../../src/core/application.ts'
import { type Environ, toEnviron } from '../../src/core/environ.ts'
import { toApplication } from '../../src/core/fetch-application.ts'
import type { StartResponse } from '../../src/core/start-response.ts'
import { ValidationError, validator } from '../../src/core/validator.ts'
import { octets } from './support.ts'
import {
  acceptAll,
  appOf,
  breachOf,
  call,
  environOf,
  errorsOf,
  serve,
  startsWith,
  TEXT,
  untyped,
} from './validator-support.ts'

function begin(startResponse: StartResponse): void {
  startResponse('201 Made it', [
    TEXT,
    ['Set-Cookie', 'a=1'],
    ['Set-Cookie', 'b=2'],
    ['ETag', '"\xe9"'],
  ])
}

function* chunks(): Generator<Uint8Array> {
  yield octets('hel')
  yield octets('')
  yield octets('lo')
}

async function* asyncChunks(): AsyncGenerator<Uint8Array> {
  yield* chunks()
}

/** An application that echoes its body, for as long as it is asked. */
async function* echo(environ: Environ): AsyncGenerator<Uint8Array> {
  yield octets('you said: ')
  for await (const line of environ['wsgi.input']) yield line
}

const CORRECT: readonly (readonly [title: string, app: Application])[] = [
  ['sync application, sync iterable', (_, start) => (begin(start), chunks())],
  ['sync application, async iterable', (_, start) => (begin(start), asyncChunks())],
  ['async application, sync iterable', async (_, start) => (begin(start), chunks())],
  ['async application, async iterable', async (_, start) => (begin(start), asyncChunks())],
  ['application that echoes', (environ, start) => (begin(start), echo(environ))],
  [
    'application that writes',
    async (_, start) => {
      const write = start('200 OK', [TEXT])
      await write(octets('written '))
      return [octets('and'), octets(' returned')]
    },
  ],
  ['application that starts late', (_, start) => lateStart(start)],
  [
    'application that begins anew',
    (_, start) => (begin(start), start('500 Oh', [TEXT], new Error('oh')), chunks()),
  ],
  ['application with a length', appOf('200 OK', [TEXT, ['Content-Length', '5']], ['he', 'llo'])],
  ['application without a body', appOf('204 No Content', [], [])],
  ['fetch handler', toApplication(async (request) => new Response(await request.text()))],
]

function* lateStart(start: StartResponse): Generator<Uint8Array> {
  begin(start)
  yield octets('late')
}

function failingIterable(error: Error): Iterable<never> {
  function next(): never {
    throw error
  }
  return { [Symbol.iterator]: () => ({ next }) }
}

const restarting: Application = (_environ, startResponse) => {
  startResponse('200 OK', [TEXT, ['Content-Length', '5']])
  try {
    startResponse('200 OK', [TEXT, ['Content-Length', '9']])
  } catch {
    // As an application does that catches everything.
  }
  return [octets('hello')]
}

const refused: Application = (_environ, startResponse) => {
  try {
    startResponse('200 OK', [TEXT, ['Connection', 'close']])
  } catch {
    // As an application does that catches everything.
  }
  return [octets('hello')]
}

const beginsAnew: Application = (_environ, startResponse) => {
  startResponse('204 No Content', [])
  startResponse('500 Oh', [TEXT, ['Content-Length', '2']], new Error('a'))
  return [octets('oh')]
}

const changesMethod: Application = (environ, startResponse) => {
  environ.REQUEST_METHOD = 'HEAD'
  startResponse('200 OK', [TEXT, ['Content-Length', '5']])
  return []
}

/** What a client and the operator see of one request. */
interface Answer {
  status: number
  reason: string
  headers: [string, string][]
  body: string
  logged: string[]
}

async function answer(app: Application, method = 'GET'): Promise<Answer> {
  const init: RequestInit = { method, headers: { host: 'h.example' } }
  if (method === 'POST') init.body = octets('one\ntwo') as Uint8Array<ArrayBuffer>
  const environ = await toEnviron(new Request('http://h.example/a?b', init))
  const logged: string[] = []
  environ['wsgi.errors'] = { ...errorsOf([]), write: (text: string) => logged.push(text) } as never
  const response = await runApplication(app, environ)
  const { status, statusText: reason } = response
  return { status, reason, headers: [...response.headers], body: await response.text(), logged }
}

describe.each([
  ['GET', CORRECT],
  ['POST', CORRECT],
  // Of the handler's answer to HEAD, an empty array, the gateway infers a length: see RSP-36 below.
  ['HEAD', CORRECT.slice(0, -1)],
])('to %s', (method, apps) => {
  test.each(apps)('`validator()` changes nothing in the answer of a %s', async (_title, app) => {
    const plain = await answer(app, method)
    expect(plain.logged).toEqual([])
    expect(await answer(validator(app), method)).toEqual(plain)
    expect(await answer(validator(validator(app)), method)).toEqual(plain)
  })
})

test('`validator()` takes away the length that the gateway infers from an array (RSP-36)', async () => {
  expect((await answer(appOf())).headers).toEqual([
    ['content-length', '5'],
    ['content-type', 'text/plain'],
  ])
  expect((await answer(validator(appOf()))).headers).toEqual([['content-type', 'text/plain']])
})

test('`validator()` makes the gateway answer 500 for a breach, and log it', async () => {
  const { status, body, logged } = await answer(validator(appOf('200 OK', [])))
  expect(status).toBe(500)
  expect(body).not.toContain('wsgiref')
  expect(logged.join('')).toMatch(/ValidationError: Cannot pass wsgiref.validate item 23: /)
})

test('`validator()` answers as the application does: at once, or with a promise', async () => {
  const results = CORRECT.slice(0, 4).map(([, app]) => call(validator(app)))
  expect(results.map((result) => result instanceof Promise)).toEqual([false, false, true, true])
  const kinds = (await Promise.all(results)).map((result) => [
    Symbol.iterator in result,
    Symbol.asyncIterator in result,
    typeof result.close,
  ])
  expect(kinds).toEqual([
    [true, false, 'function'],
    [false, true, 'function'],
    [true, false, 'function'],
    [false, true, 'function'],
  ])
})

test('`validator()` throws at once where the application does not promise', () => {
  expect(() => call(validator(appOf('20 OK')))).toThrow(ValidationError)
  expect(() => call(validator(untyped(() => null)))).toThrow(ValidationError)
  const result = call(validator(untyped(() => ['a']))) as Iterable<unknown>
  expect(() => [...result]).toThrow(ValidationError)
})

test('`validator()` takes a thenable for a promise', async () => {
  // oxlint-disable-next-line unicorn/no-thenable -- what is under test
  const thenable = { then: (resolve: (result: unknown) => void) => resolve('hello') }
  const error = await breachOf(() => call(validator(untyped(() => thenable))))
  expect(error.item).toBe(6)
})

test('`validator()` passes errors of the application on', async () => {
  const error = new Error('of the application')
  const apps = [
    untyped(() => {
      throw error
    }),
    untyped(() => Promise.reject(error)),
    untyped(() => failingIterable(error)),
    untyped(async () => failingIterable(error)),
    untyped(() => Readable.from(failingIterable(error))),
  ]
  for (const app of apps) await expect(serve(app)).rejects.toBe(error)
})

test('`validator()` passes a copy of the headers on (RSP-5)', async () => {
  const header = ['X-A', 'a']
  const headers = [TEXT, header]
  let got: unknown
  await call(validator(startsWith('200 OK', headers)), {}, (_status, copy) => {
    got = copy
    return acceptAll('', [])
  })
  headers.push(['X-Late', 'b'])
  header[1] = 'c\r\n'
  expect(got).toEqual([TEXT, ['X-A', 'a']])
})

test('`validator()` passes the arguments of startResponse on, and no others', async () => {
  const calls: unknown[][] = []
  const record: StartResponse = (...args: unknown[]) => (calls.push(args), acceptAll('', []))
  const triple = [Error, new Error('a'), null]
  await call(validator(startsWith('200 OK', [TEXT])), {}, record)
  await call(validator(startsWith('200 OK', [TEXT], null)), {}, record)
  await call(validator(startsWith('200 OK', [TEXT], triple)), {}, record)
  expect(calls).toEqual([
    ['200 OK', [TEXT]],
    ['200 OK', [TEXT], null],
    ['200 OK', [TEXT], triple],
  ])
  expect(calls[2]?.[2]).toBe(triple)
})

test('`validator()` passes written bytes on, and the promise of write()', async () => {
  const chunk = octets('hello')
  const taken = Promise.resolve()
  const written: unknown[] = []
  let promise: unknown
  await call(
    validator((_environ, startResponse) => {
      promise = startResponse('200 OK', [TEXT])(chunk)
      return []
    }),
    {},
    () => (bytes) => (written.push(bytes), taken)
  )
  expect(written).toEqual([chunk])
  expect(written[0]).toBe(chunk)
  expect(promise).toBe(taken)
})

test('`validator()` keeps the head that was sent when a later call is refused', async () => {
  let calls = 0
  const startResponse: StartResponse = () => {
    if (++calls > 1) throw new Error('called twice')
    return acceptAll('', [])
  }
  const result = (await call(validator(restarting), {}, startResponse)) as Iterable<Uint8Array>
  expect([...result]).toEqual([octets('hello')])
})

test('`validator()` leaves a refusal of the server to the server', async () => {
  const { status, logged } = await answer(validator(refused))
  expect(status).toBe(500)
  expect(logged.join('')).toMatch(/^GatewayError: /)
})

test('`validator()` checks a response anew that an error handler begins', async () => {
  expect(await serve(beginsAnew)).toEqual({ body: 'oh', warnings: [] })
})

test('`validator()` reads the method before the application may change it', async () => {
  expect((await breachOf(() => serve(changesMethod))).item).toBe('werkzeug-length')
})

test('`validator()` hands over the environ itself, to be changed', async () => {
  const environ = environOf()
  let seen: unknown
  const app = untyped((given: unknown) => ((seen = given), []))
  await Reflect.apply(validator(app), undefined, [environ, acceptAll])
  expect(seen).toBe(environ)
})

test('`validator()` fails where onWarning throws', async () => {
  const app = validator(appOf('200'), {
    onWarning(warning) {
      throw warning
    },
  })
  expect((await breachOf(() => call(app))).item).toBe(11)
})

test.each([
  ['Cannot validate undefined: wanted an application, a function', undefined, {}],
  ['Cannot validate a plain object: wanted an application, a function', {}, {}],
  ['Cannot use onWarning: it is a string, wanted a function', appOf(), { onWarning: 'log' }],
  ['Cannot use onWarning: it is null, wanted a function', appOf(), { onWarning: null }],
])('`validator()` refuses wrong arguments at once: %s', (message, app, options) => {
  expect(() => Reflect.apply(validator, undefined, [app, options])).toThrow(new TypeError(message))
})

test('ValidationError is an Error with its item', () => {
  const [one, other] = [
    new ValidationError(12, 'seen, wanted'),
    new ValidationError('STR-1', 'seen'),
  ]
  expect(one).toBeInstanceOf(Error)
  expect([one.name, one.item, one.message]).toEqual([
    'ValidationError',
    12,
    'Cannot pass wsgiref.validate item 12: seen, wanted',
  ])
  expect([other.item, other.message]).toEqual(['STR-1', 'Cannot pass check STR-1: seen'])
})

test('ValidationError tells no header value and no body', async () => {
  const secret = 'hunter2'
  const breaches = [
    startsWith('200 OK', [TEXT, ['Set-Cookie', `${secret}\n`]]),
    startsWith('200 OK', [TEXT, ['Set-Cookie', `${secret}\u0117`]]),
    startsWith('200 OK', [TEXT, ['ETag', secret]]),
    startsWith(`200 ${secret}\u0117`, [TEXT]),
    appOf('200 OK', [TEXT, ['Content-Length', '1']], [secret]),
    untyped(() => secret),
    untyped(() => [secret]),
  ]
  for (const app of breaches)
    expect((await breachOf(() => serve(app))).message).not.toContain(secret)
  const environs = [
    { HTTP_COOKIE: `${secret}\u0117` },
    { CONTENT_LENGTH: secret },
    { PATH_INFO: secret },
  ]
  for (const changes of environs) {
    expect((await breachOf(() => serve(appOf(), changes))).message).not.toContain(secret)
  }
})
