/**
 * Checks an application, and the server that calls it, against PEP 3333: the 57 assertions of Python's
 * `wsgiref.validate`, with what werkzeug's linter and the native-string rule add.
 *
 * For tests and development: put it between the two, and whoever breaks the contract gets an error that
 * names the check. `str` is a string here, `bytes` a `Uint8Array`, `list` and `tuple` an array, `dict` a
 * plain object; whatever may be a promise is checked when it resolves.
 *
 * @see https://docs.python.org/3/library/wsgiref.html#module-wsgiref.validate
 * @module
 */
import type { Application, ApplicationResult } from './application.ts'
import type { Environ } from './environ.ts'
import type { StartResponse } from './start-response.ts'
import { CloseWatch } from './validator/close-watch.ts'
import { checkDict, checkEnviron } from './validator/environ-check.ts'
import { ResponseCheck } from './validator/response-check.ts'
import { checkResult } from './validator/result-check.ts'
import {
  checkErrors,
  checkInput,
  type ErrorStream,
  type InputStream,
} from './validator/stream-check.ts'
import {
  hasMethod,
  isKeywordCall,
  isPromiseLike,
  kindOf,
  ValidationError,
  type Warn,
} from './validator/validation-error.ts'

export { ValidationError }

/** Options of {@link validator}. */
export interface ValidatorOptions {
  /**
   * Takes what is suspicious and yet allowed: items 11, 34 and 40, headers of a content in a 304, and
   * a result that was not closed (29), which may be noticed long after its request.
   *
   * @default writes a line to `wsgi.errors`, or to the console where there is none
   */
  onWarning?: ((warning: ValidationError) => void) | undefined
}

/** What a call by keyword would name, in Python's spelling and in ours. */
const PARAMETERS = ['environ', 'start_response', 'startResponse']

/**
 * Wraps an application so that each breach of the contract throws, on the side that caused it.
 *
 * Results are passed on chunk by chunk as they are, but in a wrapper, as `wsgiref.validate` does. An
 * array is therefore none any more, and the gateway infers no Content-Length from it.
 *
 * @param app The application to check.
 * @returns An application that does the same; it answers with a promise where `app` does. In the environ
 *   it replaces `wsgi.input` and `wsgi.errors`.
 * @throws {ValidationError} when called, or from what it hands out, when a check fails.
 * @throws {TypeError} at once, when `app` or an option is wrong.
 * @example
 * ```ts
 * import { runApplication, toEnviron } from 'edge-wsgi'
 * import { validator } from 'edge-wsgi/validator'
 * const app = validator((environ, startResponse) => {
 *   startResponse('200 OK', [['Content-Type', 'text/plain']])
 *   return [new TextEncoder().encode('hello')]
 * })
 * const environ = await toEnviron(new Request('http://localhost/'))
 * const response = await runApplication(app, environ)
 * ```
 */
export function validator(app: Application, options: ValidatorOptions = {}): Application {
  const { onWarning } = options
  if (typeof app !== 'function') {
    throw new TypeError(`Cannot validate ${kindOf(app)}: wanted an application, a function`)
  }
  if (onWarning !== undefined && typeof onWarning !== 'function') {
    throw new TypeError(`Cannot use onWarning: it is ${kindOf(onWarning)}, wanted a function`)
  }
  const over = new Set<CloseWatch>()
  function validatedApplication(
    ...args: readonly unknown[]
  ): ApplicationResult | Promise<ApplicationResult> {
    for (const watch of over) watch.report('the application was called again')
    const [environ, startResponse] = checkCall(args)
    const warn = onWarning ?? warnInErrors(environ['wsgi.errors'])
    checkEnviron(environ, warn)
    const response = new ResponseCheck(environ.REQUEST_METHOD, startResponse, warn)
    environ['wsgi.input'] = checkInput(environ['wsgi.input'] as InputStream)
    environ['wsgi.errors'] = checkErrors(environ['wsgi.errors'] as ErrorStream)
    function check(result: unknown): ApplicationResult {
      return checkResult(result, response, new CloseWatch(over, warn))
    }
    const result: unknown = app(environ as Environ, response.startResponse)
    return isPromiseLike(result) ? Promise.resolve(result).then(check) : check(result)
  }
  return validatedApplication
}

/** Items 1, 2 and 30. */
function checkCall(args: readonly unknown[]): [Record<string, unknown>, StartResponse] {
  if (isKeywordCall(args, PARAMETERS)) {
    throw new ValidationError(
      2,
      'the application was called by keyword, wanted positional arguments'
    )
  }
  if (args.length !== 2) {
    throw new ValidationError(
      1,
      `the application got ${args.length} arguments, wanted environ and startResponse`
    )
  }
  return [checkDict(args[0]), args[1] as StartResponse]
}

function warnInErrors(errors: unknown): Warn {
  return function warn({ message }) {
    if (hasMethod(errors, 'write')) errors.write(`${message}\n`)
    else console.warn(message)
  }
}
