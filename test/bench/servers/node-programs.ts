/**
 * The Node programs of `programs`, on the Node that runs the benchmark.
 *
 * @module
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Gateway } from '../harness/load.ts'
import { startListening } from './edge-wsgi.ts'

const BENCH = join(import.meta.dirname, '..')

/** The file of a program. */
export function programFile(name: string): string {
  return join(BENCH, 'programs', name)
}

/** Starts `relay.mjs` in front of a uwsgi socket. */
export async function startRelay(
  upstream: string,
  env: Record<string, string> = {}
): Promise<Gateway> {
  const args = [programFile('relay.mjs')]
  return await startListening(process.execPath, args, { UPSTREAM: upstream, ...env })
}

/** Starts a program that needs an npm package of `test/bench/package.json`. */
export async function startProgram(
  name: string,
  needs: string,
  env: Record<string, string> = {}
): Promise<Gateway> {
  if (!existsSync(join(BENCH, 'node_modules', needs))) throw new Error(`${needs} is missing`)
  return await startListening(process.execPath, [programFile(name)], env)
}
