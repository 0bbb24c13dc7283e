/**
 * `npm run bench:instructions`: what a request takes in user space, counted by valgrind's callgrind: `serve`
 * beside the gateway by hand, `programs/relay.mjs`. No noise of the machine touches these numbers. They are
 * those of the main thread: what V8's own compile and collect comes to depends on when they get to it. The
 * caches and the branch predictor are simulated, and simpler than real ones.
 *
 * @module
 */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram } from '../backend/programs.ts'
import { must, provide } from '../backend/system.ts'
import { makeDirectory } from '../backend/process.ts'
import { WARM_UP_REQUESTS } from './harness/contest.ts'
import { type Gateway, runWrk } from './harness/load.ts'
import { build, preparePeers } from './harness/peers.ts'
import { formatNumber } from './reports/format.ts'
import { CLI, startListening } from './servers/edge-wsgi.ts'
import { programFile } from './servers/node-programs.ts'
import { type Backend, HELLO, startBackend } from './servers/uwsgi.ts'

const CONNECTIONS = 16
/** Under valgrind everything takes fifty times as long. */
const SECONDS = 30
/** Functions that are named. */
const MOST_NAMED = 25

/** What callgrind counts, and what it is called here. */
const EVENTS: Readonly<Record<string, string>> = {
  Ir: 'instructions',
  I1mr: 'misses of the instruction cache, 32 KiB',
  D1mr: 'misses of the data cache, 48 KiB, reading',
  D1mw: 'the same, writing',
  ILmr: 'misses of the cache behind both, 2 MiB: instructions',
  DLmr: 'the same, reading',
  DLmw: 'the same, writing',
  Bcm: 'branches mispredicted',
  Bim: 'indirect branches mispredicted',
}

/** Counts, each by a request. */
interface Profile {
  readonly events: ReadonlyMap<string, number>
  /** Instructions of each function itself. */
  readonly functions: ReadonlyMap<string, number>
}

build()
for (const problem of preparePeers()) console.log(`missing: ${problem}`)
const valgrind = { name: 'valgrind', apt: 'valgrind', brew: 'valgrind', dnf: 'valgrind' }
provide([{ ...valgrind, find: () => findProgram('valgrind') }])
const backend = await startBackend()
try {
  const listen = ['--listen', 'http://127.0.0.1:0']
  const ours = await profile([CLI, 'serve', '--upstream', backend.unix, ...listen], backend)
  const theirs = await profile([programFile('relay.mjs')], backend)
  report(ours, theirs)
} finally {
  await backend.stop()
}

async function profile(program: string[], { unix }: Backend): Promise<Profile> {
  const directory = await makeDirectory()
  const file = join(directory, 'callgrind.out')
  const counting = ['--tool=callgrind', '--instr-atstart=no', '--cache-sim=yes', '--branch-sim=yes']
  const threads = '--separate-threads=yes'
  const caches = ['--I1=32768,8,64', '--D1=49152,12,64', '--LL=2097152,16,64']
  // V8 writes code where other code was.
  const about = ['--smc-check=all-non-file', `--callgrind-out-file=${file}`]
  // A killed valgrind leaves its pipes behind.
  const pipes = `--vgdb-prefix=${join(directory, 'vgdb')}`
  const node = [process.execPath, '--perf-basic-prof', ...program]
  const args = [...counting, threads, ...caches, ...about, pipes, ...node]
  const gateway = await startListening('valgrind', args, { UPSTREAM: unix })
  const [pid] = gateway.pids
  // Where V8 writes it, for `perf`.
  const mapFile = `/tmp/perf-${pid}.map`
  try {
    for (let warm = 0; warm < WARM_UP_REQUESTS;) warm += await ask(gateway, SECONDS)
    must(['callgrind_control', pipes, '--instr=on', `${pid}`])
    const requests = await ask(gateway, SECONDS)
    must(['callgrind_control', pipes, '--instr=off', `${pid}`])
    must(['callgrind_control', pipes, '--dump', `${pid}`])
    return readProfile(`${file}.1-01`, mapFile, requests)
  } finally {
    await gateway.stop()
    rmSync(directory, { recursive: true })
    rmSync(mapFile, { force: true })
  }
}

/** @returns Number of requests. */
async function ask({ origin }: Gateway, seconds: number): Promise<number> {
  return (await runWrk(origin, { connections: CONNECTIONS, expect: HELLO }, seconds)).requests
}

function readProfile(file: string, mapFile: string, requests: number): Profile {
  const text = readFileSync(file, 'utf8')
  const names = /^events: (.*)$/m.exec(text)?.[1]?.split(' ') ?? []
  const totals = /^totals: (.*)$/m.exec(text)?.[1]?.split(' ') ?? []
  const events = new Map(names.map((name, i) => [name, Number(totals[i]) / requests]))
  const functions = new Map<string, number>()
  const nameAt = readPerfMap(mapFile)
  const listing = must(['callgrind_annotate', '--show=Ir', '--threshold=99', file])
  for (const [, count = '', name = ''] of listing.matchAll(
    /^ *([\d,]+) \([ \d.]+%\)\s+\S*?:(.*)$/gm
  )) {
    const address = /^0x([0-9a-f]+)/.exec(name)?.[1]
    const known = address === undefined ? name.replace(/ \[.*$/, '') : nameAt(parseInt(address, 16))
    const instructions = Number(count.replaceAll(',', '')) / requests
    functions.set(known, (functions.get(known) ?? 0) + instructions)
  }
  return { events, functions }
}

/** The names of what V8 has compiled; where it wrote twice, the later. */
function readPerfMap(file: string): (address: number) => string {
  const entries = readFileSync(file, 'latin1')
    .split('\n')
    .map((line) => /^([0-9a-f]+) ([0-9a-f]+) (.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, start = '', size = '', name = '']) => ({
      start: parseInt(start, 16),
      end: parseInt(start, 16) + parseInt(size, 16),
      name: name.replace(/file:\S*\/(?:dist|programs)\//, ''),
    }))
    .toReversed()
  return (address) =>
    entries.find(({ start, end }) => start <= address && address < end)?.name ?? 'JS, unnamed'
}

function report(ours: Profile, theirs: Profile): void {
  console.log(`${'a request'.padEnd(56)} ${'ours'.padStart(9)} ${'by hand'.padStart(9)}  ratio`)
  for (const [event, meaning] of Object.entries(EVENTS)) {
    printPair(meaning, ours.events.get(event) ?? 0, theirs.events.get(event) ?? 0)
  }
  console.log('\nInstructions of the functions themselves, those first that take most in ours')
  const largest = [...ours.functions].toSorted(([, a], [, b]) => b - a).slice(0, MOST_NAMED)
  for (const [name, count] of largest) {
    printPair(name.slice(0, 56), count, theirs.functions.get(name) ?? 0)
  }
}

function printPair(name: string, ours: number, theirs: number): void {
  const ratio = theirs === 0 ? '' : formatNumber(ours / theirs)
  const numbers = [ours, theirs].map((count) => formatNumber(count).padStart(9)).join(' ')
  console.log(`${name.padEnd(56)} ${numbers}  ${ratio}`)
}
