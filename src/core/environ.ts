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
  NOTHING,
  streamSource,
} from './body-source.ts'
import {
  type EnvironOptions,
  type ResolvedEnvironOptions,
  resolveEnvironOptions,
} from './environ-options.ts'
import { WsgiInput } from './input.ts'
import { type RequestHead, requestHead, type RequestMeta } from './request-head.ts'
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
  const headerEncoding = options.headerEncoding ?? meta.headerEncoding
  const resolved = resolveEnvironOptions({ ...options, headerEncoding })
  const head = requestHead(request, meta)
  const body = request.body === null ? undefined : streamSource(request.body)
  return await buildEnviron(head, body, resolved)
}

/** {@link toEnviron} below Fetch, with options checked once. */
export async function buildEnviron(
  head: RequestHead,
  body: BodySource | undefined,
  options: ResolvedEnvironOptions
): Promise<Environ> {
  const built = cgiVars(head, options)
  const vars = [...built.vars, ['SERVER_SOFTWARE', SERVER_SOFTWARE] as const]
  if (head.rawTarget !== undefined) vars.push(['RAW_URI', head.rawTarget])
  let input = inputSource(body, built, options)
  if (built.framing.type === 'unknown' && options.unknownLength === 'buffer') {
    const bytes = await collectRequest(input, options.maxBufferedBodyBytes)
    vars.push(['CONTENT_LENGTH', String(bytes.length)])
    input = bytesSource(bytes)
  }
  return { ...Object.fromEntries(vars), ...wsgiKeys(built.scheme, input) } as Environ
}

function inputSource(
  body: BodySource | undefined,
  { framing }: CgiVars,
  { maxBodyBytes }: ResolvedEnvironOptions
): BodySource {
  if (framing.type === 'none' || body === undefined) return bytesSource(NOTHING)
  return framing.type === 'known' ? exactly(body, framing.length) : atMost(body, maxBodyBytes)
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
