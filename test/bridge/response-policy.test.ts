import { describe, expect, test, vi } from 'vitest'
import type { InterceptedError, InterceptErrors } from '../../src/bridge/response-policy.ts'
import {
  answers,
  answersEndlessly,
  ask,
  groupOf,
  headOf,
  keepsSilent,
  type Plan,
  refuses,
} from './memory-group.ts'

const FIELDS = [
  'X-Accel-Redirect: /internal',
  'X-Accel-Expires: 1',
  'X-Accel-Limit-Rate: 1',
  'X-Accel-Buffering: yes',
  'X-Accel-Charset: utf-8',
  'X-Sendfile: /etc/passwd',
  'X-Powered-By: Python',
  'Server: uWSGI',
  'Set-Cookie: a=1',
]
const ALL = FIELDS.map((line) => line.split(':', 1)[0]?.toLowerCase() ?? '')
const VISIBLE = ALL.filter((name) => !name.startsWith('x-accel-'))

/** The names of the headers that a client gets, in order, but for the length. */
async function namesWith(
  options: Parameters<typeof groupOf>[1],
  fields = FIELDS
): Promise<string[]> {
  const { bridge } = groupOf([answers(200, 'x', ...fields)], options)
  const { headers } = await ask(bridge)
  return Object.keys(headers).filter((name) => name !== 'content-length')
}

describe('response headers', () => {
  test('of nginx are hidden, and no others', async () => {
    expect(await namesWith({})).toEqual(VISIBLE)
  })

  test('of hideHeader are hidden besides, in any case', async () => {
    const hideHeader = ['x-powered-by', 'SERVER', 'No-Such']
    expect(await namesWith({ hideHeader })).toEqual(['x-sendfile', 'set-cookie'])
  })

  test('of passHeader are not hidden, in any case', async () => {
    const passHeader = ['x-ACCEL-redirect', 'X-Accel-Charset']
    expect(await namesWith({ passHeader })).toEqual([
      'x-accel-redirect',
      'x-accel-charset',
      ...VISIBLE,
    ])
  })

  test('are hidden in any case the backend writes them in, each line of them', async () => {
    const fields = ['x-accel-REDIRECT: /a', 'X-ACCEL-REDIRECT: /b', 'X-POWERED-by: c', 'A: b']
    expect(await namesWith({ hideHeader: ['X-Powered-By'] }, fields)).toEqual(['a'])
  })

  test('of hideHeader are hidden from errors, too', async () => {
    const { bridge } = groupOf([answers(500, 'x', 'Server: uWSGI', 'X-Accel-Redirect: /a')], {
      hideHeader: ['Server'],
    })
    expect((await ask(bridge)).headers).toEqual({ 'content-length': '1' })
  })

  test.each(['hideHeader', 'passHeader', 'ignoreHeaders'] as const)(
    '%s takes names only',
    (option) => {
      for (const wrong of ['', 'a b', 'a:', 'ü']) {
        expect(() => groupOf([refuses], { [option]: [wrong] })).toThrow(
          `Cannot use ${option} ${JSON.stringify(wrong)}: wanted names of headers`
        )
      }
    }
  )

  test.each(['X-Accel-Redirect: /internal', 'X-Sendfile: /etc/passwd', 'X-Accel-Expires: 0'])(
    'SEC-76: %s is not acted on, though it is passed',
    async (field) => {
      const passHeader = ['X-Accel-Redirect', 'X-Accel-Expires']
      const { bridge, backends } = groupOf([answers(200, 'as it is', field)], { passHeader })
      const answer = await ask(bridge)
      expect([answer.status, answer.body]).toEqual([200, 'as it is'])
      expect(backends[0]?.connections.length).toBe(1)
    }
  )
})

/** A response of two parts, of which the client reads the first: has the second been read by then? */
async function readsAhead(options: Parameters<typeof groupOf>[1], ...fields: string[]) {
  let reads = 0
  const plan: Plan = (connection) => {
    const read = connection.read.bind(connection)
    connection.read = () => {
      reads++
      return read()
    }
    const head = ['HTTP/1.1 200 OK', 'Content-Length: 6', ...fields].join('\r\n')
    connection.respond(`${head}\r\n\r\n`).respond('one').respond('two')
  }
  const { bridge } = groupOf([plan], options)
  const { body } = await bridge.handle(headOf('GET'), undefined)
  await body?.read()
  await vi.waitFor(() => expect(reads).toBeGreaterThan(1))
  await new Promise((resolve) => setImmediate(resolve))
  const ahead = reads > 2
  await body?.cancel(undefined)
  return ahead
}

