import { describe, expect, test } from 'vitest'
import { ChunkedDecoder } from '../../src/codec/chunked.ts'
import { ResponseDecoder } from '../../src/codec/response-decoder.ts'
import { parseResponseHead } from '../../src/codec/response-head.ts'
import { encodePacket, PacketDecoder } from '../../src/codec/uwsgi.ts'
import { byteByByte, cutAt, joined, octets } from './wire.ts'
import { countWork } from './work.ts'

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`
/** The larger input is so many times the smaller, and may be hardly more times the work. */
const FACTOR = 4
const MOST = 4.5

/** How an input is cut up. */
const CUTS: readonly (readonly [what: string, cut: (bytes: Uint8Array) => Uint8Array[]])[] = [
  ['whole', (bytes) => [bytes]],
  ['byte by byte', byteByByte],
  [
    'in tens',
    (bytes) =>
      cutAt(
        bytes,
        Array.from({ length: bytes.length / 10 }, (_, i) => i * 10)
      ),
  ],
]

function decodeResponse(chunks: readonly Uint8Array[]): void {
  const decoder = new ResponseDecoder({ method: 'GET', maxHeadBytes: Infinity })
  for (const chunk of chunks) {
    decoder.push(chunk)
    while (decoder.next() !== undefined);
  }
}

function decodeChunked(chunks: readonly Uint8Array[]): void {
  const decoder = new ChunkedDecoder()
  for (const chunk of chunks) decoder.decode(chunk, () => {})
}

function decodePacket(chunks: readonly Uint8Array[]): void {
  const decoder = new PacketDecoder({ maxVars: Infinity })
  let decoded = false
  for (const chunk of chunks) {
    decoder.push(chunk)
    void decoder.modifiers
    decoded ||= decoder.decode() !== undefined
  }
  decoder.rest()
}

function parseHead(chunks: readonly Uint8Array[]): void {
  parseResponseHead(Buffer.concat(chunks).toString('latin1'), 'GET')
}

function variables(count: number): Uint8Array {
  return encodePacket(Array.from({ length: count }, (_, index) => [`HTTP_X_${index}`, 'v']))
}

/** A decoder, and inputs that grow with a number. */
const INPUTS: readonly (readonly [
  what: string,
  decode: (chunks: readonly Uint8Array[]) => void,
  make: (size: number) => Uint8Array,
])[] = [
  ['a long field', decodeResponse, (size) => octets(`${OK}A: ${'x'.repeat(size)}\r\n\r\n`)],
  ['many fields', decodeResponse, (size) => octets(`${OK}${'A: b\r\n'.repeat(size)}\r\n`)],
  ['a head of CRs', decodeResponse, (size) => octets(`${OK}A: ${'\r'.repeat(size)}`)],
  ['a body of known length', decodeResponse, (size) => ofLength(size)],
  ['a body up to the end', decodeResponse, (size) => octets(`${OK}\r\n${'x'.repeat(size)}`)],
  ['small chunks', decodeResponse, (size) => octets(CHUNKED + '1\r\nx\r\n'.repeat(size))],
  ['trailers', decodeResponse, (size) => octets(`${CHUNKED}0\r\n${'A: b\r\n'.repeat(size)}`)],
  ['small chunks', decodeChunked, (size) => octets('1\r\nx\r\n'.repeat(size))],
  [
    'long extensions',
    decodeChunked,
    (size) => octets(`1;${'x'.repeat(4000)}\r\nx\r\n`.repeat(size / 100)),
  ],
  ['a large chunk', decodeChunked, (size) => octets(`fffff\r\n${'x'.repeat(size)}`)],
  ['a large variable', decodePacket, (size) => encodePacket([['HTTP_X', 'v'.repeat(size)]])],
  ['many variables', decodePacket, (size) => variables(size / 4)],
  ['a body behind it', decodePacket, (size) => joined(variables(1), new Uint8Array(size))],
  ['many fields', parseHead, (size) => octets(`${OK}${'A: b\r\n'.repeat(size)}\r\n`)],
]

function ofLength(size: number): Uint8Array {
  return octets(`${OK}Content-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
}

describe.each(INPUTS)(
  'work grows as the input does (SEC-07, SEC-10): %s',
  (_what, decode, make) => {
    const SIZE = 2000

    test.each(CUTS)('%s', (_how, cut) => {
      const [small, large] = [SIZE, SIZE * FACTOR].map((size) => {
        const chunks = cut(make(size))
        return countWork(() => decode(chunks))
      })
      expect(small).toBeGreaterThan(0)
      expect((large ?? 0) / (small ?? 0)).toBeLessThan(MOST)
    })
  }
)

test.each([
  ['a value of tabs', 'HTTP_COOKIE', '\t'],
  ['a path of line breaks', 'PATH_INFO', '\n'],
])('work grows as the input does (SEC-07): encoding %s', (_what, name, unit) => {
  const [small, large] = [2000, 2000 * FACTOR].map((size) =>
    countWork(() => encodePacket([[name, unit.repeat(size)]]))
  )
  expect(small).toBeGreaterThan(0)
  expect((large ?? 0) / (small ?? 0)).toBeLessThan(MOST)
})

/** Copies all that it has for every byte. */
function joinEach(chunks: readonly Uint8Array[]): void {
  let seen = new Uint8Array()
  for (const chunk of chunks) {
    const next = new Uint8Array(seen.length + chunk.length)
    next.set(seen)
    seen = next
  }
}

test('countWork() sees what is quadratic', () => {
  const [small, large] = [100, 400].map((size) =>
    countWork(() => joinEach(byteByByte(new Uint8Array(size))))
  )
  expect((large ?? 0) / (small ?? 0)).toBeGreaterThan(MOST * 2)
})
