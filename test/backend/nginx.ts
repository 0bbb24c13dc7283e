/**
 * Starts nginx in front of a uwsgi socket: the gateway that the bridge is measured against, and the
 * client of the responder.
 *
 * @module
 */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { makeDirectory, type Server, startServer } from './process.ts'
import { requireProgram } from './programs.ts'

const ATTEMPTS = 5

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
export interface NginxServer extends Server {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
  readonly port: number
}

/** Starts nginx and waits until it accepts connections. */
export async function startNginx(options: NginxOptions): Promise<NginxServer> {
  const command = requireProgram('nginx')
  for (let attempt = 1; ; attempt++) {
    const directory = await makeDirectory()
    const port = await freePort()
    const file = join(directory, 'nginx.conf')
    await writeFile(file, configuration(options, directory, port))
    try {
      const { log, stop } = await startServer({
        command,
        args: ['-p', directory, '-c', file, '-e', 'stderr'],
        directory,
        stopSignal: 'SIGTERM',
        probe: (text) => isServing(text, port),
      })
      return { origin: `http://127.0.0.1:${port}`, port, log, stop }
    } catch (error) {
      // nginx cannot choose a port itself, and another process may have taken the free one.
      if (attempt === ATTEMPTS || !String(error).includes('Address already in use')) {
        throw error
      }
    }
  }
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

async function isServing(log: string, port: number): Promise<true | undefined> {
  // The log first: whoever else may listen on the port must not be taken for this nginx.
  if (!log.includes('start worker process ')) {
    return undefined
  }
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return undefined // Not yet: the caller asks again until its deadline.
  } finally {
    socket.destroy()
  }
}
