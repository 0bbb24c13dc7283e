/**
 * Serves the handlers of `app.ts` to uwsgi fronts, on Node or on Deno: whichever runs this.
 *
 * `SERVE` names the handlers and where each listens, as JSON; `UPSTREAM` is where the bridge leads;
 * `OPTIONS`, as JSON, go to every `serveUwsgi`. SIGTERM closes them, whereupon nothing is left to keep the process.
 *
 * @module
 */
import process from 'node:process'
import type { Handler } from '../../src/target/node/index.ts'
import { fetchHandler, gatewayHandler, honoApp } from './app.ts'

const { SERVE = '{}', UPSTREAM = 'uwsgi://127.0.0.1:1', OPTIONS = '{}' } = process.env
const { createBridge, serveUwsgi } =
  'Deno' in globalThis
    ? await import('../../src/target/deno.ts')
    : await import('../../src/target/node/index.ts')

const HANDLERS: Readonly<Record<string, Handler>> = {
  fetch: fetchHandler,
  hono: honoApp,
  gateway: gatewayHandler,
  bridge: createBridge(UPSTREAM),
}

const listening = await Promise.all(
  Object.entries(JSON.parse(SERVE) as Record<string, string>).map(async ([name, listen]) => {
    const handler = HANDLERS[name.split('-')[0] ?? '']
    if (handler === undefined) throw new TypeError(`Cannot serve ${name}: there is no such handler`)
    return [
      name,
      await serveUwsgi(handler, { listen, log: console.log, ...JSON.parse(OPTIONS) }),
    ] as const
  })
)
const urls = Object.fromEntries(listening.map(([name, { url }]) => [name, url]))
console.log(`Listening on ${JSON.stringify(urls)}`)

process.once('SIGTERM', () => void close())
process.on('exit', () => console.log('Exited'))

async function close(): Promise<void> {
  await Promise.all(listening.map(([, server]) => server.close()))
  console.log('Closed')
}
