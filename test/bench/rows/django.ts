/**
 * Row 2: a page of Django, where the gateway is the smaller part of the work.
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
import { startUwsgiPass } from '../servers/nginx.ts'
import { startRelay } from '../servers/node-programs.ts'
import { startBackend } from '../servers/uwsgi.ts'

export const django: Row = {
  id: 2,
  title: 'a Django page: session, template, ORM over SQLite',
  async run(settings) {
    const backend = await startBackend('page')
    try {
      const upstream = backend.unix
      const cookie = await logIn(backend.http)
      const load = { connections: 16, headers: { Cookie: cookie }, expect: 'Hello, visitor' }
      const outcome = await contest(
        [
          underLoad(OURS, () => startServe(upstream), load),
          underLoad('nginx', () => startUwsgiPass(upstream), load),
          underLoad('Node by hand', () => startRelay(upstream), load),
        ],
        settings
      )
      return compare(2, 'unix, 16 connections', outcome, [
        {
          ...REQUESTS_PER_SECOND,
          targets: [{ type: 'ratio', of: 'nginx', atLeast: 0.97 }],
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

/** @returns The session's cookie. */
async function logIn(origin: string): Promise<string> {
  const response = await fetch(`${origin}/log-in`)
  const [cookie] = response.headers.getSetCookie()
  if (cookie === undefined) throw new Error(`Cannot log in: ${response.status}`)
  return cookie.slice(0, cookie.indexOf(';'))
}
