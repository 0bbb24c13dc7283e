/**
 * nginx as a peer, set up to do well: one worker, because `edge-wsgi serve` is one process too, no
 * access log, and client connections that are never closed for the number of their requests.
 *
 * @module
 */
import { writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { startFront } from '../../backend/front.ts'
import { findProgram } from '../../backend/programs.ts'
import type { Gateway } from '../harness/load.ts'

/** The table that uwsgi_params and fastcgi_params share, in nginx's order. */
const VARIABLES = [
  ['QUERY_STRING', '$query_string'],
  ['REQUEST_METHOD', '$request_method'],
  ['CONTENT_TYPE', '$content_type'],
  ['CONTENT_LENGTH', '$content_length'],
  ['REQUEST_URI', '$request_uri'],
  ['PATH_INFO', '$document_uri'],
  ['DOCUMENT_ROOT', '$document_root'],
  ['SERVER_PROTOCOL', '$server_protocol'],
  ['REQUEST_SCHEME', '$scheme'],
  ['HTTPS', '$https if_not_empty'],
  ['REMOTE_ADDR', '$remote_addr'],
  ['REMOTE_PORT', '$remote_port'],
  ['SERVER_PORT', '$server_port'],
  ['SERVER_NAME', '$server_name'],
] as const

/** What nginx does with a request. */
export interface NginxOptions {
  /** Directives of `location /`. */
  readonly location: string
  /** Directives of `http`. */
  readonly http?: string
}

/** nginx in front of a uwsgi socket, `unix:/PATH` or `uwsgi://HOST:PORT`. */
export function startUwsgiPass(upstream: string, directives = ''): Promise<Gateway> {
  return startNginx({ location: `${params('uwsgi')}uwsgi_pass ${upstream}; ${directives}` })
}

/** nginx in front of a FastCGI socket, `HOST:PORT`. */
export function startFastcgiPass(upstream: string): Promise<Gateway> {
  return startNginx({ location: `${params('fastcgi')}fastcgi_pass ${upstream};` })
}

/** nginx in front of an HTTP server, with a connection a request, as nginx does unless told otherwise. */
export function startProxyPass(origin: string): Promise<Gateway> {
  return startNginx({ location: `proxy_pass ${origin};` })
}

/** nginx in front of an HTTP server with the connections to it kept. */
export function startPooledProxyPass(origin: string): Promise<Gateway> {
  return startNginx({
    http: `upstream backend { server ${new URL(origin).host}; keepalive 64; }`,
    location: 'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";',
  })
}

/** Starts nginx. */
export async function startNginx(options: NginxOptions): Promise<Gateway> {
  const command = findProgram('nginx')
  if (command === undefined) throw new Error('nginx is missing')
  const { origin, pid, stop } = await startFront(async (port, directory) => {
    const file = join(directory, 'nginx.conf')
    await writeFile(file, configuration(options, directory, port))
    return {
      command,
      args: ['-p', directory, '-c', file, '-e', 'stderr'],
      stopSignal: 'SIGTERM',
      ready: /start worker process /,
    }
  })
  return { origin, pids: [pid], stop }
}

function configuration(
  { location, http = '' }: NginxOptions,
  directory: string,
  port: number
): string {
  // Workers of root would become `nobody`, who may not enter the folder of a unix socket.
  const user = process.getuid?.() === 0 ? `user ${userInfo().username};` : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(directory, name)};`)
    .join(' ')
  return `daemon off;
${user}
worker_processes 1;
pid ${join(directory, 'nginx.pid')};
error_log stderr notice;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 75;
  client_max_body_size 0;
  ${temporary}
  ${http}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { ${location} }
  }
}
`
}

function params(module: 'uwsgi' | 'fastcgi'): string {
  return VARIABLES.map(([name, value]) => `${module}_param ${name} ${value}; `).join('')
}
