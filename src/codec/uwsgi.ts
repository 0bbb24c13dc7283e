/**
 * The uwsgi packet: what precedes the body on a connection to uWSGI.
 *
 * ```
 * offset size  field
 * 0      1     modifier1
 * 1      2     datasize, little-endian: bytes of the vars block, body excluded
 * 3      1     modifier2
 * 4      N     vars block, repeated: u16le key length | key | u16le value length | value
 * 4+N    …     body, exactly CONTENT_LENGTH bytes, unframed
 * ```
 *
 * Every size is checked before a byte is written: a `datasize` that wraps makes the rest of the block
 * the next packet (CVE-2020-11984), and in a packet a variable can be code (`UWSGI_FILE`).
 *
 * @see https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
 * @module
 */
import { concat, NOTHING } from '../core/body-source.ts'
import { badRequest, GatewayError } from '../core/errors.ts'
import { LINE_BREAK_OR_NUL, octetsToNative, tryWriteNative } from '../core/octets.ts'
import { remember } from '../core/remember.ts'
import type { Variable } from '../core/vars.ts'

/** Size of the packet header, in bytes. */
export const HEADER_SIZE = 4
/** Largest vars block, key and value, in bytes: each length is an unsigned 16-bit field. */
export const MAX_DATASIZE = 0xffff

/** `modifier1` of the health check that the ping plugin answers. */
export const MODIFIER1_PING = 100

/** What an encoder adds to the variables. */
export interface PacketOptions {
  /**
   * Packet type, 0 to 255: `0` is a WSGI request.
   *
   * @default 0
   */
  modifier1?: number | undefined
  /**
   * Packet flags, 0 to 255.
   *
   * @default 0
   */
  modifier2?: number | undefined
  /**
   * Variables of static configuration, written last. Only here may a name begin with `UWSGI_`: such
   * variables load code, set the process environment and open files (UW-5).
   *
   * @default []
   */
  params?: readonly Variable[] | undefined
  /**
   * Most variables in the packet.
   *
   * @default Infinity
   */
  maxVars?: number | undefined
  /**
   * Largest vars block, in bytes.
   *
   * @default 65535
   */
  maxDatasize?: number | undefined
  /**
   * Gives memory for the packet, which may hold anything.
   *
   * @default an array of its own
   */
  allocate?: ((bytes: number) => Uint8Array<ArrayBuffer>) | undefined
}

/** A packet, decoded. */
export interface Packet {
  readonly modifier1: number
  readonly modifier2: number
  /** In wire order; of two with one name, uWSGI's environ keeps the last. */
  readonly vars: readonly Variable[]
}

/** Variables that hold a decoded path, where a line break is data (PATH-9). */
const PATH_NAMES = new Set(['PATH_INFO', 'SCRIPT_NAME'])

/**
 * Encodes variables as one uwsgi packet, body excluded.
 *
 * @param vars Name and value pairs, native strings.
 * @param options Header bytes, and variables of static configuration.
 * @returns `4 + datasize` bytes.
 * @throws {GatewayError} `ERR_VARS_TOO_LARGE` when the block, a key or a value passes 65535 bytes, or
 *   there are more than `maxVars`; `ERR_BAD_REQUEST` when a name or value cannot stand in a packet.
 * @throws {RangeError} when a modifier is not a byte.
 */
export function encodePacket(
  vars: Iterable<Variable>,
  options: PacketOptions = {}
): Uint8Array<ArrayBuffer> {
  const { modifier1 = 0, modifier2 = 0, params = [] } = options
  const { maxVars = Infinity, maxDatasize = MAX_DATASIZE } = options
  checkModifier('modifier1', modifier1)
  checkModifier('modifier2', modifier2)
  const pairs = [...vars]
  for (const [name] of pairs) refuseMagic(name)
  pairs.push(...params)
  if (pairs.length > maxVars) throw tooLarge('encode', `it has ${pairs.length} variables`, maxVars)
  const size = writePairs(pairs, Math.min(maxDatasize, MAX_DATASIZE))
  const datasize = size - HEADER_SIZE
  scratch[0] = modifier1
  scratch[1] = datasize & 0xff
  scratch[2] = datasize >> 8
  scratch[3] = modifier2
  const packet = options.allocate?.(size) ?? new Uint8Array(size)
  packet.set(scratch.subarray(0, size))
  return packet
}

/** Packets are put together here: how long one is shows when all of it has been looked at. */
const scratch = new Uint8Array(HEADER_SIZE + MAX_DATASIZE)

