/**
 * uWSGI's own HTTP router as a peer, without a worker of its own.
 *
 * @module
 */
import { startFront } from '../../backend/front.ts'
import { venvProgram } from '../../backend/programs.ts'
import type { Gateway } from '../harness/load.ts'

/** Starts the router in front of a uwsgi socket, `unix:/PATH` or `uwsgi://HOST:PORT`. */
export async function startUwsgiRouter(upstream: string): Promise<Gateway> {
  const command = venvProgram('uwsgi')
  const { origin, pid, stop } = await startFront(async (port) => ({
    command,
    args: [
      '--master',
      '--die-on-term',
      '--disable-logging',
      '--listen=4096',
      '--http',
      `127.0.0.1:${port}`,
      '--http-keepalive',
      '--http-to',
      upstream.replace(/^uwsgi:\/\/|^unix:/, ''),
    ],
    stopSignal: 'SIGTERM',
    ready: /spawned uWSGI http 1/,
  }))
  return { origin, pids: [pid], stop }
}
