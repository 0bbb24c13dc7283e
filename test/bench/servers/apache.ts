/**
 * Apache with mod_proxy_uwsgi as a peer: the event MPM, where either process has a thread for each
 * connection of the largest load from the start. No round then pays for starting processes, and none
 * sees connections closed because the threads of one process are all busy.
 *
 * @module
 */
import { startApacheWith } from '../../backend/apache.ts'
import type { Gateway } from '../harness/load.ts'

/** Starts Apache in front of a uwsgi socket, `unix:/PATH` or `uwsgi://HOST:PORT`. */
export async function startApache(upstream: string): Promise<Gateway> {
  const address = upstream.startsWith('unix:') ? `${upstream}|uwsgi://localhost` : upstream
  const { origin, pid, stop } = await startApacheWith(`ListenBacklog 4096
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
ProxyPass / ${address}/`)
  return { origin, pids: [pid], stop }
}