/**
 * Writes variables into {@link scratch}. What must not stand in a value is looked for among its octets: a
 * code unit takes ten times as long to look at.
 *
 * @param most Largest vars block, in bytes.
 * @returns Offset behind them.
 */
function writePairs(pairs: readonly Variable[], most: number): number {
  let offset = HEADER_SIZE
  for (const [name, value] of pairs) {
    const key = encodedName(name)
    const { length } = value
    if (length > MAX_DATASIZE) throw tooLarge('encode', `${name} is ${length} bytes`, MAX_DATASIZE)
    if (offset + key.length + 2 + length > HEADER_SIZE + most) {
      throw tooLarge('encode', `the vars block is ${datasizeOf(pairs)} bytes`, most)
    }
    for (let i = 0; i < key.length; i++) scratch[offset++] = key[i] ?? 0
    scratch[offset++] = length & 0xff
    scratch[offset++] = length >> 8
    if (!tryWriteNative(scratch, offset, value)) throw aboveOctet(name)
    let hasControl = false
    for (const end = offset + length; offset < end; offset++) {
      if ((scratch[offset] ?? 0) < 0x0e) hasControl = true
    }
    if (hasControl) checkValue(name, value)
  }
  return offset
}

/**
 * Length and octets of a name. Remembered, since names are the same few in packet after packet, and half
 * of it.
 */
const encodedName = remember((name): Uint8Array => {
  if (name === '') throw badRequest('Cannot encode variable: its name is empty')
  const { length } = name
  if (length > MAX_DATASIZE) {
    throw tooLarge('encode', `a name is ${length} bytes`, MAX_DATASIZE)
  }
  if (LINE_BREAK_OR_NUL.test(name)) {
    throw badRequest(`Cannot encode variable ${JSON.stringify(name)}: its name holds CR, LF or NUL`)
  }
  const octets = new Uint8Array(2 + length)
  octets[0] = length & 0xff
  octets[1] = length >> 8
  if (!tryWriteNative(octets, 2, name)) throw aboveOctet(name)
  return octets
})

/** Refuses NUL, and a line break outside of a path. */
function checkValue(name: string, value: string): void {
  if (PATH_NAMES.has(name) ? value.includes('\0') : LINE_BREAK_OR_NUL.test(value)) {
    // uWSGI echoes SERVER_PROTOCOL into its status line, so a line break would split the answer (UW-7).
    throw badRequest(`Cannot encode variable ${name}: its value holds CR, LF or NUL`)
  }
}

function aboveOctet(name: string): GatewayError {
  return badRequest(
    `Cannot encode variable ${JSON.stringify(name)}: it holds a character above U+00FF`
  )
}

function refuseMagic(name: string): void {
  if (name.startsWith('UWSGI_')) {
    throw badRequest(
      `Cannot encode variable ${JSON.stringify(name)}: a UWSGI_ name may only come from static configuration`
    )
  }
}

function datasizeOf(pairs: readonly Variable[]): number {
  let datasize = 0
  for (const [name, value] of pairs) datasize += 4 + name.length + value.length
  return datasize
}

function checkModifier(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xff) {
    throw new RangeError(`Cannot use ${name} ${value}: wanted a byte, 0 to 255`)
  }
}

function tooLarge(verb: 'encode' | 'decode', what: string, most: number): GatewayError {
  return new GatewayError(
    'ERR_VARS_TOO_LARGE',
    `Cannot ${verb} uwsgi packet: ${what}, limit is ${most}`
  )
}

/** Limits of a {@link PacketDecoder}. */
export interface PacketDecoderOptions {
  /**
   * Largest vars block, in bytes.
   *
   * @default 65535
   */
  maxDatasize?: number | undefined
  /**
   * Most variables in the block.
   *
   * @default 1000 (gunicorn's)
   */
  maxVars?: number | undefined
}

/** Decodes one uwsgi packet from bytes in any segmentation. */
export class PacketDecoder {
  readonly #maxDatasize: number
  readonly #maxVars: number
  #chunks: Uint8Array[] = []
  #size = 0

  constructor(options: PacketDecoderOptions = {}) {
    this.#maxDatasize = options.maxDatasize ?? MAX_DATASIZE
    this.#maxVars = options.maxVars ?? 1000
  }

