/**
 * A fetch handler answers the same, and sees the same, whether it is called directly, as an
 * application behind `gateway`, or behind a uwsgi socket with `createBridge` in front.
 *
 * @module
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { toApplication } from '../../src/core/fetch-application.ts'
import { gateway } from '../../src/core/gateway.ts'
import { isBodyless, reasonPhrase } from '../../src/core/gateway-response.ts'
import type { FetchHandler } from '../../src/core/handler.ts'
import { octetsToNative, percentDecode } from '../../src/core/octets.ts'
import type { HeaderField } from '../../src/core/request-head.ts'
import type { UwsgiEnv } from '../../src/core/request-meta.ts'
import { type Bridge, createBridge, type Server, serveUwsgi } from '../../src/target/node/index.ts'
import { makeDirectory } from '../backend/process.ts'
import {
  anyRequest,
  anyResponse,
  chunksOf,
  lengthOf,
  type RequestSpec,
  type ResponseSpec,
} from './arbitraries.ts'
import {
  type Answer,
  answerOf,
  metaOf,
  mountOf,
  PROPERTY,
  rawTargetOf,
  REMOTE,
  requestOf,
  sorted,
  streamOf,
} from './support.ts'

/** How a handler makes its response. */
interface Plan extends ResponseSpec {
  /** No body, one that is there at once, a stream, or a stream that takes its time. */
  readonly form: 'none' | 'bytes' | 'stream' | 'late'
  /** Whether the request's body is read first, or not at all. */
  readonly reads: boolean
}

/** What a handler was given. */
interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: readonly HeaderField[]
  readonly body: string | undefined
  /** Whether the request had no body at all, not even an empty one. */
  readonly bodyless: boolean
  readonly env: Partial<UwsgiEnv>
}

type Call = (request: Request, spec: RequestSpec) => Promise<Response>

const anyPlan = fc
  .record({
    response: anyResponse,
    form: fc.constantFrom('none', 'bytes', 'stream', 'late'),
    reads: fc.oneof({ weight: 7, arbitrary: fc.constant(true) }, fc.constant(false)),
  })
  .map(({ response, form, reads }): Plan => Object.assign(response, { form, reads }))

const HOP_BY_HOP = new Set(
  'connection keep-alive proxy-connection te trailer transfer-encoding upgrade'.split(' ')
)
const FORWARDED = new Set(
  'forwarded x-forwarded-for x-forwarded-proto x-real-ip x-client-ip'.split(' ')
)

let plan: Plan
let seen: Seen | undefined

/** Answers as planned, and keeps what it was asked. */
const handler: FetchHandler = async (request, env) => {
  seen = {
    method: request.method,
    url: request.url,
    headers: [...request.headers],
    bodyless: request.body === null,
    body: plan.reads ? octetsToNative(new Uint8Array(await request.arrayBuffer())) : undefined,
    env: (env ?? {}) as Partial<UwsgiEnv>,
  }
  return respond(plan, request.method)
}

function respond(
  { status, reason, headers, body, hasLength, form }: Plan,
  method: string
): Response {
  const fields = new Headers()
  for (const [name, value] of headers) fields.append(name, value)
  const bytes = form === 'none' || [204, 205, 304].includes(status) ? undefined : chunksOf(body)
  // Where there is no body, only HEAD and 304 may say how long it would be.
  if (hasLength && (bytes !== undefined || method === 'HEAD' || status === 304)) {
    fields.set('content-length', String(lengthOf(body)))
  }
  const init = { status, statusText: reason, headers: fields }
  if (bytes === undefined) return new Response(null, init)
  if (form === 'bytes') return new Response(Buffer.concat(bytes), init)
  return new Response(streamOf(bytes, form === 'late'), init)
}

