#!/usr/bin/env node
/**
 * The command line. Exit status 0 for success, 1 for a failure, 2 for a wrong command line.
 *
 * @module
 */
import { Command, CommanderError } from 'commander'
import { environCommand } from './cli/environ.ts'
import { pingCommand } from './cli/ping.ts'
import { requestCommand } from './cli/request.ts'
import { respondCommand } from './cli/respond.ts'
import { serveCommand } from './cli/serve.ts'
import { GatewayError } from './core/errors.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2

const program = new Command('edge-wsgi')
  .description('Bridge HTTP to the Python application behind uWSGI, or put a handler behind nginx.')
  .exitOverride()
  .showHelpAfterError('(add --help for the flags)')
const commands = [
  serveCommand(),
  respondCommand(),
  requestCommand(),
  pingCommand(),
  environCommand(),
]
for (const command of commands) {
  program.addCommand(command.copyInheritedSettings(program))
}

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = explain(error)
}

/** Writes what went wrong; returns the exit status for it. */
function explain(error: unknown): number {
  // Commander has written its own message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`edge-wsgi: ${message}\n`)
  if (error instanceof GatewayError) return EXIT_FAILURE
  return error instanceof TypeError || error instanceof RangeError ? EXIT_USAGE : EXIT_FAILURE
}
