/**
 * The variables of a packet → an environ.
 *
 * @module
 */
import { badRequest } from '../core/errors.ts'
import type { Variable } from '../core/vars.ts'

/** Fields of which a request has one: two of them are two requests to two readers. */
const SINGLE = new Set(['HTTP_HOST', 'HTTP_AUTHORIZATION', 'CONTENT_LENGTH', 'CONTENT_TYPE'])

/** Never a header: what some gateways send besides `CONTENT_*`, and httpoxy (CVE-2016-5385). */
const DROPPED = new Set(['HTTP_CONTENT_TYPE', 'HTTP_CONTENT_LENGTH', 'HTTP_PROXY'])

/**
 * Makes one record of the variables. `UWSGI_*` are orders to a uWSGI server and go no further.
 *
 * nginx before 1.23 sends a repeated header as a repeated variable, of which uWSGI keeps the last; they
 * are joined here, as later versions do. Of any other variable the last counts.
 *
 * @throws {GatewayError} `ERR_BAD_REQUEST` when one that must be single differs from itself.
 */
export function packetEnviron(vars: readonly Variable[]): Record<string, string> {
  const environ: Record<string, string> = {}
  for (const [name, value] of vars) {
    if (name.startsWith('UWSGI_') || DROPPED.has(name)) continue
    const before = Object.hasOwn(environ, name) ? environ[name] : undefined
    const merged = before === undefined ? value : merge(name, before, value)
    if (name === '__proto__') Object.defineProperty(environ, name, { ...OWN, value: merged })
    else environ[name] = merged
  }
  return environ
}

/** What an assignment makes of any other name. */
const OWN = { configurable: true, enumerable: true, writable: true }

function merge(name: string, before: string, value: string): string {
  if (SINGLE.has(name)) {
    if (before === value) return value
    throw badRequest(`Cannot read request: two variables ${name} differ`)
  }
  if (!name.startsWith('HTTP_')) return value
  return before + (name === 'HTTP_COOKIE' ? '; ' : ', ') + value
}