/** What a handler must see: what is on the way is the gateway's, and all else arrives. */
function expectedHeaders(request: Request, spec: RequestSpec): HeaderField[] {
  const nominated = (request.headers.get('connection') ?? '').toLowerCase().split(', ')
  const joined = new Map<string, string>()
  for (const [name, value] of request.headers) {
    // Only these have a variable of their own: `x_a` could pose as `x-a` (HDR-1).
    if (!/^[a-z0-9-]+$/.test(name)) continue
    // Of this connection, or named so by it; identity cannot be (HDR-3, HDR-4).
    if (HOP_BY_HOP.has(name)) continue
    if (nominated.includes(name) && name !== 'cookie' && name !== 'authorization') continue
    // Taken for a setting (HDR-2), met by the server (HDR-13), and believed of nobody (TRUST-1).
    if (name === 'proxy' || name === 'expect' || FORWARDED.has(name)) continue
    // nginx writes an empty CONTENT_TYPE where there is none.
    if (name === 'content-type' && value === '') continue
    // In a request, Set-Cookie is a field like any other.
    joined.set(name, joined.has(name) ? `${joined.get(name)}, ${value}` : value)
  }
  // A body of unknown length is held until its length is known (BODY-1, BODY-2).
  if (spec.body !== undefined) joined.set('content-length', String(lengthOf(spec.body)))
  return sorted([...joined])
}

/** What must come back: the response of the handler but for what is on the way. */
function expectedAnswer(direct: Answer, method: string): Answer {
  const { status, reason, headers, body } = direct
  const noLength = status === 204 || status === 205
  return {
    status,
    // HTTP has a phrase where Fetch may have none (RSP-50).
    reason: reason || reasonPhrase(status),
    headers: headers.filter(
      ([name]) => !HOP_BY_HOP.has(name) && !(noLength && name === 'content-length')
    ),
    body: isBodyless(status, method) ? '' : body,
  }
}

/** Takes off a length that was added: the right one, of a body that has one. */
function withoutAddedLength(answer: Answer, expected: Answer, method: string): Answer {
  const announced = expected.headers.some(([name]) => name === 'content-length')
  const added = answer.headers.find(([name]) => name === 'content-length')
  if (announced || added === undefined) return answer
  expect(isBodyless(answer.status, method), 'a length where there is no body').toBe(false)
  expect(added[1]).toBe(String(answer.body.length))
  return { ...answer, headers: answer.headers.filter((field) => field !== added) }
}

function checkSeen(request: Request, spec: RequestSpec): void {
  const { method, url, headers, body, bodyless, env } = seen as Seen
  const wanted = new URL(request.url)
  const now = new URL(url)
  expect(method).toBe(request.method)
  expect(now.host).toBe(wanted.host)
  expect(now.search).toBe(wanted.search)
  const raw = rawTargetOf(spec)
  const [rawPath = ''] = (raw ?? wanted.pathname).split('?')
  // A target with dot segments spells another path than the one it leads to.
  if (percentDecode(rawPath) === percentDecode(wanted.pathname)) {
    expect(now.pathname).toBe(wanted.pathname)
    // An empty query and none are told apart by nothing else.
    expect(now.href.endsWith('?')).toBe((raw ?? wanted.href).endsWith('?'))
  } else expect(percentDecode(now.pathname)).toBe(percentDecode(wanted.pathname))
  expect(sorted(headers)).toEqual(expectedHeaders(request, spec))
  if (plan.reads) expect(body).toBe(octetsToNative(Buffer.concat(chunksOf(spec.body ?? EMPTY))))
  // An environ without CONTENT_LENGTH says that its input ends, and not whether there is any.
  const isUnsaid = spec.body === undefined && env.environ?.['wsgi.input'] !== undefined
  const isEmpty = lengthOf(spec.body ?? EMPTY) === 0
  expect(bodyless).toBe(method === 'GET' || method === 'HEAD' || (isEmpty && !isUnsaid))
  // Orders to a uWSGI server, of which the bridge gives one.
  expect(Object.keys(env.environ ?? {}).filter((key) => key.startsWith('UWSGI_'))).toEqual([])
  expect(env.environ).toMatchObject({ REQUEST_METHOD: method, REMOTE_ADDR: REMOTE.addr })
  expect(env.requestMeta).toEqual({
    rawTarget: raw ?? wanted.href.slice(wanted.origin.length),
    httpVersion: '1.1',
    remote: REMOTE,
    mount: mountOf(spec),
  })
}

const EMPTY = { seed: 0, sizes: [] }

async function checkLoop(call: Call, spec: RequestSpec): Promise<void> {
  const direct = await answerOf(await handler(requestOf(spec), {}))
  const expected = expectedAnswer(direct, spec.method)
  seen = undefined
  const request = requestOf(spec)
  const answer = await answerOf(await call(request, spec))
  expect(withoutAddedLength(answer, expected, spec.method)).toEqual(expected)
  checkSeen(requestOf(spec), spec)
  // A body that is there at once has its length told, without which no connection stays open.
  if (plan.form === 'bytes') {
    const told = answer.headers.some(([name]) => name === 'content-length')
    if (!isBodyless(answer.status, spec.method)) expect(told).toBe(true)
  }
}

