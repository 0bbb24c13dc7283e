import { afterEach, describe, expect, test, vi } from 'vitest'
import { NEXT_UPSTREAM_WORDS, type NextUpstream } from '../../src/bridge/next-upstream.ts'
import { openTempFile } from '../../src/target/node/temp-file.ts'
import { MemoryBody, never, RESET } from './memory-connection.ts'
import {
  answers,
  answersBehind,
  answersEndlessly,
  answersInPieces,
  ask,
  bodyOf,
  cuts,
  cutsBehind,
  groupOf,
  headOf,
  keepsSilent,
  neverAccepts,
  type Plan,
  refuses,
  settle,
} from './memory-group.ts'

afterEach(() => {
  vi.useRealTimers()
})

const OK = answers(200, 'from b')
const resets: Plan = (connection) => void connection.reset()
const takesNothing: Plan = (connection) => {
  connection.onWrite = () => never()
}
const SHORT = { connectTimeout: 20, sendTimeout: 20, readTimeout: 20 }

/** Takes 600 ms of a clock that stands still otherwise. */
const refusesLate: Plan = () => {
  vi.advanceTimersByTime(600)
  throw new Error('connect ECONNREFUSED')
}

/** How an attempt ends, the condition it meets, and what the client gets where nobody goes on. */
const ENDS: [name: string, plan: Plan, word: NextUpstream, status: number, code?: string][] = [
  ['refuses the connection', refuses, 'error', 502, 'ERR_UPSTREAM_CONNECT'],
  ['closes without an answer', cuts(), 'error', 502, 'ERR_UPSTREAM_EMPTY'],
  ['resets', resets, 'error', 502, 'ERR_UPSTREAM_EMPTY'],
  ['closes inside its head', cuts('HTTP/1.1 200 OK\r\nX-'), 'error', 502, 'ERR_UPSTREAM_TRUNCATED'],
  ['does not accept', neverAccepts, 'timeout', 504, 'ERR_CONNECT_TIMEOUT'],
  ['takes no data', takesNothing, 'timeout', 504, 'ERR_SEND_TIMEOUT'],
  ['keeps silent', keepsSilent, 'timeout', 504, 'ERR_READ_TIMEOUT'],
  [
    'answers with nonsense',
    cuts('HTTP/1.1 20x OK\r\n\r\n'),
    'invalid_header',
    502,
    'ERR_UPSTREAM_PROTOCOL',
  ],
  ...[500, 502, 503, 504, 403, 404, 429].map((status): (typeof ENDS)[number] => [
    `answers ${status}`,
    answers(status, 'from a'),
    `http_${status}` as NextUpstream,
    status,
  ]),
]
const WORDS = NEXT_UPSTREAM_WORDS.filter((word) => word !== 'off' && word !== 'non_idempotent')

