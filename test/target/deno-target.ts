/**
 * `serve` on Deno, with the permissions it needs and no more.
 *
 * @module
 */
import { join } from 'node:path'
import { makeDirectory, startServer } from '../backend/process.ts'
import { PROJECT_ROOT, requireProgram, venvProgram } from '../backend/programs.ts'
import { listeningOn, type RunningTarget, type Target, type TargetVariables } from './target.ts'

const PROGRAM = join(import.meta.dirname, 'deno-server.ts')
const BRIDGE = join(import.meta.dirname, 'deno-bridge.ts')

/** Deno, on a free port unless `LISTEN` says otherwise. */
export const denoTarget: Target = { name: 'deno', start: (variables) => startDeno(variables) }

/** The same with `Deno.serve` in front, as for any fetch handler. */
export const denoServeTarget: Target = {
  name: 'Deno.serve',
  start: (variables) => startDeno({ ...variables, DENO_SERVE: 'true' }),
}

/** How it is started, besides. */
export interface DenoOptions {
  /** Permissions besides those of {@link denoTarget}. */
  readonly permissions?: readonly string[]
  /**
   * `bridge` is `deno-bridge.ts`, which needs no `--allow-env`, and has only `UPSTREAM` as its argument.
   *
   * @default 'server'
   */
  readonly program?: 'server' | 'bridge'
  /** Whether it has a terminal, on which it would ask for the permissions it lacks. */
  readonly terminal?: boolean
}

/** Runs a command on a terminal of its own, whose output goes on to standard output. */
const ON_TERMINAL = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)'

/** Starts it and waits until it listens. */
export async function startDeno(
  variables: TargetVariables,
  options: DenoOptions = {}
): Promise<RunningTarget> {
  const { permissions: more = [], program = 'server', terminal = false } = options
  const deno = requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'deno'))
  const run = [
    ...(program === 'server' ? ['--allow-env'] : []),
    ...permissions(variables),
    ...more,
    ...(program === 'server' ? [PROGRAM] : [BRIDGE, variables['UPSTREAM'] ?? '']),
  ]
  const { log, stop, found } = await startServer({
    ...(terminal
      ? {
          command: venvProgram('python'),
          args: ['-c', ON_TERMINAL, deno, 'run', '--quiet', '--no-check', ...run],
        }
      : {
          command: deno,
          args: ['run', '--quiet', '--no-prompt', '--no-check', ...run],
        }),
    env: { DENO_NO_UPDATE_CHECK: '1', ...variables },
    directory: await makeDirectory(),
    stopSignal: 'SIGTERM',
    probe: async (text) => listeningOn(text),
  })
  return { origin: found, log, stop }
}

/** A unix socket is a file to read and to write, and to replace when it is stale. */
function permissions(variables: TargetVariables): string[] {
  const sockets = [variables['UPSTREAM'], variables['LISTEN']].flatMap((address) =>
    address?.startsWith('unix:') ? [address.slice('unix:'.length)] : []
  )
  const certificates = Object.entries(variables).flatMap(([name, value]) =>
    /^SSL_.*CERTIFICATE/.test(name) ? [value] : []
  )
  return [
    '--allow-net',
    ...allow('read', [...sockets, ...certificates]),
    ...allow('write', sockets),
  ]
}

function allow(kind: string, paths: readonly string[]): string[] {
  return paths.length === 0 ? [] : [`--allow-${kind}=${paths.join(',')}`]
}
