/**
 * A request head and its body → what goes over the wire: a uwsgi packet and exactly framed bytes.
 *
 * @module
 */
import { encodePacket } from '../codec/uwsgi.ts'
import { type BodySource, bytesSource, collectRequest, exactly } from '../core/body-source.ts'
import { GatewayError } from '../core/errors.ts'
import type { RequestHead } from '../core/request-head.ts'
import { wantsTunnel, WEBSOCKET } from '../core/tunnel.ts'
import { type CgiVars, cgiVars, type Variable } from '../core/vars.ts'
import type { ResolvedBridgeOptions } from './bridge-options.ts'
import { inTime } from './deadline.ts'
import type { ExchangeRequest } from './exchange.ts'

/** Variables no packet carries: the line ends of PEM cannot stand in one. */
const NOT_ON_THE_WIRE = new Set(['SSL_CLIENT_CERT'])

/**
 * Builds the request for the backend. A body of unknown length is held in memory first to learn it.
 *
 * @param body The client's bytes, unless there are none.
 * @throws {GatewayError} when the request cannot be forwarded.
 */
export async function toExchangeRequest(
  head: RequestHead,
  body: BodySource | undefined,
  options: ResolvedBridgeOptions
): Promise<ExchangeRequest> {
  const upgrade = wantsTunnel(head) ? WEBSOCKET : undefined
  const built = cgiVars(head, options.environ)
  const { framing } = built
  let source: BodySource | undefined
  if (body !== undefined && framing.type !== 'none') {
    const timed = inTime(body, options.clientBodyTimeout, () => clientTimeout(options))
    if (framing.type === 'known') source = exactly(timed, framing.length)
    else {
      const { maxBodyBytes, maxBufferedBodyBytes } = options.environ
      const bytes = await collectRequest(timed, Math.min(maxBodyBytes, maxBufferedBodyBytes))
      built.vars.push(['CONTENT_LENGTH', String(bytes.length)])
      source = bytesSource(bytes)
    }
  }
  return { method: head.method, packet: encodeRequest(built, options), body: source, upgrade }
}

function clientTimeout({ clientBodyTimeout }: ResolvedBridgeOptions): GatewayError {
  return new GatewayError(
    'ERR_CLIENT_TIMEOUT',
    `The client sent no body for ${clientBodyTimeout} ms`
  )
}

/** Encodes the uwsgi dialect of the CGI variables. */
function encodeRequest({ vars, scheme }: CgiVars, options: ResolvedBridgeOptions): Uint8Array {
  const replaced = new Set(options.params.map(([name]) => name))
  const ours: Variable[] = []
  for (const variable of vars) {
    const [name, value] = variable
    if (NOT_ON_THE_WIRE.has(name) || replaced.has(name)) continue
    // uWSGI echoes it into its status line, and a client need not understand HTTP/2.0 there (UW-7).
    const echoed = name === 'SERVER_PROTOCOL' && value !== 'HTTP/1.0'
    ours.push(echoed ? [name, 'HTTP/1.1'] : variable)
  }
  const params = options.params.filter(([name, value]) => value !== '' || !name.startsWith('HTTP_'))
  // Of all that uWSGI reads the scheme from, the last variable wins, and it must be ours (UW-6).
  if (!replaced.has('UWSGI_SCHEME')) params.push(['UWSGI_SCHEME', scheme])
  const { modifier1, modifier2, maxVars, maxVarsBytes } = options
  return encodePacket(ours, { modifier1, modifier2, maxVars, maxDatasize: maxVarsBytes, params })
}
