/**
 * Starts uWSGI with the Python applications of this folder.
 *
 * @module
 */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { answers, type Identity, PING } from './probe.ts'
import { makeDirectory, type Server, startServer } from './process.ts'
import { BACKEND, VENV, venvProgram } from './programs.ts'

const MOUNTS = ['django', 'flask', 'bottle'] as const

/** How uWSGI is started. */
export interface UwsgiOptions {
  /** @default 'tcp' */
  socket?: 'tcp' | 'unix'
  /** Makes the socket a suwsgi one. */
  tls?: UwsgiTls
  /** @default 4, or 1 unless `app` is 'all' */
  processes?: number
  /** Threads of a process. @default 2 */
  threads?: number
  /**
   * 'all' is `environ_app.py` at the root and the frameworks at /django, /flask and /bottle;
   * 'environ' is the former alone; anything else is the path of a Python file at the root.
   *
   * @default 'all'
   */
  app?: string
  /** uWSGI's `--buffer-size`, in bytes. @default uWSGI's own, 4096 */
  bufferSize?: number
  /** More command line options. */
  args?: string[]
  /** Added to the environment; `VALIDATE: '1'` wraps every application in wsgiref.validate. */
  env?: Record<string, string>
  /** @default a free one */
  port?: number
  /**
   * SIGTERM reloads by force, as it does without `--die-on-term`.
   *
   * @default false
   */
  termReloads?: boolean
}

/** Paths of PEM files. */
export interface UwsgiTls {
  cert: string
  key: string
  /** Clients must show a certificate that `ca` signed, such as this one, with which we probe. */
  client?: { ca: string; cert: string; key: string }
}

/** A running uWSGI. */
export interface UwsgiServer extends Server {
  /** `uwsgi://127.0.0.1:PORT`, `suwsgi://127.0.0.1:PORT` or `unix:/PATH`. */
  readonly address: string
  /** Process id of the master. */
  readonly pid: number
}

/** Starts uWSGI and waits until a worker answers its ping. */
export async function startUwsgi(options: UwsgiOptions = {}): Promise<UwsgiServer> {
  const directory = await makeDirectory()
  const state = join(directory, 'state')
  await mkdir(state)
  const unixPath = options.socket === 'unix' ? join(directory, 'uwsgi.sock') : undefined
  const scheme = options.tls === undefined ? 'uwsgi' : 'suwsgi'
  const identity = await readIdentity(options.tls?.client)

  async function probe(log: string): Promise<string | undefined> {
    // uWSGI chooses and logs the port: there is no gap in which another process could take it.
    const port = /uwsgi socket 0 bound to TCP address 127\.0\.0\.1:(\d+)/.exec(log)?.[1]
    if (unixPath === undefined && port === undefined) {
      return undefined
    }
    const address = unixPath === undefined ? `${scheme}://127.0.0.1:${port}` : `unix:${unixPath}`
    return (await answers(address, PING, identity)) ? address : undefined
  }

  const { pid, log, stop, found } = await startServer({
    command: venvProgram('uwsgi'),
    args: [
      ...socketArgs(options, unixPath ?? `127.0.0.1:${options.port ?? 0}`),
      ...processArgs(options),
      ...appArgs(options.app ?? 'all'),
      ...(options.args ?? []),
    ],
    env: { STATE_DIR: state, ...options.env },
    directory,
    stopSignal: options.termReloads === true ? 'SIGINT' : 'SIGTERM',
    probe,
  })
  return { address: found, pid, log, stop }
}

async function readIdentity(client: UwsgiTls['client']): Promise<Identity | undefined> {
  if (client === undefined) {
    return undefined
  }
  const [cert, key] = await Promise.all([
    readFile(client.cert, 'utf8'),
    readFile(client.key, 'utf8'),
  ])
  return { cert, key }
}

function socketArgs({ tls, bufferSize }: UwsgiOptions, bind: string): string[] {
  const size = bufferSize === undefined ? [] : ['--buffer-size', String(bufferSize)]
  if (tls === undefined) {
    return ['--socket', bind, ...size]
  }
  // address,certificate,key,ciphers,authority: `!` demands a certificate that the authority signed.
  const client = tls.client === undefined ? '' : `,HIGH,!${tls.client.ca}`
  return ['--suwsgi-socket', `${bind},${tls.cert},${tls.key}${client}`, ...size]
}

function processArgs(options: UwsgiOptions): string[] {
  const { processes, threads = 2, app = 'all', termReloads = false } = options
  return [
    '--master',
    ...(termReloads ? [] : ['--die-on-term']),
    '--need-app',
    '--disable-logging',
    '--enable-threads',
    `--processes=${processes ?? (app === 'all' ? 4 : 1)}`,
    `--threads=${threads}`,
  ]
}

function appArgs(app: string): string[] {
  // One interpreter: C extensions do not all load into the sub-interpreters that uWSGI would make.
  const python = ['--virtualenv', VENV, '--pythonpath', BACKEND, '--single-interpreter']
  if (app !== 'all') {
    return [...python, '--wsgi-file', app === 'environ' ? join(BACKEND, 'environ_app.py') : app]
  }
  const mounts = MOUNTS.flatMap((name) => ['--mount', `/${name}=${name}_app:application`])
  return [...python, '--manage-script-name', ...mounts, '--module', 'environ_app:application']
}
