/**
 * Measures contenders in turns: A B C, B C A, … A machine that slows down for a while then slows all
 * of them, and nobody always runs first.
 *
 * @module
 */
import type { Settings } from './settings.ts'

/** What one measurement found, by metric. */
export type Sample = Readonly<Record<string, number>>

/** A contender that has been started. */
export interface Entrant {
  measure(seconds: number): Promise<Sample>
  stop(): Promise<void>
}

/** Something that is measured, ours or a peer. */
export interface Contender {
  readonly name: string
  /** Rejects when it is missing or does not work; the contest goes on without it. */
  start(): Promise<Entrant>
}

/** All samples of a contender, in the order of the rounds, or why there are none. */
export type Result = { readonly samples: readonly Sample[] } | { readonly error: string }
/** The result of each contender, in the order in which they were given: ours is the first. */
export type Outcome = ReadonlyMap<string, Result>

/** A contender that has nothing to start. */
export function measuredBy(name: string, measure: (seconds: number) => Promise<Sample>): Contender {
  return { name, start: async () => ({ measure, stop: async () => {} }) }
}

/** V8 has compiled most of a gateway by then: until there, CPU a request of `serve` fell from 121 µs to 60. */
export const WARM_UP_REQUESTS = 100_000
/** Longest warm-up, in rounds. */
const WARM_UP_ROUNDS = 25

/** Lets contenders run against each other; a contender that fails is out, with its error. */
export async function contest(
  contenders: readonly Contender[],
  { rounds, seconds, smoke }: Pick<Settings, 'rounds' | 'seconds' | 'smoke'>
): Promise<Outcome> {
  const results = new Map<string, Result>()
  const entrants = new Map<string, Entrant>()
  try {
    for (const { name, start } of contenders) {
      results.set(name, { samples: [] })
      await attempt(name, results, async () => {
        const entrant = await start()
        entrants.set(name, entrant)
        await warmUp(entrant, seconds, smoke ? 1 : WARM_UP_ROUNDS)
      })
    }
    for (let round = 0; round < rounds; round++) {
      for (const name of rotate([...entrants.keys()], round)) {
        const result = results.get(name)
        if (result === undefined || 'error' in result) continue
        await attempt(name, results, async () => {
          const sample = await entrants.get(name)?.measure(seconds)
          if (sample !== undefined) results.set(name, { samples: [...result.samples, sample] })
        })
      }
    }
  } finally {
    await Promise.all([...entrants.values()].map((entrant) => entrant.stop()))
  }
  return results
}

/** Lets compilers and connection pools settle, in rounds that do not count. */
async function warmUp(entrant: Entrant, seconds: number, most: number): Promise<void> {
  let requests = 0
  for (let round = 0; round < most && requests < WARM_UP_REQUESTS; round++) {
    const { requestsPerSecond } = await entrant.measure(seconds)
    if (requestsPerSecond === undefined) return
    requests += requestsPerSecond * seconds
  }
}

async function attempt(
  name: string,
  results: Map<string, Result>,
  work: () => Promise<void>
): Promise<void> {
  try {
    await work()
  } catch (error) {
    results.set(name, { error: messageOf(error) })
  }
}

/** The first lines of what went wrong. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.split('\n').slice(0, 4).join(' | ')
}

function rotate(names: readonly string[], by: number): string[] {
  const first = names.length === 0 ? 0 : by % names.length
  return [...names.slice(first), ...names.slice(0, first)]
}