  /** Takes the next bytes of the connection, in order. They are kept, not copied. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#chunks.push(bytes)
    this.#size += bytes.length
  }

  /** The first and the last byte of the header, once it has arrived: they say what the rest is. */
  get modifiers(): Pick<Packet, 'modifier1' | 'modifier2'> | undefined {
    if (this.#size < HEADER_SIZE) return undefined
    const [modifier1 = 0, , , modifier2 = 0] = this.#head()
    return { modifier1, modifier2 }
  }

  /**
   * The packet, once all of it has arrived; {@link rest} then holds what followed it.
   *
   * @returns `undefined` while bytes are missing.
   * @throws {GatewayError} `ERR_BAD_REQUEST` when the bytes are not a packet, `ERR_VARS_TOO_LARGE` when it
   *   is over a limit.
   */
  decode(): Packet | undefined {
    if (this.#size < HEADER_SIZE) return undefined
    const head = this.#head()
    const [modifier1 = 0, low = 0, high = 0, modifier2 = 0] = head
    const datasize = low | (high << 8)
    if (datasize > this.#maxDatasize) {
      throw tooLarge('decode', `the vars block is ${datasize} bytes`, this.#maxDatasize)
    }
    if (this.#size < HEADER_SIZE + datasize) return undefined
    const bytes = this.#join()
    const end = HEADER_SIZE + datasize
    const vars = decodeVars(bytes.subarray(HEADER_SIZE, end), this.#maxVars)
    this.#chunks = []
    this.#size = 0
    if (end < bytes.length) this.push(bytes.subarray(end))
    return { modifier1, modifier2, vars }
  }

  /** The bytes behind the packet, where the body begins. */
  rest(): Uint8Array {
    return this.#join()
  }

  /** The first four bytes, which may stand in several chunks. */
  #head(): Uint8Array {
    const [first] = this.#chunks
    return first !== undefined && first.length >= HEADER_SIZE ? first : this.#join()
  }

  #join(): Uint8Array {
    if (this.#size === 0) return NOTHING
    const joined = concat(this.#chunks, this.#size)
    this.#chunks = [joined]
    return joined
  }
}

/** One code unit an octet, and the octet itself but for some of 0x80 to 0x9f, which come out above U+00FF. */
const windows1252 = new TextDecoder('windows-1252')
const NOT_NATIVE = /[^\x00-\xff]/

/** V8 copies shorter slices, and makes others views of what they were cut from. */
const SLICE_LENGTH = 13
/** Longest name that is remembered. */
const LONGEST_NAME = 64
/**
 * The names of the packet before. A front sends the same ones in the same order, and a name that is the
 * same string each time is found faster in every record and map: from packet to environ it takes 4 µs
 * instead of 10, with the one decoding of a block.
 */
const namesBefore: { readonly name: string; readonly octets: Uint8Array }[] = []

function decodeVars(block: Uint8Array, maxVars: number): Variable[] {
  const text = windows1252.decode(block)
  const isNative = !NOT_NATIVE.test(text)
  const vars: Variable[] = []
  let offset = 0
  /** Where the string at `offset` begins; it ends at the new `offset`. */
  function skipString(): number {
    const start = offset + 2
    const low = block[offset]
    const high = block[offset + 1]
    const end = start + ((low ?? 0) | ((high ?? 0) << 8))
    if (high === undefined || end > block.length) {
      throw badRequest('Cannot decode uwsgi packet: a length runs past the end of the vars block')
    }
    offset = end
    return start
  }
  function take(start: number): string {
    // A longer slice would keep the text of the whole block for as long as somebody keeps it.
    const isShort = offset - start < SLICE_LENGTH
    const part = isShort
      ? text.slice(start, offset)
      : windows1252.decode(block.subarray(start, offset))
    return isNative || !NOT_NATIVE.test(part) ? part : octetsToNative(block, start, offset)
  }
  function takeName(start: number): string {
    const before = namesBefore[vars.length]
    if (before !== undefined && isAt(before.octets, block, start, offset)) return before.name
    const name = take(start)
    if (offset - start <= LONGEST_NAME) {
      // Not slice(): that of a Buffer is a view, which would keep the whole packet.
      namesBefore[vars.length] = { name, octets: new Uint8Array(block.subarray(start, offset)) }
    }
    return name
  }
  while (offset < block.length) {
    if (vars.length === maxVars) throw tooLarge('decode', `over ${maxVars} variables`, maxVars)
    const start = skipString()
    if (offset === start) {
      throw badRequest('Cannot decode uwsgi packet: the name of a variable is empty')
    }
    vars.push([takeName(start), take(skipString())])
  }
  return vars
}

/** Whether `octets` stand in `block[start..end)`. */
function isAt(octets: Uint8Array, block: Uint8Array, start: number, end: number): boolean {
  const { length } = octets
  if (end - start !== length) return false
  for (let i = 0; i < length; i++) {
    if (octets[i] !== block[start + i]) return false
  }
  return true
}
