/**
 * `edge-wsgi serve`: the bridge on Node.
 *
 * @module
 */
import { Command } from 'commander'
import type { UpstreamServerOptions } from '../bridge/upstream-server.ts'
import { createBridge, serve } from '../target/node/index.ts'
import { OPTION_TABLE } from '../target/option-table.ts'
import {
  addOptionFlags,
  addSslFlags,
  type Flags,
  milliseconds,
  optionsOf,
  sslOptionsOf,
} from './flags.ts'
import { checkVariable } from '../target/env.ts'
import { readUpstream } from '../target/upstream-text.ts'
import { termination } from './termination.ts'

interface ServeFlags extends Flags {
  readonly upstream: readonly UpstreamServerOptions[]
  readonly listen: string
  readonly log?: true
  readonly clientHeaderTimeout: string
  readonly closeTimeout: string
}

/** The command. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('Serve HTTP and bridge every request to a uwsgi backend.')
    .requiredOption(
      '--upstream <ADDRESS>',
      'uwsgi://host:port, suwsgi://host:port (TLS) or unix:/path; "ADDRESS weight=2 backup" and the like; may be repeated',
      collectServer
    )
    .option('--listen <URL>', 'http://host:port or unix:/path', 'http://127.0.0.1:8080')
    .option('--log', 'write one line a request to standard output')
    .option('--client-header-timeout <MS>', 'longest wait for the head of a request', '60000')
    .option('--close-timeout <MS>', 'longest wait for requests under way on SIGTERM', '10000')
  return addOptionFlags(addSslFlags(command), OPTION_TABLE).action(runServe)
}

async function runServe(flags: ServeFlags): Promise<void> {
  const bridge = createBridge(flags.upstream, { ...optionsOf(flags), ...sslOptionsOf(flags) })
  const server = await serve(bridge, {
    listen: flags.listen,
    clientHeaderTimeout: milliseconds('--client-header-timeout', flags.clientHeaderTimeout),
    closeTimeout: milliseconds('--close-timeout', flags.closeTimeout),
    log: flags.log === true ? (line) => process.stdout.write(`${line}\n`) : undefined,
  })
  const names = flags.upstream.map(({ address }) => address).join(', ')
  process.stdout.write(`Listening on ${server.url}, bridging to ${names}\n`)
  await termination()
  await server.close()
}

function collectServer(
  text: string,
  before: readonly UpstreamServerOptions[] = []
): UpstreamServerOptions[] {
  return [...before, ...checkVariable('--upstream', () => readUpstream(text))]
}
