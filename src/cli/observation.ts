/**
 * How `serve` is watched: its log, its metrics, and the hooks of the bridge that feed both.
 *
 * @module
 */
import { type Command, Option } from 'commander'
import type { BridgeOptions } from '../bridge/bridge-options.ts'
import type { ExchangeEvent } from '../bridge/exchange-event.ts'
import type { Role } from './workers.ts'

/** The values of the flags of {@link addObservationFlags}. */
export interface ObservationFlags {
  readonly log?: 'line' | 'json'
  readonly metrics?: string
}

/** What the flags ask for, in force. */
export interface Observation {
  /** Options of the bridge. */
  readonly hooks: Pick<BridgeOptions, 'onError' | 'onExchange'>
  /** `log` of `serve`, where it writes lines. */
  readonly log: ((line: string) => void) | undefined
  /** Says something on standard output, in the form of the log. */
  say(this: void, message: string): void
  /** Where metrics are served, if they are. */
  readonly metricsUrl: string | undefined
  /** Ends the listener of the metrics. */
  close(this: void): Promise<void>
}

/** Adds `--log` and `--metrics`. */
export function addObservationFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--log [FORMAT]', 'write each request to standard output, as a line or as JSON')
        .choices(['line', 'json'])
        .preset('line')
    )
    .option('--metrics <URL>', 'serve metrics for Prometheus here, at /metrics; http://host:port')
}

/**
 * Begins what the flags ask for; what they do not ask for is not even loaded.
 *
 * @param role A primary serves the metrics that its workers count.
 * @throws {TypeError} whose message begins with the flag that is wrong; what node:net throws when the
 *   address of the metrics is taken.
 */
export async function observe(
  { log, metrics }: ObservationFlags,
  role: Role = 'single'
): Promise<Observation> {
  const jsonLog = log === 'json' ? await startJsonLog() : undefined
  const counted = metrics === undefined ? undefined : await startMetrics(metrics, role)
  const listeners = [jsonLog?.onExchange, counted?.onExchange].filter((hook) => hook !== undefined)
  return {
    hooks: {
      ...(jsonLog === undefined ? {} : { onError: jsonLog.onError }),
      ...(listeners.length === 0 ? {} : { onExchange: toAll(listeners) }),
    },
    log: log === 'line' ? writeLine : undefined,
    say: jsonLog?.say ?? writeLine,
    metricsUrl: counted?.url,
    close: async () => await counted?.close(),
  }
}

async function startJsonLog() {
  const { createJsonLog } = await import('./json-log.ts')
  return await createJsonLog()
}

async function startMetrics(listen: string, role: Role) {
  const { createMetrics, gatherMetrics, serveMetrics, shareMetrics } = await import('./metrics.ts')
  if (role === 'worker') {
    const { onExchange, registry } = await createMetrics()
    await shareMetrics(registry)
    return { onExchange, url: undefined, close: async () => {} }
  }
  const { onExchange, registry } =
    role === 'primary' ? await gatherMetrics() : await createMetrics()
  try {
    const { url, close } = await serveMetrics(registry, listen)
    return { onExchange, url, close }
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new TypeError(`--metrics is wrong: ${cause.message}`, { cause })
  }
}

function toAll(listeners: readonly ((event: ExchangeEvent) => void)[]) {
  return function onExchange(event: ExchangeEvent): void {
    for (const listener of listeners) listener(event)
  }
}

function writeLine(line: string): void {
  process.stdout.write(`${line}\n`)
}
