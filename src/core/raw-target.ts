/**
 * The request-target on runtimes that keep it only inside `request.url`.
 *
 * @module
 */
import type { RequestMeta } from '../core/request-head.ts'

const TARGET = /^https?:\/\/[^/?#]*(\/[\x21-\x7e]*)$/
/** workerd writes the target of `OPTIONS *` straight behind the host. */
const ASTERISK = /^(https?:\/\/[^/?#*]*)\*$/

/**
 * Cuts the target out of the URL of a request. workerd and Deno leave it as it was on the wire, so
 * that `REQUEST_URI` and the query keep their spelling, which a signed URL needs (PATH-12).
 *
 * @param text `request.url`, unparsed.
 * @returns No `rawTarget` where it is not plainly one.
 */
export function targetMeta(text: string): Pick<RequestMeta, 'url' | 'rawTarget'> {
  // Deno's scheme on a unix socket.
  const url = text.replace(/^http\+unix:/, 'http:')
  const asterisk = ASTERISK.exec(url)
  if (asterisk !== null) return { url: `${asterisk[1]}/`, rawTarget: '*' }
  return { url, rawTarget: TARGET.exec(url)?.[1] }
}
