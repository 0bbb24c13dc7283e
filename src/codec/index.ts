/**
 * The uwsgi wire without I/O: bytes in, messages out, and back.
 *
 * @module
 */
export type { Variable } from '../core/vars.ts'
export type { ResponseFraming, ResponseHead } from './response-head.ts'
export {
  ResponseDecoder,
  type ResponseDecoderOptions,
  type ResponseEvent,
} from './response-decoder.ts'
export { encodeResponseHead, type ResponseHeadInit } from './response-encoder.ts'
export {
  encodePacket,
  type Packet,
  PacketDecoder,
  type PacketDecoderOptions,
  type PacketOptions,
} from './uwsgi.ts'
