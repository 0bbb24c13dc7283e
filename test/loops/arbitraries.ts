/**
 * Requests and responses of every kind that may go round a loop, small ones mostly.
 *
 * @module
 */
import * as fc from 'fast-check'
import type { HeaderField } from '../../src/core/request-head.ts'

/** A body, as the sizes of its chunks. */
export interface BodySpec {
  readonly seed: number
  readonly sizes: readonly number[]
}

/** A request as a client makes it. */
export interface RequestSpec {
  readonly method: string
  /** Path and query, as the client spells them. */
  readonly target: string
  /** Whether the gateway is told that spelling, as it is by servers that know it. */
  readonly isRaw: boolean
  /** How many segments of the path are the mount. */
  readonly mounted: number
  readonly headers: readonly HeaderField[]
  readonly body: BodySpec | undefined
  /** Whether the request has a Content-Length. */
  readonly hasLength: boolean
}

/** A response as a handler or an application makes it. */
export interface ResponseSpec {
  readonly status: number
  readonly reason: string
  readonly headers: readonly HeaderField[]
  readonly body: BodySpec
  readonly hasLength: boolean
}

const STATUSES = words(
  `200 200 201 202 203 204 204 205 206 299 300 301 302 303 304 304 307 308 400 401 404 405 409 410 418
   421 422 429 451 499 500 501 502 503 504 505 511 599`
).map(Number)

const SEGMENTS = words(
  `a b B . .. %2e ~ %7e %7E %41 %2F a%2fb %252F %5C caf%C3%A9 café あ %FF %20 50% %zz % %3F %23 %3B %0A
   it's ;p=1 $&+,:@!*() -._ a=b | ^ [x] " <> \` {} a\\b`
).concat('', 'a b')
const QUERIES = words(
  `a=b & = ? / // .. + % %zz %00 %41 %7e %20 %C3%A9 ' %27 " <> | ^ \` {} [] \\ é あ ; :@ *()!$,`
).concat('', 'a b')

/** Hop-by-hop and identity fields among them, and names that no variable can tell apart. */
const REQUEST_NAMES = words(
  `x-a X-B Accept User-Agent Content-Type content-language Authorization TE upgrade Keep-Alive
   proxy-connection trailer Proxy Proxy-Authorization x-forwarded-for X-Forwarded-Proto forwarded
   x-real-ip X-Client-IP CF-Connecting-IP x_a x.a x'a content-encoding set-cookie Uwsgi-File`
)
const RESPONSE_NAMES = words(
  `x-a X-B Content-Type content-encoding ETag Location Date Server Vary Connection keep-alive TE Trailer
   Transfer-Encoding upgrade proxy-connection x_a x.a !#$%&'*+.^\`|~ WWW-Authenticate x-forwarded-for
   content-length-x`
)

/** HTAB, SP, visible ASCII and octets above 7F, no blank at either end. */
const anyValue = fc
  .string({
    unit: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...'ab1,;="\\: ') },
      fc.constantFrom('\t', '\x7e', '\x80', '\x85', '\xa0', '\xe9', '\xff'),
      fc.integer({ min: 0x20, max: 0x7e }).map((unit) => String.fromCharCode(unit))
    ),
    maxLength: 20,
  })
  .map((text) => text.replaceAll(/^[\t ]+|[\t ]+$/g, ''))

const anyCookie = fc.tuple(
  fc.constantFrom('Cookie', 'cookie'),
  fc.constantFrom('a=1', 'b=2; c="x y"', 'd=\xe9')
)
const anyNomination = fc.tuple(
  fc.constant('Connection'),
  fc.constantFrom('close', 'x-a', 'keep-alive, X-B', 'Cookie, authorization, x-forwarded-for')
)

