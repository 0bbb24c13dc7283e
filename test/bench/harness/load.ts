/**
 * Puts an HTTP server under load with wrk, which needs little of the CPUs that it shares with what it
 * measures: one thread of it saturates any gateway here.
 *
 * wrk sends the next request of a connection once the last is answered. Its percentiles are therefore
 * those at the throughput reached, and flatter every server alike when it stalls.
 *
 * @see https://github.com/wg/wrk
 * @module
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram } from '../../backend/programs.ts'
import type { Contender, Sample } from './contest.ts'
import { cpuMicros } from './proc.ts'

const run = promisify(execFile)

const REPORT = join(import.meta.dirname, 'wrk-report.lua')
/** A measurement with more failed requests than this share has measured something else. */
const MOST_FAILED = 0.01

/** A server under test. */
export interface Gateway {
  readonly origin: string
  /** The processes that lead it; those below them count too. */
  readonly pids: readonly number[]
  stop(): Promise<void>
}

/** What is asked of a server. */
export interface Load {
  readonly connections: number
  /** @default '/' */
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  /** What an answer must hold: a fast server that answers something else wins nothing. */
  readonly expect: string
  /** Leads the backend, where its CPU time is wanted too. */
  readonly backendPid?: number
}

/** A server as a contender in requests a second, latency and CPU. */
export function underLoad(name: string, start: () => Promise<Gateway>, load: Load): Contender {
  async function startEntrant() {
    const gateway = await start()
    try {
      await checkAnswer(gateway.origin, load)
    } catch (error) {
      await gateway.stop()
      throw error
    }
    return {
      measure: (seconds: number) => measure(gateway, load, seconds),
      stop: gateway.stop,
    }
  }
  return { name, start: startEntrant }
}

async function checkAnswer(
  origin: string,
  { path = '/', headers = {}, expect }: Load
): Promise<void> {
  const response = await fetch(origin + path, { headers })
  const text = await response.text()
  if (response.status !== 200 || !text.includes(expect)) {
    throw new Error(`it answers ${response.status} ${JSON.stringify(text.slice(0, 200))}`)
  }
}

async function measure(gateway: Gateway, load: Load, seconds: number): Promise<Sample> {
  const backend = load.backendPid === undefined ? [] : [load.backendPid]
  const before = cpuMicros(gateway.pids)
  const backendBefore = cpuMicros(backend)
  const report = await runWrk(gateway.origin, load, seconds)
  const cpu = (cpuMicros(gateway.pids) - before) / report.requests
  return {
    requestsPerSecond: report.requests / (report.micros / 1_000_000),
    p50Ms: report.p50 / 1000,
    p99Ms: report.p99 / 1000,
    cpuMicros: cpu,
    backendMicros: (cpuMicros(backend) - backendBefore) / report.requests,
    totalMicros: cpu + (cpuMicros(backend) - backendBefore) / report.requests,
  }
}

/** What wrk counted. */
export interface WrkReport {
  readonly micros: number
  readonly requests: number
  readonly p50: number
  readonly p99: number
  readonly failed: number
  readonly refused: number
}

/** Loads a server with wrk. */
export async function runWrk(origin: string, load: Load, seconds: number): Promise<WrkReport> {
  const wrk = findProgram('wrk')
  if (wrk === undefined) throw new Error('wrk is missing')
  const { connections, path = '/', headers = {} } = load
  const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const { stdout } = await run(wrk, [
    '-t',
    '1',
    '-c',
    String(connections),
    '-d',
    `${seconds}s`,
    '--timeout',
    '10s',
    '--latency',
    '-s',
    REPORT,
    ...lines,
    origin + path,
  ])
  const json = /^REPORT (.*)$/m.exec(stdout)?.[1]
  if (json === undefined) throw new Error(`wrk reported nothing: ${stdout.slice(-200)}`)
  const report = JSON.parse(json) as WrkReport
  const bad = report.failed + report.refused
  if (report.requests === 0 || bad > report.requests * MOST_FAILED) {
    throw new Error(
      `${report.requests} answers, ${report.failed} broken connections, ${report.refused} errors`
    )
  }
  return report
}
