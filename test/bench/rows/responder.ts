/**
 * Row 10: a Hono application behind nginx, over uwsgi with the responder or over HTTP.
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
import { type Gateway, underLoad } from '../harness/load.ts'
import type { Row } from '../harness/row.ts'
import { startRespond } from '../servers/edge-wsgi.ts'
import { startPooledProxyPass, startProxyPass, startUwsgiPass } from '../servers/nginx.ts'
import { programFile, startProgram } from '../servers/node-programs.ts'
import { HELLO } from '../servers/uwsgi.ts'

export const responder: Row = {
  id: 10,
  title: 'a Hono application behind nginx',
  async run(settings) {
    const load = { connections: 16, expect: HELLO }
    const outcome = await contest(
      [
        underLoad(OURS, () => startBehind(startOurs, startUwsgiPass), load),
        underLoad('proxy_pass', () => startBehind(startTheirs, startProxyPass), load),
        // Neither is nginx's default nor possible with uwsgi, and yet what a careful team would do.
        underLoad(
          'proxy_pass, keepalive',
          () => startBehind(startTheirs, startPooledProxyPass),
          load
        ),
        underLoad('Node by hand', () => startBehind(startByHand, startUwsgiPass), load),
      ],
      settings
    )
    return compare(10, 'tcp, 16 connections', outcome, [
      {
        ...REQUESTS_PER_SECOND,
        targets: [{ type: 'ratio', of: 'proxy_pass', atLeast: 1 }],
        headline: true,
      },
      { ...CPU_A_REQUEST, name: 'Node CPU a request' },
      P50,
      P99,
    ])
  },
}

function startOurs(): Promise<Gateway> {
  return startRespond(programFile('hono-app.mjs'))
}

function startTheirs(): Promise<Gateway> {
  return startProgram('hono-server.mjs', '@hono/node-server')
}

function startByHand(): Promise<Gateway> {
  return startProgram('responder.mjs', 'hono')
}

/** nginx in front of a server. Only the server's CPU time counts: nginx is the same each time. */
async function startBehind(
  startServer: () => Promise<Gateway>,
  startNginx: (address: string) => Promise<Gateway>
): Promise<Gateway> {
  const server = await startServer()
  try {
    const nginx = await startNginx(server.origin)
    return {
      origin: nginx.origin,
      pids: server.pids,
      async stop() {
        await nginx.stop()
        await server.stop()
      },
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}
