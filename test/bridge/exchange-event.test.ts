import { afterEach, describe, expect, test, vi } from 'vitest'
import { createBridgeOn } from '../../src/bridge/bridge.ts'
import type { ExchangeEvent } from '../../src/bridge/exchange-event.ts'
import { MemoryBody, opening } from './memory-connection.ts'
import {
  answers,
  answersBehind,
  answersEndlessly,
  ask,
  cuts,
  cutsBehind,
  groupOf,
  headOf,
  keepsSilent,
  type Plan,
  refuses,
  settle,
} from './memory-group.ts'

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const A = 'uwsgi://a:3031'
const B = 'uwsgi://b:3031'
const OK = answers(200, 'hello')

// These take their time of a clock that stands still otherwise.
const answersLate: Plan = async (connection) => {
  vi.advanceTimersByTime(5)
  connection.onWrite = async () => {
    vi.advanceTimersByTime(20)
    connection.respond('HTTP/1.1 201 Made\r\nContent-Length: 5\r\n\r\nhell')
    connection.respond('o')
  }
}
const diesLate: Plan = (connection) => {
  vi.advanceTimersByTime(7)
  connection.end()
}
const refusesLate: Plan = () => {
  vi.advanceTimersByTime(7)
  throw new Error('connect ECONNREFUSED')
}

const fails = (): never => {
  throw new Error('hook broke')
}
const failsLater = async (): Promise<void> => {
  await settle()
  fails()
}