describe('reading ahead', () => {
  test('is what happens unless somebody asks for a stream', async () => {
    expect(await readsAhead({})).toBe(true)
    expect(await readsAhead({}, 'X-Accel-Buffering: yes')).toBe(true)
    expect(await readsAhead({}, 'Content-Type: text/plain')).toBe(true)
    expect(await readsAhead({}, 'Content-Type: text/event-streams')).toBe(true)
  })

  test.each([
    'X-Accel-Buffering: no',
    'x-accel-buffering: NO',
    'Content-Type: text/event-stream',
    'Content-Type: Text/Event-Stream; charset=utf-8',
  ])('does not happen to a response with %s', async (field) => {
    expect(await readsAhead({}, field)).toBe(false)
  })

  test('happens where ignoreHeaders says that X-Accel-Buffering is not acted on', async () => {
    const ignoreHeaders = ['x-ACCEL-Buffering']
    expect(await readsAhead({ ignoreHeaders }, 'X-Accel-Buffering: no')).toBe(true)
    expect(await readsAhead({ ignoreHeaders: ['X-Accel-Expires'] }, 'X-Accel-Buffering: no')).toBe(
      false
    )
  })

  test('ignoreHeaders does not show what is hidden', async () => {
    const names = await namesWith({ ignoreHeaders: ['X-Accel-Buffering'] })
    expect(names).toEqual(VISIBLE)
  })

  test('never happens with buffering off', async () => {
    expect(await readsAhead({ buffering: false })).toBe(false)
  })
})

/** What the hook was asked, and its answer. */
function intercept(answer: InterceptErrors = () => new Response('ours', { status: 418 })) {
  const asked: InterceptedError[] = []
  const interceptErrors: InterceptErrors = (error) => {
    asked.push(error)
    return answer(error)
  }
  return { asked, interceptErrors }
}

