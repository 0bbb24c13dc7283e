/**
 * The responder behind real fronts, the same on every runtime: what a user of nginx, of Apache and of
 * uWSGI's HTTP router sees, and what a handler gets to see of a request.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FrontServer } from '../backend/front.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { type Front, type FrontOptions, FRONTS } from './fronts.ts'
import { describeBodies } from './parts/bodies.ts'
import type { ResponderContext } from './parts/context.ts'
import { describeDisconnects } from './parts/disconnects.ts'
import { describeHandlers } from './parts/handlers.ts'
import { describeRequests } from './parts/requests.ts'
import { describeResponses } from './parts/responses.ts'
import { describeUnixSocket } from './parts/unix-socket.ts'
import { type ResponderProcess, type Runtime, type Served, startResponder } from './runtimes.ts'

/** Describes the responder on one runtime, behind every front. */
export function describeResponder(runtime: Runtime): void {
  let uwsgi: UwsgiServer | undefined
  let responder: ResponderProcess | undefined

  beforeAll(async () => {
    uwsgi = await startUwsgi({ bufferSize: 32_768, processes: 2 })
    responder = await startResponder(runtime, {
      serve: ['fetch', 'fetch-unix', 'hono', 'gateway', 'bridge'],
      upstream: uwsgi.address,
    })
  })
  afterAll(async () => {
    await Promise.all([uwsgi, responder].map((server) => server?.stop()))
  })

  describe.each(FRONTS)(`on ${runtime} behind $name`, (front) => {
    const fronts = startedFronts(front, (served) => present(responder).url[served])
    const context: ResponderContext = { front, server: fronts.server, log: () => log(responder) }
    afterAll(() => fronts.stop())
    describeRequests(context)
    describeBodies(context)
    describeResponses(context)
    describeDisconnects(context)
    describeHandlers(context)
  })

  describe(`on ${runtime}`, () => {
    describeUnixSocket(() => present(responder).url['fetch-unix'])

    test('nothing that happened here was a bug', () => {
      const lines = log(responder).split('\n')
      const errors = lines.filter((line) => /(?:Type|Range|Reference)Error|ERR_INTERNAL/.test(line))
      // `/do/error` hands over what no handler may, and `/do/nothing` nothing at all.
      expect(errors.filter((line) => !/\/do\/(?:error|nothing)/.test(line))).toEqual([])
    })
  })
}

/** Starts each front that is asked for, once. */
function startedFronts(
  front: Front,
  address: (served: Served) => string
): { server: ResponderContext['server']; stop(): Promise<void> } {
  const running = new Map<string, Promise<FrontServer>>()
  function server(served: Served = 'fetch', options: FrontOptions = {}): Promise<FrontServer> {
    const key = JSON.stringify([served, options])
    const known = running.get(key) ?? front.start(address(served), options)
    running.set(key, known)
    return known
  }
  async function stop(): Promise<void> {
    const started = await Promise.all(running.values())
    await Promise.all(started.map((one) => one.stop()))
  }
  return { server, stop }
}

function log(responder: ResponderProcess | undefined): string {
  return present(responder).log()
}

function present<T>(server: T | undefined): T {
  if (server === undefined) throw new Error('Cannot use a server before it has started')
  return server
}
