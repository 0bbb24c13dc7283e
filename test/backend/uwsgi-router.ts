/**
 * Starts uWSGI's HTTP router in front of a uwsgi socket, with no worker of its own behind it.
 *
 * @module
 */
import { type FrontServer, startFront } from './front.ts'
import { venvProgram } from './programs.ts'

/** How the router is started. */
export interface UwsgiRouterOptions {
  /** `uwsgi://HOST:PORT` or `unix:/PATH`. */
  upstream: string
  /** More command line options. */
  args?: string[]
}

/** Starts the router and waits until it accepts connections. */
export async function startUwsgiRouter(options: UwsgiRouterOptions): Promise<FrontServer> {
  const { upstream, args = [] } = options
  const command = venvProgram('uwsgi')
  return await startFront(async (port) => ({
    command,
    args: [
      '--master',
      '--die-on-term',
      '--http',
      `127.0.0.1:${port}`,
      '--http-to',
      upstream.replace(/^uwsgi:\/\/|^unix:/, ''),
      ...args,
    ],
    stopSignal: 'SIGTERM',
    ready: /spawned uWSGI http 1/,
  }))
}
