/**
 * Row 8: large bodies, whose client is as fast as it can be or takes 10 MB/s.
 *
 * With the slow client 1 GiB takes 100 s each time, so its body is smaller unless `--slow-mib` says
 * otherwise; memory that grows with the body shows all the same. What nginx holds back for a slow reader
 * lies in files, which are not in its memory.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { compare, type Comparison, OURS } from '../harness/comparison.ts'
import {
  type Contender,
  contest,
  measuredBy,
  type Outcome,
  type Sample,
} from '../harness/contest.ts'
import type { Gateway } from '../harness/load.ts'
import { residentBytes, watchMemory } from '../harness/proc.ts'
import type { Row } from '../harness/row.ts'
import type { Settings } from '../harness/settings.ts'
import { startServe } from '../servers/edge-wsgi.ts'
import { startUwsgiPass } from '../servers/nginx.ts'
import { startBackend } from '../servers/uwsgi.ts'

const run = promisify(execFile)

const CLIENT = join(import.meta.dirname, '..', 'programs', 'transfer.ts')
const MIB = 1024 * 1024
const SLOW_BYTES_PER_SECOND = 10_000_000
/** Long enough for a server that has just answered to be idle again. */
const SETTLE_MS = 200
/** The most that memory may grow. */
const MOST_GROWTH_MIB = 64

const UNLIMITED = ['--max-body-bytes', 'Infinity']
const UNBUFFERED = 'uwsgi_buffering off; uwsgi_request_buffering off;'

/** One way of moving a body. */
interface Transfer {
  readonly direction: 'up' | 'down'
  readonly mebibytes: number
  readonly bytesPerSecond: number
}

export const transfers: Row = {
  id: 8,
  title: 'large bodies: throughput, and peak memory above idle',
  async run(settings) {
    const backend = await startBackend()
    try {
      const found: Comparison[] = []
      for (const transfer of transfersOf(settings)) {
        const outcome = await contest(
          [
            moving(OURS, () => startServe(backend.unix, UNLIMITED), transfer),
            moving('nginx', () => startUwsgiPass(backend.unix), transfer),
            moving('nginx, no buffering', () => startUwsgiPass(backend.unix, UNBUFFERED), transfer),
          ],
          settings
        )
        found.push(...compareTransfer(transfer, outcome))
      }
      return found
    } finally {
      await backend.stop()
    }
  },
}

function transfersOf({ transferMiB, slowMiB }: Settings): Transfer[] {
  return (['down', 'up'] as const).flatMap((direction) => [
    { direction, mebibytes: transferMiB, bytesPerSecond: Infinity },
    { direction, mebibytes: slowMiB, bytesPerSecond: SLOW_BYTES_PER_SECOND },
  ])
}

function compareTransfer(
  { direction, mebibytes, bytesPerSecond }: Transfer,
  outcome: Outcome
): Comparison[] {
  const isFast = bytesPerSecond === Infinity
  const client = isFast ? 'fast client' : '10 MB/s client'
  return compare(8, `${mebibytes} MiB ${direction}, ${client}`, outcome, [
    {
      key: 'mebibytesPerSecond',
      name: 'throughput',
      unit: 'MiB/s',
      better: 'higher',
      targets: [
        { type: 'ratio', of: 'nginx', atLeast: 0.8 },
        { type: 'ratio', of: 'nginx, no buffering', atLeast: 0.8 },
      ],
      headline: isFast,
    },
    {
      key: 'growthMiB',
      name: 'peak memory above idle',
      unit: 'MiB',
      better: 'lower',
      targets: [{ type: 'value', atMost: MOST_GROWTH_MIB }],
      absolute: true,
    },
  ])
}

/**
 * Starts the gateway anew for each transfer: memory that one has taken would hide what the next takes.
 * It has answered once before it counts as idle.
 */
function moving(name: string, start: () => Promise<Gateway>, transfer: Transfer): Contender {
  return measuredBy(name, async () => {
    const gateway = await start()
    try {
      await (await fetch(gateway.origin)).text()
      await sleep(SETTLE_MS)
      return await measureTransfer(gateway, transfer)
    } finally {
      await gateway.stop()
    }
  })
}

async function measureTransfer(
  { origin, pids }: Gateway,
  { direction, mebibytes, bytesPerSecond }: Transfer
): Promise<Sample> {
  const idle = residentBytes(pids)
  const watch = watchMemory(pids)
  const { port } = new URL(origin)
  const numbers = [port, mebibytes * MIB, bytesPerSecond].map(String)
  try {
    const { stdout } = await run(process.execPath, [CLIENT, direction, ...numbers])
    const { seconds } = JSON.parse(stdout) as { seconds: number }
    return { mebibytesPerSecond: mebibytes / seconds, growthMiB: (watch.stop() - idle) / MIB }
  } finally {
    watch.stop()
  }
}