describe('nextUpstream', () => {
  test.each(ENDS)('passes a request on when the first %s and it says so', async (...end) => {
    const [, plan, word] = end
    const { bridge, backends, events, reports } = groupOf([plan, OK], {
      ...SHORT,
      nextUpstream: [word],
    })
    expect(await ask(bridge)).toMatchObject({ status: 200, body: 'from b' })
    expect(events).toMatchObject([
      { status: 200, tried: backends.map(({ address }) => address), retries: 1, error: undefined },
    ])
    expect(reports).toEqual([])
    for (const { connections } of backends) {
      for (const { closed } of connections) expect(closed).toBe(true)
    }
  })

  test.each(ENDS)('does not when the first %s and it says all else', async (...end) => {
    const [, plan, word, status, code] = end
    const nextUpstream = WORDS.filter((other) => other !== word)
    const { bridge, backends, events } = groupOf([plan, OK], { ...SHORT, nextUpstream })
    expect(await ask(bridge)).toMatchObject({ status })
    expect(backends[1]?.connections).toEqual([])
    expect(events).toMatchObject([{ tried: ['uwsgi://a:3031'], retries: 0, error: code }])
  })

  test.each(ENDS)('"off": does not when the first %s', async (...end) => {
    const [, plan, , status] = end
    const { bridge, backends } = groupOf([plan, OK], { ...SHORT, nextUpstream: ['off'] })
    expect((await ask(bridge)).status).toBe(status)
    expect(backends[1]?.connections).toEqual([])
  })

  test('is error and timeout unless it is given', async () => {
    for (const [, plan, word] of ENDS) {
      const { bridge } = groupOf([plan, OK], SHORT)
      const isPassedOn = (await ask(bridge)).body === 'from b'
      expect([word, isPassedOn]).toEqual([word, word === 'error' || word === 'timeout'])
    }
  })

  test('ends the exchange whose answer nobody wants', async () => {
    const { bridge, backends } = groupOf([answersEndlessly(503), OK], {
      nextUpstream: ['http_503'],
    })
    expect((await ask(bridge)).body).toBe('from b')
    expect(backends[0]?.connections[0]?.closed).toBe(true)
  })

  test.each([501, 400, 302, 200])('no word is for %i', async (status) => {
    const { bridge, backends } = groupOf([answers(status, 'from a'), OK], { nextUpstream: WORDS })
    expect(await ask(bridge)).toMatchObject({ status, body: 'from a' })
    expect(backends[1]?.connections).toEqual([])
  })

  test('a response whose head is on its way is not taken back', async () => {
    const { bridge, backends, reports } = groupOf(
      [cuts('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal'), OK],
      { nextUpstream: WORDS }
    )
    await expect(ask(bridge)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TRUNCATED' })
    expect(backends[1]?.connections).toEqual([])
    expect(reports).toMatchObject([
      { code: 'ERR_UPSTREAM_TRUNCATED', context: { upstream: 'uwsgi://a:3031' } },
    ])
  })
})

describe('where nobody is left to pass a request on to', () => {
  test('the last answer is the client’s, http_503 or not', async () => {
    const { bridge, events } = groupOf([answers(503, 'from a'), answers(503, 'from b')], {
      nextUpstream: ['http_503'],
    })
    expect(await ask(bridge)).toMatchObject({ status: 503, body: 'from b' })
    expect(events).toMatchObject([{ status: 503, retries: 1, error: undefined }])
  })

  test('an answer that is no failure of the first is lost where the last fails', async () => {
    const { bridge } = groupOf([answers(404, 'from a'), refuses], {
      nextUpstream: ['error', 'http_404'],
    })
    expect((await ask(bridge)).status).toBe(502)
  })

  test.each<[string, Plan, Plan, number, string]>([
    ['timeout, refused', keepsSilent, refuses, 502, 'ERR_UPSTREAM_CONNECT'],
    ['refused, timeout', refuses, keepsSilent, 504, 'ERR_READ_TIMEOUT'],
    ['refused, empty', refuses, cuts(), 502, 'ERR_UPSTREAM_EMPTY'],
    ['503, refused', answers(503, 'x'), refuses, 502, 'ERR_UPSTREAM_CONNECT'],
  ])('the last failure is the one that is told: %s', async (_name, first, last, status, code) => {
    const { bridge, events, reports } = groupOf([first, last], {
      ...SHORT,
      nextUpstream: ['error', 'timeout', 'http_503'],
    })
    expect((await ask(bridge)).status).toBe(status)
    expect(events).toMatchObject([{ status, error: code, upstream: 'uwsgi://b:3031' }])
    expect(reports).toMatchObject([{ code, context: { upstream: 'uwsgi://b:3031' } }])
  })

  test('all that are not down are tried, each once', async () => {
    const plans = [refuses, refuses, OK, refuses]
    const { bridge, events } = groupOf(plans, {
      servers: [{}, {}, { down: true }, { backup: true }],
    })
    expect((await ask(bridge)).status).toBe(502)
    expect(events[0]?.tried).toEqual(['uwsgi://a:3031', 'uwsgi://b:3031', 'uwsgi://d:3031'])
  })

  test('all that are down answer nothing', async () => {
    const { bridge, events } = groupOf([OK], { servers: [{ down: true }] })
    expect((await ask(bridge)).status).toBe(502)
    expect(events).toMatchObject([
      { error: 'ERR_UPSTREAM_UNAVAILABLE', tried: [], upstream: undefined },
    ])
  })
})

describe('nextUpstreamTries and nextUpstreamTimeout', () => {
  test.each([
    [1, ['a']],
    [2, ['a', 'b']],
    [9, ['a', 'b', 'c']],
    [0, ['a', 'b', 'c']],
  ])('%i tries are those on %j', async (nextUpstreamTries, names) => {
    const { bridge, events } = groupOf([refuses, refuses, refuses], { nextUpstreamTries })
    expect((await ask(bridge)).status).toBe(502)
    expect(events[0]?.tried).toEqual(names.map((name) => `uwsgi://${name}:3031`))
  })

  test('behind the time, no other is tried', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const plans = [refusesLate, refusesLate, refusesLate]
    const { bridge, events } = groupOf(plans, { nextUpstreamTimeout: 1000 })
    expect((await ask(bridge)).status).toBe(502)
    expect(events[0]?.tried).toEqual(['uwsgi://a:3031', 'uwsgi://b:3031'])
  })
})

