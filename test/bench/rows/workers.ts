/**
 * Row 5: a Worker that speaks uwsgi itself, beside one that fetches from an nginx which does, and one
 * that does no more than it must.
 *
 * @module
 */
import { encodePacket } from '../../../src/codec/uwsgi.ts'
import { bundleScript } from '../../target/workers-target.ts'
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
import { VARS } from '../programs/sample-request.ts'
import { startUwsgiPass } from '../servers/nginx.ts'
import { HELLO, startBackend } from '../servers/uwsgi.ts'
import { startWorkerd } from '../servers/workerd.ts'

/** What one writes who puts a Worker in front of an origin. */
const FETCHING = `export default {
  async fetch(request, env) {
    const url = new URL(request.url)
    url.host = env.ORIGIN
    return await fetch(new Request(url, request))
  },
}
`

/**
 * The least that a Worker can do with a uwsgi backend: a packet that is always the same, and one read. It
 * shows how much of our time is that of `connect()`.
 */
const BY_HAND = `import { connect } from 'cloudflare:sockets'
const packet = Uint8Array.from(${JSON.stringify([...encodePacket(VARS)])})
export default {
  async fetch(request, env) {
    const { hostname, port } = new URL(env.UPSTREAM)
    const socket = connect({ hostname, port: Number(port) })
    socket.writable.getWriter().write(packet)
    const { value } = await socket.readable.getReader().read()
    socket.close()
    const text = new TextDecoder().decode(value)
    return new Response(text.slice(text.indexOf('\\r\\n\\r\\n') + 4))
  },
}
`

export const workers: Row = {
  id: 5,
  title: 'a Worker in workerd',
  async run(settings) {
    const backend = await startBackend()
    try {
      const script = await bundleScript()
      const load = { connections: 16, expect: HELLO }
      const outcome = await contest(
        [
          underLoad(OURS, () => startWorkerd(script, { UPSTREAM: backend.tcp }), load),
          underLoad('fetch() of nginx', () => startFetching(backend.tcp), load),
          underLoad('by hand', () => startWorkerd(BY_HAND, { UPSTREAM: backend.tcp }), load),
        ],
        settings
      )
      return compare(5, 'tcp, 16 connections', outcome, [
        {
          ...REQUESTS_PER_SECOND,
          targets: [{ type: 'ratio', of: 'fetch() of nginx', atLeast: 1.2 }],
          headline: true,
        },
        { ...P50, targets: [{ type: 'ratio', of: 'fetch() of nginx', atMost: 1 }] },
        P99,
        CPU_A_REQUEST,
      ])
    } finally {
      await backend.stop()
    }
  },
}

/** The Worker and its nginx are one gateway: the CPU time of both counts. */
async function startFetching(upstream: string): Promise<Gateway> {
  const nginx = await startUwsgiPass(upstream)
  try {
    const worker = await startWorkerd(FETCHING, { ORIGIN: new URL(nginx.origin).host })
    return {
      origin: worker.origin,
      pids: [...worker.pids, ...nginx.pids],
      async stop() {
        await worker.stop()
        await nginx.stop()
      },
    }
  } catch (error) {
    await nginx.stop()
    throw error
  }
}
