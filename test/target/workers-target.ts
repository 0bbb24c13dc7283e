/**
 * The Worker of wrangler.toml on workerd.
 *
 * Requests go straight to workerd's HTTP server, past the Worker that miniflare puts in front, which
 * is no part of Cloudflare: it rewrites URLs and Accept-Encoding and believes X-Forwarded-Proto.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { Miniflare, type WorkerdStructuredLog } from 'miniflare'
import { makeDirectory } from '../backend/process.ts'
import { PROJECT_ROOT, requireProgram } from '../backend/programs.ts'
import type { RunningTarget, Target, TargetVariables } from './target.ts'

const run = promisify(execFile)

const MAIN_MODULE = 'worker.js'

/**
 * A private network as a Worker sees it: a binding whose `connect()` reaches addresses that the Worker
 * itself does not. Cloudflare's VPC Networks binding has the same method, and is remote only.
 */
const NETWORK = 'NET'
const NETWORK_SCRIPT = `
import { connect } from 'cloudflare:sockets'
export default {
  async connect(inbound) {
    const { localAddress } = await inbound.opened
    const outbound = connect(localAddress.replace('backend.internal', '127.0.0.1'))
    await Promise.allSettled([
      inbound.readable.pipeTo(outbound.writable),
      outbound.readable.pipeTo(inbound.writable),
    ])
  },
}`

/** Bundles `src/worker.ts` as `wrangler deploy` does; every deployment runs that bundle. */
export async function bundleWorker(): Promise<Target> {
  const script = await bundleScript()
  return {
    name: 'workers',
    start: (variables) =>
      startWorkers({
        'edge-wsgi': {
          script,
          env: { ...texts(variables), [NETWORK]: { type: 'worker', worker: 'network' } },
        },
        network: { script: NETWORK_SCRIPT },
      }),
  }
}

/**
 * Runs a Worker of a test's own.
 *
 * @param source A file, or JavaScript that imports what it tests by its path.
 */
export async function startBundled(
  source: { file: string } | { contents: string },
  variables: TargetVariables
): Promise<RunningTarget> {
  const { outputFiles } = await build({
    ...('file' in source
      ? { entryPoints: [source.file] }
      : { stdin: { contents: source.contents, resolveDir: PROJECT_ROOT } }),
    bundle: true,
    format: 'esm',
    target: 'es2024',
    external: ['cloudflare:*'],
    write: false,
  })
  const script = outputFiles.map(({ text }) => text).join('')
  return await startWorkers({ script: { script, env: texts(variables) } })
}

type Binding = { type: 'text'; value: string } | { type: 'worker'; worker: string }

function texts(variables: TargetVariables): Record<string, Binding> {
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [name, { type: 'text', value } as const])
  )
}

/** Starts Workers by name; the first is the one that is reached. */
async function startWorkers(
  workers: Record<string, { script: string; env?: Record<string, Binding> }>
): Promise<RunningTarget> {
  const settings = await readSettings()
  let log = ''
  const miniflare = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    cf: false,
    logRequests: false,
    handleStructuredLogs: (entry: WorkerdStructuredLog) => {
      log += `${entry.level} ${entry.message}\n`
    },
    workers: Object.entries(workers).map(([name, { script, env = {} }]) => ({
      config: {
        name,
        ...settings,
        manifest: {
          mainModule: MAIN_MODULE,
          modules: { [MAIN_MODULE]: { type: 'esm', contents: script } },
        },
        env,
      },
      dev: { unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }] },
    })),
  })
  await miniflare.ready
  const { origin } = await miniflare.unsafeGetDirectURL()
  return { origin, log: () => log, stop: () => miniflare.dispose() }
}

/** The script that a deployment runs: minified, as wrangler.toml says. */
export async function bundleScript(): Promise<string> {
  const directory = await makeDirectory()
  try {
    const wrangler = requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'wrangler'))
    await run(wrangler, ['deploy', '--dry-run', '--outdir', directory], {
      cwd: PROJECT_ROOT,
      env: { ...process.env, WRANGLER_SEND_METRICS: 'false' },
    })
    return await readFile(join(directory, MAIN_MODULE), 'utf8')
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** Date and flags as deployed. */
export async function readSettings(): Promise<{
  compatibilityDate: string
  compatibilityFlags: string[]
}> {
  const toml = await readFile(join(PROJECT_ROOT, 'wrangler.toml'), 'utf8')
  const date = /^compatibility_date = "([^"]+)"$/m.exec(toml)?.[1]
  const flags = /^compatibility_flags = \[([^\]]*)\]$/m.exec(toml)?.[1]
  if (date === undefined || flags === undefined) {
    throw new Error('Cannot find compatibility_date and compatibility_flags in wrangler.toml')
  }
  return { compatibilityDate: date, compatibilityFlags: JSON.parse(`[${flags}]`) as string[] }
}
