/**
 * Apache with mod_proxy_uwsgi as a peer: the event MPM, where either process has a thread for each
 * connection of the largest load from the start. No round then pays for starting processes, and none
 * sees connections closed because the threads of one process are all busy.
 *
 * @module
 */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startFront } from '../../backend/front.ts'
import { type ApacheProgram, findApache } from '../../backend/programs.ts'
import type { Gateway } from '../harness/load.ts'

/** `unixd` is in Debian's binary already. */
const MODULES = ['mpm_event', 'unixd', 'authz_core', 'proxy', 'proxy_uwsgi']

/** Starts Apache in front of a uwsgi socket, `unix:/PATH` or `uwsgi://HOST:PORT`. */
export async function startApache(upstream: string): Promise<Gateway> {
  const program = findApache()
  if (program === undefined) throw new Error('Apache with mod_proxy_uwsgi is missing')
  const { origin, pid, stop } = await startFront(async (port, directory) => {
    const file = join(directory, 'httpd.conf')
    await writeFile(file, configuration(upstream, program, directory, port))
    return {
      command: program.command,
      args: ['-d', directory, '-f', file, '-DFOREGROUND'],
      stopSignal: 'SIGTERM',
      ready: /resuming normal operations/,
    }
  })
  return { origin, pids: [pid], stop }
}

function configuration(
  upstream: string,
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
  const address = upstream.startsWith('unix:') ? `${upstream}|uwsgi://localhost` : upstream
  return `${load}
${user}
ServerName localhost
Listen 127.0.0.1:${port}
ListenBacklog 4096
DefaultRuntimeDir ${directory}
PidFile ${join(directory, 'httpd.pid')}
# Standard error may be a socket, which cannot be opened by its name.
ErrorLog "|/bin/cat"
LogLevel notice
StartServers 2
ServerLimit 2
ThreadLimit 256
ThreadsPerChild 256
MaxRequestWorkers 512
MinSpareThreads 64
MaxSpareThreads 512
KeepAlive On
KeepAliveTimeout 75
MaxKeepAliveRequests 0
ProxyPass / ${address}/
`
}
