/**
 * The Hono app on each runtime.
 *
 * @module
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { Miniflare, type WorkerdStructuredLog } from 'miniflare'
import { makeDirectory, startServer } from '../backend/process.ts'
import { PROJECT_ROOT, requireProgram } from '../backend/programs.ts'
import { listeningOn, type RunningTarget } from '../target/target.ts'
import type { Variables } from './programs/app.ts'

/** A runtime with the app on it. */
export interface HonoTarget {
  readonly name: 'node' | 'deno' | 'deno without serve' | 'workers'
  start(variables: Variables): Promise<RunningTarget>
}

const PROGRAMS = join(import.meta.dirname, 'programs')
const WORKER = 'worker.js'

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
export const workersTarget: HonoTarget = { name: 'workers', start: startWorker }

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

async function startWorker(variables: Variables): Promise<RunningTarget> {
  const [contents, toml] = await Promise.all([
    bundle(),
    readFile(join(PROJECT_ROOT, 'wrangler.toml'), 'utf8'),
  ])
  const [, date = ''] = /^compatibility_date = "([^"]+)"$/m.exec(toml) ?? []
  const [, flags = ''] = /^compatibility_flags = \[([^\]]*)\]$/m.exec(toml) ?? []
  let log = ''
  const env = Object.entries(variables).map(
    ([name, value]) => [name, { type: 'text', value: String(value) } as const] as const
  )
  const miniflare = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    cf: false,
    logRequests: false,
    handleStructuredLogs: (entry: WorkerdStructuredLog) => {
      log += `${entry.level} ${entry.message}\n`
    },
    workers: [
      {
        config: {
          name: 'hono',
          compatibilityDate: date,
          compatibilityFlags: JSON.parse(`[${flags}]`) as string[],
          manifest: {
            mainModule: WORKER,
            modules: { [WORKER]: { type: 'esm', contents } },
          },
          env: Object.fromEntries(env),
        },
        dev: { unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }] },
      },
    ],
  })
  await miniflare.ready
  const { origin } = await miniflare.unsafeGetDirectURL()
  return { origin, log: () => log, stop: () => miniflare.dispose() }
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(PROGRAMS, 'worker.ts')],
    bundle: true,
    format: 'esm',
    target: 'es2024',
    external: ['cloudflare:*'],
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}
