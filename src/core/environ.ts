/**
 * A Fetch `Request` → a WSGI environ.
 *
 * @see https://peps.python.org/pep-3333/#environ-variables
 * @module
 */
import {
  atMost,
  type BodySource,
  bytesSource,
  collectRequest,
  exactly,
  streamSource,
} from './body-source.ts'
import {
  type EnvironOptions,
  type ResolvedEnvironOptions,
  resolveEnvironOptions,
} from './environ-options.ts'
import { WsgiInput } from './input.ts'
import { requestHead, type RequestMeta } from './request-head.ts'
import { cgiVars, type CgiVars } from './vars.ts'

/** `wsgi.errors`: where an application writes what went wrong. */
export interface WsgiErrors {
  write(text: string): void
  writelines(lines: Iterable<string>): void
  flush(): void
}

/**
 * The environ of one request: a plain object, fresh and the application's to change.
 *
 * Every key without a dot holds a native string: one code unit an octet.
 */
export interface Environ {
  REQUEST_METHOD: string
  SCRIPT_NAME: string
  PATH_INFO: string
  QUERY_STRING: string
  REQUEST_URI: string
  SERVER_NAME: string
  SERVER_PORT: string
  SERVER_PROTOCOL: string
  'wsgi.version': readonly [1, 0]
  'wsgi.url_scheme': 'http' | 'https'
  'wsgi.input': WsgiInput
  'wsgi.errors': WsgiErrors
  'wsgi.multithread': boolean
  'wsgi.multiprocess': boolean
  'wsgi.run_once': boolean
  'wsgi.input_terminated': true
  [key: string]: unknown
}

/** `SERVER_SOFTWARE` (RFC 3875 §4.1.17). */
const SERVER_SOFTWARE = 'edge-wsgi'

/**
 * Converts a request to its environ.
 *
 * A body of unknown length is held in memory first, unless `unknownLength` says otherwise: frameworks
 * read a body without `CONTENT_LENGTH` as empty.
 *
 * @param request Its body becomes `wsgi.input` and must not be read elsewhere.
 * @param meta What the adapter knows besides.
 * @param options See {@link EnvironOptions}.
 * @throws {GatewayError} when the request is one that no environ may stand for.
 * @throws {TypeError | RangeError} when an option is wrong.
 */
export async function toEnviron(
  request: Request,
  meta: RequestMeta = {},
  options: EnvironOptions = {}
): Promise<Environ> {
  const resolved = resolveEnvironOptions(options)
  const built = cgiVars(requestHead(request, meta), resolved)
  const vars = [...built.vars, ['SERVER_SOFTWARE', SERVER_SOFTWARE] as const]
  if (meta.rawTarget !== undefined) vars.push(['RAW_URI', meta.rawTarget])
  let input = inputSource(request, built, resolved)
  if (built.framing.type === 'unknown' && resolved.unknownLength === 'buffer') {
    const body = await collectRequest(input, resolved.maxBufferedBodyBytes)
    vars.push(['CONTENT_LENGTH', String(body.length)])
    input = bytesSource(body)
  }
  return { ...Object.fromEntries(vars), ...wsgiKeys(built.scheme, input) } as Environ
}

function inputSource(
  request: Request,
  { framing }: CgiVars,
  { maxBodyBytes }: ResolvedEnvironOptions
): BodySource {
  if (framing.type === 'none' || request.body === null) return bytesSource(new Uint8Array())
  const source = streamSource(request.body)
  return framing.type === 'known' ? exactly(source, framing.length) : atMost(source, maxBodyBytes)
}

function wsgiKeys(scheme: 'http' | 'https', input: BodySource): Partial<Environ> {
  return {
    'wsgi.version': [1, 0],
    'wsgi.url_scheme': scheme,
    'wsgi.input': new WsgiInput(input),
    'wsgi.errors': consoleErrors(),
    'wsgi.multithread': false,
    // Another isolate may run the same application at the same time.
    'wsgi.multiprocess': true,
    'wsgi.run_once': false,
    'wsgi.input_terminated': true,
  }
}

function consoleErrors(): WsgiErrors {
  let line = ''
  function flush(): void {
    if (line !== '') console.error(line)
    line = ''
  }
  return {
    write(text) {
      line += text
      if (!line.endsWith('\n')) return
      line = line.slice(0, -1)
      flush()
    },
    writelines(lines) {
      for (const text of lines) this.write(text)
    },
    flush,
  }
}
