/**
 * A runtime with edge-wsgi on it, as the behaviour suite sees it: configured with the variables of
 * wrangler.toml, reached over HTTP.
 *
 * @module
 */

/** Variables of wrangler.toml by name. */
export type TargetVariables = Readonly<Record<string, string>>

/** A deployment that serves. */
export interface RunningTarget {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
  /** Everything it has logged so far. */
  log(): string
  stop(): Promise<void>
}

/** A runtime that the suite runs against. */
export interface Target {
  readonly name: 'workers' | 'deno' | 'Deno.serve' | 'node'
  /** Starts a deployment and waits until it listens. */
  start(variables: TargetVariables): Promise<RunningTarget>
}

/** Where a server says that it listens, in the line it prints once it does. */
export function listeningOn(log: string): string | undefined {
  return /^Listening on ([^\s,]+)/m.exec(log)?.[1]
}
