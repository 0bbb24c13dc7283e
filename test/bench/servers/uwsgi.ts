/**
 * The backend of most rows: one uWSGI that offers the same application over every protocol at once.
 *
 * @module
 */
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { answers, PING } from '../../backend/probe.ts'
import { makeDirectory, startServer } from '../../backend/process.ts'
import { VENV, venvProgram } from '../../backend/programs.ts'

const APPS = join(import.meta.dirname, '..', 'apps')
/** `curl /` of it has this body. */
export const HELLO = 'Hello, world'

/** A running uWSGI and its addresses. */
export interface Backend {
  /** `unix:/PATH`, uwsgi protocol. */
  readonly unix: string
  /** `uwsgi://127.0.0.1:PORT` */
  readonly tcp: string
  /** `http://127.0.0.1:PORT`, uWSGI's `--http-socket`. */
  readonly http: string
  /** `127.0.0.1:PORT`, uWSGI's `--fastcgi-socket`. */
  readonly fastcgi: string
  readonly pid: number
  stop(): Promise<void>
}

/**
 * Starts uWSGI.
 *
 * @param app File in `apps`, without its ending.
 * @param args More command line options.
 */
export async function startBackend(
  app: 'hello' | 'page' = 'hello',
  args: readonly string[] = []
): Promise<Backend> {
  const directory = await makeDirectory()
  // Apache's workers are nobody, who must get to the socket.
  await chmod(directory, 0o711)
  const path = join(directory, 'uwsgi.sock')
  const { pid, stop, found } = await startServer({
    command: venvProgram('uwsgi'),
    args: [
      '--socket',
      path,
      '--chmod-socket=666',
      '--socket',
      '127.0.0.1:0',
      '--http-socket',
      '127.0.0.1:0',
      '--fastcgi-socket',
      '127.0.0.1:0',
      // 1,024 clients may all connect at once, and a full queue of a unix socket refuses them.
      '--listen=4096',
      // Two, so that it is not the slower half where two CPUs serve gateway, backend and clients.
      '--master',
      '--die-on-term',
      '--need-app',
      '--disable-logging',
      '--processes=2',
      '--virtualenv',
      VENV,
      '--wsgi-file',
      join(APPS, `${app}.py`),
      ...args,
    ],
    env: { STATE_DIR: directory },
    directory,
    stopSignal: 'SIGTERM',
    probe: async (log) => {
      // It logs them in the order of the arguments.
      const [tcp, http, fastcgi] = [
        ...log.matchAll(/bound to TCP address (127\.0\.0\.1:\d+)/g),
      ].map(([, address]) => address)
      if (tcp === undefined || http === undefined || fastcgi === undefined) return undefined
      const isUp = await answers(`uwsgi://${tcp}`, PING)
      return isUp ? { tcp: `uwsgi://${tcp}`, http: `http://${http}`, fastcgi } : undefined
    },
  })
  return { unix: `unix:${path}`, ...found, pid, stop }
}
