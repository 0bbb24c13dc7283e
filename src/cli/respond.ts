/**
 * `edge-wsgi respond`: what a file exports, served to nginx or another front on Node.
 *
 * @module
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Command } from 'commander'
import type { Application } from '../core/application.ts'
import { gateway } from '../core/gateway.ts'
import { fetchOf, type Handler } from '../core/handler.ts'
import { serveUwsgi } from '../target/node/index.ts'
import { RESPONDER_TABLE } from '../target/option-table.ts'
import { addOptionFlags, type Flags, milliseconds, responderOptionsOf } from './flags.ts'
import { termination } from './termination.ts'

interface RespondFlags extends Flags {
  readonly app: string
  readonly listen: string
  readonly wsgi?: true
  readonly log?: true
  readonly closeTimeout: string
}

/** The command. */
export function respondCommand(): Command {
  const command = new Command('respond')
    .description('Serve a fetch handler or an application to nginx, over uwsgi.')
    .requiredOption('--app <FILE>', 'module whose default export is a function, or has fetch()')
    .option('--wsgi', 'the function is an application: (environ, startResponse) => iterable')
    .option('--listen <ADDRESS>', 'uwsgi://host:port or unix:/path', 'uwsgi://127.0.0.1:3031')
    .option('--log', 'write one line a request to standard output')
    .option('--close-timeout <MS>', 'longest wait for requests under way on SIGTERM', '10000')
  return addOptionFlags(command, RESPONDER_TABLE).action(runRespond)
}

async function runRespond(flags: RespondFlags): Promise<void> {
  const options = responderOptionsOf(flags)
  const closeTimeout = milliseconds('--close-timeout', flags.closeTimeout)
  const handler = await loadHandler(flags.app, flags.wsgi === true)
  const server = await serveUwsgi(handler, {
    ...options,
    listen: flags.listen,
    closeTimeout,
    log: flags.log === true ? (line) => process.stdout.write(`${line}\n`) : undefined,
  })
  process.stdout.write(`Listening on ${server.url}, serving ${flags.app}\n`)
  await termination()
  await server.close()
}

/**
 * Imports what a file exports by default.
 *
 * @throws {TypeError} when it is not what was announced; what the file throws is the cause.
 */
async function loadHandler(file: string, isApplication: boolean): Promise<Handler> {
  const exported = await importDefault(file)
  if (isApplication) {
    if (typeof exported === 'function') return gateway(exported as Application)
    throw new TypeError(
      `--app ${file} is wrong: its default export is ${typeof exported}, wanted an application, a function`
    )
  }
  try {
    fetchOf(exported as Handler)
    return exported as Handler
  } catch (cause) {
    throw new TypeError(
      `--app ${file} is wrong: its default export is ${typeof exported}, wanted a fetch handler or an object with fetch()`,
      { cause }
    )
  }
}

async function importDefault(file: string): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(resolve(file)).href)) as { default?: unknown }
    return module.default
  } catch (cause) {
    // The stack says where in the file it was thrown.
    const why = cause instanceof Error ? cause.stack : String(cause)
    throw new TypeError(`--app ${file} is wrong: it cannot be imported: ${why}`, { cause })
  }
}
