/**
 * `npm run soak -- --seconds 60 --backends 2` (the defaults): load on `edge-wsgi serve` while its
 * backends are struck. Linux only, since it looks into /proc. Exit status 1 when a number is not 0
 * that must be.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { PROJECT_ROOT } from '../backend/programs.ts'
import { eventually, within } from '../support/deadline.ts'
import { BLOWS, SoakBackend } from './backend.ts'
import { Clients, type Finished, HUNG_MS, type Outcome } from './clients.ts'

const CLIENTS = 32
/** Between two blows: time for requests that meet no blow at all. */
const PAUSE_MS = 1000
const WARM_UP_MS = 2000
/** Failures that are written out. */
const SHOWN = 10

/** What the requests have come to. */
interface Tally {
  readonly counts: Record<'GET' | 'POST', Record<Outcome, number>>
  /** GETs that failed although a backend had been well since before they were sent. */
  failedForNothing: number
  /** Details of what must not have happened. */
  readonly shown: string[]
}

/** The process under test. */
interface Serve {
  readonly child: ChildProcess
  readonly pid: number
  readonly origin: string
  /** What it has written to standard error. */
  stderr(): string
}

/** What the process holds. */
interface Holdings {
  readonly descriptors: number
  readonly rssKib: number
}

process.exitCode = await soak()

/** Returns the exit status. */
async function soak(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      backends: { type: 'string', default: '2' },
    },
  })
  const seconds = countOf('--seconds', values.seconds)
  const wanted = countOf('--backends', values.backends)
  const backends = await Promise.all(Array.from({ length: wanted }, () => SoakBackend.start()))
  try {
    const serve = await startServe(backends.map(({ address }) => address))
    try {
      return await load(serve, backends, seconds)
    } finally {
      serve.child.kill('SIGKILL')
    }
  } finally {
    await Promise.all(backends.map((backend) => backend.stop()))
  }
}

/** Returns the exit status. */
async function load(
  serve: Serve,
  backends: readonly SoakBackend[],
  seconds: number
): Promise<number> {
  const tally = newTally()
  const clients = new Clients(serve.origin, (finished) => count(tally, finished, backends))
  await warmUp(clients)
  const before = await settled(serve)

  const asking = clients.run(CLIENTS)
  const blows = await strike(backends, performance.now() + seconds * 1000)
  clients.end()
  await asking
  clients.close()
  const after = await settled(serve, before.descriptors)
  const status = await endServe(serve)
  return report({ tally, blows, before, after, status, stderr: serve.stderr() })
}

/** Load without blows, so that what is made once is there when it is looked at. */
async function warmUp(clients: Clients): Promise<void> {
  const asking = clients.run(CLIENTS)
  await sleep(WARM_UP_MS)
  clients.end()
  await asking
  clients.close()
}

/** Strikes one backend after the other, never two at a time; returns how often. */
async function strike(backends: readonly SoakBackend[], until: number): Promise<number> {
  for (let blows = 0; ; blows++) {
    await sleep(PAUSE_MS)
    if (performance.now() >= until) return blows
    const backend = backends[blows % backends.length]
    // Each backend suffers each blow.
    const blow = BLOWS[Math.floor(blows / backends.length) % BLOWS.length]
    if (backend === undefined || blow === undefined) return blows
    const began = performance.now()
    await backend.suffer(blow)
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    process.stdout.write(`${backend.address} ${blow}: well again after ${seconds} s\n`)
  }
}

function newTally(): Tally {
  const none = { right: 0, wrong: 0, 'cut off': 0, failed: 0, hung: 0 }
  return { counts: { GET: { ...none }, POST: { ...none } }, failedForNothing: 0, shown: [] }
}

function count(tally: Tally, finished: Finished, backends: readonly SoakBackend[]): void {
  const { method, outcome, detail, began } = finished
  tally.counts[method][outcome]++
  const isExcused = !backends.some(({ wellSince }) => wellSince <= began)
  const forNothing = outcome === 'failed' && method === 'GET' && !isExcused
  if (forNothing) tally.failedForNothing++
  if ((forNothing || outcome === 'wrong' || outcome === 'hung') && tally.shown.length < SHOWN) {
    tally.shown.push(`${outcome}: ${detail}`)
  }
}

