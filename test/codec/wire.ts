/**
 * The wire vectors of `test/vectors/wire`, and the ways in which a connection can cut bytes up.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'

/** One section of a vector file. */
export interface WireVector<Meaning> {
  readonly title: string
  readonly bytes: Uint8Array
  readonly meaning: Meaning
}

const DIRECTORY = join(import.meta.dirname, '..', 'vectors', 'wire')
const SECTION = /^## (.+)\n[\s\S]*?^```wire\n([\s\S]*?)^```\n\n^```json\n([\s\S]*?)^```$/gm
const ESCAPE = /\\(?:x([0-9a-f]{2})|([rnt\\]))|\n/g
const NAMED: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', '\\': '\\' }

/** Reads the sections of a vector file; their form is told at the top of each. */
export function readWireVectors<Meaning>(name: string): WireVector<Meaning>[] {
  const file = readFileSync(join(DIRECTORY, name), 'utf8')
  const vectors = Array.from(file.matchAll(SECTION), ([, title = '', wire = '', json = '']) => ({
    title,
    bytes: octets(unescape(wire)),
    meaning: JSON.parse(json) as Meaning,
  }))
  // A section that the pattern passes over would be a test that never runs.
  const sections = file.match(/^## /gm)?.length
  if (vectors.length !== sections) throw new Error(`${name}: ${vectors.length} of ${sections} read`)
  return vectors
}

function unescape(wire: string): string {
  return wire.replace(ESCAPE, (_, hex?: string, named?: string) =>
    hex === undefined ? (NAMED[named ?? ''] ?? '') : String.fromCharCode(Number.parseInt(hex, 16))
  )
}

/** One byte a character, independent of the code under test. */
export function octets(native: string): Uint8Array {
  return Uint8Array.from(native, (unit) => {
    const code = unit.charCodeAt(0)
    if (code > 0xff) throw new RangeError(`Cannot make one octet of ${unit}`)
    return code
  })
}

/** One character a byte. */
export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

/** All of them, one behind the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}

/** Cuts at these offsets, in any order. */
export function cutAt(bytes: Uint8Array, offsets: Iterable<number>): Uint8Array[] {
  const sorted = [...offsets].toSorted((a, b) => a - b)
  return [0, ...sorted].map((start, i) => bytes.subarray(start, sorted[i] ?? bytes.length))
}

/** Every way to cut bytes into two, an empty half included. */
export function everyCut(bytes: Uint8Array): Uint8Array[][] {
  return Array.from({ length: bytes.length + 1 }, (_, offset) => cutAt(bytes, [offset]))
}

/** One byte at a time. */
export function byteByByte(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte))
}

/** Bytes and a way to cut them up. */
export function cutBytes(
  bytes: fc.Arbitrary<Uint8Array>
): fc.Arbitrary<{ bytes: Uint8Array; chunks: Uint8Array[] }> {
  return bytes.chain((whole) =>
    fc
      .array(fc.nat(whole.length), { maxLength: 12 })
      .map((offsets) => ({ bytes: whole, chunks: cutAt(whole, offsets) }))
  )
}
