/**
 * gunicorn as the backend that keeps connections to its front.
 *
 * @module
 */
import { join } from 'node:path'
import { answers, GET } from '../../backend/probe.ts'
import { makeDirectory, startServer } from '../../backend/process.ts'
import { venvProgram } from '../../backend/programs.ts'

const APPS = join(import.meta.dirname, '..', 'apps')

/** Starts gunicorn with `--protocol uwsgi`. `address` is `uwsgi://127.0.0.1:PORT`. */
export async function startGunicornBackend(): Promise<{ address: string; stop(): Promise<void> }> {
  const { found, stop } = await startServer({
    command: venvProgram('gunicorn'),
    args: [
      '--protocol=uwsgi',
      '--bind=127.0.0.1:0',
      // The sync worker keeps no connection; this one has a thread for each of a load of 16.
      '--worker-class=gthread',
      '--workers=2',
      '--threads=16',
      `--pythonpath=${APPS}`,
      '--no-control-socket',
      'hello:application',
    ],
    directory: await makeDirectory(),
    stopSignal: 'SIGINT',
    probe: async (log) => {
      const address = /Listening at: \S*?(127\.0\.0\.1:\d+)/.exec(log)?.[1]
      if (address === undefined || !(await answers(`uwsgi://${address}`, GET))) return undefined
      return `uwsgi://${address}`
    },
  })
  return { address: found, stop }
}
