/**
 * Row 1: hello world from uWSGI, through each gateway that can stand in front of it, and through the least
 * that Node can do, which shows how much of our time is Node's own.
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
import type { Settings } from '../harness/settings.ts'
import { startApache } from '../servers/apache.ts'
import { startServe } from '../servers/edge-wsgi.ts'
import { startUwsgiPass } from '../servers/nginx.ts'
import { startRelay } from '../servers/node-programs.ts'
import { type Backend, HELLO, startBackend } from '../servers/uwsgi.ts'
import { startUwsgiRouter } from '../servers/uwsgi-router.ts'

const SOCKETS = ['unix', 'tcp'] as const
const CONNECTIONS = [16, 256]

export const gateways: Row = {
  id: 1,
  title: 'hello world from uWSGI',
  async run(settings) {
    const backend = await startBackend()
    try {
      const found: Comparison[] = []
      for (const socket of SOCKETS) {
        for (const connections of CONNECTIONS) {
          found.push(...(await runCondition(backend, socket, connections, settings)))
        }
      }
      return found
    } finally {
      await backend.stop()
    }
  },
}

async function runCondition(
  backend: Backend,
  socket: 'unix' | 'tcp',
  connections: number,
  settings: Settings
): Promise<Comparison[]> {
  const upstream = backend[socket]
  const load = { connections, expect: HELLO }
  const outcome = await contest(
    [
      underLoad(OURS, () => startServe(upstream), load),
      underLoad('nginx', () => startUwsgiPass(upstream), load),
      underLoad('Apache', () => startApache(upstream), load),
      underLoad('uWSGI --http', () => startUwsgiRouter(upstream), load),
      underLoad('Node by hand', () => startRelay(upstream), load),
    ],
    settings
  )
  const headline = socket === 'unix' && connections === 16
  // The targets of CPU are for unix sockets.
  const cpuTargets = [
    { type: 'ratio', of: 'Apache', atMost: 1 },
    { type: 'ratio', of: 'nginx', atMost: 2 },
  ] as const
  return compare(1, `${socket}, ${connections} connections`, outcome, [
    { ...REQUESTS_PER_SECOND, headline },
    { ...CPU_A_REQUEST, headline, targets: socket === 'unix' ? cpuTargets : [] },
    P50,
    { ...P99, targets: [{ type: 'ratio', of: 'nginx', atMost: 1.5 }] },
  ])
}
