/**
 * Starts nginx in front of a uwsgi socket: the gateway that the bridge is measured against, and the
 * client of the responder.
 *
 * @module
 */
import { writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { type FrontServer, startFront } from './front.ts'
import { requireProgram } from './programs.ts'

/** The table that uwsgi_params and fastcgi_params share, in the order in which nginx ships it. */
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

/** How nginx is started. */
export interface NginxOptions {
  /** What `uwsgi_pass` names: `uwsgi://HOST:PORT`, `suwsgi://HOST:PORT` or `unix:/PATH`. */
  upstream: string
  /** @default 'localhost' */
  serverName?: string
  /** More directives for the `server` block; those of uwsgi reach `location /` from there. */
  extra?: string
}

/** What nginx is told. */
export interface NginxDirectives {
  /** Directives of the `server` block. */
  readonly server: string
  /** Directives of the `http` block. */
  readonly http?: string
}

/** A running nginx. */
export type NginxServer = FrontServer

/** Starts nginx as everybody has it who uses uWSGI. */
export async function startNginx(options: NginxOptions): Promise<NginxServer> {
  const { upstream, serverName = 'localhost', extra = '' } = options
  return await startNginxWith({
    server: `server_name ${serverName};
      ${nginxParams('uwsgi')}
      ${extra}
      location / { uwsgi_pass ${upstream}; }`,
  })
}

/** The directives that hand the variables of a request to an application. */
export function nginxParams(module: 'uwsgi' | 'fastcgi'): string {
  return VARIABLES.map(([name, value]) => `${module}_param ${name} ${value};`).join(' ')
}

/** Starts nginx with one worker and waits until it accepts connections. */
export async function startNginxWith(directives: NginxDirectives): Promise<NginxServer> {
  const command = requireProgram('nginx')
  return await startFront(async (port, directory) => {
    const file = join(directory, 'nginx.conf')
    await writeFile(file, configuration(directives, directory, port))
    return {
      command,
      args: ['-p', directory, '-c', file, '-e', 'stderr'],
      stopSignal: 'SIGTERM',
      ready: /start worker process /,
    }
  })
}

function configuration(
  { server, http = '' }: NginxDirectives,
  directory: string,
  port: number
): string {
  // Workers of root would become `nobody`, who may not enter the folder of a Unix socket.
  const user = process.getuid?.() === 0 ? `user ${userInfo().username};` : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${join(directory, name)};`)
    .join('\n')
  return `daemon off;
${user}
worker_processes 1;
pid ${join(directory, 'nginx.pid')};
error_log stderr notice;
events { worker_connections 8192; }
http {
  access_log off;
  client_max_body_size 0;
${temporary}
  ${http}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    ${server}
  }
}
`
}
