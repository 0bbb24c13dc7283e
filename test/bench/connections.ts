/**
 * `npm run bench:connections`: what a connection costs the Node front in memory, for 5,000 idle clients
 * and for 1,000 downloads that stand still because their clients do not read.
 *
 * The memory is that of the `serve` process. What waits in the kernel's socket buffers is not in it.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Gateway } from './harness/load.ts'
import { build, preparePeers } from './harness/peers.ts'
import { residentBytes } from './harness/proc.ts'
import { formatNumber } from './reports/format.ts'
import { startListening, startServe } from './servers/edge-wsgi.ts'
import { programFile } from './servers/node-programs.ts'
import { startBackend } from './servers/uwsgi.ts'

const IDLE_CLIENTS = 5000
const DOWNLOADS = 1000
const DOWNLOAD_BYTES = 16 * 1024 * 1024
/** How many connect at once: as many as any backlog takes. */
const BATCH = 250
/** Each client has a connection to the front, which may have one to the backend. */
const DESCRIPTORS = 2 * IDLE_CLIENTS + 1000
/** Requests that make the front's memory what it is under load, before it counts as idle. */
const WARM_UP_REQUESTS = 5000
const SETTLE_MS = 1500
const HEAD_END = '\r\n\r\n'
/** Few: memory that they have taken and given back hides what the next take. */
const WARM_UP_DOWNLOADS = 20
const KIB = 1024

if (process.env['BENCH_LIMIT_RAISED'] === undefined) {
  process.exitCode = runWithMoreDescriptors()
} else {
  build()
  for (const problem of preparePeers()) console.log(`missing: ${problem}`)
  await measureIdle()
  await measureDownloads()
}

/** Runs this file again where it may open enough files; only a shell can raise the limit. */
function runWithMoreDescriptors(): number {
  const script = `ulimit -n ${DESCRIPTORS} || ulimit -n "$(ulimit -Hn)"; exec "$0" "$@"`
  const { status } = spawnSync('sh', ['-c', script, process.execPath, import.meta.filename], {
    env: { ...process.env, BENCH_LIMIT_RAISED: '1' },
    stdio: 'inherit',
  })
  return status ?? 1
}

async function measureIdle(): Promise<void> {
  const backend = await startBackend()
  const gateway = await startServe(backend.unix)
  const clients: Socket[] = []
  try {
    await warmUp(gateway)
    const before = residentBytes(gateway.pids)
    await openAll(IDLE_CLIENTS, gateway, clients, 'Hello, world\n')
    await sleep(SETTLE_MS)
    report('idle keep-alive connections', clients, residentBytes(gateway.pids) - before)
  } finally {
    for (const client of clients) client.destroy()
    await gateway.stop()
    await backend.stop()
  }
}

async function measureDownloads(): Promise<void> {
  const program = programFile('download-backend.mjs')
  const backend = await startListening(process.execPath, [program], {
    BYTES: String(DOWNLOAD_BYTES),
  })
  const gateway = await startServe(backend.origin)
  const clients: Socket[] = []
  try {
    const first: Socket[] = []
    await openAll(WARM_UP_DOWNLOADS, gateway, first, HEAD_END)
    for (const client of first) client.destroy()
    await sleep(SETTLE_MS)
    const before = residentBytes(gateway.pids)
    await openAll(DOWNLOADS, gateway, clients, HEAD_END)
    await sleep(SETTLE_MS)
    report('downloads standing at once', clients, residentBytes(gateway.pids) - before)
  } finally {
    for (const client of clients) client.destroy()
    await gateway.stop()
    await backend.stop()
  }
}

/** One client after the other on a few connections. */
async function warmUp({ origin }: Gateway): Promise<void> {
  for (let sent = 0; sent < WARM_UP_REQUESTS; sent += BATCH) {
    const answers = Array.from({ length: BATCH }, async () => await (await fetch(origin)).text())
    await Promise.all(answers)
  }
  await sleep(SETTLE_MS)
}

/** Opens connections, and sends a request on each, whose answer is awaited as far as `until`. */
async function openAll(
  count: number,
  { origin }: Gateway,
  clients: Socket[],
  until: string
): Promise<void> {
  const { port } = new URL(origin)
  while (clients.length < count) {
    const batch = Array.from({ length: Math.min(BATCH, count - clients.length) }, () =>
      connect(Number(port), '127.0.0.1')
    )
    clients.push(...batch)
    await Promise.all(batch.map((client) => request(client, until)))
  }
}

/** A client that waits for no more than the head reads no more: its download stands still. */
async function request(client: Socket, until: string): Promise<void> {
  client.on('error', () => {}) // A connection that has ended is not counted: see `report`.
  await once(client, 'connect')
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  let text = ''
  while (!text.includes(until) && !client.destroyed) {
    const [chunk] = (await once(client, 'data')) as [Buffer]
    text += chunk.toString('latin1')
  }
  if (until === HEAD_END) client.pause()
  if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`it answers ${text.slice(0, 60)}`)
}

function report(what: string, clients: readonly Socket[], bytes: number): void {
  const open = clients.filter(({ closed, readyState }) => !closed && readyState === 'open').length
  const total = `${formatNumber(bytes / KIB / KIB)} MiB`
  const each = formatNumber(bytes / KIB / Math.max(open, 1))
  console.log(`${open} of ${clients.length} ${what}: ${total}, ${each} KiB each`)
}
