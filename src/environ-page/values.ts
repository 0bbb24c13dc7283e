/**
 * The values of an environ: as Python prints them (HTML), and as JSON.
 *
 * @module
 */
import { literalHtml, nonAsciiText, textHtml, unmarked } from './escape.ts'
import { countOf } from './facts.ts'

/** Over this many characters a value scrolls in a box of its own. */
const LONG_VALUE = 1000

/**
 * What stands for an object, which has no literal: `<wsgi.input, 12 bytes>`.
 *
 * @param size Of the request body, in bytes.
 */
export function objectName(key: string, size: number | undefined): string {
  const known = key === 'wsgi.input' && size !== undefined
  return known ? `<${key}, ${countOf(size, 'byte')}>` : `<${key}>`
}

/** The value that JSON gets; `name` where it could not hold it. */
export function toJson(value: unknown, name: string): unknown {
  if (value === undefined || value === null) return null
  // Lists of plain values are all that WSGI has; a deeper one may be a cycle.
  if (Array.isArray(value)) {
    return value.map((item) => (Array.isArray(item) ? '[...]' : toJson(item, name)))
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : name
}

/**
 * A value as Python prints it, with the text of UTF-8 octets beside it.
 *
 * @param size Of the request body, in bytes.
 */
export function valueHtml(value: unknown, key: string, size: number | undefined): string {
  if (typeof value === 'string') return stringHtml(value, key)
  if (Array.isArray(value)) {
    const html = value.map((item) => literalOrNameHtml(item, `<${key}>`)).join(', ')
    return `<code>${key === 'wsgi.version' ? `(${html})` : `[${html}]`}</code>`
  }
  return `<code>${literalOrNameHtml(value, objectName(key, size))}</code>`
}

function literalOrNameHtml(value: unknown, name: string): string {
  if (typeof value === 'string') return literalHtml(value)
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (Array.isArray(value)) return '[...]'
  return textHtml(String(toJson(value, name) ?? 'None'))
}

function stringHtml(value: string, key: string): string {
  const text = nonAsciiText(value)
  const utf8Html =
    text === undefined
      ? ''
      : ` <span class="utf8"><small>UTF-8</small> <bdi>${textHtml(text)}</bdi></span>`
  const html = `<code>${literalHtml(value)}</code>${utf8Html}`
  if (value.length <= LONG_VALUE) return html
  const size = countOf(value.length, 'octet')
  // What scrolls takes the focus, or a keyboard cannot scroll it.
  return `<div class="long" role="group" tabindex="0" aria-label="${textHtml(key, unmarked)}, ${size}">${html}</div><small>${size}</small>`
}
