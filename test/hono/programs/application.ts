/**
 * The application behind `wsgi` in the suite: `environ_app.py` in TypeScript, and what that cannot do.
 *
 *     any path                the environ as JSON
 *     /raw/respond?spec=JSON  {"status", "headers": [[name, value]], "chunks": [text]}, as told
 *     /raw/silent             no startResponse, no body
 *     /big?bytes=N            N bytes
 *     /stream/TOKEN           "one", and "two" once /release/TOKEN was asked for
 *     /endless/TOKEN          bytes without end
 *     /closed/TOKEN           how often the result of one of those two was closed
 *
 * @module
 */
import type { Application, ApplicationResult } from '../../../src/core/application.ts'
import { validator } from '../../../src/core/validator.ts'
import type { Environ } from '../../../src/core/environ.ts'
import { nativeToOctets } from '../../../src/core/octets.ts'
import type { HeaderField } from '../../../src/core/request-head.ts'
import type { StartResponse } from '../../../src/core/start-response.ts'

/** What `/raw/respond` is told. */
export interface Spec {
  readonly status: string
  readonly headers?: readonly HeaderField[]
  /** latin-1 */
  readonly chunks?: readonly string[]
}

const CHUNK_BYTES = 16_384
const POLL_MS = 10

const released = new Set<string>()
const closed = new Map<string, number>()

/** See above. What it is told to answer may break the contract; the rest stands under its judge. */
export const application: Application = (environ, startResponse) =>
  environ.PATH_INFO.startsWith('/raw/')
    ? answerRaw(environ, startResponse)
    : conforming(environ, startResponse)

function answerRaw(environ: Environ, startResponse: StartResponse): ApplicationResult {
  if (environ.PATH_INFO === '/raw/silent') return []
  const query = new URLSearchParams(environ.QUERY_STRING)
  const spec = JSON.parse(query.get('spec') ?? '') as Spec
  startResponse(spec.status, spec.headers ?? [])
  return (spec.chunks ?? []).map(nativeToOctets)
}

const conforming: Application = validator(async (environ, startResponse) => {
  const { PATH_INFO, QUERY_STRING } = environ
  const query = new URLSearchParams(QUERY_STRING)
  const [, page = '', token = ''] = PATH_INFO.split('/')
  const text = (body: string): ApplicationResult => {
    startResponse('200 OK', [['Content-Type', 'text/plain']])
    return [encode(body)]
  }
  if (page === 'big') return big(Number(query.get('bytes')), startResponse)
  if (page === 'stream') return watched(token, streamed(token), startResponse)
  if (page === 'endless') return watched(token, endless(), startResponse)
  if (page === 'closed') return text(String(closed.get(token) ?? 0))
  if (page === 'release') {
    released.add(token)
    return text('ok')
  }
  return await showEnviron(environ, startResponse)
})

async function showEnviron(
  environ: Environ,
  startResponse: StartResponse
): Promise<ApplicationResult> {
  const body = (await environ['wsgi.input'].read(-1)) as Uint8Array<ArrayBuffer>
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', body))
  const shown = {
    ...Object.fromEntries(Object.entries(environ).filter(([, value]) => typeof value === 'string')),
    body_length: body.length,
    body_sha256: Array.from(digest, (octet) => octet.toString(16).padStart(2, '0')).join(''),
  }
  const bytes = encode(JSON.stringify(shown))
  startResponse('200 OK', [
    ['Content-Type', 'application/json'],
    ['Content-Length', String(bytes.length)],
  ])
  return [bytes]
}

function big(bytes: number, startResponse: StartResponse): ApplicationResult {
  startResponse('200 OK', [
    ['Content-Type', 'text/plain'],
    ['Content-Length', String(bytes)],
  ])
  return (function* chunks() {
    for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
      yield new Uint8Array(Math.min(left, CHUNK_BYTES)).fill(0x78)
    }
  })()
}

/** A result that counts its `close()`. */
function watched(
  token: string,
  chunks: AsyncIterable<Uint8Array>,
  startResponse: StartResponse
): ApplicationResult {
  startResponse('200 OK', [['Content-Type', 'text/plain']])
  return {
    [Symbol.asyncIterator]: () => chunks[Symbol.asyncIterator](),
    close: () => closed.set(token, (closed.get(token) ?? 0) + 1),
  }
}

async function* streamed(token: string): AsyncGenerator<Uint8Array> {
  yield encode('one')
  // Asked again and again: on workerd no request wakes another.
  while (!released.has(token)) await sleep()
  yield encode('two')
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) {
    yield new Uint8Array(CHUNK_BYTES)
    await sleep()
  }
}

function sleep(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS))
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
