/**
 * What the validator throws or warns with, and how it names what it saw.
 *
 * A message holds names, types and sizes, never the value of a header or a piece of a body: it ends up
 * in a log.
 *
 * @module
 */
import { logText } from '../log-text.ts'

/** A breach of the gateway interface, by the application or by the server that calls it. */
export class ValidationError extends Error {
  override readonly name = 'ValidationError'
  /**
   * Which check failed: 1 to 57 as `wsgiref.validate` makes them, in its order; otherwise the id of a
   * rule such as `STR-1`, `SERVER_PROTOCOL`, or `werkzeug-` and what that linter looks at.
   */
  readonly item: number | string

  /** @param detail What was seen and what was wanted. */
  constructor(item: number | string, detail: string) {
    const check = typeof item === 'number' ? `wsgiref.validate item ${item}` : `check ${item}`
    super(`Cannot pass ${check}: ${detail}`)
    this.item = item
  }
}

/** Takes what is suspicious and yet allowed. */
export type Warn = (warning: ValidationError) => void

/** The type of a value with its article, such as `a Map` or `an array`. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  const kind = typeof value === 'object' ? classOf(value) : typeof value
  return `${/^[aeio]/i.test(kind) ? 'an' : 'a'} ${kind}`
}

function classOf(value: object): string {
  if (Array.isArray(value)) return 'array'
  if (isPlainObject(value)) return 'plain object'
  return value.constructor?.name || 'object'
}

/** A name for a message; applications make names of what clients send. */
export function quote(name: string): string {
  return `"${logText(name)}"`
}

/** The twin of `type(value) is dict`: no `Map`, and no instance of a class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Whether a value is an object with such a method. */
export function hasMethod<Name extends PropertyKey>(
  value: unknown,
  name: Name
): value is Record<Name, (...args: readonly unknown[]) => unknown> {
  return (
    typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'function'
  )
}

/** Whether a call has not finished yet. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return hasMethod(value, 'then')
}

/**
 * Whether a call names parameters, as Python can. Pyodide makes one plain object of the keywords, behind
 * the positional arguments.
 */
export function isKeywordCall(args: readonly unknown[], parameters: readonly string[]): boolean {
  const last = args.at(-1)
  return isPlainObject(last) && parameters.some((name) => Object.hasOwn(last, name))
}
