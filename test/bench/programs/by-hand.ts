/**
 * The same work as the core's and the codec's, written in the shortest way and without any rule: no
 * check, no decoding of anything unusual, no limit. What ours costs above it is what the rules cost.
 *
 * Like the core, it uses what every runtime has, and so no Buffer.
 *
 * @module
 */
type Pair = readonly [string, string]

const latin1 = new TextDecoder('latin1')

/** A Fetch `Request` → packet. */
export function packRequest(request: Request): Uint8Array {
  return packHead(request.method, new URL(request.url), request.headers)
}

/** Method, URL and header lines → packet. */
export function packHead(method: string, url: URL, headers: Iterable<Pair>): Uint8Array {
  const vars: Pair[] = []
  for (const [name, value] of headers) {
    vars.push([`HTTP_${name.toUpperCase().replaceAll('-', '_')}`, value])
  }
  vars.push(
    ['QUERY_STRING', url.search.slice(1)],
    ['REQUEST_METHOD', method],
    ['REQUEST_URI', url.pathname + url.search],
    ['SCRIPT_NAME', ''],
    ['PATH_INFO', decodeURIComponent(url.pathname)],
    ['SERVER_PROTOCOL', 'HTTP/1.1'],
    ['REQUEST_SCHEME', 'http'],
    ['SERVER_NAME', url.hostname],
    ['SERVER_PORT', url.port || '80'],
    ['REMOTE_ADDR', '192.0.2.7'],
    ['REMOTE_PORT', '54321']
  )
  return pack(vars)
}

/** Variables → packet. */
export function pack(vars: readonly Pair[]): Uint8Array {
  let size = 0
  for (const [name, value] of vars) size += 4 + name.length + value.length
  const packet = new Uint8Array(4 + size)
  packet[1] = size & 0xff
  packet[2] = size >> 8
  let offset = 4
  for (const pair of vars) {
    for (const text of pair) {
      packet[offset++] = text.length & 0xff
      packet[offset++] = text.length >> 8
      offset = writeText(packet, offset, text)
    }
  }
  return packet
}

/** Packet → variables. */
export function unpack(packet: Uint8Array): Pair[] {
  const vars: Pair[] = []
  let offset = 4
  function take(): string {
    const start = offset + 2
    offset = start + ((packet[offset] ?? 0) | ((packet[offset + 1] ?? 0) << 8))
    return latin1.decode(packet.subarray(start, offset))
  }
  while (offset < packet.length) vars.push([take(), take()])
  return vars
}

/** Bytes of a response → status, header lines, where the body begins. */
export function parseHead(bytes: Uint8Array): { status: number; headers: Pair[]; body: number } {
  let end = 0
  while (bytes[end] !== 13 || bytes[end + 1] !== 10 || bytes[end + 2] !== 13) end++
  const [first = '', ...lines] = latin1.decode(bytes.subarray(0, end)).split('\r\n')
  const headers = lines.map((line): Pair => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 2)]
  })
  return { status: Number(first.slice(9, 12)), headers, body: end + 4 }
}

/** Writes ASCII. @returns the offset behind it. */
export function writeText(target: Uint8Array, offset: number, text: string): number {
  for (let i = 0; i < text.length; i++) target[offset + i] = text.charCodeAt(i)
  return offset + text.length
}
