/**
 * Row 7, and the first half of row 9: the core and the codecs without any socket.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { compare, type Metric, OURS } from '../harness/comparison.ts'
import { type Contender, contest, measuredBy, type Sample } from '../harness/contest.ts'
import type { Row } from '../harness/row.ts'

const run = promisify(execFile)

const LOOPS = join(import.meta.dirname, '..', 'programs', 'loops.ts')
/** Large enough that the collector does not run while bytes are counted. */
const NODE_FLAGS = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256']
const AT_MOST_THRICE = [{ type: 'ratio', of: 'by hand', atMost: 3 }] as const

export const NANOS: Metric = { key: 'nanos', name: 'CPU time', unit: 'ns', better: 'lower' }
export const BYTES: Metric = { key: 'bytes', name: 'allocated', unit: 'B', better: 'lower' }

export const core: Row = {
  id: 7,
  title: 'the core alone, ten header fields, beside a loop written by hand without any rule',
  async run(settings) {
    const parts = [
      ['Request → vars → packet', 'request'],
      ['header lines → vars → packet', 'head'],
      ['response bytes → head', 'response'],
    ] as const
    const found = []
    for (const [name, work] of parts) {
      const contenders = [loop(OURS, `${work}-ours`), loop('by hand', `${work}-by-hand`)]
      const outcome = await contest(contenders, settings)
      const headline = work !== 'head'
      found.push(
        ...compare(7, name, outcome, [
          { ...NANOS, targets: AT_MOST_THRICE, headline },
          { ...BYTES, targets: AT_MOST_THRICE },
        ])
      )
    }
    return found
  },
}

/** One of the pieces of work in `programs/loops.ts`; each measurement is a process of its own. */
export function loop(name: string, work: string): Contender {
  return measuredBy(name, async (seconds) => {
    const args = [...NODE_FLAGS, LOOPS, work, String(seconds)]
    const { stdout } = await run(process.execPath, args)
    return JSON.parse(stdout) as Sample
  })
}
