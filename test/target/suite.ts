/**
 * The behaviour of a bridge, the same on every runtime: each target runs this suite in front of the
 * same uWSGI with the same Django, Flask and Bottle applications.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import type { HeaderLine } from '../support/http-client.ts'
import { type ScriptedBackend, startScriptedBackend } from '../support/scripted-backend.ts'
import { describeBackPressure } from './parts/back-pressure.ts'
import { describeBodies } from './parts/bodies.ts'
import { APPS, type SuiteContext } from './parts/context.ts'
import { describeDisconnects } from './parts/disconnects.ts'
import { describeFailures } from './parts/failures.ts'
import { describeFramework } from './parts/framework.ts'
import { describeHeaders } from './parts/headers.ts'
import { describeMounts } from './parts/mounts.ts'
import { describeResponses } from './parts/responses.ts'
import { describeTargets } from './parts/targets.ts'
import type { RunningTarget, Target } from './target.ts'

/** What is not the same on every runtime, and why. */
export interface Differences {
  /** Header lines that make 127.0.0.1 the client. Cloudflare tells the client's address in a header. */
  readonly peer: (addr: string) => readonly HeaderLine[]
  /** Whether a client of our own choosing can be a trusted proxy; sockets only come from 127.0.0.1. */
  readonly peerIsChosen: boolean
  /** Status for M-SEARCH, FOO and `get`. workerd and llhttp know a fixed list of methods each. */
  readonly methods: Readonly<Record<'M-SEARCH' | 'FOO' | 'get', number>>
  /** Status for CONNECT, which only node:http hands over. */
  readonly connect: number
  /** Status for `OPTIONS *`, which the gateway answers; `Deno.serve` makes it `/*`, a path like any other. */
  readonly asterisk: number
  /** Status for UTF-8 octets in a target; llhttp takes ASCII only, the others percent-encode them. */
  readonly utf8Target: number
  /** Status for `"<>` and a backtick in a target, which RFC 9112 does not allow; workerd refuses them. */
  readonly delimitersInTarget: number
  /** Whether the body of a GET arrives; `Deno.serve` drops it, and its length must not be promised then. */
  readonly bodyOfGet: boolean
  /** Status for two equal Content-Length lines, which RFC 9112 §6.3 lets a server take for one. */
  readonly repeatedLength: number
  /** Status for Content-Length beside Transfer-Encoding; where it passes, the latter counts. */
  readonly lengthAndCoding: number
  /** Status for a header line that ends in LF alone (RFC 9112 §2.2 lets a server take it). */
  readonly bareLf: number
  /** Status for no Host in HTTP/1.1; hyper does not ask for it. */
  readonly noHost: number
  /** SERVER_PROTOCOL of an HTTP/1.0 request; fetch-style servers do not tell the version. */
  readonly http10: string
  /** What becomes of octet E9 in a request header; workerd decodes UTF-8 and puts U+FFFD. */
  readonly latin1In: string
  /** What becomes of octet E9 in a response header; workerd encodes what it cannot decode. */
  readonly latin1Out: string
  /** Status for 300 header lines, and for 70 000 octets of them; hyper has limits of its own. */
  readonly tooManyHeaders: number
  /** Whether the reason phrase of the application arrives; `Deno.serve` sends the standard one. */
  readonly reason: boolean
  /** Lines that two X-A response headers make; `Deno.serve` joins them. */
  readonly repeatedHeader: readonly string[]
  /** How a client must leave to be noticed before the next write; workerd waits for a reset. */
  readonly leave: 'close' | 'reset'
  /**
   * Early answers in a hundred that may be lost. workerd drops unread bytes of a backend once a write
   * to it fails, so one that resets at once can win the race.
   */
  readonly lostAnswers: number
  /**
   * Whether an early answer reaches a client that goes on sending. workerd closes on a body that is
   * not read to its end, which resets the connection; on Cloudflare, the edge stands in between.
   */
  readonly answersWhileSending: boolean
}

const NODE: Differences = {
  peer: () => [],
  peerIsChosen: false,
  methods: { 'M-SEARCH': 200, FOO: 400, get: 400 },
  connect: 405,
  asterisk: 204,
  utf8Target: 400,
  delimitersInTarget: 200,
  bodyOfGet: true,
  repeatedLength: 400,
  lengthAndCoding: 400,
  bareLf: 400,
  noHost: 400,
  http10: 'HTTP/1.0',
  latin1In: 'caf\xe9',
  latin1Out: 'caf\xe9',
  tooManyHeaders: 431,
  reason: true,
  repeatedHeader: ['1', '2'],
  leave: 'close',
  lostAnswers: 0,
  answersWhileSending: true,
}

