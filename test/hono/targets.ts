/**
 * The Hono app on each runtime.
 *
 * @module
 */
import { join } from 'node:path'
import { makeDirectory, startServer } from '../backend/process.ts'
import { PROJECT_ROOT, requireProgram } from '../backend/programs.ts'
import { listeningOn, type RunningTarget } from '../target/target.ts'
import { startBundled } from '../target/workers-target.ts'
import type { Variables } from './programs/app.ts'

/** A runtime with the app on it. */
export interface HonoTarget {
  readonly name: 'node' | 'deno' | 'deno without serve' | 'workers'
  start(variables: Variables): Promise<RunningTarget>
}

const PROGRAMS = join(import.meta.dirname, 'programs')

/** Node, behind `serve`. */
export const nodeTarget: HonoTarget = {
  name: 'node',
  start: (variables) => startProcess(process.execPath, [join(PROGRAMS, 'node.ts')], variables),
}

/** Deno, behind `serve`. */
export const denoTarget: HonoTarget = {
  name: 'deno',
  start: (variables) => startDeno('deno.ts', variables),
}

/** Deno, behind a server that knows nothing of us. */
export const plainDenoTarget: HonoTarget = {
  name: 'deno without serve',
  start: (variables) => startDeno('deno-serve.ts', variables),
}

/** workerd, reached past the Worker that miniflare puts in front. */
export const workersTarget: HonoTarget = {
  name: 'workers',
  start: (variables) => startBundled({ file: join(PROGRAMS, 'worker.ts') }, { ...variables }),
}

function startDeno(program: string, variables: Variables): Promise<RunningTarget> {
  const deno = requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'deno'))
  const flags = ['--quiet', '--no-prompt', '--no-check', '--allow-env', '--allow-net']
  return startProcess(deno, ['run', ...flags, join(PROGRAMS, program)], variables)
}

async function startProcess(
  command: string,
  args: string[],
  variables: Variables
): Promise<RunningTarget> {
  const { log, stop, found } = await startServer({
    command,
    args,
    env: { DENO_NO_UPDATE_CHECK: '1', ...variables },
    directory: await makeDirectory(),
    stopSignal: 'SIGKILL',
    probe: async (text) => listeningOn(text),
  })
  return { origin: found, log, stop }
}
