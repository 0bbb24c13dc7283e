/**
 * `edge-wsgi serve`: the bridge on Node.
 *
 * @module
 */
import { Command } from 'commander'
import { createBridge, serve } from '../target/node/index.ts'
import { OPTION_TABLE, SERVE_TABLE } from '../target/option-table.ts'
import {
  addOptionFlags,
  addSslFlags,
  type Flags,
  milliseconds,
  optionsOf,
  serveLimitsOf,
  sslOptionsOf,
} from './flags.ts'
import { termination } from './termination.ts'

interface ServeFlags extends Flags {
  readonly upstream: string
  readonly listen: string
  readonly log?: true
  readonly closeTimeout: string
}

/** The command. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('Serve HTTP and bridge every request to a uwsgi backend.')
    .requiredOption(
      '--upstream <ADDRESS>',
      'uwsgi://host:port, suwsgi://host:port (TLS) or unix:/path'
    )
    .option('--listen <URL>', 'http://host:port or unix:/path', 'http://127.0.0.1:8080')
    .option('--log', 'write one line a request to standard output')
    .option('--close-timeout <MS>', 'longest wait for requests under way on SIGTERM', '10000')
  addOptionFlags(command, SERVE_TABLE)
  return addOptionFlags(addSslFlags(command), OPTION_TABLE).action(runServe)
}

async function runServe(flags: ServeFlags): Promise<void> {
  const bridge = createBridge(flags.upstream, { ...optionsOf(flags), ...sslOptionsOf(flags) })
  const server = await serve(bridge, {
    listen: flags.listen,
    ...serveLimitsOf(flags),
    closeTimeout: milliseconds('--close-timeout', flags.closeTimeout),
    log: flags.log === true ? (line) => process.stdout.write(`${line}\n`) : undefined,
  })
  process.stdout.write(`Listening on ${server.url}, bridging to ${flags.upstream}\n`)
  await termination()
  await server.close()
}
