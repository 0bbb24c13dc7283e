/**
 * Row 4: what a JavaScript team would do without this package: HTTP from uWSGI behind a proxy.
 *
 * @module
 */
import {
  compare,
  CPU_A_REQUEST,
  OURS,
  P50,
  P99,
  REQUESTS_PER_SECOND,
} from '../harness/comparison.ts'
import { contest } from '../harness/contest.ts'
import { underLoad } from '../harness/load.ts'
import type { Row } from '../harness/row.ts'
import { startServe } from '../servers/edge-wsgi.ts'
import { startProgram } from '../servers/node-programs.ts'
import { HELLO, startBackend } from '../servers/uwsgi.ts'

/** Program, and the package that it needs. */
const PROXIES = [
  ['@fastify/http-proxy', 'fastify-http-proxy.mjs'],
  ['http-proxy-3', 'http-proxy-3.mjs'],
  ['@hono/node-server', 'hono-proxy.mjs'],
] as const

/**
 * uWSGI's HTTP socket closes after each response without saying so, and clients that pool connections
 * then fail now and again. Who runs it behind such a client tells it to say so.
 */
const SAY_CLOSE = '--add-header=Connection: close'

export const httpProxies: Row = {
  id: 4,
  title:
    'uWSGI --http-socket behind HTTP proxies in JavaScript, beside the uwsgi socket behind ours',
  async run(settings) {
    const backend = await startBackend('hello', [SAY_CLOSE])
    try {
      const load = { connections: 16, expect: HELLO }
      const env = { ORIGIN: backend.http }
      const outcome = await contest(
        [
          underLoad(OURS, () => startServe(backend.tcp), load),
          ...PROXIES.map(([needs, program]) =>
            underLoad(
              needs === '@hono/node-server' ? 'Hono proxy()' : needs,
              () => startProgram(program, needs, env),
              load
            )
          ),
        ],
        settings
      )
      return compare(4, 'tcp, 16 connections', outcome, [
        {
          ...REQUESTS_PER_SECOND,
          targets: [{ type: 'ratio', of: 'best', atLeast: 1.3 }],
          headline: true,
        },
        CPU_A_REQUEST,
        P50,
        P99,
      ])
    } finally {
      await backend.stop()
    }
  },
}
