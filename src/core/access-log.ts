/**
 * Access log lines, the same from every server of ours.
 *
 * @module
 */
import { logText } from './log-text.ts'

/** What an access log line tells. */
export interface AccessLogEntry {
  readonly remote: string | undefined
  readonly method: string
  readonly target: string
  readonly protocol: string
  /** Status sent, `undefined` when the client left before it. */
  readonly status: number | undefined
  readonly durationMs: number
}

/** One access log line: time, client, request line, status, duration. */
export function formatAccessLog(entry: AccessLogEntry): string {
  const { remote = '-', method, target, protocol, status = 499, durationMs } = entry
  const requestLine = `${method} ${target} ${protocol}`.replaceAll('"', '%22')
  return logText(
    `${new Date().toISOString()} ${remote} "${requestLine}" ${status} ${durationMs.toFixed(1)}ms`
  )
}