describe('a handler', () => {
  const servers: Server[] = []
  const bridges = new Map<string, Bridge>()
  const errors = vi.fn<(error: Error) => void>()
  let directory = ''

  beforeAll(async () => {
    directory = await makeDirectory()
    for (const listen of ['uwsgi://127.0.0.1:0', `unix:${join(directory, 'loop.sock')}`]) {
      const server = await serveUwsgi(handler, { listen, onError: errors })
      servers.push(server)
      bridges.set(
        listen.split(':')[0] ?? '',
        createBridge(server.url, { onError: errors, tracing: false })
      )
    }
  })
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.close()))
    await rm(directory, { recursive: true })
  })

  const asApplication = gateway(toApplication(handler), {
    requestMeta: (_request, spec) => metaOf(spec as RequestSpec),
  })
  function over(transport: 'uwsgi' | 'unix'): Call {
    return async (request, spec) => {
      const bridge = bridges.get(transport)
      if (bridge === undefined) throw new Error(`There is no bridge over ${transport}`)
      return await bridge.fetch(request, undefined, undefined, metaOf(spec))
    }
  }

  test.each<[string, Call]>([
    ['as an application behind gateway()', asApplication],
    ['behind a TCP socket', over('uwsgi')],
    ['behind a unix socket', over('unix')],
  ])('%s answers and sees the same as called directly', async (_name, call) => {
    await fc.assert(
      fc.asyncProperty(anyRequest, anyPlan, async (spec, next) => {
        plan = next
        await checkLoop(call, spec)
      }),
      PROPERTY
    )
    expect(errors.mock.calls).toEqual([])
  })

  test.each<[string, Call]>([
    ['as an application', asApplication],
    ['behind a socket', over('uwsgi')],
  ])('%s may not send more or less than it announces', async (_name, call) => {
    const said = vi.spyOn(console, 'error').mockImplementation(() => {})
    const body = { seed: 1, sizes: [5, 5] }
    plan = { ...PLAIN, form: 'stream', body, headers: [['content-length', '7']] }
    const sent = octetsToNative(Buffer.concat(chunksOf(body)))
    expect(await answerOf(await call(requestOf(GET), GET))).toMatchObject({
      body: sent.slice(0, 7),
    })
    plan = { ...plan, headers: [['content-length', '11']] }
    const response = await call(requestOf(GET), GET)
    expect(response.headers.get('content-length')).toBe('11')
    await expect(response.arrayBuffer()).rejects.toThrow(/./)
    said.mockRestore()
    errors.mockClear()
  })

  test('loses in each loop only what belongs to the way, or is refused there', async () => {
    const results: Record<string, (number | string | null)[]> = {}
    for (const name of ['Proxy-Authenticate', 'Status', 'X-Accel-Redirect', 'x-a-', 'x-a']) {
      plan = { ...PLAIN, headers: [[name, '1']] }
      const calls = [asApplication, over('uwsgi'), over('unix')]
      const said = vi.spyOn(console, 'error').mockImplementation(() => {})
      const answers = calls.map(async (call) => {
        const { status, headers } = await call(requestOf(GET), GET)
        return status === 200 ? headers.get(name) : status
      })
      results[name] = await Promise.all(answers)
      said.mockRestore()
    }
    expect(results).toEqual({
      // To PEP 3333 the first is hop-by-hop, the second no header, and the fourth no name of one.
      'Proxy-Authenticate': [null, '1', '1'],
      Status: [500, null, null],
      'X-Accel-Redirect': ['1', null, null],
      'x-a-': [500, '1', '1'],
      'x-a': ['1', '1', '1'],
    })
  })
})

const GET: RequestSpec = {
  method: 'GET',
  target: '/',
  isRaw: false,
  mounted: 0,
  headers: [],
  body: undefined,
  hasLength: false,
}
const PLAIN: Plan = {
  status: 200,
  reason: '',
  headers: [],
  body: EMPTY,
  hasLength: false,
  form: 'none',
  reads: true,
}
