/**
 * `npm run bench`: this project and its peers side by side, on the same backend and in the same run.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from './harness/contest.ts'
import { describeMachine } from './harness/machine.ts'
import { build, preparePeers } from './harness/peers.ts'
import type { Row } from './harness/row.ts'
import { parseSettings, type Settings } from './harness/settings.ts'
import { renderJson, type Results, type RowResult } from './reports/json.ts'
import { renderSvg } from './reports/svg.ts'
import { renderTable, renderVerdict } from './reports/table.ts'
import { ROWS } from './rows/index.ts'

/** Where a run of all rows is kept; any other run goes where git does not look. */
const KEPT = import.meta.dirname
const PARTIAL = join(import.meta.dirname, 'partial')

try {
  await main(parseSettings(process.argv.slice(2)))
} catch (error) {
  console.error(error instanceof TypeError ? error.message : error)
  process.exitCode = 1
}

async function main(settings: Settings): Promise<void> {
  if (process.platform !== 'linux')
    throw new TypeError('Cannot measure here: wanted Linux, for /proc')
  const rows = chooseRows(settings.rows)
  const isWhole = rows.length === ROWS.length && !settings.smoke
  const folder = isWhole ? KEPT : PARTIAL
  build()
  const missing = preparePeers()
  for (const problem of missing) console.log(`missing: ${problem}`)

  const done: RowResult[] = []
  const results: Results = {
    date: new Date().toISOString(),
    machine: describeMachine(),
    settings,
    missing,
    rows: done,
  }
  mkdirSync(folder, { recursive: true })
  for (const row of rows) {
    console.log(`\n${row.id}. ${row.title}`)
    const result = await runRow(row, settings)
    console.log(result.error === undefined ? renderTable(result.comparisons) : result.error)
    done.push(result)
    // After each row: a run that is broken off has still made what it made.
    writeFileSync(join(folder, 'results.json'), renderJson(results))
    writeFileSync(join(folder, 'results.svg'), renderSvg(results))
  }
  console.log(`\n${renderSummary(done)}\nWritten to ${folder}`)
}

function chooseRows(ids: readonly number[]): readonly Row[] {
  const unknown = ids.filter((id) => ROWS.every((row) => row.id !== id))
  if (unknown.length > 0) throw new TypeError(`Cannot find row ${unknown.join(', ')}`)
  return ids.length === 0 ? ROWS : ROWS.filter(({ id }) => ids.includes(id))
}

async function runRow({ id, title, run }: Row, settings: Settings): Promise<RowResult> {
  try {
    return { id, title, comparisons: await run(settings) }
  } catch (error) {
    return { id, title, comparisons: [], error: `not measured: ${messageOf(error)}` }
  }
}

/** The targets alone. */
function renderSummary(rows: readonly RowResult[]): string {
  return rows
    .flatMap(({ comparisons }) => comparisons)
    .flatMap(({ row, name, verdicts }) =>
      verdicts.map((verdict) => `${row}. ${name}: ${renderVerdict(verdict)}`)
    )
    .join('\n')
}
