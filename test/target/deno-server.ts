/**
 * Serves a bridge on Deno, configured with the variables of wrangler.toml.
 *
 * `LISTEN` says where, and `CLOSE_TIMEOUT` has SIGTERM close the server; with `DENO_SERVE`, `Deno.serve`
 * is in front of the bridge's `fetch`. `SSL_*` name the files for TLS toward the backend, as the flags
 * of the command line do.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { createBridge, serve } from '../../src/target/deno.ts'
import { readDeployment } from '../../src/target/env.ts'

const { env } = process
const { upstream, options } = readDeployment(env)
if (upstream === undefined) throw new TypeError('Cannot serve: there is no UPSTREAM')
const bridge = createBridge(upstream, {
  ...options,
  sslTrustedCertificate: contents('SSL_TRUSTED_CERTIFICATE'),
  sslName: env['SSL_NAME'],
  sslCertificate: contents('SSL_CERTIFICATE'),
  sslCertificateKey: contents('SSL_CERTIFICATE_KEY'),
})
const closeTimeout = env['CLOSE_TIMEOUT'] === undefined ? undefined : Number(env['CLOSE_TIMEOUT'])
const handler = env['DENO_SERVE'] === 'true' ? bridge.fetch : bridge
const server = await serve(handler, { listen: env['LISTEN'] ?? 'http://127.0.0.1:0', closeTimeout })
if (closeTimeout !== undefined) process.on('SIGTERM', () => void close())
console.log(`Listening on ${server.url}`)

async function close(): Promise<void> {
  await server.close()
  console.log('Closed')
  process.exit(0)
}

function contents(variable: string): string | undefined {
  const path = env[variable]
  return path === undefined ? undefined : readFileSync(path, 'utf8')
}
