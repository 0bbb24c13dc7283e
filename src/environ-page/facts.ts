/**
 * What an environ tells of its request: method, path and query, size of the body.
 *
 * @module
 */

/** An environ, whatever made it. */
export type EnvironRecord = Readonly<Record<string, unknown>>

/** The parts of a request that the URL and the method make. */
export type RequestLine = Record<'method' | 'script' | 'path' | 'query', string>

/** A value that is text; `''` for any other, and for none. */
export function textOf(environ: EnvironRecord, key: string): string {
  const value = environ[key]
  return typeof value === 'string' ? value : ''
}

/** What the request asked for, as native strings; the query with its `?`, unless it is empty. */
export function requestLine(environ: EnvironRecord): RequestLine {
  const query = textOf(environ, 'QUERY_STRING')
  return {
    method: textOf(environ, 'REQUEST_METHOD'),
    script: textOf(environ, 'SCRIPT_NAME'),
    path: textOf(environ, 'PATH_INFO'),
    query: query && `?${query}`,
  }
}

/** The size of the request body in bytes: of `body`, else what `CONTENT_LENGTH` says, if anything. */
export function bodySize(
  environ: EnvironRecord,
  body: { readonly length: number } | undefined
): number | undefined {
  if (body) return body.length
  const length = textOf(environ, 'CONTENT_LENGTH')
  return /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

/** `1 byte`, `2 bytes`. */
export function countOf(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