describe('onExchange', () => {
  test('gets one event a request, with all that there is to tell', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const { bridge, events } = groupOf([answersLate], { buffering: false })
    const response = await bridge.handle(headOf('PATCH', undefined, '/x?y=%20z'), undefined)
    expect(events).toEqual([])
    vi.advanceTimersByTime(300)
    await response.body?.read()
    await response.body?.read()
    expect(events).toEqual([])
    await response.body?.read()
    expect(events).toEqual([
      {
        method: 'PATCH',
        target: '/x?y=%20z',
        status: 201,
        upstream: A,
        tried: [A],
        retries: 0,
        requestBytes: 0,
        responseBytes: 5,
        connectMs: 5,
        headMs: 25,
        totalMs: 325,
        error: undefined,
        requestId: undefined,
        traceparent: undefined,
      },
    ])
  })

  test('comes at once for a body that is in memory', async () => {
    const { bridge, events } = groupOf([OK])
    const { body } = await bridge.handle(headOf('GET'), undefined)
    expect(events).toMatchObject([{ status: 200, responseBytes: 5, error: undefined }])
    await body?.cancel(undefined)
    expect(events.length).toBe(1)
  })

  test('counts body bytes both ways', async () => {
    const { bridge, events } = groupOf([answersBehind(11, 200, 'x'.repeat(300))])
    await ask(bridge, headOf('POST', 11), new MemoryBody('hello ', 'world'))
    expect(events).toMatchObject([{ requestBytes: 11, responseBytes: 300 }])
  })

  test('counts what a backend did not get for nobody', async () => {
    const { bridge, events } = groupOf([refuses])
    await ask(bridge, headOf('POST', 11), new MemoryBody('hello ', 'world'))
    expect(events).toMatchObject([
      { requestBytes: 0, connectMs: undefined, headMs: undefined, tried: [A] },
    ])
  })

  test('tells of retries: who was tried, and the bytes of every attempt', async () => {
    const { bridge, events } = groupOf([cutsBehind(11), answersBehind(11, 200, 'ok')])
    await ask(bridge, headOf('PUT', 11), new MemoryBody('hello ', 'world'))
    expect(events).toMatchObject([
      { upstream: B, tried: [A, B], retries: 1, requestBytes: 22, responseBytes: 2, status: 200 },
    ])
  })

  test('tells the times of the last attempt that had a connection', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const { bridge, events } = groupOf([diesLate, refusesLate])
    await ask(bridge)
    expect(events).toMatchObject([{ connectMs: 7, headMs: undefined, totalMs: 14 }])
  })

  test('tells no time of a head that another backend sent', async () => {
    const { bridge, events } = groupOf([answers(503, 'x'), cuts()], {
      nextUpstream: ['error', 'http_503'],
    })
    await ask(bridge)
    expect(events).toMatchObject([{ error: 'ERR_UPSTREAM_EMPTY', headMs: undefined }])
    expect(events[0]?.connectMs).toBeTypeOf('number')
  })

  test('tells of an error page, and its bytes', async () => {
    const { bridge, events } = groupOf([refuses])
    const { body } = await ask(bridge)
    expect(body).toBe('502 Bad Gateway\n')
    expect(events).toMatchObject([
      { status: 502, error: 'ERR_UPSTREAM_CONNECT', upstream: A, responseBytes: body.length },
    ])
    await ask(bridge, headOf('HEAD'))
    expect(events[1]).toMatchObject({ status: 502, responseBytes: 0 })
  })

  test('tells a backend’s error page from one of ours', async () => {
    const { bridge, events } = groupOf([answers(500, 'theirs')])
    await ask(bridge)
    expect(events).toMatchObject([{ status: 500, error: undefined, responseBytes: 6 }])
  })

  test('tells of a body that breaks off, and the bytes up to there', async () => {
    const { bridge, events, reports } = groupOf([
      cuts('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'),
    ])
    await expect(ask(bridge)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TRUNCATED' })
    expect(events).toMatchObject([
      { status: 200, error: 'ERR_UPSTREAM_TRUNCATED', responseBytes: 4 },
    ])
    expect(reports.map(({ code }) => code)).toEqual(['ERR_UPSTREAM_TRUNCATED'])
  })

  test('tells of a client that leaves before the answer', async () => {
    const { bridge, backends, events, reports } = groupOf([keepsSilent])
    const client = new AbortController()
    const answer = ask(bridge, headOf('GET'), undefined, client.signal)
    await vi.waitFor(() => expect(backends[0]?.connections.length).toBe(1))
    client.abort()
    await answer
    expect(events).toMatchObject([{ status: 499, error: 'ERR_CLIENT_CLOSED', responseBytes: 0 }])
    expect(reports).toEqual([])
  })

  test.each([true, false])('tells of a client that cancels, buffering %s', async (buffering) => {
    const { bridge, events, reports } = groupOf([answersEndlessly(200)], { buffering })
    const { body } = await bridge.handle(headOf('GET'), undefined)
    await body?.read()
    await body?.cancel(undefined)
    await body?.cancel(undefined)
    await settle()
    expect(events).toMatchObject([{ status: 200, error: 'ERR_CLIENT_CLOSED', responseBytes: 9 }])
    expect(reports).toEqual([])
  })

  test.each([true, false])(
    'tells of a client whose signal says so, buffering %s',
    async (buffering) => {
      const { bridge, events, reports } = groupOf([answersEndlessly(200)], { buffering })
      const client = new AbortController()
      const { body } = await bridge.handle(headOf('GET'), undefined, client.signal)
      await body?.read()
      client.abort()
      await expect(body?.read()).rejects.toMatchObject({ code: 'ERR_CLIENT_CLOSED' })
      await body?.cancel(undefined)
      expect(events).toMatchObject([{ status: 200, error: 'ERR_CLIENT_CLOSED', responseBytes: 9 }])
      expect(reports).toEqual([])
    }
  )

  test('a cancellation behind the end is none', async () => {
    const { bridge, events } = groupOf([OK])
    const { body } = await bridge.handle(headOf('GET'), undefined)
    while ((await body?.read()) !== undefined);
    await body?.cancel(undefined)
    expect(events).toMatchObject([{ error: undefined, responseBytes: 5 }])
  })

  test.each([
    ['HEAD', answers(200, '')],
    ['GET', answers(304, '')],
  ])('comes at once where there is no body: %s', async (method, plan) => {
    const { bridge, events } = groupOf([plan])
    await bridge.handle(headOf(method), undefined)
    expect(events).toMatchObject([{ method, responseBytes: 0, error: undefined }])
  })

  test('OPTIONS * is answered here, by nobody’s fault', async () => {
    const { bridge, events, reports } = groupOf([refuses])
    expect((await ask(bridge, headOf('OPTIONS', undefined, '*'))).status).toBe(204)
    expect(events).toMatchObject([
      {
        method: 'OPTIONS',
        target: '*',
        status: 204,
        error: undefined,
        upstream: undefined,
        tried: [],
      },
    ])
    expect(reports).toEqual([])
  })

  test('comes for what is wrong before any backend is asked', async () => {
    const { bridge, events } = groupOf([OK], { maxBodyBytes: 4, mount: '/m' })
    await ask(bridge, headOf('GET', undefined, '/elsewhere'))
    await ask(bridge, headOf('POST', 5, '/m'), new MemoryBody('hello'))
    await bridge.close()
    await ask(bridge, headOf('GET', undefined, '/m'))
    expect(events.map(({ status, error, tried }) => [status, error, tried])).toEqual([
      [404, 'ERR_MOUNT_MISMATCH', []],
      [413, 'ERR_BODY_TOO_LARGE', []],
      [503, 'ERR_CLOSED', []],
    ])
  })

  test('comes for a place that is not to be had', async () => {
    const { bridge, events } = groupOf([answersEndlessly(200)], { maxConns: 1, queue: 0 })
    const first = await bridge.handle(headOf('GET'), undefined)
    await ask(bridge)
    await first.body?.cancel(undefined)
    expect(events.map(({ status, error }) => [status, error])).toEqual([
      [503, 'ERR_UPSTREAM_BUSY'],
      [200, 'ERR_CLIENT_CLOSED'],
    ])
  })
})