const DIFFERENCES: Readonly<Record<Target['name'], Differences>> = {
  workers: {
    peer: (addr) => [['CF-Connecting-IP', addr]],
    peerIsChosen: true,
    methods: { 'M-SEARCH': 501, FOO: 501, get: 501 },
    connect: 500,
    asterisk: 204,
    utf8Target: 200,
    delimitersInTarget: 400,
    bodyOfGet: true,
    repeatedLength: 200,
    lengthAndCoding: 200,
    bareLf: 200,
    noHost: 400,
    http10: 'HTTP/1.1',
    latin1In: 'caf\xef\xbf\xbd',
    latin1Out: 'caf\xc3\xa9',
    tooManyHeaders: 431,
    reason: true,
    repeatedHeader: ['1', '2'],
    leave: 'reset',
    lostAnswers: 10,
    answersWhileSending: false,
  },
  'Deno.serve': {
    peer: () => [],
    peerIsChosen: false,
    methods: { 'M-SEARCH': 200, FOO: 200, get: 200 },
    connect: 400,
    asterisk: 200,
    utf8Target: 200,
    delimitersInTarget: 200,
    bodyOfGet: false,
    repeatedLength: 400,
    lengthAndCoding: 400,
    bareLf: 200,
    noHost: 200,
    http10: 'HTTP/1.1',
    latin1In: 'caf\xe9',
    latin1Out: 'caf\xe9',
    tooManyHeaders: 400,
    reason: false,
    repeatedHeader: ['1, 2'],
    leave: 'close',
    lostAnswers: 0,
    answersWhileSending: true,
  },
  // Deno's node:http is Node's, down to its parser.
  deno: NODE,
  node: NODE,
}

/** Describes all of the behaviour on one runtime. */
export function describeTarget(target: Target): void {
  const running = new Map<string, Promise<RunningTarget>>()
  let uwsgi: UwsgiServer | undefined
  let rootUwsgi: UwsgiServer | undefined
  let validating: UwsgiServer | undefined
  let scripted: ScriptedBackend | undefined

  beforeAll(async () => {
    const servers = await Promise.all([
      startUwsgi({ bufferSize: 32_768 }),
      startUwsgi({ app: 'environ' }),
      startUwsgi({ bufferSize: 32_768, env: { VALIDATE: '1' } }),
      startScriptedBackend(),
    ])
    ;[uwsgi, rootUwsgi, validating, scripted] = servers
  })

  afterAll(async () => {
    const deployments = await Promise.all(running.values())
    await Promise.all(
      [...deployments, uwsgi, rootUwsgi, validating, scripted].map((server) => server?.stop())
    )
  })

  const context: SuiteContext = {
    differs: DIFFERENCES[target.name],
    uwsgi: () => present(uwsgi),
    rootUwsgi: () => present(rootUwsgi),
    scripted: () => present(scripted),
    deployment(variables = {}) {
      const key = JSON.stringify(variables)
      const known =
        running.get(key) ?? target.start({ UPSTREAM: present(uwsgi).address, ...variables })
      running.set(key, known)
      return known
    },
  }

  describe(`on ${target.name}`, () => {
    describe.each(APPS)('%s', (app) => {
      describeFramework(app, context)
    })
    describe('flask under wsgiref.validate', () => {
      describeFramework('flask', { ...context, uwsgi: () => present(validating), deployment })
      test('no rule of PEP 3333 is broken', () => {
        expect(present(validating).log()).not.toContain('AssertionError')
      })

      function deployment(): Promise<RunningTarget> {
        return context.deployment({ UPSTREAM: present(validating).address })
      }
    })
    describeTargets(context)
    describeMounts(context)
    describeHeaders(context)
    describeBodies(context)
    describeResponses(context)
    describeFailures(context)
    describeDisconnects(context)
    describeBackPressure(context)

    test('nothing that happened here was a bug to any deployment', async () => {
      for (const deployment of await Promise.all(running.values())) {
        expect(deployment.log()).not.toMatch(
          /(?<!cause\]: )(?:Type|Range|Reference)Error|ERR_INTERNAL/
        )
      }
    })
  })
}

function present<T>(server: T | undefined): T {
  if (server === undefined) throw new Error('Cannot use a server before it has started')
  return server
}
