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
import { Miniflare, type WorkerdStructuredLog } from 'miniflare'
import { makeDirectory } from '../backend/process.ts'
import { PROJECT_ROOT, requireProgram } from '../backend/programs.ts'
import type { Target } from './target.ts'

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
  const [script, settings] = await Promise.all([bundleScript(), readSettings()])
  return {
    name: 'workers',
    async start(variables) {
      let log = ''
      const env = Object.entries(variables).map(
        ([name, value]) => [name, { type: 'text', value } as const] as const
      )
      const miniflare = new Miniflare({
        host: '127.0.0.1',
        port: 0,
        cf: false,
        logRequests: false,
        handleStructuredLogs: (entry: WorkerdStructuredLog) => {
          log += `${entry.level} ${entry.message}\n`
        },
        workers: [
          {
            config: {
              name: 'edge-wsgi',
              ...settings,
              manifest: {
                mainModule: MAIN_MODULE,
                modules: { [MAIN_MODULE]: { type: 'esm', contents: script } },
              },
              env: { ...Object.fromEntries(env), [NETWORK]: { type: 'worker', worker: 'network' } },
            },
            dev: { unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }] },
          },
          {
            config: {
              name: 'network',
              ...settings,
              manifest: {
                mainModule: MAIN_MODULE,
                modules: { [MAIN_MODULE]: { type: 'esm', contents: NETWORK_SCRIPT } },
              },
            },
          },
        ],
      })
      await miniflare.ready
      const { origin } = await miniflare.unsafeGetDirectURL()
      return { origin, log: () => log, stop: () => miniflare.dispose() }
    },
  }
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