describe('onExchange of fetch()', () => {
  test('gets the target, not the URL', async () => {
    const { bridge, events } = groupOf([OK])
    const response = await bridge.fetch(new Request('http://h.example/a%20b?c'))
    expect(await response.text()).toBe('hello')
    expect(events).toMatchObject([{ method: 'GET', target: '/a%20b?c', responseBytes: 5 }])
  })

  test('hears of a stream that is cancelled', async () => {
    const { bridge, events } = groupOf([answersEndlessly(200)])
    const response = await bridge.fetch(new Request('http://h.example/'))
    await response.body?.cancel()
    expect(events).toMatchObject([{ status: 200, error: 'ERR_CLIENT_CLOSED', responseBytes: 0 }])
  })

  test('hears of a URL that is none', async () => {
    const { bridge, events, reports } = groupOf([OK])
    const made = new Request('http://h.example/x')
    const response = await bridge.fetch(made, undefined, undefined, { url: 'nonsense' })
    expect(response.status).toBe(400)
    expect(events).toMatchObject([
      { method: 'GET', status: 400, error: 'ERR_BAD_REQUEST', upstream: undefined },
    ])
    expect(reports.map(({ code }) => code)).toEqual(['ERR_BAD_REQUEST'])
  })

  test('hears of a runtime that fails: an error of ours is ERR_INTERNAL', async () => {
    const events: ExchangeEvent[] = []
    const errors: unknown[] = []
    const bridge = createBridgeOn(
      {
        connect: () => () => opening(Promise.reject(new Error('unused'))),
        requestMeta: () => {
          throw new Error('no meta')
        },
        headerEncoding: 'latin1',
      },
      A,
      {
        onExchange: (event) => void events.push(event),
        onError: (error) => void errors.push(error),
      }
    )
    expect((await bridge.fetch(new Request('http://h.example/'))).status).toBe(500)
    expect(events).toMatchObject([{ status: 500, error: 'ERR_INTERNAL' }])
    expect(errors).toMatchObject([{ message: 'no meta' }])
  })

  test('does not keep an answer back that no Response can be made of', async () => {
    const { bridge, events } = groupOf([answers(101, '')])
    const response = await bridge.fetch(new Request('http://h.example/'))
    expect(response.status).toBe(502)
    expect(events.length).toBe(1)
  })
})

describe('a hook that fails', () => {
  test('onExchange takes nothing from the answer, and goes to the console', async () => {
    const onConsole = vi.spyOn(console, 'error').mockImplementation(() => {})
    for (const plan of [OK, refuses, answers(204, '')]) {
      const { bridge } = groupOf([plan], { onExchange: fails, maxConns: 1, queue: 0 })
      const first = await ask(bridge)
      expect(await ask(bridge)).toEqual(first)
      // It counts as ended: close() does not wait for it.
      await bridge.close()
    }
    expect(onConsole).toHaveBeenCalledTimes(6)
  })

  test('later takes nothing from the answer either, and goes to the console', async () => {
    const onConsole = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { bridge } = groupOf([refuses], { onExchange: failsLater, onError: failsLater })
    expect((await ask(bridge)).status).toBe(502)
    // Otherwise the runtime ends the process for a rejection that nobody handles.
    await vi.waitFor(() => expect(onConsole).toHaveBeenCalledTimes(2))
  })

  test('onError takes nothing from the answer, and goes to the console', async () => {
    const onConsole = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { bridge, events } = groupOf([refuses], { onError: fails })
    expect((await ask(bridge)).status).toBe(502)
    expect(events.length).toBe(1)
    expect(onConsole).toHaveBeenCalledOnce()
  })
})
