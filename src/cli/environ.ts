/**
 * `edge-wsgi environ`: prints the environ that a request becomes.
 *
 * @module
 */
import { Command } from 'commander'
import { toEnviron } from '../core/environ.ts'
import { renderEnvironJson } from '../environ-page/environ-page.ts'
import { OPTION_TABLE } from '../target/option-table.ts'
import {
  addOptionFlags,
  addRequestFlags,
  describeRequest,
  type Flags,
  optionsOf,
  type RequestFlags,
} from './flags.ts'

const ENVIRON_ROWS = OPTION_TABLE.filter(({ scope }) => scope === 'environ')

interface EnvironFlags extends Flags, RequestFlags {
  readonly json?: true
  readonly remoteAddr: string
}

/** The command. */
export function environCommand(): Command {
  const command = new Command('environ')
    .description('Print the environ that a request becomes.')
    .argument('<URL>', 'URL of the request')
    .option('--json', 'print JSON instead of one NAME=value a line')
    .option('--remote-addr <ADDRESS>', 'address of the client', '127.0.0.1')
  return addOptionFlags(addRequestFlags(command), ENVIRON_ROWS).action(runEnviron)
}

async function runEnviron(text: string, flags: EnvironFlags): Promise<void> {
  const { method, url, headers, body } = describeRequest(text, flags)
  const init: RequestInit = { method }
  if (body !== undefined) init.body = new Uint8Array(body)
  const meta = { rawHeaders: headers, remote: { addr: flags.remoteAddr } }
  const environ = await toEnviron(new Request(url, init), meta, optionsOf(flags))
  process.stdout.write(flags.json === true ? renderEnvironJson({ environ }) : environLines(environ))
}

/** One `NAME=value` a line; octets outside visible ASCII are written `\xHH`, as Python's ascii() does. */
function environLines(environ: Record<string, unknown>): string {
  const { wsgi, ...native } = JSON.parse(renderEnvironJson({ environ })) as {
    cgi: Record<string, string>
    http: Record<string, string>
    wsgi: Record<string, unknown>
  }
  const lines = Object.entries({ ...native.cgi, ...native.http }).map(
    ([name, value]) => `${name}=${visible(value)}`
  )
  for (const [name, value] of Object.entries(wsgi)) {
    lines.push(`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  }
  return `${lines.join('\n')}\n`
}

function visible(value: string): string {
  return value.replace(
    /[^\x20-\x7e]|\\/g,
    (unit) => `\\x${unit.charCodeAt(0).toString(16).padStart(2, '0')}`
  )
}
