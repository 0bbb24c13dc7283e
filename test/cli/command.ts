/**
 * Runs the command line as a process.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../backend/programs.ts'
import { within } from '../support/deadline.ts'

const CLI = join(PROJECT_ROOT, 'src/cli.ts')

/** What a command has printed, and its exit status once it has ended. */
export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs. */
export interface Started {
  readonly child: ChildProcess
  /** Grows while it runs. */
  readonly output: Outcome
  readonly done: Promise<Outcome>
}

/** Processes that a failed test would leave behind. */
const children = new Set<ChildProcess>()

/** Ends what a failed test has left running. */
export function endProcesses(): void {
  for (const child of children) child.kill('SIGKILL')
}

/** Starts a command. */
export function start(...args: string[]): Started {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  children.add(child)
  child.on('close', () => children.delete(child))
  const output = { status: null as number | null, stdout: '', stderr: '' }
  child.stdout.setEncoding('latin1').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const done = once(child, 'close').then(([status]) => {
    output.status = status as number | null
    return output
  })
  return { child, output, done }
}

/** Runs a command to its end. */
export async function run(...args: string[]): Promise<Outcome> {
  const { child, done } = start(...args)
  child.stdin?.end()
  return await within(`edge-wsgi ${args.join(' ')}`, done)
}
