/**
 * The result as text: a block for each comparison, a line for ours and each peer.
 *
 * @module
 */
import type { Comparison, Value, Verdict } from '../harness/comparison.ts'
import { formatNumber, formatSpread } from './format.ts'

const ARROWS = { higher: '↑', lower: '↓' } as const

/** Renders the comparisons of one row. */
export function renderTable(comparisons: readonly Comparison[]): string {
  return comparisons.map(renderComparison).join('\n')
}

function renderComparison(comparison: Comparison): string {
  const { name, unit, better, oursName, ours, peers, verdicts } = comparison
  const lines = [
    `  ${name} [${unit}, ${ARROWS[better]} is better]`,
    line(oursName, ours, ''),
    ...peers.map((peer) => {
      const ratio = peer.ratio === undefined ? '' : `${oursName} is × ${formatSpread(peer.ratio)}`
      return line(peer.name, peer.value, ratio)
    }),
    ...verdicts.map((verdict) => `    target ${renderVerdict(verdict)}`),
  ]
  return lines.join('\n')
}

function line(name: string, value: Value, remark: string): string {
  const text = 'error' in value ? `not measured: ${value.error}` : formatSpread(value.spread)
  return `    ${name.padEnd(24)} ${text.padEnd(28)} ${remark}`.trimEnd()
}

/** `≤ 2 × nginx: 1.85, reached` */
export function renderVerdict({ target, measured, reached }: Verdict): string {
  const outcome = reached === undefined ? 'not measured' : reached ? 'reached' : 'MISSED'
  return measured === undefined
    ? `${target}: ${outcome}`
    : `${target}: ${formatNumber(measured)}, ${outcome}`
}
