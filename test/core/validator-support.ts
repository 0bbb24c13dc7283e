/**
 * A correct server and a correct application, for the tests of the validator to break.
 *
 * @module
 */
import type { Application, ApplicationResult } from '../../src/core/application.ts'
import type { Environ } from '../../src/core/environ.ts'
import type { StartResponse } from '../../src/core/start-response.ts'
import { ValidationError, validator } from '../../src/core/validator.ts'
import { octets } from './support.ts'

/** What a server may hand over, right or wrong. */
export type AnyEnviron = Record<string, unknown>

export const TEXT: [string, string] = ['Content-Type', 'text/plain']

/** A complete environ with changes; `undefined` takes a key away. */
export function environOf(changes: AnyEnviron = {}): AnyEnviron {
  const environ: AnyEnviron = {
    REQUEST_METHOD: 'GET',
    SCRIPT_NAME: '',
    PATH_INFO: '/',
    QUERY_STRING: '',
    SERVER_NAME: 'h.example',
    SERVER_PORT: '80',
    SERVER_PROTOCOL: 'HTTP/1.1',
    'wsgi.version': [1, 0],
    'wsgi.url_scheme': 'http',
    'wsgi.input': inputOf({}),
    'wsgi.errors': errorsOf([]),
    'wsgi.multithread': false,
    'wsgi.multiprocess': true,
    'wsgi.run_once': false,
    ...changes,
  }
  for (const key of Object.keys(changes)) if (changes[key] === undefined) delete environ[key]
  return environ
}

/** A synchronous `wsgi.input` with nothing to read, and changes. */
export function inputOf(changes: object): object {
  return {
    read: () => octets(''),
    readline: () => octets(''),
    readlines: () => [],
    [Symbol.iterator]: () => [][Symbol.iterator](),
    ...changes,
  }
}

/** A `wsgi.errors` that keeps what is written. */
export function errorsOf(written: unknown[]): Record<'write' | 'writelines' | 'flush', unknown> {
  return {
    write: (text: unknown) => written.push(text),
    writelines: () => written.push('writelines()'),
    flush: () => written.push('flush()'),
  }
}

/** Says yes to everything. */
export const acceptAll: StartResponse = () => async () => {}

/** An application that starts a response and returns chunks, each a native string. */
export function appOf(
  status = '200 OK',
  headers: [string, string][] = [TEXT],
  chunks: readonly string[] = ['hello']
): Application {
  return function application(_environ, startResponse) {
    startResponse(status, headers)
    return chunks.map(octets)
  }
}

/** An application that calls `startResponse` with whatever arguments. */
export function startsWith(...args: readonly unknown[]): Application {
  return function application(_environ, startResponse) {
    Reflect.apply(startResponse, undefined, args)
    return []
  }
}

/** An application of which only the type is wrong. */
export function untyped(application: (...args: never[]) => unknown): Application {
  return application as Application
}

/** A server's call of a validated application. */
export function call(
  app: Application,
  changes: AnyEnviron = {},
  startResponse: StartResponse = acceptAll
): ApplicationResult | Promise<ApplicationResult> {
  return app(environOf(changes) as Environ, startResponse)
}

/** Runs an application in the validator as a server should; gives the body and the warnings. */
export async function serve(
  app: Application,
  changes: AnyEnviron = {}
): Promise<{ body: string; warnings: ValidationError[] }> {
  const warnings: ValidationError[] = []
  const validated = validator(app, { onWarning: (warning) => warnings.push(warning) })
  const result = await call(validated, changes)
  let body = ''
  try {
    for await (const chunk of result) body += String.fromCharCode(...chunk)
  } finally {
    await result.close?.()
  }
  return { body, warnings }
}

/** What goes wrong in there, which must be a breach that the validator saw. */
export async function breachOf(action: () => unknown): Promise<ValidationError> {
  try {
    await action()
  } catch (error) {
    if (error instanceof ValidationError) return error
    throw error
  }
  throw new Error('nothing was refused')
}
