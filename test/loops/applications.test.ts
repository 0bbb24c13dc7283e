/**
 * An application answers the same, and gets the same environ, run by `runApplication` and behind
 * bridge, uwsgi socket and `gateway`.
 *
 * @module
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import {
  type Application,
  type ApplicationResult,
  runApplication,
} from '../../src/core/application.ts'
import { encodePacket } from '../../src/codec/uwsgi.ts'
import { type Environ, toEnviron } from '../../src/core/environ.ts'
import { gateway } from '../../src/core/gateway.ts'
import { reasonPhrase } from '../../src/core/gateway-response.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { type Bridge, createBridge, type Server, serveUwsgi } from '../../src/target/node/index.ts'
import { makeDirectory } from '../backend/process.ts'
import { openRaw } from '../support/http-client.ts'
import { anyRequest, anyResponse, chunksOf, lengthOf, type ResponseSpec } from './arbitraries.ts'
import { answerOf, metaOf, PROPERTY, requestOf } from './support.ts'

/** How an application answers. */
interface Plan extends ResponseSpec {
  readonly form: 'array' | 'generator' | 'async' | 'written'
  /** Bytes read of the request at a time; 0 reads lines. */
  readonly readSize: number
}

const HOP_BY_HOP =
  /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-connection)$/i

const anyPlan = fc
  .record({
    response: anyResponse,
    form: fc.constantFrom('array', 'generator', 'async', 'written'),
    readSize: fc.constantFrom(-1, 0, 1000, 70_000),
  })
  .map(({ response, form, readSize }): Plan => {
    // A fatal error of an application (PEP 3333).
    const headers = response.headers.filter(([name]) => !HOP_BY_HOP.test(name))
    return Object.assign(response, { headers, form, readSize })
  })

let plan: Plan
let seen: { environ: Environ; body: string; closed: number } | undefined

/** Answers as planned, and keeps what it was asked. */
const application: Application = async (environ, startResponse) => {
  const given = { environ: { ...environ }, body: await readBody(environ, plan.readSize), closed: 0 }
  seen = given
  const { status, reason, headers, body, hasLength, form } = plan
  const length: [string, string] = ['Content-Length', String(lengthOf(body))]
  const write = startResponse(`${status} ${reason}`, hasLength ? [...headers, length] : headers)
  const chunks = chunksOf(body)
  if (form === 'array') return chunks
  if (form === 'written') for (const chunk of chunks.splice(0, 2)) void write(chunk)
  return watched(form === 'async' ? asynchronous(chunks) : chunks, () => given.closed++)
}

async function readBody(environ: Environ, size: number): Promise<string> {
  const input = environ['wsgi.input']
  let text = ''
  const read = size === 0 ? () => input.readline() : () => input.read(size)
  for (let chunk = await read(); chunk.length > 0; chunk = await read()) {
    text += octetsToNative(chunk)
  }
  return text
}

function watched(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  close: () => void
): ApplicationResult {
  return Symbol.asyncIterator in chunks
    ? { [Symbol.asyncIterator]: () => chunks[Symbol.asyncIterator](), close }
    : { [Symbol.iterator]: () => chunks[Symbol.iterator](), close }
}

async function* asynchronous(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    await new Promise((resolve) => setImmediate(resolve))
    yield chunk
  }
}

/** The environ, but for the objects in it and what the way itself says. */
function comparable(environ: Environ): Record<string, unknown> {
  const texts = Object.entries(environ).filter(([, value]) => typeof value !== 'object')
  // Every request behind a front has a spelling, that of REQUEST_URI; and Expect is met there.
  const { RAW_URI, ...others } = Object.fromEntries(texts)
  delete others['HTTP_EXPECT']
  if (RAW_URI !== undefined) expect(RAW_URI).toBe(environ.REQUEST_URI)
  // nginx writes an empty CONTENT_TYPE where there is none.
  if (others['CONTENT_TYPE'] === '') delete others['CONTENT_TYPE']
  // Node keeps lines of this one apart, and two empty ones joined have a blank at the end.
  const { HTTP_SET_COOKIE } = others
  if (typeof HTTP_SET_COOKIE === 'string') others['HTTP_SET_COOKIE'] = HTTP_SET_COOKIE.trimEnd()
  return others
}

const servers: Server[] = []
const bridges: Bridge[] = []
const errors = vi.fn<(error: Error) => void>()
let directory = ''

beforeAll(async () => {
  directory = await makeDirectory()
  for (const listen of ['uwsgi://127.0.0.1:0', `unix:${join(directory, 'loop.sock')}`]) {
    const server = await serveUwsgi(gateway(application), { listen, onError: errors })
    servers.push(server)
    bridges.push(createBridge(server.url, { onError: errors, tracing: false }))
  }
})
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()))
  await rm(directory, { recursive: true })
})

test.each([
  ['TCP', 0],
  ['unix', 1],
])('an application behind a %s socket answers and sees the same', async (_name, index) => {
  await fc.assert(
    fc.asyncProperty(anyRequest, anyPlan, async (spec, next) => {
      plan = next
      const environ = await toEnviron(requestOf(spec), metaOf(spec))
      const direct = await answerOf(await runApplication(application, environ))
      const before = seen
      seen = undefined
      const response = await bridges[index]?.fetch(
        requestOf(spec),
        undefined,
        undefined,
        metaOf(spec)
      )
      // A status line has a phrase, where an application may leave it out.
      const reason = direct.reason || reasonPhrase(direct.status)
      expect(await answerOf(response as Response)).toEqual({ ...direct, reason })
      expect(comparable(seen!.environ)).toEqual(comparable(before!.environ))
      expect(seen!.body).toBe(before!.body)
      const closed = plan.form === 'array' ? 0 : 1
      expect([before!.closed, seen!.closed]).toEqual([closed, closed])
    }),
    PROPERTY
  )
  expect(errors.mock.calls).toEqual([])
})

test('an application gets the body that a front hands on in chunks', async () => {
  plan = {
    status: 200,
    reason: 'OK',
    headers: [],
    body: { seed: 0, sizes: [] },
    hasLength: false,
    form: 'array',
    readSize: 1000,
  }
  const front = await openRaw((servers[0] as Server).url.replace('uwsgi:', 'http:'))
  const vars = { REQUEST_METHOD: 'POST', PATH_INFO: '/', HTTP_TRANSFER_ENCODING: 'chunked' }
  await front.write(encodePacket(Object.entries(vars)))
  await front.write('2\r\nab\r\n1\r\nc\r\n0\r\n\r\n')
  await front.until(/^HTTP\/1\.1 200 OK\r\n/)
  front.destroy()
  expect(seen).toMatchObject({ body: 'abc', environ: { CONTENT_LENGTH: '3' } })
})
