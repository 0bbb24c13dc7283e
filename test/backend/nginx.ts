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

// The table that every uWSGI deployment includes, in the order in which nginx ships it.
const UWSGI_PARAMS = `
    uwsgi_param QUERY_STRING $query_string;
    uwsgi_param REQUEST_METHOD $request_method;
    uwsgi_param CONTENT_TYPE $content_type;
    uwsgi_param CONTENT_LENGTH $content_length;
    uwsgi_param REQUEST_URI $request_uri;
    uwsgi_param PATH_INFO $document_uri;
    uwsgi_param DOCUMENT_ROOT $document_root;
    uwsgi_param SERVER_PROTOCOL $server_protocol;
    uwsgi_param REQUEST_SCHEME $scheme;
    uwsgi_param HTTPS $https if_not_empty;
    uwsgi_param REMOTE_ADDR $remote_addr;
    uwsgi_param REMOTE_PORT $remote_port;
    uwsgi_param SERVER_PORT $server_port;
    uwsgi_param SERVER_NAME $server_name;`

/** How nginx is started. */
export interface NginxOptions {
  /** What `uwsgi_pass` names: `uwsgi://HOST:PORT`, `suwsgi://HOST:PORT` or `unix:/PATH`. */
  upstream: string
  /** @default 'localhost' */
  serverName?: string
  /** More directives for the `server` block; those of uwsgi reach `location /` from there. */
  extra?: string
}

/** A running nginx. */
export type NginxServer = FrontServer

/** Starts nginx and waits until it accepts connections. */
export async function startNginx(options: NginxOptions): Promise<NginxServer> {
  const command = requireProgram('nginx')
  return await startFront(async (port, directory) => {
    const file = join(directory, 'nginx.conf')
    await writeFile(file, configuration(options, directory, port))
    return {
      command,
      args: ['-p', directory, '-c', file, '-e', 'stderr'],
      stopSignal: 'SIGTERM',
      ready: /start worker process /,
    }
  })
}

function configuration(options: NginxOptions, directory: string, port: number): string {
  const { upstream, serverName = 'localhost', extra = '' } = options
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
events { worker_connections 512; }
http {
  access_log off;
${temporary}
  server {
    listen 127.0.0.1:${port};
    server_name ${serverName};
    client_max_body_size 0;
${UWSGI_PARAMS}
    ${extra}
    location / { uwsgi_pass ${upstream}; }
  }
}
`
}
