/**
 * The command line of `npm run bench`.
 *
 * @module
 */
import { parseArgs } from 'node:util'

/** What to run, and for how long. */
export interface Settings {
  /** The rows to run; empty for all. */
  readonly rows: readonly number[]
  /** How often each contender is measured. */
  readonly rounds: number
  /** How long a load lasts. */
  readonly seconds: number
  /** Only proves that everything runs: its numbers mean nothing. */
  readonly smoke: boolean
  /** Size of the transfers of fast clients, in MiB. */
  readonly transferMiB: number
  /** Size of those of slow clients, which 1 GiB would keep busy for 100 s each. */
  readonly slowMiB: number
}

const USAGE = `Usage: npm run bench -- [--rows 1,7] [--rounds 5] [--seconds 3] [--transfer-mib 1024] [--slow-mib 64] [--smoke]`
const FULL = { rounds: 5, seconds: 3, transferMiB: 1024, slowMiB: 64 }
const SMOKE = { rounds: 2, seconds: 1, transferMiB: 32, slowMiB: 5 }

/**
 * Reads the arguments.
 *
 * @throws {TypeError} when one is wrong.
 */
export function parseSettings(args: string[]): Settings {
  const { values } = parseArgs({
    args,
    options: {
      rows: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      'transfer-mib': { type: 'string' },
      'slow-mib': { type: 'string' },
      smoke: { type: 'boolean', default: false },
    },
  })
  const defaults = values.smoke ? SMOKE : FULL
  return {
    rows: values.rows?.split(',').map((text) => count('--rows', text, 0)) ?? [],
    rounds: count('--rounds', values.rounds, defaults.rounds),
    seconds: count('--seconds', values.seconds, defaults.seconds),
    transferMiB: count('--transfer-mib', values['transfer-mib'], defaults.transferMiB),
    slowMiB: count('--slow-mib', values['slow-mib'], defaults.slowMiB),
    smoke: values.smoke,
  }
}

function count(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new TypeError(`Cannot use ${flag} ${text}: wanted a whole number from 1\n${USAGE}`)
}
