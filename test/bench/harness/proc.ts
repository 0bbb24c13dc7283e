/**
 * What Linux says of running processes: their CPU time and memory, children and threads included.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 * @module
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const MICROS_PER_TICK =
  1_000_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** One line of /proc/PID/stat; the times are those of all threads, in clock ticks. */
interface Stat {
  readonly pid: number
  readonly parent: number
  readonly ticks: number
}

/** User and system time of some processes and all below them, in microseconds. */
export function cpuMicros(roots: readonly number[]): number {
  return trees(roots).reduce((sum, { ticks }) => sum + ticks, 0) * MICROS_PER_TICK
}

/** Resident memory of some processes and all below them, in bytes. */
export function residentBytes(roots: readonly number[]): number {
  return trees(roots).reduce((sum, { pid }) => sum + residentOf(pid), 0)
}

function trees(roots: readonly number[]): Stat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)))
  const children = Map.groupBy(all, ({ parent }) => parent)
  const found = all.filter(({ pid }) => roots.includes(pid))
  if (found.length < roots.length) throw new Error('Cannot measure a server: its process has ended')
  // The list grows while it is walked.
  for (const { pid } of found) found.push(...(children.get(pid) ?? []))
  return found
}

function readStat(pid: number): Stat[] {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return [] // It has ended since the folder was listed.
  }
  // The name of the program, in parentheses, may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  // utime, stime, and those of children that have ended: what a worker used is not lost with it.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  return [{ pid, parent: Number(fields[1]), ticks }]
}

function residentOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Watches the resident memory of some processes. */
export interface MemoryWatch {
  /** Ends the watch. @returns the most that was seen, in bytes. */
  stop(): number
}

const WATCH_INTERVAL_MS = 20

/** Starts to watch; RSS hardly ever falls, so a peak between two looks is not lost. */
export function watchMemory(roots: readonly number[]): MemoryWatch {
  let peak = 0
  function look(): void {
    peak = Math.max(peak, residentBytes(roots))
  }
  const timer = setInterval(look, WATCH_INTERVAL_MS)
  return {
    stop() {
      clearInterval(timer)
      look()
      return peak
    },
  }
}
