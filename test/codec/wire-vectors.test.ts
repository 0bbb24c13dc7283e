import { describe, expect, test } from 'vitest'
import { encodePacket, type Packet } from '../../src/codec/uwsgi.ts'
import { decodePacket, decodeResponse, type ResponseOutcome } from './decode.ts'
import { byteByByte, everyCut, joined, octets, readWireVectors } from './wire.ts'

interface PacketMeaning extends Packet {
  readonly body?: string
}
interface ResponseMeaning extends ResponseOutcome {
  readonly method?: string
}

const packets = readWireVectors<PacketMeaning>('uwsgi-packet.md')
const responses = readWireVectors<ResponseMeaning>('uwsgi-response.md')

/** Looks like the start of something else, and must never be taken for it. */
const TRAILING = octets('HTTP/1.1 200 OK\r\nX-Smuggled: 1\r\n\r\n\0\0')

test('the vectors are all there', () => {
  expect([packets.length, responses.length]).toEqual([12, 37])
})

describe.each(packets)('PacketDecoder: $title', ({ bytes, meaning }) => {
  const { body = '', ...packet } = meaning
  const size = bytes.length - body.length

  test('whole', () => {
    expect(decodePacket([bytes])).toEqual({ packet, chunks: 1, rest: body })
  })

  test('at every split in two', () => {
    for (const [at, chunks] of everyCut(bytes).entries()) {
      expect(decodePacket(chunks)).toEqual({ packet, chunks: at < size ? 2 : 1, rest: body })
    }
  })

  test('byte by byte', () => {
    expect(decodePacket(byteByByte(bytes))).toEqual({ packet, chunks: size, rest: body })
  })

  test('with trailing bytes, which come out of rest()', () => {
    const rest = `${body}HTTP/1.1 200 OK\r\nX-Smuggled: 1\r\n\r\n\0\0`
    for (const chunks of [[joined(bytes, TRAILING)], [bytes, TRAILING]]) {
      expect(decodePacket(chunks)).toEqual({ packet, chunks: 1, rest })
    }
  })

  test('encodePacket() writes it', () => {
    const { modifier1, modifier2, vars } = packet
    expect(encodePacket(vars, { modifier1, modifier2 })).toEqual(bytes.slice(0, size))
  })
})

/** What decoding a vector should give: the end of a body of unknown length is that of the connection. */
function outcomeOf({ method: _method, ...outcome }: ResponseMeaning): ResponseOutcome {
  // An empty body has no piece to tell of.
  if (outcome.body === '') delete outcome.body
  if (outcome.error !== undefined) return outcome
  return { ...outcome, end: outcome.framing === 'eof' ? 'with the connection' : 'in the bytes' }
}

describe.each(responses)('ResponseDecoder: $title', ({ bytes, meaning }) => {
  const { method } = meaning
  const expected = outcomeOf(meaning)

  test('whole', () => {
    expect(decodeResponse([bytes], method)).toEqual(expected)
  })

  test('at every split in two', () => {
    for (const chunks of everyCut(bytes)) expect(decodeResponse(chunks, method)).toEqual(expected)
  })

  test('byte by byte', () => {
    expect(decodeResponse(byteByByte(bytes), method)).toEqual(expected)
  })
})

const delimited = responses.filter(({ meaning }) => outcomeOf(meaning).end === 'in the bytes')

test.each(delimited)('ResponseDecoder passes over trailing bytes: $title', ({ bytes, meaning }) => {
  const expected = outcomeOf(meaning)
  for (const chunks of [[joined(bytes, TRAILING)], [bytes, TRAILING]]) {
    expect(decodeResponse(chunks, meaning.method)).toEqual(expected)
  }
})
