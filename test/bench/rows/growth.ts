/**
 * Row 12: how throughput and latency go as connections become more.
 *
 * @module
 */
import {
  compare,
  type Comparison,
  OURS,
  P50,
  P99,
  REQUESTS_PER_SECOND,
  type Value,
} from '../harness/comparison.ts'
import { contest } from '../harness/contest.ts'
import { underLoad } from '../harness/load.ts'
import type { Row } from '../harness/row.ts'
import { startServe } from '../servers/edge-wsgi.ts'
import { startUwsgiPass } from '../servers/nginx.ts'
import { HELLO, startBackend } from '../servers/uwsgi.ts'

const CONNECTIONS = [1, 4, 16, 64, 256, 1024]
/**
 * A knee is where more connections bring less than this share of the best until there. What nginx loses
 * there is not counted: it is measured in the same minute, and the machine may be slower than before.
 */
const KNEE = 0.8

export const growth: Row = {
  id: 12,
  title: 'growth with the number of connections',
  async run(settings) {
    const backend = await startBackend()
    try {
      const upstream = backend.unix
      const found: Comparison[] = []
      const ours: Value[] = []
      const nginx: Value[] = []
      for (const connections of CONNECTIONS) {
        const load = { connections, expect: HELLO }
        const outcome = await contest(
          [
            underLoad(OURS, () => startServe(upstream), load),
            underLoad('nginx', () => startUwsgiPass(upstream), load),
          ],
          settings
        )
        const conditions = `unix, ${connections} ${connections === 1 ? 'connection' : 'connections'}`
        const [throughput] = compare(12, conditions, outcome, [REQUESTS_PER_SECOND])
        if (throughput === undefined) continue
        ours.push(throughput.ours)
        nginx.push(throughput.peers[0]?.value ?? { error: 'not run' })
        found.push(
          { ...throughput, verdicts: judgeKnee(ours, nginx) },
          ...compare(12, conditions, outcome, [P50, P99])
        )
      }
      return found
    } finally {
      await backend.stop()
    }
  },
}

/** Whether the last of our values is a knee where nginx has none. */
function judgeKnee(ours: readonly Value[], nginx: readonly Value[]): Comparison['verdicts'] {
  if (ours.length < 2) return []
  const [we, they] = [ours, nginx].map(shareOfBest)
  const measured = we === undefined || they === undefined ? undefined : we / Math.min(they, 1)
  const reached = measured === undefined ? undefined : measured >= KNEE
  const target = 'no knee that nginx does not have'
  return [{ target, of: 'nginx', factor: undefined, measured, reached }]
}

/** The last value as a share of the best before it. */
function shareOfBest(values: readonly Value[]): number | undefined {
  const medians = values.map((value) => ('error' in value ? undefined : value.spread.median))
  const last = medians.at(-1)
  const before = medians.slice(0, -1).filter((median) => median !== undefined)
  return last === undefined ? undefined : last / Math.max(...before)
}