/** Who the third request was tried on: it is a's turn, unless a is out. */
async function third(plan: Plan, nextUpstream: readonly NextUpstream[]): Promise<unknown> {
  const { bridge, events } = groupOf([plan, OK], { ...SHORT, nextUpstream })
  for (let i = 0; i < 3; i++) await ask(bridge)
  return events[2]?.tried[0]
}

describe('nextUpstreamTimeout of a slow client', () => {
  test('begins when the body is there whose length had to be learnt', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const body = new MemoryBody('he', async () => {
      vi.advanceTimersByTime(5000)
      return 'llo'
    })
    const { bridge } = groupOf([refusesLate, answersBehind(5, 200, 'from b')], {
      nextUpstreamTimeout: 1000,
    })
    expect((await ask(bridge, headOf('PUT', 'chunked'), body)).body).toBe('from b')
  })
})

describe('what counts as a failure of a backend', () => {
  test.each(ENDS.filter(([, , word]) => !word.startsWith('http')))(
    'a backend that %s has failed, whatever nextUpstream says',
    async (_name, plan, word) => {
      expect(await third(plan, [word])).toBe('uwsgi://b:3031')
      expect(await third(plan, ['off'])).toBe('uwsgi://b:3031')
    }
  )

  test.each([500, 502, 503, 504, 429] as const)(
    'one that answers %i has where nextUpstream says so',
    async (status) => {
      expect(await third(answers(status, ''), [`http_${status}`])).toBe('uwsgi://b:3031')
      expect(await third(answers(status, ''), ['error'])).toBe('uwsgi://a:3031')
    }
  )

  test.each([403, 404] as const)('one that answers %i has not', async (status) => {
    expect(await third(answers(status, ''), [`http_${status}`])).toBe('uwsgi://a:3031')
  })

  test('one whose client stops sending its body has not', async () => {
    const waits: Plan = (connection, index) => void (index > 0 && OK(connection, index))
    const { bridge, events } = groupOf([waits, OK])
    const cut = new MemoryBody('he', new Error('reset'))
    expect((await ask(bridge, headOf('PUT', 5), cut)).status).toBe(499)
    await ask(bridge)
    await ask(bridge)
    expect(events.map(({ tried }) => tried[0]?.charAt(8))).toEqual(['a', 'b', 'a'])
  })
})

describe('a request that is not idempotent', () => {
  const DEAD = ENDS.filter(
    ([name]) => !['refuses the connection', 'does not accept'].includes(name)
  )

  test.each(['POST', 'PATCH', 'LOCK', 'CUSTOM'])('%s is never sent twice', async (method) => {
    for (const [, plan, word, status] of DEAD) {
      const { bridge, backends } = groupOf([plan, OK], { ...SHORT, nextUpstream: [word] })
      expect((await ask(bridge, headOf(method))).status).toBe(status)
      expect(backends[1]?.connections).toEqual([])
    }
  })

  test.each([refuses, neverAccepts])('is passed on where nothing was sent: %o', async (plan) => {
    const { bridge, backends } = groupOf([plan, answersBehind(5, 200, 'from b')], SHORT)
    const answer = await ask(bridge, headOf('POST', 5), new MemoryBody('he', 'llo'))
    expect(answer).toMatchObject({ status: 200, body: 'from b' })
    expect(backends[1]?.connections.map(bodyOf)).toEqual(['hello'])
  })

  test.each(DEAD)('with "non_idempotent" is when the first %s', async (_name, plan, word) => {
    const { bridge, backends } = groupOf([plan, answersBehind(5, 200, 'from b')], {
      ...SHORT,
      nextUpstream: [word, 'non_idempotent'],
    })
    const answer = await ask(bridge, headOf('POST', 5), new MemoryBody('he', 'llo'))
    expect(answer).toMatchObject({ status: 200, body: 'from b' })
    expect(backends[1]?.connections.map(bodyOf)).toEqual(['hello'])
  })

  test.each(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])('%s is sent again', async (method) => {
    const { bridge, backends } = groupOf([cuts(), answers(204, '')])
    expect((await ask(bridge, headOf(method))).status).toBe(204)
    expect(backends.map(({ connections }) => connections.length)).toEqual([1, 1])
  })
})

