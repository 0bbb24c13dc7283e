/**
 * Backends in text form, as a variable or a flag holds them.
 *
 * @module
 */
import { UpstreamServer, type UpstreamServerOptions } from '../bridge/upstream-server.ts'

const WANTED =
  'wanted ADDRESS, then any of weight=N, backup, down, max_conns=N, max_fails=N, fail_timeout=MS'

/** nginx's numeric parameters and the options they are. */
const NUMBERS: ReadonlyMap<string, 'weight' | 'maxConns' | 'maxFails' | 'failTimeout'> = new Map([
  ['weight', 'weight'],
  ['max_conns', 'maxConns'],
  ['max_fails', 'maxFails'],
  ['fail_timeout', 'failTimeout'],
])

/** What a bridge says of all its backends is not known here, and right. */
const ANY_DEFAULTS = { maxConns: Infinity, maxFails: 0, failTimeout: Infinity }

/**
 * Reads backends: separated by commas or line ends, each an address with the parameters of nginx's
 * `server` directive, such as `uwsgi://10.0.1.50:3031 weight=2, unix:/run/app.sock backup`.
 *
 * @throws {TypeError | RangeError} naming what is wrong.
 */
export function readUpstream(text: string): UpstreamServerOptions[] {
  const servers = text.split(/[,\n]/).filter((item) => item.trim() !== '')
  if (servers.length === 0) throw new TypeError('Cannot use no upstream: wanted an address')
  return servers.map(readServer)
}

function readServer(text: string): UpstreamServerOptions {
  const [address = '', ...parameters] = text.trim().split(/\s+/)
  const server: UpstreamServerOptions = { address }
  for (const parameter of parameters) {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/.exec(parameter) ?? []
    const option = NUMBERS.get(name)
    if (value === undefined && (name === 'backup' || name === 'down')) server[name] = true
    else if (option !== undefined && value !== undefined && /^[0-9]{1,9}$/.test(value)) {
      server[option] = Number(value)
    } else {
      throw new TypeError(`Cannot read ${JSON.stringify(parameter)} of ${address}: ${WANTED}`)
    }
  }
  // Checks the address, and a weight of 0 and the like, while it is known where that was written.
  void new UpstreamServer(server, ANY_DEFAULTS)
  return server
}
