/**
 * A line of the result: one metric of ours beside that of each peer, and whether it reaches its target.
 *
 * Nothing in it is made up: who could not be measured has an error in place of a value.
 *
 * @module
 */
import type { Outcome, Result } from './contest.ts'
import { pairwise, type Spread, spreadOf } from './statistics.ts'

/** The name of ours in every contest. */
export const OURS = 'edge-wsgi'

/** A value, or why there is none. */
export type Value =
  { readonly spread: Spread; readonly samples: readonly number[] } | { readonly error: string }

/** A peer, and ours as a multiple of it. */
export interface PeerValue {
  readonly name: string
  readonly value: Value
  readonly ratio: Spread | undefined
}

/** What a value is to reach. */
export type Target =
  /** Ours as a multiple of a peer, or of the `best` of them. */
  | {
      readonly type: 'ratio'
      readonly of: string
      readonly atMost?: number
      readonly atLeast?: number
    }
  /** Ours less a peer's. */
  | { readonly type: 'above'; readonly of: string; readonly atMost: number }
  /** Ours by itself. */
  | { readonly type: 'value'; readonly atMost: number }

/** A target and how it was met; `undefined` where what it needs could not be measured. */
export interface Verdict {
  readonly target: string
  /** The peer that it names, or `best`. */
  readonly of: string | undefined
  /** The multiple of that peer that ours may be at most, or must be at least. */
  readonly factor: number | undefined
  readonly measured: number | undefined
  readonly reached: boolean | undefined
}

/** One line of the result. */
export interface Comparison {
  readonly row: number
  /** What was measured, under which conditions. */
  readonly name: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly oursName: string
  readonly ours: Value
  readonly peers: readonly PeerValue[]
  readonly verdicts: readonly Verdict[]
  /** Whether the plot shows it. */
  readonly headline: boolean
}

/** How a metric of an outcome becomes a comparison. */
export interface Metric {
  /** Key in the samples. */
  readonly key: string
  readonly name: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly targets?: readonly Target[]
  readonly headline?: boolean
  /** Set where a multiple says nothing, as of what is almost 0. */
  readonly absolute?: boolean
}

/** The four of a server under load. */
export const REQUESTS_PER_SECOND: Metric = {
  key: 'requestsPerSecond',
  name: 'requests/s',
  unit: '/s',
  better: 'higher',
}
export const CPU_A_REQUEST: Metric = {
  key: 'cpuMicros',
  name: 'gateway CPU a request',
  unit: 'µs',
  better: 'lower',
}
export const P50: Metric = {
  key: 'p50Ms',
  name: 'p50',
  unit: 'ms',
  better: 'lower',
}
export const P99: Metric = {
  key: 'p99Ms',
  name: 'p99',
  unit: 'ms',
  better: 'lower',
}

/** Compares the first contender of an outcome with the others, metric by metric. */
export function compare(
  row: number,
  conditions: string,
  outcome: Outcome,
  metrics: readonly Metric[]
): Comparison[] {
  const [[oursName, oursResult] = [OURS, { error: 'not run' }], ...others] = outcome
  return metrics.map((metric) => {
    const { key, name, unit, better, targets = [], headline = false, absolute = false } = metric
    const ours = valueOf(oursResult, key)
    const peers = others.map(([peer, result]): PeerValue => {
      const value = valueOf(result, key)
      const ratio = absolute ? undefined : combined(ours, value, (a, b) => a / b)
      return { name: peer, value, ratio }
    })
    const verdicts = targets.map((target) => judge(target, ours, peers, better, unit))
    const title = conditions === '' ? name : `${conditions}: ${name}`
    return { row, name: title, unit, better, oursName, ours, peers, verdicts, headline }
  })
}

function valueOf(result: Result, key: string): Value {
  if ('error' in result) return result
  const samples = result.samples.flatMap((sample) => sample[key] ?? [])
  return samples.length === 0 ? { error: 'not measured' } : { spread: spreadOf(samples), samples }
}

function combined(
  ours: Value,
  peer: Value,
  how: (a: number, b: number) => number
): Spread | undefined {
  if ('error' in ours || 'error' in peer) return undefined
  const spread = pairwise(ours.samples, peer.samples, how)
  // Nothing is a multiple of 0.
  return Number.isFinite(spread.max) ? spread : undefined
}

function judge(
  target: Target,
  ours: Value,
  peers: readonly PeerValue[],
  better: 'higher' | 'lower',
  unit: string
): Verdict {
  switch (target.type) {
    case 'value': {
      const measured = 'error' in ours ? undefined : ours.spread.median
      const text = `≤ ${target.atMost} ${unit}`
      return { target: text, of: undefined, factor: undefined, ...reach(measured, target) }
    }
    case 'above': {
      const { of, atMost } = target
      const peer = peers.find(({ name }) => name === of)
      const above = peer && combined(ours, peer.value, (a, b) => a - b)?.median
      const text = `≤ ${atMost} ${unit} above ${of}`
      return { target: text, of, factor: undefined, ...reach(above, target) }
    }
    case 'ratio': {
      const { of, atMost, atLeast } = target
      const factor = atMost ?? atLeast
      const text = `${atMost === undefined ? '≥' : '≤'} ${factor} × ${of}`
      return { target: text, of, factor, ...reach(ratioTo(of, peers, better), target) }
    }
  }
}

/** The best of the peers is the one to which we look worst; with one missing, none is the best. */
function ratioTo(
  of: string,
  peers: readonly PeerValue[],
  better: 'higher' | 'lower'
): number | undefined {
  const candidates = of === 'best' ? peers : peers.filter(({ name }) => name === of)
  const ratios = candidates.flatMap(({ ratio }) => ratio?.median ?? [])
  if (ratios.length === 0 || ratios.length < candidates.length) return undefined
  return better === 'higher' ? Math.min(...ratios) : Math.max(...ratios)
}

function reach(
  measured: number | undefined,
  { atMost = Infinity, atLeast = -Infinity }: { atMost?: number; atLeast?: number }
): Pick<Verdict, 'measured' | 'reached'> {
  const reached = measured === undefined ? undefined : measured <= atMost && measured >= atLeast
  return { measured, reached }
}