describe('a request body', () => {
  const CHUNKS = ['one,', 'two,', 'three']
  const WHOLE = CHUNKS.join('')
  const PUT = headOf('PUT', WHOLE.length)
  const echo = answersBehind(WHOLE.length, 200, 'from b')

  test.each([0, 1, 5, WHOLE.length])(
    'is sent whole behind %i bytes to the first',
    async (taken) => {
      const { bridge, backends, events } = groupOf([cutsBehind(taken), echo])
      const answer = await ask(bridge, PUT, new MemoryBody(...CHUNKS))
      expect(answer).toMatchObject({ status: 200, body: 'from b' })
      expect(backends[1]?.connections.map(bodyOf)).toEqual([WHOLE])
      expect(events[0]?.requestBytes).toBeGreaterThanOrEqual(taken + WHOLE.length)
    }
  )

  test('is sent whole where the client was still sending when the first died', async () => {
    const rest = Promise.withResolvers<string>()
    const body = new MemoryBody('one,', () => rest.promise, 'three')
    const { bridge, backends } = groupOf([cutsBehind(4), echo])
    const answer = ask(bridge, PUT, body)
    await vi.waitFor(() => expect(backends[1]?.connections.map(bodyOf)).toEqual(['one,']))
    rest.resolve('two,')
    expect(await answer).toMatchObject({ status: 200, body: 'from b' })
    expect(backends.map(({ connections }) => connections.map(bodyOf))).toEqual([['one,'], [WHOLE]])
  })

  test('is sent whole where the first answered before it had it', async () => {
    const rest = Promise.withResolvers<string>()
    const body = new MemoryBody('one,', () => rest.promise, 'three')
    const early = answersBehind(4, 503, 'too early')
    const { bridge, backends } = groupOf([early, echo], { nextUpstream: ['http_503'] })
    const answer = ask(bridge, PUT, body)
    await vi.waitFor(() => expect(backends[1]?.connections.map(bodyOf)).toEqual(['one,']))
    rest.resolve('two,')
    expect(await answer).toMatchObject({ status: 200, body: 'from b' })
    expect(backends[1]?.connections.map(bodyOf)).toEqual([WHOLE])
  })

  test('is sent whole to a third', async () => {
    const { bridge, backends } = groupOf([cutsBehind(13), cutsBehind(5), echo])
    expect((await ask(bridge, PUT, new MemoryBody(...CHUNKS))).body).toBe('from b')
    expect(backends[2]?.connections.map(bodyOf)).toEqual([WHOLE])
  })

  test('of unknown length is, too', async () => {
    const { bridge, backends } = groupOf([cutsBehind(WHOLE.length), echo])
    const answer = await ask(bridge, headOf('PUT', 'chunked'), new MemoryBody(...CHUNKS))
    expect(answer).toMatchObject({ status: 200, body: 'from b' })
    expect(backends[1]?.connections.map(bodyOf)).toEqual([WHOLE])
  })

  test('longer than bufferBytes is not sent again without a temporary file', async () => {
    const { bridge, backends, events } = groupOf([cutsBehind(WHOLE.length), echo], {
      bufferBytes: 8,
    })
    expect((await ask(bridge, PUT, new MemoryBody(...CHUNKS))).status).toBe(502)
    expect(backends[0]?.connections.map(bodyOf)).toEqual([WHOLE])
    expect(backends[1]?.connections).toEqual([])
    expect(events[0]?.error).toBe('ERR_UPSTREAM_EMPTY')
  })

  test('longer than bufferBytes is, where that much has not been read', async () => {
    const rest = Promise.withResolvers<string>()
    const body = new MemoryBody('one,', () => rest.promise, 'three')
    const { bridge, backends } = groupOf([cutsBehind(4), echo], { bufferBytes: 4 })
    const answer = ask(bridge, PUT, body)
    await vi.waitFor(() => expect(backends[1]?.connections.map(bodyOf)).toEqual(['one,']))
    rest.resolve('two,')
    expect(await answer).toMatchObject({ status: 200, body: 'from b' })
    expect(backends[1]?.connections.map(bodyOf)).toEqual([WHOLE])
  })

  test.each([0, 4, 9])(
    'longer than bufferBytes %i is with a temporary file',
    async (bufferBytes) => {
      const { bridge, backends } = groupOf([cutsBehind(WHOLE.length), echo], {
        bufferBytes,
        openTempFile,
      })
      const answer = await ask(bridge, PUT, new MemoryBody(...CHUNKS))
      expect(answer).toMatchObject({ status: 200, body: 'from b' })
      expect(backends[1]?.connections.map(bodyOf)).toEqual([WHOLE])
    }
  )

  test('longer than maxTempFileBytes besides is not', async () => {
    const { bridge, backends } = groupOf([cutsBehind(WHOLE.length), echo], {
      bufferBytes: 4,
      maxTempFileBytes: 4,
      openTempFile,
    })
    expect((await ask(bridge, PUT, new MemoryBody(...CHUNKS))).status).toBe(502)
    expect(backends[1]?.connections).toEqual([])
  })

  test('that breaks off is the client’s fault, and ends it', async () => {
    const rest = Promise.withResolvers<string>()
    const body = new MemoryBody('one,', () => rest.promise)
    const { bridge, backends, events } = groupOf([cutsBehind(4), echo, OK])
    const answer = ask(bridge, PUT, body)
    await vi.waitFor(() => expect(backends[1]?.connections.length).toBe(1))
    rest.reject(RESET)
    expect((await answer).status).toBe(499)
    expect(backends[2]?.connections).toEqual([])
    expect(events).toMatchObject([{ error: 'ERR_CLIENT_CLOSED', retries: 1 }])
    expect(body.cancelled).toBe(true)
  })

  test('is given up when the answer is there', async () => {
    const body = new MemoryBody('one,', () => never<string>())
    const { bridge } = groupOf([refuses, answersBehind(4, 200, 'from b')])
    expect((await ask(bridge, PUT, body)).body).toBe('from b')
    expect(body.cancelled).toBe(true)
  })
})

