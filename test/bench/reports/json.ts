/**
 * The result as data: every sample of every round, so that anybody can do other statistics on it.
 *
 * @module
 */
import type { Comparison } from '../harness/comparison.ts'
import type { Machine } from '../harness/machine.ts'
import type { Settings } from '../harness/settings.ts'

/** What results.json holds. */
export interface Results {
  readonly date: string
  readonly machine: Machine
  readonly settings: Settings
  /** Peers and tools that could not be had. */
  readonly missing: readonly string[]
  readonly rows: readonly RowResult[]
}

/** The result of a row, or why there is none. */
export interface RowResult {
  readonly id: number
  readonly title: string
  readonly comparisons: readonly Comparison[]
  readonly error?: string
}

/** Renders the result; what cannot be a number in JSON is left out. */
export function renderJson(results: Results): string {
  return `${JSON.stringify(results, rounded, 1)}\n`
}

/** No digit that the clock did not have. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(6)) : value
}
