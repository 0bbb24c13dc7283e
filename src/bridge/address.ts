/**
 * Addresses of backends, as nginx's `uwsgi_pass` and uWSGI's own options spell them.
 *
 * @module
 */

/** Where a backend listens. */
export type Address =
  | {
      readonly type: 'tcp'
      /** Host name or IP literal; IPv6 without brackets. */
      readonly hostname: string
      readonly port: number
      /** Whether TLS is spoken (`suwsgi:`). */
      readonly tls: boolean
    }
  | { readonly type: 'unix'; readonly path: string }

const WANTED = 'wanted "uwsgi://host:port", "suwsgi://host:port" (TLS) or "unix:/path"'
const TCP = /^(s?uwsgi):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})\/?$/

/**
 * Parses the address of a backend. It is configuration and never comes from a request: whoever
 * chooses where a uwsgi packet goes, or reaches a uwsgi port, runs code there (UW-13).
 *
 * @param text `uwsgi://host:port`, `suwsgi://host:port` or `unix:/path`.
 * @throws {TypeError} for anything else.
 */
export function parseAddress(text: string): Address {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    if (path.startsWith('/') && !path.includes('\0')) return { type: 'unix', path }
  }
  const match = TCP.exec(text)
  if (match !== null) {
    const [, scheme, ipv6, name, digits] = match
    const port = Number(digits)
    const isHost = ipv6 === undefined || URL.canParse(`http://[${ipv6}]`)
    if (isHost && port >= 1 && port <= 65_535) {
      return { type: 'tcp', hostname: ipv6 ?? name ?? '', port, tls: scheme === 'suwsgi' }
    }
  }
  throw new TypeError(`Cannot use address ${JSON.stringify(text)}: ${WANTED}`)
}

/** The text form that {@link parseAddress} reads. */
export function formatAddress(address: Address): string {
  if (address.type === 'unix') return `unix:${address.path}`
  const { hostname, port, tls } = address
  return `${tls ? 'suwsgi' : 'uwsgi'}://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`
}
