/**
 * Starts gunicorn, which speaks uwsgi too and, unlike uWSGI, keeps connections alive.
 *
 * @module
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { answers, GET } from './probe.ts'
import { makeDirectory, type Server, startServer } from './process.ts'
import { BACKEND, venvProgram } from './programs.ts'

/** How gunicorn is started. */
export interface GunicornOptions {
  /**
   * 'all' is `all_apps.py`, the applications at the mounts that `uwsgi.ts` gives them; 'environ'
   * is `environ_app.py` alone; anything else is `module:name`.
   *
   * @default 'all'
   */
  app?: string
  /** More command line options. */
  args?: string[]
  /** Added to the environment. */
  env?: Record<string, string>
}

/** A running gunicorn. */
export interface GunicornServer extends Server {
  /** `uwsgi://127.0.0.1:PORT` */
  readonly address: string
}

/** Starts gunicorn with `--protocol uwsgi` and waits until it answers a request. */
export async function startGunicorn(options: GunicornOptions = {}): Promise<GunicornServer> {
  const { app = 'all', args = [], env = {} } = options
  const directory = await makeDirectory()
  const state = join(directory, 'state')
  await mkdir(state)

  const { log, stop, found } = await startServer({
    command: venvProgram('gunicorn'),
    args: [
      '--protocol=uwsgi',
      '--bind=127.0.0.1:0',
      '--worker-class=gthread',
      '--workers=2',
      '--threads=4',
      `--pythonpath=${BACKEND}`,
      // The control socket would be a file in the home of whoever runs the tests.
      '--no-control-socket',
      ...args,
      moduleOf(app),
    ],
    env: { STATE_DIR: state, ...env },
    directory,
    // SIGTERM would wait for the requests that are under way.
    stopSignal: 'SIGINT',
    probe,
  })
  return { address: found, log, stop }
}

async function probe(log: string): Promise<string | undefined> {
  const port = /Listening at: \S*127\.0\.0\.1:(\d+)/.exec(log)?.[1]
  const address = `uwsgi://127.0.0.1:${port}`
  return port !== undefined && (await answers(address, GET)) ? address : undefined
}

function moduleOf(app: string): string {
  const modules = new Map([
    ['all', 'all_apps:application'],
    ['environ', 'environ_app:application'],
  ])
  return modules.get(app) ?? app
}
