/**
 * Row 11: how long until the first answer, and what a Worker weighs.
 *
 * @module
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { PROJECT_ROOT, requireProgram } from '../../backend/programs.ts'
import { bundleScript } from '../../target/workers-target.ts'
import { compare, OURS } from '../harness/comparison.ts'
import { type Contender, contest, measuredBy, type Sample } from '../harness/contest.ts'
import type { Row } from '../harness/row.ts'
import { CLI } from '../servers/edge-wsgi.ts'
import { startBackend } from '../servers/uwsgi.ts'

const run = promisify(execFile)

const BARE_NODE = join(import.meta.dirname, '..', 'programs', 'bare-node.mjs')
const FIRST_ANSWER_DEADLINE_MS = 10_000

export const startUp: Row = {
  id: 11,
  title: 'start-up and size',
  async run(settings) {
    const backend = await startBackend()
    const serve = [CLI, 'serve', '--upstream', backend.unix, '--listen', 'http://127.0.0.1:0']
    try {
      const started = await contest(
        [cold(OURS, serve), cold('bare Node', [BARE_NODE])],
        // It does not depend on how long a load lasts, and takes no time.
        { ...settings, rounds: Math.max(settings.rounds, settings.smoke ? 2 : 11), seconds: 0 }
      )
      const weighed = await contest([measuredBy(OURS, weighWorker)], {
        ...settings,
        rounds: 1,
        seconds: 0,
      })
      return [
        ...compare(11, 'serve', started, [
          {
            key: 'milliseconds',
            name: 'cold start to first answer',
            unit: 'ms',
            better: 'lower',
            targets: [{ type: 'above', of: 'bare Node', atMost: 150 }],
            headline: true,
          },
        ]),
        ...compare(11, 'Worker bundle, minified', weighed, [
          {
            key: 'bareKiB',
            name: 'gzip, without Hono',
            unit: 'KiB',
            better: 'lower',
            targets: [{ type: 'value', atMost: 40 }],
          },
          { key: 'wholeKiB', name: 'gzip, as deployed', unit: 'KiB', better: 'lower' },
        ]),
      ]
    } finally {
      await backend.stop()
    }
  },
}

/** A program that is started anew for each measurement. */
function cold(name: string, args: string[]): Contender {
  return measuredBy(name, () => measureStart(args))
}

async function measureStart(args: string[]): Promise<Sample> {
  const began = performance.now()
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  try {
    const origin = await originOf(child.stdout)
    const signal = AbortSignal.timeout(FIRST_ANSWER_DEADLINE_MS)
    const response = await fetch(origin, { headers: { connection: 'close' }, signal })
    await response.arrayBuffer()
    if (response.status !== 200) throw new Error(`its first answer is ${response.status}`)
    return { milliseconds: performance.now() - began }
  } finally {
    child.kill('SIGKILL')
    await closed
  }
}

/** The address in the line by which a server says that it listens. */
async function originOf(output: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const chunk of output) {
    text += chunk.toString('latin1')
    const origin = /^Listening on ([^\s,]+)/m.exec(text)?.[1]
    if (origin !== undefined) return origin
  }
  throw new Error(`it ended without listening: ${text}`)
}

/** `src/worker.ts` as it is deployed, and with Hono left to be somebody else's. */
async function weighWorker(): Promise<Sample> {
  return { bareKiB: kibibytes(await bundleBare()), wholeKiB: kibibytes(await bundleScript()) }
}

async function bundleBare(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'edge-wsgi-bundle-'))
  const outfile = join(directory, 'worker.js')
  try {
    await run(requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'esbuild')), [
      join(PROJECT_ROOT, 'src', 'worker.ts'),
      `--outfile=${outfile}`,
      '--bundle',
      '--minify',
      '--format=esm',
      '--target=es2024',
      '--external:hono',
      '--external:hono/*',
      '--external:cloudflare:*',
    ])
    return await readFile(outfile, 'utf8')
  } finally {
    await rm(directory, { recursive: true })
  }
}

function kibibytes(script: string): number {
  return gzipSync(script).length / 1024
}
