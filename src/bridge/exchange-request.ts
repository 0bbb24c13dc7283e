/**
 * A request head and its body → what goes over the wire: a uwsgi packet and exactly framed bytes.
 *
 * @module
 */
import { encodePacket, type PacketOptions } from '../codec/uwsgi.ts'
import { bodyTooLarge } from '../core/body-framing.ts'
import { atMost, type BodySource, exactly } from '../core/body-source.ts'
import { clientError, GatewayError } from '../core/errors.ts'
import { filtered } from '../core/filtered.ts'
import { percentEncode } from '../core/octets.ts'
import type { RequestHead } from '../core/request-head.ts'
import { addTrace, type TraceIds } from '../core/trace-context.ts'
import { wantsTunnel, WEBSOCKET } from '../core/tunnel.ts'
import { type CgiVars, cgiVars, type Variable } from '../core/vars.ts'
import type { ResolvedBridgeOptions } from './resolve-bridge-options.ts'
import { inTime } from './deadline.ts'
import type { OpenTempFile } from './spool.ts'
import { plainBody, type RequestBody, StoredBody, type StoreLimits } from './stored-body.ts'

/** A request as every attempt to forward it sends it. */
export interface PreparedRequest {
  readonly method: string
  /** An encoded uwsgi packet. */
  readonly packet: Uint8Array
  /** Yields exactly the bytes that the packet's CONTENT_LENGTH announces, or fails. */
  readonly body: RequestBody | undefined
  /** What `ip_hash` and `hash` go by. */
  readonly key: string | undefined
  /** Protocol that the packet asks to switch to; a 101 is an error otherwise. */
  readonly upgrade: string | undefined
  /** Absent without `tracing`. */
  readonly trace: TraceIds | undefined
}

/** How a request is kept. */
export interface Handling {
  /** Whether its body may have to be sent a second time. */
  readonly isRepeatable: boolean
  /** Absent where there are no temporary files. */
  readonly openTempFile?: OpenTempFile | undefined
  readonly allocate?: PacketOptions['allocate']
}

const HTTP_1_1: Variable = ['SERVER_PROTOCOL', 'HTTP/1.1']

/** A request that is sent once, its body in memory where it has to wait. */
const SENT_ONCE: Handling = { isRepeatable: false }

/**
 * Builds the request for the backend. A body of unknown length is read to its end first to learn it.
 *
 * @param body The client's bytes, unless there are none.
 * @returns A promise only while a body is read.
 * @throws {GatewayError} when the request cannot be forwarded.
 */
export function prepareRequest(
  head: RequestHead,
  body: BodySource | undefined,
  options: ResolvedBridgeOptions,
  handling: Handling = SENT_ONCE
): PreparedRequest | Promise<PreparedRequest> {
  const { method } = head
  const upgrade = wantsTunnel(head) ? WEBSOCKET : undefined
  let trace: TraceIds | undefined
  const built = cgiVars(head, options.environ, (fields) => {
    if (options.tracing) trace = addTrace(fields)
  })
  const { framing, vars } = built
  function finish(kept: RequestBody | undefined): PreparedRequest {
    try {
      const packet = encodeRequest(built, options, handling.allocate)
      return { method, packet, body: kept, key: hashKey(vars, options), trace, upgrade }
    } catch (error) {
      kept?.close(error)
      throw error
    }
  }
  if (body === undefined || framing.type === 'none') return finish(undefined)
  const timed = inTime(body, options.clientBodyTimeout, () => clientTimeout(options))
  if (framing.type === 'known')
    return finish(keep(exactly(timed, framing.length), options, handling))
  return measure(timed, options, handling.openTempFile).then((kept) => {
    vars.push(['CONTENT_LENGTH', String(kept.length)])
    return finish(kept)
  })
}

/** A body whose length is known, kept where it may have to be sent again. */
function keep(
  body: BodySource,
  options: ResolvedBridgeOptions,
  { isRepeatable, openTempFile }: Handling
): RequestBody {
  if (!isRepeatable) return plainBody(body)
  // A second attempt is worth no more memory than that.
  const maxBufferedBodyBytes = options.bufferBytes
  return new StoredBody(body, { ...storeLimits(options, openTempFile), maxBufferedBodyBytes })
}

/** Reads a body to its end: into memory alone where there is no file for it. */
async function measure(
  source: BodySource,
  options: ResolvedBridgeOptions,
  openTempFile: OpenTempFile | undefined
): Promise<RequestBody> {
  const { maxBodyBytes, maxBufferedBodyBytes } = options.environ
  const { bufferBytes, maxTempFileBytes } = options
  const most = openTempFile === undefined ? maxBufferedBodyBytes : bufferBytes + maxTempFileBytes
  const bounded = atMost(source, Math.min(maxBodyBytes, most))
  const body = new StoredBody(bounded, storeLimits(options, openTempFile))
  let failure: unknown
  try {
    if (await body.fill()) return body
    // A full disk is no fault of the client's.
    failure = body.fileFailure ?? bodyTooLarge(body.length, most)
  } catch (error) {
    failure = clientError(error)
  }
  body.close(failure)
  throw failure
}

function storeLimits(
  { bufferBytes, maxTempFileBytes, environ }: ResolvedBridgeOptions,
  openTempFile: OpenTempFile | undefined
): StoreLimits {
  const { maxBufferedBodyBytes } = environ
  return { bufferBytes, maxTempFileBytes, maxBufferedBodyBytes, openTempFile }
}

function clientTimeout({ clientBodyTimeout }: ResolvedBridgeOptions): GatewayError {
  return new GatewayError(
    'ERR_CLIENT_TIMEOUT',
    `The client sent no body for ${clientBodyTimeout} ms`
  )
}

/** Of two variables of a name, the later counts, as it does for uWSGI. */
function hashKey(vars: readonly Variable[], options: ResolvedBridgeOptions): string | undefined {
  const { balance, hashVariable } = options
  if (balance !== 'ip_hash' && balance !== 'hash') return undefined
  const name = balance === 'hash' ? hashVariable : 'REMOTE_ADDR'
  return vars.findLast((variable) => variable[0] === name)?.[1]
}

/** Encodes the uwsgi dialect of the CGI variables. */
function encodeRequest(
  { vars, scheme }: CgiVars,
  options: ResolvedBridgeOptions,
  allocate: PacketOptions['allocate']
): Uint8Array {
  const { withheld, modifier1, modifier2, maxVars, maxVarsBytes } = options
  const ours = filtered(vars, ([name]) => !withheld.has(name)).map((variable): Variable => {
    const [name, value] = variable
    // uWSGI echoes it into its status line, and a client need not understand HTTP/2.0 there (UW-7).
    if (name === 'SERVER_PROTOCOL' && value !== 'HTTP/1.0') return HTTP_1_1
    if (name === 'PATH_INFO' && options.backend === 'gunicorn') return [name, percentEncode(value)]
    return variable
  })
  // Of all that uWSGI reads the scheme from, the last variable wins, and it must be ours (UW-6).
  const params = withheld.has('UWSGI_SCHEME')
    ? options.params
    : [...options.params, ['UWSGI_SCHEME', scheme] as const]
  const maxDatasize = maxVarsBytes
  return encodePacket(ours, { modifier1, modifier2, maxVars, maxDatasize, params, allocate })
}
