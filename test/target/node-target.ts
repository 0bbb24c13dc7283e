/**
 * The command line on Node: `edge-wsgi serve`.
 *
 * @module
 */
import { join } from 'node:path'
import { makeDirectory, startServer } from '../backend/process.ts'
import { PROJECT_ROOT } from '../backend/programs.ts'
import { flagOf, OPTION_TABLE, variableOf } from '../../src/target/option-table.ts'
import { listeningOn, type RunningTarget, type Target, type TargetVariables } from './target.ts'

const CLI = join(PROJECT_ROOT, 'src', 'cli.ts')

/** Node, on a free port unless `LISTEN` says otherwise. */
export const nodeTarget: Target = { name: 'node', start: startNode }

async function startNode(variables: TargetVariables): Promise<RunningTarget> {
  const { UPSTREAM = '', LISTEN = 'http://127.0.0.1:0', ...options } = variables
  const { log, stop, found } = await startServer({
    command: process.execPath,
    args: [CLI, 'serve', '--upstream', UPSTREAM, '--listen', LISTEN, ...flags(options)],
    directory: await makeDirectory(),
    stopSignal: 'SIGKILL',
    probe: async (text) => listeningOn(text),
  })
  return { origin: found, log, stop }
}

/** The flag of each variable: a switch is given or not, anything else has the variable's text. */
function flags(options: TargetVariables): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    // How TLS is done is not among the options of a Worker.
    if (name.startsWith('SSL_')) return [`--${name.toLowerCase().replaceAll('_', '-')}`, value]
    const row = OPTION_TABLE.find((candidate) => variableOf(candidate) === name)
    if (row === undefined)
      throw new Error(`Cannot pass ${name} to the command line: no such option`)
    if (row.kind === 'switch') return value === 'true' ? [flagOf(row)] : []
    return [flagOf(row), value]
  })
}
