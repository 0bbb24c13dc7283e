/**
 * Runs a server for as long as a test needs it: its output, its readiness, its end.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const READY_DEADLINE_MS = 20_000
const STOP_DEADLINE_MS = 5000
const POLL_MS = 20

/** A server that a test started. */
export interface Server {
  /** Everything the server has written to standard output and standard error so far. */
  log(): string
  /** Stops the server, waits until it is gone, removes its files. Can be called again. */
  stop(): Promise<void>
}

/** How to start a server and how to see that it serves. */
export interface ServerOptions<T> {
  command: string
  args: string[]
  /** Added to the environment of the test. */
  env?: Record<string, string>
  /** The server's own folder, removed when it stops. */
  directory: string
  /** What makes the server exit without waiting for its clients. */
  stopSignal: NodeJS.Signals
  /** Says where the server is once it answers, `undefined` before. */
  probe(log: string): Promise<T | undefined>
}

/** A server whose probe has succeeded. */
export interface StartedServer<T> extends Server {
  readonly pid: number
  /** What the probe found. */
  readonly found: T
}

/** Makes a folder for one server, short enough to hold a Unix socket. */
export function makeDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'edge-wsgi-'))
}

/**
 * Starts a server and waits until its probe succeeds.
 *
 * @returns The server, the process that leads it, and what the probe found.
 * @throws {Error} When the server exits or does not answer in time; the message holds its log.
 */
export async function startServer<T>(options: ServerOptions<T>): Promise<StartedServer<T>> {
  const server = runProcess(options)
  const deadline = Date.now() + READY_DEADLINE_MS
  while (server.isRunning() && Date.now() < deadline) {
    const found = await options.probe(server.log())
    if (found !== undefined) {
      return { pid: server.pid, log: server.log, stop: server.stop, found }
    }
    await sleep(POLL_MS)
  }

  const reason = server.isRunning() ? `no answer in ${READY_DEADLINE_MS} ms` : 'it exited'
  await server.stop()
  throw new Error(`Cannot start ${options.command}: ${reason}\n${server.log()}`)
}

function runProcess(
  options: ServerOptions<unknown>
): Server & { readonly pid: number; isRunning(): boolean } {
  const { command, args, directory, stopSignal } = options
  const child = spawn(command, args, {
    cwd: directory,
    // Bytecode would be written beside the applications, into the work tree.
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1', ...options.env },
    // A process group of its own lets the end of the server include its workers.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  child.on('error', (error) => (output += `${error}\n`))
  const closed = once(child, 'close').catch(() => undefined) // 'error' is in the log already.
  const guard = guardGroup(child, directory)
  let stopped: Promise<void> | undefined

  function isRunning(): boolean {
    return child.pid !== undefined && child.exitCode === null && child.signalCode === null
  }

  async function stopOnce(): Promise<void> {
    if (isRunning()) {
      child.kill(stopSignal)
      await Promise.race([closed, sleep(STOP_DEADLINE_MS, undefined, { ref: false })])
    }
    killGroup(child)
    await closed
    guard?.kill('SIGKILL')
    await rm(directory, { recursive: true, force: true })
  }

  function stop(): Promise<void> {
    return (stopped ??= stopOnce())
  }

  return { pid: child.pid ?? 0, log: () => output, stop, isRunning }
}

/**
 * Ends the server should this process end first, in whatever way: the guard's standard input is a
 * pipe that the system closes then.
 */
function guardGroup(child: ChildProcess, directory: string): ChildProcess | undefined {
  if (child.pid === undefined) {
    return undefined
  }
  const script = 'read -r _; kill -s KILL -- "-$1"; rm -rf -- "$2"'
  const guard = spawn('sh', ['-c', script, 'guard', String(child.pid), directory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  guard.unref()
  return guard
}

/** Kills what is left of the server's process group: workers may outlive their master. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) {
    return
  }
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Nobody is left, as it should be.
  }
}
