/**
 * The request-target on runtimes that keep it only inside `request.url`.
 *
 * @module
 */

const TARGET = /^https?:\/\/[^/?#]*(\/[\x21-\x7e]*)$/

/**
 * Cuts the target out of the URL of a request. workerd and Deno leave it as it was on the wire, so
 * that `REQUEST_URI` and the query keep their spelling, which a signed URL needs (PATH-12).
 *
 * @param url `request.url`, unparsed.
 * @returns `undefined` where it is not plainly one.
 */
export function rawTarget(url: string): string | undefined {
  return TARGET.exec(url)?.[1]
}
