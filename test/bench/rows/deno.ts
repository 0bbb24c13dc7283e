/**
 * Row 6: the bridge on Deno.
 *
 * @module
 */
import {
  compare,
  type Comparison,
  CPU_A_REQUEST,
  OURS,
  P50,
  P99,
  REQUESTS_PER_SECOND,
} from '../harness/comparison.ts'
import { contest } from '../harness/contest.ts'
import { underLoad } from '../harness/load.ts'
import type { Row } from '../harness/row.ts'
import { startDeno } from '../servers/edge-wsgi.ts'
import { startUwsgiPass } from '../servers/nginx.ts'
import { HELLO, startBackend } from '../servers/uwsgi.ts'

export const deno: Row = {
  id: 6,
  title: 'hello world from uWSGI, through Deno',
  async run(settings) {
    const backend = await startBackend()
    try {
      const found: Comparison[] = []
      for (const socket of ['unix', 'tcp'] as const) {
        for (const connections of [16, 256]) {
          const load = { connections, expect: HELLO }
          const outcome = await contest(
            [
              underLoad(`${OURS} on Deno`, () => startDeno(backend[socket]), load),
              underLoad('nginx', () => startUwsgiPass(backend[socket]), load),
            ],
            settings
          )
          const headline = socket === 'unix' && connections === 16
          found.push(
            ...compare(6, `Deno, ${socket}, ${connections} connections`, outcome, [
              { ...REQUESTS_PER_SECOND, headline },
              CPU_A_REQUEST,
              P50,
              P99,
            ])
          )
        }
      }
      return found
    } finally {
      await backend.stop()
    }
  },
}