describe('interceptErrors', () => {
  test('answers in the place of an error of the bridge', async () => {
    const { asked, interceptErrors } = intercept()
    const { bridge, events, reports } = groupOf([refuses], { interceptErrors })
    expect(await ask(bridge, headOf('GET', undefined, '/x?y'))).toMatchObject({
      status: 418,
      body: 'ours',
    })
    expect(asked).toEqual([
      {
        status: 502,
        method: 'GET',
        target: '/x?y',
        code: 'ERR_UPSTREAM_CONNECT',
        requestId: undefined,
      },
    ])
    // The error is the operator's all the same.
    expect(reports.map(({ code }) => code)).toEqual(['ERR_UPSTREAM_CONNECT'])
    expect(events).toMatchObject([{ status: 418, error: 'ERR_UPSTREAM_CONNECT', responseBytes: 4 }])
  })

  test.each([400, 404, 499, 500, 503, 599])(
    'answers in the place of a backend’s %i, whose body is given up',
    async (status) => {
      const { asked, interceptErrors } = intercept()
      const { bridge, backends, events, reports } = groupOf([answersEndlessly(status)], {
        interceptErrors,
      })
      expect(await ask(bridge)).toEqual({
        status: 418,
        body: 'ours',
        headers: { 'content-length': '4', 'content-type': 'text/plain;charset=UTF-8' },
      })
      expect(asked).toMatchObject([{ status, code: undefined }])
      expect(backends[0]?.connections[0]?.closed).toBe(true)
      expect(events).toMatchObject([{ status: 418, error: undefined }])
      expect(reports).toEqual([])
    }
  )

  test('gives the backend’s place back with its body', async () => {
    const { interceptErrors } = intercept()
    const { bridge } = groupOf([answersEndlessly(500)], { interceptErrors, maxConns: 1, queue: 0 })
    expect((await ask(bridge)).status).toBe(418)
    expect((await ask(bridge)).status).toBe(418)
    const { bridge: busy } = groupOf([answersEndlessly(500)], { maxConns: 1, queue: 0 })
    await busy.handle(headOf('GET'), undefined)
    expect((await ask(busy)).status).toBe(503)
  })

  test('may answer later', async () => {
    const page = Promise.withResolvers<Response>()
    const { bridge } = groupOf([refuses], { interceptErrors: () => page.promise })
    const answer = ask(bridge)
    page.resolve(new Response('late', { status: 200 }))
    expect(await answer).toMatchObject({ status: 200, body: 'late' })
  })

  test('may answer what has no body', async () => {
    const { interceptErrors } = intercept(() => new Response(null, { status: 204 }))
    const { bridge, events } = groupOf([refuses], { interceptErrors })
    expect(await ask(bridge)).toMatchObject({ status: 204, body: '' })
    expect(events).toMatchObject([{ status: 204, error: 'ERR_UPSTREAM_CONNECT' }])
  })

  test.each([200, 204, 301, 399])('is not asked about %i', async (status) => {
    const { asked, interceptErrors } = intercept()
    const { bridge } = groupOf([answers(status, '')], { interceptErrors })
    expect((await ask(bridge)).status).toBe(status)
    expect(asked).toEqual([])
  })

  test('is not asked about OPTIONS *, which is no error', async () => {
    const { asked, interceptErrors } = intercept()
    const { bridge } = groupOf([refuses], { interceptErrors })
    expect((await ask(bridge, headOf('OPTIONS', undefined, '*'))).status).toBe(204)
    expect(asked).toEqual([])
  })

  test('is not asked for a client that has left', async () => {
    const { asked, interceptErrors } = intercept()
    const { bridge, backends } = groupOf([keepsSilent], { interceptErrors })
    const client = new AbortController()
    const answer = ask(bridge, headOf('GET'), undefined, client.signal)
    await vi.waitFor(() => expect(backends[0]?.connections.length).toBe(1))
    client.abort()
    expect((await answer).status).toBe(499)
    expect(asked).toEqual([])
  })

  test('undefined leaves an error of the bridge as it is', async () => {
    const { interceptErrors } = intercept(() => undefined)
    const { bridge } = groupOf([refuses], { interceptErrors })
    expect(await ask(bridge)).toEqual(await ask(groupOf([refuses]).bridge))
  })

  test('undefined leaves a backend’s error as it is', async () => {
    const { asked, interceptErrors } = intercept(() => undefined)
    const { bridge } = groupOf([answers(500, 'theirs', 'A: b')], { interceptErrors })
    expect(await ask(bridge)).toEqual({
      status: 500,
      body: 'theirs',
      headers: { 'content-length': '6', a: 'b' },
    })
    expect(asked.length).toBe(1)
  })

  test.each<[string, InterceptErrors]>([
    [
      'throws',
      () => {
        throw new Error('hook broke')
      },
    ],
    ['rejects', () => Promise.reject(new Error('hook broke'))],
    [
      'throws no error',
      () => {
        throw 'hook broke'
      },
    ],
  ])('that %s leaves the error as it is, and is reported', async (_name, answer) => {
    for (const plan of [refuses, answers(502, 'theirs')]) {
      const { bridge, reports, events } = groupOf([plan], { interceptErrors: answer })
      expect((await ask(bridge)).status).toBe(502)
      expect(reports.at(-1)).toMatchObject({
        error: { message: expect.stringContaining('hook broke') as string },
        context: { method: 'GET', path: '/a', upstream: '' },
      })
      expect(events).toMatchObject([{ status: 502 }])
    }
  })

  test('that returns what is no response leaves the error as it is, and is reported', async () => {
    // @ts-expect-error: a hook in JavaScript can return anything.
    const { interceptErrors } = intercept(() => 'ours')
    const { bridge, reports } = groupOf([answers(500, 'theirs')], { interceptErrors })
    expect(await ask(bridge)).toMatchObject({ status: 500, body: 'theirs' })
    expect(reports.map(({ code }) => code)).toEqual(['ERR_APPLICATION'])
  })

  test('to HEAD answers without a body', async () => {
    for (const plan of [refuses, answers(500, '')]) {
      const { asked, interceptErrors } = intercept()
      const { bridge } = groupOf([plan], { interceptErrors })
      const response = await bridge.handle(headOf('HEAD'), undefined)
      expect([response.status, response.body]).toEqual([418, undefined])
      expect(asked).toMatchObject([{ method: 'HEAD' }])
    }
  })

  test('is asked about a URL that is none, too', async () => {
    const { asked, interceptErrors } = intercept()
    const { bridge } = groupOf([refuses], { interceptErrors })
    const made = new Request('http://h.example/')
    const response = await bridge.fetch(made, undefined, undefined, { url: 'nonsense' })
    expect([response.status, await response.text()]).toEqual([418, 'ours'])
    expect(asked).toMatchObject([{ status: 400, code: 'ERR_BAD_REQUEST' }])
  })
})
