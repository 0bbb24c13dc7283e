/**
 * `edge-wsgi serve`: the bridge on Node.
 *
 * @module
 */
import { Command } from 'commander'
import type { UpstreamServerOptions } from '../bridge/upstream-server.ts'
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
import { checkVariable } from '../target/env.ts'
import { readUpstream } from '../target/upstream-text.ts'
import { addObservationFlags, type ObservationFlags, observe } from './observation.ts'
import { termination } from './termination.ts'
import { announce, leave, roleOf, runWorkers } from './workers.ts'

interface ServeFlags extends Flags, ObservationFlags {
  readonly upstream: readonly UpstreamServerOptions[]
  readonly listen: string
  readonly closeTimeout: string
  readonly workers: string
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
    .option('--close-timeout <MS>', 'longest wait for requests under way on SIGTERM', '10000')
    .option('--workers <COUNT>', 'processes that share the port, for as many cores', '1')
  addObservationFlags(command)
  addOptionFlags(command, SERVE_TABLE)
  return addOptionFlags(addSslFlags(command), OPTION_TABLE).action(runServe)
}

async function runServe(flags: ServeFlags): Promise<void> {
  const workers = workerCount(flags.workers)
  const serveOptions = {
    listen: flags.listen,
    ...serveLimitsOf(flags),
    closeTimeout: milliseconds('--close-timeout', flags.closeTimeout),
  }
  const bridgeOptions = { ...optionsOf(flags), ...sslOptionsOf(flags) }
  const role = roleOf(workers)
  const observation = await observe(flags, role)
  function sayListening(url: string): void {
    const names = flags.upstream.map(({ address }) => address).join(', ')
    observation.say(`Listening on ${url}, bridging to ${names}`)
    if (observation.metricsUrl !== undefined) {
      observation.say(`Metrics at ${observation.metricsUrl}/metrics`)
    }
  }
  try {
    if (role === 'primary') {
      await runWorkers(workers, sayListening)
      return
    }
    const bridge = createBridge(flags.upstream, { ...bridgeOptions, ...observation.hooks })
    const server = await serve(bridge, { ...serveOptions, log: observation.log })
    if (role === 'worker') announce(server.url)
    else sayListening(server.url)
    await termination()
    await server.close()
  } finally {
    // Last: what is scraped then includes the requests that were let end.
    await observation.close()
    leave()
  }
}

/** @throws {TypeError} whose message begins with the flag. */
function workerCount(text: string): number {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return Number(text)
  throw new TypeError(
    `--workers is wrong: it is ${JSON.stringify(text)}, wanted a number of processes above 0`
  )
}

/** @throws {TypeError} whose message begins with the flag. */
function collectServer(
  text: string,
  before: readonly UpstreamServerOptions[] = []
): UpstreamServerOptions[] {
  return [...before, ...checkVariable('--upstream', () => readUpstream(text))]
}
