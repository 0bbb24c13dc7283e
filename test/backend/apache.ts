/**
 * Starts Apache with mod_proxy_uwsgi in front of a uwsgi socket.
 *
 * @module
 */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type FrontServer, startFront } from './front.ts'
import { type ApacheProgram, findApache } from './programs.ts'

/** `unixd` is in Debian's binary already. */
const MODULES = ['mpm_event', 'unixd', 'authz_core', 'env', 'proxy', 'proxy_uwsgi']

/** How Apache is started. */
export interface ApacheOptions {
  /** What `ProxyPass` names: `uwsgi://HOST:PORT`. */
  upstream: string
  /**
   * The path that `ProxyPass` names.
   *
   * @default '/'
   */
  path?: string
  /** More directives. */
  extra?: string
}

/** Starts Apache as small as it goes. */
export async function startApache(options: ApacheOptions): Promise<FrontServer> {
  const { upstream, path = '/', extra = '' } = options
  return await startApacheWith(`StartServers 1
ServerLimit 2
ThreadsPerChild 64
MaxRequestWorkers 128
MinSpareThreads 8
${extra}
ProxyPass ${path} ${upstream}/`)
}

/** Starts Apache with these directives and waits until it accepts connections. */
export async function startApacheWith(directives: string): Promise<FrontServer> {
  const program = findApache()
  if (program === undefined) throw new Error('Cannot find Apache: run node test/backend/install.ts')
  return await startFront(async (port, directory) => {
    const file = join(directory, 'httpd.conf')
    await writeFile(file, configuration(directives, program, directory, port))
    return {
      command: program.command,
      args: ['-d', directory, '-f', file, '-DFOREGROUND'],
      stopSignal: 'SIGTERM',
      ready: /resuming normal operations/,
    }
  })
}

function configuration(
  directives: string,
  { modules }: ApacheProgram,
  directory: string,
  port: number
): string {
  const load = MODULES.map((name) => [name, join(modules, `mod_${name}.so`)] as const)
    .filter(([, file]) => existsSync(file))
    .map(([name, file]) => `LoadModule ${name}_module ${file}`)
    .join('\n')
  // Workers may not be root; by number, since distributions disagree on the name of nobody.
  const user = process.getuid?.() === 0 ? 'User #65534\nGroup #65534' : ''
  return `${load}
${user}
ServerName localhost
Listen 127.0.0.1:${port}
DefaultRuntimeDir ${directory}
PidFile ${join(directory, 'httpd.pid')}
# Standard error may be a socket, which cannot be opened by its name.
ErrorLog "|/bin/cat"
LogLevel notice
${directives}
`
}
