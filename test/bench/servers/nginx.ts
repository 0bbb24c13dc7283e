/**
 * nginx as a peer, set up to do well: one worker, because `edge-wsgi serve` is one process too, no
 * access log, and client connections that are never closed for the number of their requests.
 *
 * @module
 */
import { nginxParams, startNginxWith } from '../../backend/nginx.ts'
import type { Gateway } from '../harness/load.ts'

const KEEPALIVE = 'keepalive_requests 100000000; keepalive_timeout 75;'

/** nginx in front of a uwsgi socket, `unix:/PATH` or `uwsgi://HOST:PORT`. */
export function startUwsgiPass(upstream: string, directives = ''): Promise<Gateway> {
  return startPassing(`${nginxParams('uwsgi')} uwsgi_pass ${upstream}; ${directives}`)
}

/** nginx in front of a FastCGI socket, `HOST:PORT`. */
export function startFastcgiPass(upstream: string): Promise<Gateway> {
  return startPassing(`${nginxParams('fastcgi')} fastcgi_pass ${upstream};`)
}

/** nginx in front of an HTTP server, with a connection a request, as nginx does unless told otherwise. */
export function startProxyPass(origin: string): Promise<Gateway> {
  return startPassing(`proxy_pass ${origin};`)
}

/** nginx in front of an HTTP server with the connections to it kept. */
export function startPooledProxyPass(origin: string): Promise<Gateway> {
  return startPassing(
    'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";',
    `upstream backend { server ${new URL(origin).host}; keepalive 64; }`
  )
}

async function startPassing(location: string, http = ''): Promise<Gateway> {
  const { origin, pid, stop } = await startNginxWith({
    http: `${KEEPALIVE} ${http}`,
    server: `location / { ${location} }`,
  })
  return { origin, pids: [pid], stop }
}
