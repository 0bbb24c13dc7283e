/**
 * The variables of a deployment → where to bridge to, and how.
 *
 * @module
 */
import type { BridgeOptions } from '../bridge/bridge-options.ts'
import type { UpstreamServerOptions } from '../bridge/upstream-server.ts'
import { readOptions, variableOf } from './option-table.ts'
import { readUpstream } from './upstream-text.ts'

/** Variables, as a platform hands them over. */
export type Variables = Readonly<Record<string, unknown>>

/** A deployment, read from its variables. */
export interface Deployment {
  /** `UPSTREAM`: the backends, as {@link readUpstream} reads them; `undefined` when there is none yet. */
  readonly upstream: readonly UpstreamServerOptions[] | undefined
  /** `UPSTREAM_BINDING`: name of a VPC Networks binding to connect through. */
  readonly binding: string | undefined
  /** `HEALTH_PATH`: path of the health check; `undefined` when it is `off`. */
  readonly healthPath: string | undefined
  /** One variable an option: `READ_TIMEOUT` for `readTimeout`. */
  readonly options: BridgeOptions
}

/** Default of `HEALTH_PATH`. */
export const HEALTH_PATH = '/_gateway/health'

/**
 * Reads a deployment from its variables.
 *
 * @throws {TypeError} whose message begins with the name of the variable that is wrong.
 */
export function readDeployment(env: Variables): Deployment {
  const upstream = textOf(env, 'UPSTREAM')
  return {
    upstream:
      upstream === undefined ? undefined : checkVariable('UPSTREAM', () => readUpstream(upstream)),
    binding: textOf(env, 'UPSTREAM_BINDING'),
    healthPath: healthPathOf(textOf(env, 'HEALTH_PATH') ?? HEALTH_PATH),
    options: readOptions((row) => textOf(env, variableOf(row)), variableOf),
  }
}

function healthPathOf(text: string): string | undefined {
  if (text === 'off') return undefined
  if (/^\/[^?#%\s]*$/.test(text)) return text
  throw new TypeError(
    `HEALTH_PATH is wrong: it is ${JSON.stringify(text)}, wanted a path such as "/health", or "off"`
  )
}

/**
 * Runs a check of one variable.
 *
 * @throws {TypeError} whose message begins with the name of the variable.
 */
export function checkVariable<T>(name: string, check: () => T): T {
  try {
    return check()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TypeError(`${name} is wrong: ${why}`, { cause })
  }
}

/** Platforms hand over text, and some numbers and booleans where the configuration wrote them so. */
function textOf(env: Variables, name: string): string | undefined {
  const value = env[name]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value === 'string') return value.trim()
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new TypeError(`${name} is wrong: wanted text, not ${typeof value}`)
}
