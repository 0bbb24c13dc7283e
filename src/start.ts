/**
 * What `npm start` runs: the Worker in workerd, through `wrangler dev`, which gets the arguments. Without `UPSTREAM` it bridges
 * to a demo backend, so that the page it shows has gone the whole way: HTTP, a uwsgi packet, a socket,
 * an application.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { gateway } from './core/gateway.ts'
import { environPage } from './environ-page/application.ts'
import { serveUwsgi } from './target/node/index.ts'
import type { Server } from './target/serve-options.ts'

const ROUTE = ['HTTP', 'workerd', 'uwsgi packet', 'TCP socket', 'application']

const { UPSTREAM } = process.env
const demo = UPSTREAM === undefined || UPSTREAM === '' ? await startDemo() : undefined
process.exitCode = await runWrangler(demo?.url ?? UPSTREAM ?? '')
await demo?.close()

/** An application behind the responder, on a free port of loopback. */
async function startDemo(): Promise<Server> {
  const server = await serveUwsgi(gateway(environPage(ROUTE)), { listen: 'uwsgi://127.0.0.1:0' })
  console.log(`No UPSTREAM is set: a demo backend listens on ${server.url}`)
  return server
}

/** Resolves with its exit status when it has ended, which the signals that reach us tell it to do. */
async function runWrangler(upstream: string): Promise<number> {
  const args = ['dev', '--var', `UPSTREAM:${upstream}`, ...process.argv.slice(2)]
  const wrangler = spawn('wrangler', args, {
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => wrangler.kill(signal))
  }
  const [status] = (await once(wrangler, 'exit')) as [number | null]
  return status ?? 1
}
