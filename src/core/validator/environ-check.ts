/**
 * What a server hands to an application: items 30 to 45 of `wsgiref.validate`.
 *
 * @see https://peps.python.org/pep-3333/#environ-variables
 * @module
 */
import { isNative } from '../octets.ts'
import {
  hasMethod,
  isPlainObject,
  kindOf,
  quote,
  ValidationError,
  type Warn,
} from './validation-error.ts'

const REQUIRED = [
  'REQUEST_METHOD',
  'SERVER_NAME',
  'SERVER_PORT',
  'wsgi.version',
  'wsgi.input',
  'wsgi.errors',
  'wsgi.multithread',
  'wsgi.multiprocess',
  'wsgi.run_once',
]

const METHODS = new Set(['GET', 'HEAD', 'POST', 'OPTIONS', 'PATCH', 'PUT', 'DELETE', 'TRACE'])

const INPUT_METHODS = ['read', 'readline', 'readlines']
const ERRORS_METHODS = ['flush', 'write', 'writelines']

/** @throws {ValidationError} item 30 when this is no environ at all. */
export function checkDict(environ: unknown): Record<string, unknown> {
  if (isPlainObject(environ)) return environ
  throw new ValidationError(30, `environ is ${kindOf(environ)}, wanted a plain object`)
}

/** @throws {ValidationError} items 31 to 45, and what is checked besides. */
export function checkEnviron(environ: Readonly<Record<string, unknown>>, warn: Warn): void {
  checkKeys(environ, warn)
  checkNativeStrings(environ)
  checkProtocol(environ)
  checkStreams(environ)
  if (!METHODS.has(textOf(environ, 'REQUEST_METHOD'))) {
    warn(new ValidationError(40, `REQUEST_METHOD is none of ${[...METHODS].join(' ')}`))
  }
  checkPath(environ)
}

function checkKeys(environ: Readonly<Record<string, unknown>>, warn: Warn): void {
  for (const key of REQUIRED) {
    if (!Object.hasOwn(environ, key)) throw new ValidationError(31, `environ has no ${key}`)
  }
  if (Object.hasOwn(environ, 'HTTP_CONTENT_TYPE')) {
    throw new ValidationError(32, 'environ has HTTP_CONTENT_TYPE, wanted CONTENT_TYPE')
  }
  if (Object.hasOwn(environ, 'HTTP_CONTENT_LENGTH')) {
    throw new ValidationError(33, 'environ has HTTP_CONTENT_LENGTH, wanted CONTENT_LENGTH')
  }
  if (!Object.hasOwn(environ, 'QUERY_STRING')) {
    warn(new ValidationError(34, 'environ has no QUERY_STRING, wanted an empty one at least'))
  }
}

/** A key with a dot belongs to an extension, which puts there what it likes. */
function checkNativeStrings(environ: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(environ)) {
    if (key.includes('.')) continue
    if (typeof value !== 'string') {
      throw new ValidationError(35, `environ ${quote(key)} is ${kindOf(value)}, wanted a string`)
    }
    if (!isNative(value)) {
      throw new ValidationError(
        'STR-1',
        `environ ${quote(key)} holds a code unit above U+00FF, wanted one octet each`
      )
    }
  }
}

function checkProtocol(environ: Readonly<Record<string, unknown>>): void {
  const version = environ['wsgi.version']
  if (!Array.isArray(version)) {
    throw new ValidationError(36, `wsgi.version is ${kindOf(version)}, wanted an array`)
  }
  if (version.length !== 2 || version[0] !== 1 || version[1] !== 0) {
    throw new ValidationError('werkzeug-version', 'wsgi.version is not [1, 0]')
  }
  const scheme = environ['wsgi.url_scheme']
  if (scheme !== 'http' && scheme !== 'https') {
    throw new ValidationError(37, 'wsgi.url_scheme is neither http nor https')
  }
  if (!/^HTTP\/[0-9]\.[0-9]$/.test(textOf(environ, 'SERVER_PROTOCOL'))) {
    throw new ValidationError(
      'SERVER_PROTOCOL',
      'environ has no SERVER_PROTOCOL of the form HTTP/1.1'
    )
  }
}

function checkStreams(environ: Readonly<Record<string, unknown>>): void {
  const input = environ['wsgi.input']
  for (const name of INPUT_METHODS) {
    if (!hasMethod(input, name)) throw new ValidationError(38, `wsgi.input has no ${name}()`)
  }
  if (!hasMethod(input, Symbol.asyncIterator) && !hasMethod(input, Symbol.iterator)) {
    throw new ValidationError(38, 'wsgi.input is not iterable')
  }
  for (const name of ERRORS_METHODS) {
    if (!hasMethod(environ['wsgi.errors'], name)) {
      throw new ValidationError(39, `wsgi.errors has no ${name}()`)
    }
  }
}

function checkPath(environ: Readonly<Record<string, unknown>>): void {
  const scriptName = textOf(environ, 'SCRIPT_NAME')
  if (!/^(?:\/|$)/.test(scriptName)) {
    throw new ValidationError(41, 'SCRIPT_NAME does not start with a slash')
  }
  if (!/^(?:\/|$)/.test(textOf(environ, 'PATH_INFO'))) {
    throw new ValidationError(42, 'PATH_INFO does not start with a slash')
  }
  if (!/^[0-9]*$/.test(textOf(environ, 'CONTENT_LENGTH'))) {
    throw new ValidationError(43, 'CONTENT_LENGTH is no number in decimal digits')
  }
  if (scriptName === '' && !Object.hasOwn(environ, 'PATH_INFO')) {
    throw new ValidationError(44, 'environ has neither SCRIPT_NAME nor PATH_INFO')
  }
  if (scriptName === '/') {
    throw new ValidationError(45, 'SCRIPT_NAME is a slash, wanted an empty one and PATH_INFO "/"')
  }
}

/** A variable, which item 35 has seen to be a string; what is absent counts as empty. */
function textOf(environ: Readonly<Record<string, unknown>>, key: string): string {
  const value = environ[key]
  return typeof value === 'string' ? value : ''
}