describe('a client that goes away', () => {
  test('is not worth another backend', async () => {
    const client = new AbortController()
    const { bridge, backends, events } = groupOf([keepsSilent, OK])
    const answer = ask(bridge, headOf('GET'), undefined, client.signal)
    await vi.waitFor(() => expect(backends[0]?.connections.length).toBe(1))
    client.abort()
    expect((await answer).status).toBe(499)
    expect(backends[0]?.connections[0]?.closed).toBe(true)
    expect(backends[1]?.connections).toEqual([])
    expect(events).toMatchObject([{ status: 499, error: 'ERR_CLIENT_CLOSED', retries: 0 }])
  })

  test('is not when the backend fails in the same moment', async () => {
    const client = new AbortController()
    const leaves: Plan = () => {
      client.abort()
      throw new Error('connect ECONNREFUSED')
    }
    const { bridge, events } = groupOf([leaves, OK])
    await ask(bridge, headOf('GET'), undefined, client.signal)
    expect(events[0]?.tried).toEqual(['uwsgi://a:3031'])
  })

  test('leaves its place to another', async () => {
    const client = new AbortController()
    const { bridge, backends } = groupOf([keepsSilent], { maxConns: 1, queue: 0 })
    const answer = ask(bridge, headOf('GET'), undefined, client.signal)
    await vi.waitFor(() => expect(backends[0]?.connections.length).toBe(1))
    expect((await ask(bridge)).status).toBe(503)
    client.abort()
    expect((await answer).status).toBe(499)
    if (backends[0]) backends[0].plan = OK
    expect((await ask(bridge)).status).toBe(200)
  })
})

