/**
 * A row of the benchmark: one kind of work, ours against its peers.
 *
 * @module
 */
import type { Comparison } from './comparison.ts'
import type { Settings } from './settings.ts'

/** One kind of work. */
export interface Row {
  readonly id: number
  readonly title: string
  /** Measures it. Rejects only when not even its backend could be started. */
  run(settings: Settings): Promise<Comparison[]>
}
