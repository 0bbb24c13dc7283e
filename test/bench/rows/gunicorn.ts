/**
 * Row 3: gunicorn speaks uwsgi and keeps connections, which ours can pool and nginx cannot.
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
import { startServeForGunicorn } from '../servers/edge-wsgi.ts'
import { startGunicornBackend } from '../servers/gunicorn.ts'
import { startUwsgiPass } from '../servers/nginx.ts'
import { startRelay } from '../servers/node-programs.ts'
import { HELLO } from '../servers/uwsgi.ts'

/** gunicorn would hold the connection open, for which nginx waits; so it is told not to. */
const NO_KEEP_ALIVE = 'uwsgi_param HTTP_CONNECTION close;'

export const gunicorn: Row = {
  id: 3,
  title: 'hello world from gunicorn --protocol uwsgi, pooled',
  async run(settings) {
    const backend = await startGunicornBackend()
    try {
      const load = { connections: 16, expect: HELLO }
      const outcome = await contest(
        [
          underLoad(OURS, () => startServeForGunicorn(backend.address), load),
          underLoad('nginx', () => startUwsgiPass(backend.address, NO_KEEP_ALIVE), load),
          underLoad('Node by hand', () => startRelay(backend.address, { KEEP: '1' }), load),
        ],
        settings
      )
      return compare(3, 'tcp, 16 connections', outcome, [
        {
          ...REQUESTS_PER_SECOND,
          targets: [{ type: 'ratio', of: 'nginx', atLeast: 1 }],
          headline: true,
        },
        {
          ...CPU_A_REQUEST,
          targets: [{ type: 'ratio', of: 'nginx', atMost: 1 }],
          headline: true,
        },
        P50,
        P99,
      ])
    } finally {
      await backend.stop()
    }
  },
}
