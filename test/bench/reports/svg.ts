/**
 * The result as one picture: how many times better than each peer ours is, in the comparisons that
 * matter most, with the target of each.
 *
 * @module
 */
import type { Comparison, PeerValue } from '../harness/comparison.ts'
import type { Spread } from '../harness/statistics.ts'
import { formatNumber } from './format.ts'
import type { Results } from './json.ts'

/** One peer in one comparison; a factor above 1 means that ours is better. */
interface Dot {
  readonly label: string
  readonly factor: Spread
  /** Where the target is on the same scale, if it is a multiple. */
  readonly target: number | undefined
  readonly reached: boolean | undefined
}

interface Group {
  readonly title: string
  readonly dots: readonly Dot[]
}

const WIDTH = 860
const LEFT = 320
const RIGHT = 90
const LINE_HEIGHT = 20
const GROUP_GAP = 30
const TOP = 72
const BOTTOM = 34
/** Powers of two, and how they are written. */
const TICKS = [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5].map((power) => ({
  factor: 2 ** power,
  label: power < 0 ? `1/${2 ** -power}` : `${2 ** power} ×`,
}))

/** Both schemes, since the page around the picture chooses. */
const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 } .group { font-weight: 600 } .note { fill: #59636e }
.grid { stroke: #d1d9e0 } .one { stroke: #59636e } .range { stroke-width: 3; stroke-linecap: round; opacity: .45 }
.good { stroke: #1a7f37; fill: #1a7f37 } .bad { stroke: #bc4c00; fill: #bc4c00 }
.plain { stroke: #59636e; fill: #59636e } .target { stroke: #0969da; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .note { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
.good { stroke: #3fb950; fill: #3fb950 } .bad { stroke: #f0883e; fill: #f0883e }
.plain { stroke: #9198a1; fill: #9198a1 } .target { stroke: #4493f8 }
}`

/** Draws the headline comparisons. */
export function renderSvg(results: Results): string {
  const groups = results.rows
    .flatMap(({ comparisons }) => comparisons)
    .filter(({ headline }) => headline)
    .map(toGroup)
    .filter(({ dots }) => dots.length > 0)
  const lines = groups.reduce((sum, { dots }) => sum + dots.length, 0)
  const height = TOP + groups.length * GROUP_GAP + lines * LINE_HEIGHT + BOTTOM
  const scale = scaleFor(groups)
  const { machine, date } = results
  const versions = `Node ${machine.versions['Node']}, nginx ${machine.versions['nginx']}`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="edge-wsgi beside its peers">
<style>${STYLE}
</style>
<text class="title" x="16" y="26">edge-wsgi beside its peers</text>
<text class="note" x="16" y="46">How many times better, in one run on one machine; bars span all rounds. Blue mark: target. Green reaches it, orange misses it.</text>
${renderGrid(scale, height)}
${renderGroups(groups, scale)}
<text class="note" x="16" y="${height - 12}">${escape(`${date.slice(0, 10)}, ${machine.cpus} × ${machine.cpu}, ${versions}`)}</text>
</svg>
`
}

function toGroup(comparison: Comparison): Group {
  const { row, name, peers } = comparison
  const dots = peers.flatMap((peer) => toDot(comparison, peer))
  return { title: `${row}. ${name}`, dots }
}

function toDot({ better, verdicts }: Comparison, { name, ratio }: PeerValue): Dot[] {
  if (ratio === undefined) return []
  const factor = turned(ratio, better)
  const verdict = verdicts.find(({ of }) => of === name || of === 'best')
  if (verdict?.factor === undefined) {
    return [{ label: name, factor, target: undefined, reached: verdict?.reached }]
  }
  const target = better === 'higher' ? verdict.factor : 1 / verdict.factor
  // Of each peer, where the verdict is that of the best.
  return [{ label: name, factor, target, reached: factor.median >= target }]
}

/** Where less is better, the ratio of ours to theirs is turned over. */
function turned({ median, min, max }: Spread, better: 'higher' | 'lower'): Spread {
  if (better === 'higher') return { median, min, max }
  return { median: 1 / median, min: 1 / max, max: 1 / min }
}

interface Scale {
  readonly ticks: typeof TICKS
  x(factor: number): number
}

/** Logarithmic: twice and half as good are as far from 1. */
function scaleFor(groups: readonly Group[]): Scale {
  const values = groups.flatMap(({ dots }) =>
    dots.flatMap(({ factor, target }) => [factor.min, factor.max, target ?? 1])
  )
  const low = Math.log2(Math.min(0.5, ...values)) - 0.1
  const high = Math.log2(Math.max(2, ...values)) + 0.1
  const width = WIDTH - LEFT - RIGHT
  return {
    ticks: TICKS.filter(({ factor }) => Math.log2(factor) >= low && Math.log2(factor) <= high),
    x: (factor) =>
      Math.round((LEFT + ((Math.log2(factor) - low) / (high - low)) * width) * 10) / 10,
  }
}

function renderGrid({ ticks, x }: Scale, height: number): string {
  return ticks
    .map(({ factor, label }) => {
      const at = x(factor)
      const style = factor === 1 ? 'one' : 'grid'
      return `<line class="${style}" x1="${at}" x2="${at}" y1="${TOP}" y2="${height - BOTTOM}"/>
<text class="note" text-anchor="middle" x="${at}" y="${TOP - 4}">${label}</text>`
    })
    .join('\n')
}

function renderGroups(groups: readonly Group[], scale: Scale): string {
  const parts: string[] = []
  let y = TOP
  for (const { title, dots } of groups) {
    y += GROUP_GAP
    parts.push(`<text class="group" x="16" y="${y - 8}">${escape(title)}</text>`)
    for (const dot of dots) {
      parts.push(renderDot(dot, y + LINE_HEIGHT / 2 - 2, scale))
      y += LINE_HEIGHT
    }
  }
  return parts.join('\n')
}

function renderDot({ label, factor, target, reached }: Dot, y: number, { x }: Scale): string {
  const style = reached === undefined ? 'plain' : reached ? 'good' : 'bad'
  const mark =
    target === undefined
      ? ''
      : `<line class="target" x1="${x(target)}" x2="${x(target)}" y1="${y - 7}" y2="${y + 7}"/>`
  return `<text x="28" y="${y + 4}">${escape(label)}</text>
<line class="range ${style}" x1="${x(factor.min)}" x2="${x(factor.max)}" y1="${y}" y2="${y}"/>
<circle class="${style}" cx="${x(factor.median)}" cy="${y}" r="4.5"/>${mark}
<text text-anchor="end" x="${WIDTH - 16}" y="${y + 4}">${formatNumber(factor.median)} ×</text>`
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
