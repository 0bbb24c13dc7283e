/**
 * The keys of an environ: the three groups they fall into, their order, and what each one says.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc3875#section-4.1 | RFC 3875 §4.1}
 * @module
 */
import type { EnvironRecord } from './facts.ts'

/** The groups, by their key in the JSON and their anchor in the HTML. */
export type GroupName = 'cgi' | 'http' | 'wsgi'

/** A key of the environ and its value. */
export type Entry = [key: string, value: unknown]

/** The keys with a place of their own, in that order, each with what it tells the application. */
export const KEY_NOTES: ReadonlyMap<string, string> = new Map([
  ['REQUEST_METHOD', 'what to do'],
  ['SCRIPT_NAME', 'path of the application'],
  ['PATH_INFO', 'path inside it, decoded'],
  ['QUERY_STRING', 'after “?”, encoded'],
  ['REQUEST_URI', 'path and query, encoded'],
  ['RAW_URI', 'target, as received'],
  ['CONTENT_TYPE', 'kind of body'],
  ['CONTENT_LENGTH', 'bytes of body'],
  ['SERVER_NAME', 'host asked for'],
  ['SERVER_PORT', 'port asked for'],
  ['SERVER_PROTOCOL', 'HTTP version'],
  ['SERVER_SOFTWARE', 'this gateway'],
  ['GATEWAY_INTERFACE', 'CGI version'],
  ['REQUEST_SCHEME', 'http or https'],
  ['HTTPS', 'present if encrypted'],
  ['REMOTE_ADDR', 'address of the client'],
  ['REMOTE_PORT', 'port of the client'],
  ['REMOTE_USER', 'who signed in'],
  ['AUTH_TYPE', 'how they signed in'],
  ['wsgi.version', 'WSGI version'],
  ['wsgi.url_scheme', 'http or https'],
  ['wsgi.input', 'body, as a file'],
  ['wsgi.input_terminated', 'reads end with the body'],
  ['wsgi.errors', 'log, as a file'],
  ['wsgi.multithread', 'several threads at once'],
  ['wsgi.multiprocess', 'several processes at once'],
  ['wsgi.run_once', 'called only once'],
  ['wsgi.file_wrapper', 'sends files'],
])
const KEY_ORDER: readonly string[] = [...KEY_NOTES.keys()]

/** What the page says of each group: its title, what is in it, and that nothing is. */
export const GROUPS: Readonly<Record<GroupName, { title: string; about: string; none: string }>> = {
  cgi: {
    title: 'CGI',
    about: 'The request line, the server and the client.',
    none: 'No CGI variables.',
  },
  http: {
    title: 'HTTP',
    about: 'The header fields: Accept-Language becomes HTTP_ACCEPT_LANGUAGE.',
    none: 'No header fields.',
  },
  wsgi: {
    title: 'wsgi',
    about: 'What WSGI adds, as Python prints it.',
    none: 'No wsgi keys.',
  },
}

/** The entries by group, each group in the order of {@link KEY_NOTES}; other keys follow, sorted. */
export function groupEnviron(environ: EnvironRecord): Record<GroupName, Entry[]> {
  const groups: Record<GroupName, Entry[]> = { cgi: [], http: [], wsgi: [] }
  for (const entry of Object.entries(environ)) groups[groupOf(entry[0])].push(entry)
  for (const entries of Object.values(groups)) entries.sort(compareEntries)
  return groups
}

function groupOf(key: string): GroupName {
  // Before the dot: a field name may hold one ("x.y"), and must not pass for a gateway's key.
  if (key.startsWith('HTTP_')) return 'http'
  return key.includes('.') ? 'wsgi' : 'cgi'
}

function compareEntries([a]: Entry, [b]: Entry): number {
  if (KEY_NOTES.has(a) && KEY_NOTES.has(b)) return KEY_ORDER.indexOf(a) - KEY_ORDER.indexOf(b)
  if (KEY_NOTES.has(a) !== KEY_NOTES.has(b)) return KEY_NOTES.has(a) ? -1 : 1
  return a < b ? -1 : 1
}
