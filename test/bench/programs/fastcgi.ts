/**
 * The least of FastCGI that a request takes, for the comparison with uwsgi: nothing of the package
 * speaks it.
 *
 * ```
 * record   version 1 | type | request id (u16be) | content length (u16be) | padding length | reserved
 * request  BEGIN_REQUEST (role u16be, flags, 5 reserved), PARAMS …, empty PARAMS, empty STDIN
 * params   name length | value length | name | value, a length in one byte to 127, else in four
 * ```
 *
 * @see https://fastcgi-archives.github.io/FastCGI_Specification.html §3.3, §3.4
 * @module
 */
import { writeText } from './by-hand.ts'

type Pair = readonly [string, string]

const BEGIN_REQUEST = 1
const PARAMS = 4
const STDIN = 5
const HEADER_SIZE = 8
const RESPONDER = 1
const LONG = 0x80

const latin1 = new TextDecoder('latin1')

/** Variables → the records of a request without a body; the parameters must fit in one record. */
export function encodeRequest(vars: readonly Pair[]): Uint8Array {
  let size = 0
  for (const [name, value] of vars) {
    size += lengthSize(name) + lengthSize(value) + name.length + value.length
  }
  const bytes = new Uint8Array(5 * HEADER_SIZE + size)
  let offset = writeRecordHeader(bytes, 0, BEGIN_REQUEST, 8)
  bytes[offset + 1] = RESPONDER
  offset = writeRecordHeader(bytes, offset + 8, PARAMS, size)
  for (const [name, value] of vars) {
    offset = writeLength(bytes, offset, name.length)
    offset = writeLength(bytes, offset, value.length)
    offset = writeText(bytes, writeText(bytes, offset, name), value)
  }
  offset = writeRecordHeader(bytes, offset, PARAMS, 0)
  writeRecordHeader(bytes, offset, STDIN, 0)
  return bytes
}

/** Records → variables. */
export function decodeRequest(bytes: Uint8Array): Pair[] {
  const vars: Pair[] = []
  for (let offset = 0; offset < bytes.length;) {
    const type = bytes[offset + 1]
    const size = ((bytes[offset + 4] ?? 0) << 8) | (bytes[offset + 5] ?? 0)
    const start = offset + HEADER_SIZE
    offset = start + size + (bytes[offset + 6] ?? 0)
    if (type === PARAMS) decodeParams(bytes.subarray(start, start + size), vars)
  }
  return vars
}

function decodeParams(block: Uint8Array, vars: Pair[]): void {
  let offset = 0
  function takeLength(): number {
    const first = block[offset++] ?? 0
    if (first < LONG) return first
    const rest = block.subarray(offset, (offset += 3))
    return ((first & 0x7f) << 24) | ((rest[0] ?? 0) << 16) | ((rest[1] ?? 0) << 8) | (rest[2] ?? 0)
  }
  while (offset < block.length) {
    const nameLength = takeLength()
    const valueLength = takeLength()
    const middle = offset + nameLength
    const end = middle + valueLength
    vars.push([
      latin1.decode(block.subarray(offset, middle)),
      latin1.decode(block.subarray(middle, end)),
    ])
    offset = end
  }
}

function writeRecordHeader(
  bytes: Uint8Array,
  offset: number,
  type: number,
  length: number
): number {
  bytes[offset] = 1
  bytes[offset + 1] = type
  bytes[offset + 3] = 1 // The request id; one request a connection needs no other.
  bytes[offset + 4] = length >> 8
  bytes[offset + 5] = length & 0xff
  return offset + HEADER_SIZE
}

function lengthSize(text: string): number {
  return text.length < LONG ? 1 : 4
}

function writeLength(bytes: Uint8Array, offset: number, length: number): number {
  if (length < LONG) {
    bytes[offset] = length
    return offset + 1
  }
  bytes[offset] = (length >> 24) | LONG
  bytes[offset + 1] = (length >> 16) & 0xff
  bytes[offset + 2] = (length >> 8) & 0xff
  bytes[offset + 3] = length & 0xff
  return offset + 4
}
