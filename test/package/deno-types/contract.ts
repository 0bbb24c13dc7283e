/**
 * Compiles under `deno check` only while the shapes that src/target/types/deno.ts declares fit Deno's.
 */
import type { DenoAddr } from '../../../src/core/runtime-types.ts'
import type { DenoHttpServer, DenoNamespace } from '../../../src/target/types/deno.ts'

export const official: Omit<DenoNamespace, 'serve'> = Deno

type Handler = Parameters<DenoNamespace['serve']>[1]
const options = { signal: AbortSignal.timeout(1), onListen: (_addr: DenoAddr) => {} }

/** `serve` is overloaded, which no single signature of ours can be compared with. */
export function serveTcp(handler: Handler): DenoHttpServer {
  return Deno.serve({ ...options, hostname: '127.0.0.1', port: 0 }, handler)
}

export function serveUnix(handler: Handler): DenoHttpServer {
  return Deno.serve({ ...options, path: '/tmp/socket' }, handler)
}
