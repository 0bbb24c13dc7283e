/**
 * Serves a bridge on Deno, configured with the variables of wrangler.toml.
 *
 * `LISTEN` says where; `SSL_*` name the files for TLS toward the backend, as the flags of the command
 * line do.
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
const { url } = await serve(bridge, { listen: env['LISTEN'] ?? 'http://127.0.0.1:0' })
console.log(`Listening on ${url}`)

function contents(variable: string): string | undefined {
  const path = env[variable]
  return path === undefined ? undefined : readFileSync(path, 'utf8')
}
