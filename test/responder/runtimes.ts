/**
 * The responder in a process of its own, on each runtime that has it.
 *
 * @module
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, type Server, startServer } from '../backend/process.ts'
import { PROJECT_ROOT, requireProgram } from '../backend/programs.ts'
import type { ServeUwsgiOptions } from '../../src/target/serve-options.ts'

const PROGRAM = join(import.meta.dirname, 'server.ts')

/** What the responder runs on. */
export type Runtime = 'node' | 'deno'

/** What it serves: the handlers of `app.ts`, the fetch handler on a unix socket too. */
export type Served = 'fetch' | 'fetch-unix' | 'hono' | 'gateway' | 'bridge'

/** How it is started. */
export interface ResponderProcessOptions {
  /** @default ['fetch'] */
  serve?: readonly Served[]
  /** Where the bridge leads. */
  upstream?: string
  /** More options of `serveUwsgi`. */
  options?: Omit<ServeUwsgiOptions, 'listen' | 'log' | 'onError'>
  /**
   * SIGTERM has it close.
   *
   * @default 'SIGKILL'
   */
  stopSignal?: NodeJS.Signals
}

/** A responder that listens. */
export interface ResponderProcess extends Server {
  /** Where each handler listens: `uwsgi://127.0.0.1:PORT` or `unix:/PATH`. */
  readonly url: Readonly<Record<Served, string>>
  /** The folder of the unix socket. */
  readonly directory: string
}

/** Starts the responder and waits until it listens. */
export async function startResponder(
  runtime: Runtime,
  {
    serve = ['fetch'],
    upstream,
    options = {},
    stopSignal = 'SIGKILL',
  }: ResponderProcessOptions = {}
): Promise<ResponderProcess> {
  const directory = await makeDirectory()
  const sockets = join(directory, 'sockets')
  await mkdir(sockets)
  const listen = serve.map((name) => [
    name,
    name.endsWith('-unix') ? `unix:${join(sockets, 'uwsgi.sock')}` : 'uwsgi://127.0.0.1:0',
  ])
  const { command, args } = commandOf(runtime, sockets)
  const { log, stop, found } = await startServer({
    command,
    args: [...args, PROGRAM],
    env: {
      DENO_NO_UPDATE_CHECK: '1',
      SERVE: JSON.stringify(Object.fromEntries(listen)),
      OPTIONS: JSON.stringify(options),
      ...(upstream === undefined ? {} : { UPSTREAM: upstream }),
    },
    directory,
    stopSignal,
    probe: async (text) => /^Listening on (.*)$/m.exec(text)?.[1],
  })
  return { url: JSON.parse(found) as Record<Served, string>, directory, log, stop }
}

/** On Deno, the permissions that the responder needs and no more: a unix socket is a file. */
function commandOf(runtime: Runtime, sockets: string): { command: string; args: string[] } {
  if (runtime === 'node') return { command: process.execPath, args: [] }
  return {
    command: requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'deno')),
    args: [
      'run',
      '--quiet',
      '--no-prompt',
      '--no-check',
      '--allow-env',
      '--allow-net',
      `--allow-read=${sockets}`,
      `--allow-write=${sockets}`,
    ],
  }
}