async function startServe(upstreams: readonly string[]): Promise<Serve> {
  const args = upstreams.flatMap((address) => ['--upstream', address])
  const cli = join(PROJECT_ROOT, 'src/cli.ts')
  const child = spawn(
    process.execPath,
    [cli, 'serve', ...args, '--listen', 'http://127.0.0.1:0', '--read-timeout', '20000'],
    { stdio: ['ignore', 'pipe', 'pipe'] }
  )
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const origin = await eventually('serve listens', () => {
    if (child.exitCode !== null) throw new Error(`Cannot start serve: ${stderr}`)
    return /^Listening on (\S+),/.exec(stdout)?.[1]
  })
  return { child, pid: child.pid ?? 0, origin, stderr: () => stderr }
}

/** Asks `serve` to end; returns its exit status. */
async function endServe({ child }: Serve): Promise<number | null> {
  const exited = once(child, 'exit') as Promise<[number | null]>
  child.kill('SIGTERM')
  const [status] = await within('serve ends', exited)
  return status
}

/** What `serve` holds once its connections are closed; waits a while for `descriptors`, if given. */
async function settled(serve: Serve, descriptors = 0): Promise<Holdings> {
  const deadline = performance.now() + 3000
  while (holdings(serve).descriptors > descriptors && performance.now() < deadline) await sleep(100)
  return holdings(serve)
}

function holdings({ pid, stderr }: Serve): Holdings {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const rssKib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
    return { descriptors: readdirSync(`/proc/${pid}/fd`).length, rssKib }
  } catch (cause) {
    throw new Error(`serve has ended by itself:\n${stderr().slice(-4000)}`, { cause })
  }
}

/** Writes what came of it; returns the exit status. */
function report(result: {
  tally: Tally
  blows: number
  before: Holdings
  after: Holdings
  status: number | null
  stderr: string
}): number {
  const { tally, blows, before, after, status, stderr } = result
  const { GET, POST } = tally.counts
  const lines = stderr.split('\n').filter((line) => line !== '')
  const codes = lines.map((line) => / (ERR_[A-Z_]+) /.exec(line)?.[1] ?? 'none of ours')
  const mustBe0: Readonly<Record<string, number>> = {
    'wrong bytes passed for right ones': GET.wrong + POST.wrong,
    [`hung, over ${HUNG_MS / 1000} s`]: GET.hung + POST.hung,
    'GETs that failed while a backend was well': tally.failedForNothing,
    'errors that are none of ours': codes.filter((code) => code === 'none of ours').length,
    'descriptors that are left': Math.max(0, after.descriptors - before.descriptors),
    'exit status of serve': status ?? 1,
  }
  const facts: Readonly<Record<string, string>> = {
    requests: `${sum(GET) + sum(POST)}: ${sum(GET)} GET, ${sum(POST)} POST`,
    blows: String(blows),
    right: `${GET.right} GET, ${POST.right} POST`,
    'cut off, and seen to be': `${GET['cut off']} GET, ${POST['cut off']} POST`,
    failed: `${GET.failed} GET, ${POST.failed} POST`,
    'errors reported': codes.length === 0 ? 'none' : tallyText(codes),
    descriptors: `${before.descriptors} before, ${after.descriptors} after`,
    memory: `${mebibytes(before.rssKib)} MiB before, ${mebibytes(after.rssKib)} MiB after`,
  }
  for (const [name, fact] of Object.entries(facts)) process.stdout.write(`${name}: ${fact}\n`)
  for (const [name, number] of Object.entries(mustBe0)) {
    process.stdout.write(`${number === 0 ? 'good' : 'BAD '} ${number} ${name}\n`)
  }
  for (const detail of tally.shown) process.stdout.write(`${detail}\n`)
  const strange = lines.filter((_, index) => codes[index] === 'none of ours')
  for (const line of strange.slice(0, SHOWN)) process.stdout.write(`${line}\n`)
  return Object.values(mustBe0).every((number) => number === 0) && GET.right > 0 ? 0 : 1
}

function sum(counts: Readonly<Record<Outcome, number>>): number {
  return Object.values(counts).reduce((total, one) => total + one)
}

/** `3 × A, 1 × B` */
function tallyText(names: readonly string[]): string {
  return [...new Set(names)]
    .map((name) => `${names.filter((other) => other === name).length} × ${name}`)
    .join(', ')
}

function mebibytes(kib: number): string {
  return (kib / 1024).toFixed(0)
}

function countOf(flag: string, text: string): number {
  if (/^[1-9][0-9]{0,4}$/.test(text)) return Number(text)
  throw new TypeError(`${flag} is wrong: it is ${JSON.stringify(text)}, wanted a number above 0`)
}
