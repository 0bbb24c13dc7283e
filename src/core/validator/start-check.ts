/**
 * What an application calls `start_response` with: items 3, 4 and 7 to 24 of `wsgiref.validate`.
 *
 * What every server refuses by itself, such as hop-by-hop headers and a second call, is left to it: the
 * call goes on to the server's own `start_response`.
 *
 * @see https://peps.python.org/pep-3333/#the-start-response-callable
 * @module
 */
import { isNative } from '../octets.ts'
import type { HeaderField } from '../request-head.ts'
import type { ExcInfo } from '../start-response.ts'
import {
  isKeywordCall,
  isPlainObject,
  kindOf,
  quote,
  ValidationError,
  type Warn,
} from './validation-error.ts'

/** A call that has passed. */
export interface CheckedStart {
  /** The arguments to pass on, headers copied: what the application changes later stays unseen. */
  readonly args: readonly [status: string, headers: HeaderField[], excInfo?: ExcInfo | null]
  readonly code: number
  /** The Content-Length among the headers, where it is a number. */
  readonly length: number | undefined
}

/** The parameters as PEP 3333 and as this package call them. */
const PARAMETERS = ['status', 'response_headers', 'headers', 'exc_info', 'excInfo']

/**
 * Headers that describe a content, of which a 304 has none (RFC 9110 §15.4.5). Those that guide a
 * cache, such as Last-Modified and Expires, may stand there, and so may Content-Length (§8.6).
 */
const CONTENT_HEADERS = new Set([
  'content-encoding',
  'content-language',
  'content-md5',
  'content-range',
])

/** @throws {ValidationError} when the call breaks a rule. */
export function checkStart(args: readonly unknown[], warn: Warn): CheckedStart {
  const onlyObject = args.length === 1 && isPlainObject(args[0])
  if (onlyObject || isKeywordCall(args, PARAMETERS)) {
    throw new ValidationError(4, 'startResponse was called by keyword, wanted positional arguments')
  }
  if (args.length < 2 || args.length > 3) {
    throw new ValidationError(3, `startResponse got ${args.length} arguments, wanted 2 or 3`)
  }
  const status = checkString(7, 'status', args[0])
  const code = checkStatus(status, warn)
  const headers = checkHeaders(args[1])
  checkContentType(code, headers)
  const excInfo = args.slice(2).map(checkExcInfo)
  const length = lengthOf(headers)
  checkSemantics(code, headers, length, warn)
  return { args: [status, headers, ...(excInfo as [ExcInfo?])], code, length }
}

function checkString(item: number, what: string, value: unknown): string {
  if (typeof value === 'string') return value
  throw new ValidationError(item, `${what} is ${kindOf(value)}, wanted a string`)
}

function checkStatus(status: string, warn: Warn): number {
  const [word = ''] = status.trim().split(/\s/, 1)
  if (word.length !== 3) {
    throw new ValidationError(8, `the status code has ${word.length} characters, wanted 3 digits`)
  }
  if (!/^[0-9]{3}$/.test(word)) throw new ValidationError(9, 'the status code is no number')
  const code = Number(word)
  if (code < 100) throw new ValidationError(10, `the status code is ${code}, wanted 100 at least`)
  if (status[3] !== ' ') {
    warn(new ValidationError(11, 'status is not a code, one space and a reason'))
  }
  checkNative('status', status)
  return code
}

function checkNative(what: string, text: string): void {
  if (isNative(text)) return
  throw new ValidationError(
    'STR-3',
    `${what} holds a code unit above U+00FF, wanted one octet each`
  )
}

function checkHeaders(headers: unknown): HeaderField[] {
  if (!Array.isArray(headers)) {
    throw new ValidationError(12, `headers is ${kindOf(headers)}, wanted an array`)
  }
  return Array.from(headers as unknown[], checkHeader)
}

function checkHeader(item: unknown): HeaderField {
  if (!Array.isArray(item)) {
    throw new ValidationError(13, `a header is ${kindOf(item)}, wanted an array of name and value`)
  }
  if (item.length !== 2) {
    throw new ValidationError(14, `a header has ${item.length} members, wanted name and value`)
  }
  const name = checkString(15, 'a header name', item[0])
  const value = checkString(16, `the value of header ${quote(name)}`, item[1])
  checkName(name)
  if (/[\0-\x1f]/.test(value)) {
    throw new ValidationError(21, `the value of header ${name} holds a control character`)
  }
  checkNative(`the value of header ${name}`, value)
  return [name, value]
}

function checkName(name: string): void {
  if (name.toLowerCase() === 'status') {
    throw new ValidationError(17, 'a header is called Status, which is an argument of its own')
  }
  if (/[\n:]/.test(name)) {
    throw new ValidationError(18, `the header name ${quote(name)} holds a line feed or a colon`)
  }
  if (!/^[a-zA-Z][a-zA-Z0-9\-_]*$/.test(name)) {
    throw new ValidationError(
      19,
      `the header name ${quote(name)} is not a letter and then letters, digits, hyphens, underscores`
    )
  }
  if (/[-_]$/.test(name)) {
    throw new ValidationError(20, `the header name ${name} ends in a hyphen or an underscore`)
  }
}

function checkContentType(code: number, headers: readonly HeaderField[]): void {
  const present = headers.some(([name]) => name.toLowerCase() === 'content-type')
  const wanted = code !== 204 && code !== 304
  if (present && !wanted) {
    throw new ValidationError(22, `a ${code} response has a Content-Type, but no content`)
  }
  if (!present && wanted) throw new ValidationError(23, `a ${code} response has no Content-Type`)
}

function checkExcInfo(excInfo: unknown): unknown {
  const known =
    excInfo === undefined ||
    excInfo === null ||
    excInfo instanceof Error ||
    (Array.isArray(excInfo) && excInfo.length === 3)
  if (known) return excInfo
  throw new ValidationError(
    24,
    `excInfo is ${kindOf(excInfo)}, wanted an Error or an array of three`
  )
}

function lengthOf(headers: readonly HeaderField[]): number | undefined {
  const field = headers.find(([name]) => name.toLowerCase() === 'content-length')
  return field !== undefined && /^[0-9]+$/.test(field[1]) ? Number(field[1]) : undefined
}

/** What werkzeug's linter adds: how status and headers go together. */
function checkSemantics(
  code: number,
  headers: readonly HeaderField[],
  length: number | undefined,
  warn: Warn
): void {
  if ((code < 200 || code === 204) && length !== undefined) {
    throw new ValidationError('werkzeug-204', `a ${code} response has a Content-Length`)
  }
  for (const [name, value] of headers) {
    const lower = name.toLowerCase()
    if (lower === 'etag') checkEtag(value)
    if (code === 304 && CONTENT_HEADERS.has(lower)) {
      // RFC 9110 says SHOULD NOT.
      warn(new ValidationError('werkzeug-304', `a 304 response has ${name}, but no content`))
    }
  }
}

function checkEtag(value: string): void {
  if (value.startsWith('w/')) {
    throw new ValidationError('werkzeug-etag', 'the ETag is weak by "w/", wanted upper case')
  }
  if (!/^(?:W\/)?".*"$/.test(value)) {
    throw new ValidationError('werkzeug-etag', 'the ETag is not in double quotes')
  }
}
