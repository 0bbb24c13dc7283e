/**
 * How a server of the command line is asked to end.
 *
 * @module
 */

/** Resolves at the first SIGTERM or SIGINT; the second ends the process at once. */
export function termination(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
}
