/**
 * Runs one piece of work over and over and prints what it takes, as JSON: nanoseconds and bytes
 * allocated. A process of its own, so that the compiler sees no other work.
 *
 * `node --expose-gc … loops.ts NAME SECONDS`
 *
 * @module
 */
import { setTimeout } from 'node:timers/promises'
import { GCProfiler } from 'node:v8'
import { ResponseDecoder } from '../../../src/codec/response-decoder.ts'
import { encodePacket, PacketDecoder } from '../../../src/codec/uwsgi.ts'
import { resolveEnvironOptions } from '../../../src/core/environ-options.ts'
import { requestHead } from '../../../src/core/request-head.ts'
import { cgiVars } from '../../../src/core/vars.ts'
import { pack, packHead, packRequest, parseHead, unpack } from './by-hand.ts'
import { decodeRequest, encodeRequest } from './fastcgi.ts'
import { HEADERS, ORIGIN, RESPONSE, TARGET, VARS } from './sample-request.ts'

const options = resolveEnvironOptions()
const request = new Request(ORIGIN + TARGET, {
  headers: HEADERS.map(([n, v]): [string, string] => [n, v]),
})
const remote = { addr: '192.0.2.7', port: 54_321 }
const packet = pack(VARS)
const records = encodeRequest(VARS)

/** What can be run; each returns something, so that no compiler leaves the work out. */
const WORK: Readonly<Record<string, () => unknown>> = {
  'request-ours': () => {
    const built = cgiVars(requestHead(request, { remote }), options)
    return encodePacket(built.vars)
  },
  'request-by-hand': () => packRequest(request),
  'head-ours': () => {
    const built = cgiVars(
      {
        method: 'GET',
        url: new URL(ORIGIN + TARGET),
        headers: HEADERS,
        raw: true,
        rawTarget: TARGET,
        httpVersion: '1.1',
        remote,
        hasBody: false,
      },
      options
    )
    return encodePacket(built.vars)
  },
  'head-by-hand': () => packHead('GET', new URL(ORIGIN + TARGET), HEADERS),
  'response-ours': () => {
    const decoder = new ResponseDecoder({ method: 'GET' })
    decoder.push(RESPONSE)
    return decoder.next()
  },
  'response-by-hand': () => parseHead(RESPONSE),
  'uwsgi-encode': () => encodePacket(VARS),
  'uwsgi-encode-by-hand': () => pack(VARS),
  'fastcgi-encode': () => encodeRequest(VARS),
  'uwsgi-decode': () => {
    const decoder = new PacketDecoder()
    decoder.push(packet)
    return decoder.decode()
  },
  'uwsgi-decode-by-hand': () => unpack(packet),
  'fastcgi-decode': () => decodeRequest(records),
}

const BATCH = 200
/** Parts of a measurement, of which the least disturbed counts. */
const PARTS = 20
/** Few enough that the young generation holds all they allocate: see `--min-semi-space-size`. */
const COUNTED = 2000
const SETTLE_MS = 50

const [name = '', seconds = '1'] = process.argv.slice(2)
const work = WORK[name]
if (work === undefined) throw new TypeError(`Cannot run ${name}: there is no such work`)
/** Keeps the last result reachable. */
let sink: unknown

const nanos = time(work, Number(seconds) * 1e9)
console.log(JSON.stringify({ nanos, bytes: await countBytes(work) }))
if (sink === undefined) throw new Error(`Cannot use ${name}: it made nothing`)

function time(run: () => unknown, durationNanos: number): number {
  repeat(run, durationNanos / 4) // The compiler's share.
  return Math.min(...Array.from({ length: PARTS }, () => repeat(run, durationNanos / PARTS)))
}

/**
 * @returns Nanoseconds of CPU time of one, the collector's included: unlike the time on the wall, it does
 *   not grow when others use the machine.
 */
function repeat(run: () => unknown, durationNanos: number): number {
  const start = process.hrtime.bigint()
  const cpuStart = process.cpuUsage()
  let count = 0
  do {
    for (let i = 0; i < BATCH; i++) sink = run()
    count += BATCH
  } while (Number(process.hrtime.bigint() - start) < durationNanos)
  const { user, system } = process.cpuUsage(cpuStart)
  return ((user + system) * 1000) / count
}

async function countBytes(run: () => unknown): Promise<number> {
  globalThis.gc?.()
  // Buffers that were found dead are given back a little later.
  await setTimeout(SETTLE_MS)
  globalThis.gc?.()
  await setTimeout(SETTLE_MS)
  const profiler = new GCProfiler()
  profiler.start()
  const before = process.memoryUsage()
  for (let i = 0; i < COUNTED; i++) sink = run()
  const after = process.memoryUsage()
  if (profiler.stop().statistics.length > 0) {
    throw new Error('Cannot count bytes: the collector ran meanwhile')
  }
  const heap = after.heapUsed - before.heapUsed
  return (heap + after.arrayBuffers - before.arrayBuffers) / COUNTED
}
