/**
 * `edge-wsgi ping`: asks uWSGI whether a worker is free.
 *
 * @module
 */
import { Command } from 'commander'
import { createBridge } from '../target/node/index.ts'
import { addSslFlags, type Flags, milliseconds, sslOptionsOf } from './flags.ts'

interface PingFlags extends Flags {
  readonly timeout: string
}

/** uWSGI's own `--ping` waits as long. */
const TIMEOUT_MS = 3000

/** The command. */
export function pingCommand(): Command {
  const command = new Command('ping')
    .description('Ask uWSGI whether a worker is free; exit status 0 when it answers.')
    .argument('<ADDRESS>', 'uwsgi://host:port, suwsgi://host:port (TLS) or unix:/path')
    .option(
      '--timeout <MS>',
      'longest wait for the connection, and for the answer',
      String(TIMEOUT_MS)
    )
  return addSslFlags(command).action(runPing)
}

async function runPing(address: string, flags: PingFlags): Promise<void> {
  const timeout = milliseconds('--timeout', flags.timeout)
  const bridge = createBridge(address, {
    ...sslOptionsOf(flags),
    healthCheckTimeout: timeout,
  })
  const began = performance.now()
  await bridge.ping()
  process.stdout.write(`${address} answered in ${(performance.now() - began).toFixed(1)} ms\n`)
}
