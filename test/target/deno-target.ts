/**
 * `serve` on Deno, with the permissions it needs and no more.
 *
 * @module
 */
import { join } from 'node:path'
import { makeDirectory, startServer } from '../backend/process.ts'
import { PROJECT_ROOT, requireProgram } from '../backend/programs.ts'
import { listeningOn, type RunningTarget, type Target, type TargetVariables } from './target.ts'

const PROGRAM = join(import.meta.dirname, 'deno-server.ts')

/** Deno, on a free port unless `LISTEN` says otherwise. */
export const denoTarget: Target = { name: 'deno', start: (variables) => startDeno(variables) }

/** Starts it with more permissions than those of {@link denoTarget}. */
export async function startDeno(
  variables: TargetVariables,
  more: readonly string[] = []
): Promise<RunningTarget> {
  const { log, stop, found } = await startServer({
    command: requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'deno')),
    args: [
      'run',
      '--quiet',
      '--no-prompt',
      '--no-check',
      ...permissions(variables),
      ...more,
      PROGRAM,
    ],
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
    '--allow-env',
    '--allow-net',
    ...allow('read', [...sockets, ...certificates]),
    ...allow('write', sockets),
  ]
}

function allow(kind: string, paths: readonly string[]): string[] {
  return paths.length === 0 ? [] : [`--allow-${kind}=${paths.join(',')}`]
}