const anyRequestHeader: fc.Arbitrary<HeaderField> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom(...REQUEST_NAMES), anyValue) },
  { weight: 2, arbitrary: fc.tuple(fc.stringMatching(/^X-[A-Za-z0-9-]{0,9}$/), anyValue) },
  { weight: 2, arbitrary: anyCookie },
  anyNomination,
  fc.constant<HeaderField>(['Expect', '100-continue']),
  fc.constant<HeaderField>(['Host', 'H.Example:8080'])
)

const anyResponseHeader: fc.Arbitrary<HeaderField> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom(...RESPONSE_NAMES), anyValue) },
  { weight: 2, arbitrary: fc.tuple(fc.stringMatching(/^X-[A-Za-z0-9-]{0,9}[a-z]$/), anyValue) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('Set-Cookie', 'set-cookie'), anyValue) }
)

/** Up to 200 kB, the largest rarely; empty chunks among them. */
export const anyBody: fc.Arbitrary<BodySpec> = fc.record({
  seed: fc.nat(255),
  sizes: fc.oneof(
    { weight: 6, arbitrary: fc.array(fc.nat(40), { maxLength: 5 }) },
    { weight: 3, arbitrary: fc.array(fc.nat(9000), { maxLength: 5 }) },
    { weight: 1, arbitrary: fc.array(fc.nat(100_000), { maxLength: 2 }) }
  ),
})

const anyMethod = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'),
  },
  fc.constantFrom('M-SEARCH', 'patch', 'PROPFIND', "x!#$%&'*+.^_`|~9")
)

const anyTarget = fc
  .tuple(
    fc.array(fc.constantFrom(...SEGMENTS), { minLength: 1, maxLength: 5 }),
    fc.option(fc.array(fc.constantFrom(...QUERIES), { maxLength: 4 }), { nil: undefined, freq: 2 })
  )
  .map(([segments, query]) => {
    const path = `/${segments.join('/')}`
    return query === undefined ? path : `${path}?${query.join('')}`
  })
  .filter((target) => !isRefused(target))

/** A request that no gateway refuses. */
export const anyRequest: fc.Arbitrary<RequestSpec> = fc
  .record({
    method: anyMethod,
    target: anyTarget,
    isRaw: fc.boolean(),
    mounted: fc.constantFrom(0, 0, 1, 2),
    headers: fc.array(anyRequestHeader, { maxLength: 8 }),
    body: fc.option(anyBody, { nil: undefined }),
    hasLength: fc.boolean(),
  })
  .map((spec) =>
    Object.assign(spec, {
      // A target on the wire is ASCII, and Fetch knows no body of GET and HEAD.
      isRaw: spec.isRaw && /^[\x21-\x7e]*$/.test(spec.target),
      body: spec.method === 'GET' || spec.method === 'HEAD' ? undefined : spec.body,
    })
  )

/** A response that can be sent. */
export const anyResponse: fc.Arbitrary<ResponseSpec> = fc.record({
  status: fc.constantFrom(...STATUSES),
  reason: fc.oneof(fc.constantFrom('', 'OK', 'Not Found', 'Caf\xe9  \t'), anyValue),
  headers: fc.array(anyResponseHeader, { maxLength: 8 }),
  body: anyBody,
  hasLength: fc.boolean(),
})

/** The chunks of a body. */
export function chunksOf({ seed, sizes }: BodySpec): Uint8Array<ArrayBuffer>[] {
  let next = seed
  return sizes.map((size) => {
    const chunk = new Uint8Array(size)
    for (let i = 0; i < size; i++) chunk[i] = next = (next * 5 + 3) & 0xff
    return chunk
  })
}

/** The length of a body. */
export function lengthOf({ sizes }: BodySpec): number {
  return sizes.reduce((total, size) => total + size, 0)
}

/** Dot segments that come out of an encoded slash are refused, as is NUL, and `%0A` is none (PATH-8). */
function isRefused(target: string): boolean {
  const { pathname } = new URL(`http://h${target}`)
  return /(?:^|\/)\.\.?(?:\/|$)/.test(pathname.replaceAll(/%2f/gi, '/'))
}

function words(text: string): string[] {
  return text.split(/\s+/)
}
