/**
 * Ours, as users run it: the built command line on the Node that runs the benchmark.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeDirectory, startServer } from '../../backend/process.ts'
import { PROJECT_ROOT, requireProgram } from '../../backend/programs.ts'
import type { Gateway } from '../harness/load.ts'

const run = promisify(execFile)

/** What `npm run build` makes of `src/cli.ts`. */
export const CLI: string = join(PROJECT_ROOT, 'dist', 'cli.js')
const DENO_PROGRAM = join(PROJECT_ROOT, 'test', 'target', 'deno-server.ts')

/** Starts `edge-wsgi serve`. */
export async function startServe(
  upstream: string,
  flags: readonly string[] = []
): Promise<Gateway> {
  const args = [CLI, 'serve', '--upstream', upstream, '--listen', 'http://127.0.0.1:0', ...flags]
  return await startListening(process.execPath, args)
}

/** Starts `edge-wsgi serve` for gunicorn, where this version can. */
export async function startServeForGunicorn(upstream: string): Promise<Gateway> {
  const { stdout } = await run(process.execPath, [CLI, 'serve', '--help'])
  if (!stdout.includes('--backend')) throw new Error('edge-wsgi serve --backend is missing')
  return await startServe(upstream, ['--backend', 'gunicorn'])
}

/** Starts `edge-wsgi respond` with a module. @returns where it listens, `uwsgi://HOST:PORT`. */
export async function startRespond(app: string): Promise<Gateway> {
  return await startListening(process.execPath, [
    CLI,
    'respond',
    '--app',
    app,
    '--listen',
    'uwsgi://127.0.0.1:0',
  ])
}

/** Starts `serve` on Deno, which takes the sources as they are. */
export async function startDeno(upstream: string): Promise<Gateway> {
  const deno = requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'deno'))
  const args = ['run', '--quiet', '--no-prompt', '--no-check', '--allow-all', DENO_PROGRAM]
  return await startListening(deno, args, {
    DENO_NO_UPDATE_CHECK: '1',
    UPSTREAM: upstream,
    LISTEN: 'http://127.0.0.1:0',
  })
}

/** Starts a program that says `Listening on ADDRESS` once it does. */
export async function startListening(
  command: string,
  args: string[],
  env: Record<string, string> = {}
): Promise<Gateway> {
  const { pid, stop, found } = await startServer({
    command,
    args,
    // As in production: frameworks look at it.
    env: { NODE_ENV: 'production', ...env },
    directory: await makeDirectory(),
    stopSignal: 'SIGKILL',
    probe: async (log) => /^Listening on ([^\s,]+)/m.exec(log)?.[1],
  })
  return { origin: found, pids: [pid], stop }
}
