/**
 * What the parts of the behaviour suite share: the deployments under test and their backends.
 *
 * @module
 */
import type { HeaderLine } from '../../support/http-client.ts'
import { type ClientRequest, send } from '../../support/http-client.ts'
import type { ScriptedBackend } from '../../support/scripted-backend.ts'
import type { UwsgiServer } from '../../backend/uwsgi.ts'
import type { Differences } from '../suite.ts'
import type { RunningTarget, TargetVariables } from '../target.ts'

/** What a part of the suite works with; the servers are there once its tests run. */
export interface SuiteContext {
  /** What this runtime does differently. */
  readonly differs: Differences
  /** All applications: `environ_app` at the root, the frameworks at their mounts. */
  uwsgi(): UwsgiServer
  /** `environ_app` alone, mounted nowhere, with uWSGI's defaults. */
  rootUwsgi(): UwsgiServer
  /** A backend that answers as told. */
  scripted(): ScriptedBackend
  /** A deployment with these variables, started once; before {@link uwsgi} unless they say otherwise. */
  deployment(variables?: TargetVariables): Promise<RunningTarget>
}

/** The frameworks, by their mounts. */
export const APPS = ['django', 'flask', 'bottle'] as const
/** One of {@link APPS}. */
export type App = (typeof APPS)[number]

/** The environ that `environ_app` shows. */
export type Environ = Readonly<Record<string, string>> & { readonly body_length: number }

/** Sends a request to `environ_app` and returns what it saw. */
export async function environOf(origin: string, request: ClientRequest): Promise<Environ> {
  const { status, text, json } = await send(origin, request)
  if (status !== 200) throw new Error(`${request.target}: ${status} ${text}`)
  return json()
}

/** What /echo of a framework answers. */
export interface Echo {
  readonly method: string
  readonly script_name: string
  readonly path_info_hex: string
  readonly query_string: string
  readonly content_type: string | null
  readonly content_length: string | null
  readonly body_length: number
  readonly body_sha256: string
  readonly headers: Readonly<Record<string, string>>
  readonly path_info: string
  readonly scheme: string
  readonly host: string
}

/** The target at which `environ_app` answers exactly as told. */
export function respondWith(spec: {
  status?: string
  headers?: readonly HeaderLine[]
  chunks?: readonly string[]
}): string {
  const json = JSON.stringify({ status: '200 OK', ...spec })
  // Quotes too: a target may not hold them, and encodeURIComponent leaves the single one.
  return `/raw/respond?spec=${encodeURIComponent(json).replaceAll("'", '%27')}`
}

/** A name for what happens once, in one test, on one runtime. */
export function uniqueToken(): string {
  return crypto.randomUUID()
}
