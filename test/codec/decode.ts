/**
 * Runs the decoders over chunks and says in one value what came out.
 *
 * @module
 */
import { ChunkedDecoder } from '../../src/codec/chunked.ts'
import { ResponseDecoder } from '../../src/codec/response-decoder.ts'
import { type Packet, PacketDecoder, type PacketDecoderOptions } from '../../src/codec/uwsgi.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { text } from './wire.ts'

/** What a {@link ResponseDecoder} found; body bytes are joined, one character a byte. */
export interface ResponseOutcome {
  status?: number
  reason?: string
  headers?: readonly (readonly [string, string])[]
  framing?: string
  body?: string
  /** Whether the end came, and whether it needed the end of the connection. */
  end?: 'in the bytes' | 'with the connection'
  error?: string
}

/** Decodes a response that is followed by the end of the connection. */
export function decodeResponse(
  chunks: readonly Uint8Array[],
  method = 'GET',
  maxHeadBytes?: number,
  upgrade?: string
): ResponseOutcome {
  const decoder = new ResponseDecoder({ method, maxHeadBytes, upgrade })
  const outcome: ResponseOutcome = {}
  try {
    for (const chunk of chunks) {
      decoder.push(chunk)
      takeEvents(decoder, outcome)
    }
    if (outcome.end !== undefined) outcome.end = 'in the bytes'
    decoder.pushEnd()
    takeEvents(decoder, outcome)
  } catch (error) {
    takeEvents(decoder, outcome)
    outcome.error = codeOf(error)
  }
  return outcome
}

/** Takes the events there are, and checks their order: head, body, end. */
function takeEvents(decoder: ResponseDecoder, outcome: ResponseOutcome): void {
  for (let event = decoder.next(); event !== undefined; event = decoder.next()) {
    const { status, end } = outcome
    if ((status === undefined) !== (event.type === 'head') || end !== undefined) {
      throw new Error(`Cannot expect ${event.type} after ${JSON.stringify(outcome)}`)
    }
    if (event.type === 'head') {
      const { reason, headers, framing } = event
      Object.assign(outcome, { status: event.status, reason, headers, framing: framing.type })
    } else if (event.type === 'end') {
      outcome.end = 'with the connection'
    } else if (event.data.length === 0) {
      throw new Error('Cannot expect an empty piece of a body')
    } else {
      outcome.body = (outcome.body ?? '') + text(event.data)
    }
  }
}

/** What a {@link PacketDecoder} found. */
export interface PacketOutcome {
  packet?: Packet
  /** Number of chunks it took. */
  chunks?: number
  rest?: string
  error?: string
}

/** Decodes a packet, asking after every chunk. */
export function decodePacket(
  chunks: readonly Uint8Array[],
  options?: PacketDecoderOptions
): PacketOutcome {
  const decoder = new PacketDecoder(options)
  const outcome: PacketOutcome = {}
  try {
    for (const [i, chunk] of chunks.entries()) {
      decoder.push(chunk)
      if (outcome.packet !== undefined) continue
      const packet = decoder.decode()
      if (packet !== undefined) Object.assign(outcome, { packet, chunks: i + 1 })
    }
    outcome.rest = text(decoder.rest())
  } catch (error) {
    outcome.error = codeOf(error)
  }
  return outcome
}

/** What a {@link ChunkedDecoder} found. */
export interface ChunkedOutcome {
  body: string
  done: boolean
  /** Number of bytes used. */
  used: number
  error?: string
}

/** Decodes a chunked body. */
export function decodeChunked(chunks: readonly Uint8Array[]): ChunkedOutcome {
  const decoder = new ChunkedDecoder()
  const outcome: ChunkedOutcome = { body: '', done: false, used: 0 }
  try {
    for (const chunk of chunks) {
      outcome.used += decoder.decode(chunk, (data) => (outcome.body += text(data)))
    }
  } catch (error) {
    outcome.error = codeOf(error)
  }
  outcome.done = decoder.done
  return outcome
}

/** The code of a gateway error; whatever else is thrown is a bug and thrown on. */
export function codeOf(error: unknown): string {
  if (error instanceof GatewayError) return error.code
  throw error
}