describe('the place at a backend', () => {
  test('is given back before the next is waited for: two that change places do not wait for good', async () => {
    const together = Promise.withResolvers<void>()
    let arrived = 0
    const diesFirst: Plan = (connection, index) => {
      if (index > 0)
        return void connection.respond('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      if (++arrived === 2) together.resolve()
      void together.promise.then(() => connection.end())
    }
    const { bridge, events } = groupOf([diesFirst, diesFirst], { maxConns: 1, maxFails: 0 })
    const both = await Promise.all([ask(bridge), ask(bridge)])
    expect(both.map(({ body }) => body)).toEqual(['ok', 'ok'])
    expect(events.map(({ tried }) => tried.join(' ')).toSorted()).toEqual([
      'uwsgi://a:3031 uwsgi://b:3031',
      'uwsgi://b:3031 uwsgi://a:3031',
    ])
  })

  test.each(ENDS)('is free when it %s', async (_name, plan) => {
    const { bridge, backends } = groupOf([plan], { ...SHORT, maxConns: 1, queue: 0 })
    await ask(bridge)
    if (backends[0]) backends[0].plan = OK
    expect(await ask(bridge)).toMatchObject({ status: 200, body: 'from b' })
  })

  test('is held until the body has been read', async () => {
    const plan = answersInPieces(200, 'hello')
    const { bridge } = groupOf([plan], { maxConns: 1, queue: 0, buffering: false })
    const response = await bridge.handle(headOf('GET'), undefined)
    const refused = await ask(bridge)
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    await response.body?.read()
    await response.body?.read()
    await response.body?.read()
    expect((await ask(bridge)).status).toBe(200)
  })

  test('is free when nobody wants the rest of the body', async () => {
    const { bridge } = groupOf([OK], { maxConns: 1, queue: 0 })
    const response = await bridge.handle(headOf('GET'), undefined)
    await response.body?.cancel(undefined)
    expect((await ask(bridge)).status).toBe(200)
  })

  test('is free behind a response without a body', async () => {
    const { bridge } = groupOf([answers(204, '')], { maxConns: 1, queue: 0 })
    await bridge.handle(headOf('HEAD'), undefined)
    await bridge.handle(headOf('GET'), undefined)
    expect((await ask(bridge)).status).toBe(204)
  })

  test('is what a request that is passed on waits for, too', async () => {
    const held = Promise.withResolvers<void>()
    const holds: Plan = (connection, index) =>
      void (index === 0 ? held.promise : Promise.resolve()).then(() => OK(connection, index))
    const { bridge, backends, events } = groupOf([refuses, holds], { maxConns: 1, maxFails: 0 })
    const first = ask(bridge)
    await vi.waitFor(() => expect(backends[1]?.connections.length).toBe(1))
    const second = ask(bridge)
    await settle()
    held.resolve()
    expect([(await first).status, (await second).status]).toEqual([200, 200])
    expect(events.map(({ retries }) => retries).toSorted()).toEqual([1, 1])
  })

  test('that a request does not get at the next is no second attempt', async () => {
    const { bridge, backends, events } = groupOf([refuses, keepsSilent], {
      maxConns: 1,
      maxFails: 0,
      queue: 0,
    })
    const client = new AbortController()
    const first = ask(bridge, headOf('GET'), undefined, client.signal)
    await vi.waitFor(() => expect(backends[1]?.connections.length).toBe(1))
    expect((await ask(bridge)).status).toBe(503)
    expect(events).toMatchObject([
      { error: 'ERR_UPSTREAM_BUSY', tried: ['uwsgi://a:3031'], retries: 0 },
    ])
    client.abort()
    await first
  })

  test('is free behind whatever backends and clients did', async () => {
    const cutsBody = cuts('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal')
    const plans = [...ENDS.map(([, plan]) => plan), OK, cutsBody, answersEndlessly(200)]
    // The same numbers in every run: a multiplicative generator (Lehmer, 1951).
    let state = 20_261_122
    const draw = (count: number): number => (state = (state * 48_271) % 2_147_483_647) % count
    const random: Plan = (connection, index) => plans[draw(plans.length)]?.(connection, index)
    const { bridge, backends, events } = groupOf([random, random, random], {
      ...SHORT,
      nextUpstream: WORDS,
      maxConns: 2,
      maxFails: 0,
      queue: 5,
      queueTimeout: 50,
      // Read ahead, the bodies that are held below would end at readTimeout.
      buffering: false,
      interceptErrors: ({ status }) =>
        status === 503 ? new Response('ours', { status }) : undefined,
    })
    /** Reads the answer, or some of it; may leave at any time. */
    const visit = async (): Promise<void> => {
      const client = new AbortController()
      const head = draw(2) === 0 ? headOf('PUT', 5) : headOf('GET')
      const body = head.hasBody ? new MemoryBody('he', 'llo') : undefined
      const turns = draw(12)
      const leave = async (): Promise<void> => {
        for (let i = 0; i < turns; i++) await settle()
        client.abort()
      }
      if (draw(3) === 0) void leave()
      const response = await bridge.handle(head, body, client.signal)
      if (draw(2) === 0) await response.body?.read().catch(() => {})
      await response.body?.cancel(undefined)
    }
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 10 }, visit))
    }
    expect(events.length).toBe(300)
    expect(new Set(events.map(({ error }) => error)).size).toBeGreaterThan(4)

    for (const backend of backends) backend.plan = answersEndlessly(200)
    const held = await Promise.all(
      Array.from({ length: 6 }, () => bridge.handle(headOf('GET'), undefined))
    )
    expect(held.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200))
    expect((await ask(bridge)).status).toBe(503)
    await Promise.all(held.map(({ body }) => body?.cancel(undefined)))
    await bridge.close()
  })
})
