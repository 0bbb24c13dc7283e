/**
 * What nginx, Apache and uWSGI's router have in common as HTTP servers that a test starts.
 *
 * @module
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { freePort } from '../support/free-port.ts'
import { makeDirectory, type Server, startServer } from './process.ts'

const ATTEMPTS = 5

/** A running HTTP server in front of a uwsgi socket. */
export interface FrontServer extends Server {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
  readonly port: number
  /** The process that leads it. */
  readonly pid: number
}

/** How a front is started. */
export interface FrontCommand {
  readonly command: string
  readonly args: string[]
  readonly stopSignal: NodeJS.Signals
  /** What its log says once it listens: somebody else may have taken the port before it. */
  readonly ready: RegExp
}

/**
 * Starts a server that cannot choose a port itself, and waits until it accepts connections.
 *
 * @param prepare Writes the configuration for a port into a folder, which goes when the server stops.
 */
export async function startFront(
  prepare: (port: number, directory: string) => Promise<FrontCommand>
): Promise<FrontServer> {
  for (let attempt = 1; ; attempt++) {
    const directory = await makeDirectory()
    const port = await freePort()
    const { ready, ...command } = await prepare(port, directory)
    try {
      const { pid, log, stop } = await startServer({
        ...command,
        directory,
        probe: async (text) => (ready.test(text) && (await accepts(port)) ? true : undefined),
      })
      return { origin: `http://127.0.0.1:${port}`, port, pid, log, stop }
    } catch (error) {
      // Another process may have taken the free one.
      if (attempt === ATTEMPTS || !/address already in use/i.test(String(error))) throw error
    }
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false // Not yet: the caller asks again until its deadline.
  } finally {
    socket.destroy()
  }
}
