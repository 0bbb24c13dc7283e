/**
 * Native strings: text that stands for octets, one code unit an octet (rules STR).
 *
 * PEP 3333 "Unicode Issues": a value holds only code points of ISO-8859-1, so that an application
 * can recover the bytes with `value.encode('latin-1')`. Nothing here ever truncates a code unit:
 * `Buffer.from(s, 'latin1')` does, and turns U+560D U+560A into CR LF (CVE-2018-12116).
 *
 * @see https://peps.python.org/pep-3333/#unicode-issues
 * @module
 */

const utf8 = new TextEncoder()
const utf8Strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What would end a line, or a text in C, inside one of ours. */
export const LINE_BREAK_OR_NUL: RegExp = /[\r\n\0]/

/** Arguments one `String.fromCharCode` call takes without risking the stack. */
const CODE_UNITS_PER_CALL = 4096
/** Octets from which the runtime's decoder pays: 300 of them take it 0.2 µs, and the loop 1.5. */
const DECODER_PAYS = 64
/** Code units from which its encoder does: 64 of them take it 0.17 µs, and the loop 0.29. */
const ENCODER_PAYS = 32

/**
 * `text.charCodeAt(index)`. V8 finds a method of a string by the way in which it keeps the string, and it
 * remembers four of the five that a request brings: a loop then takes 9 ns a code unit, and 2.5 like this.
 */
export const codeUnitAt = Function.prototype.call.bind(String.prototype.charCodeAt) as (
  text: string,
  index: number
) => number

/** Whether every code unit fits one octet. */
export function isNative(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (codeUnitAt(text, i) > 0xff) return false
  }
  return true
}

/** The octets of `bytes[start..end)` as a native string. */
export function octetsToNative(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  if (end - start >= DECODER_PAYS) {
    const ascii = decodeAscii(bytes.subarray(start, end))
    if (ascii !== undefined) return ascii
  }
  let text = ''
  for (let i = start; i < end; i += CODE_UNITS_PER_CALL) {
    const part = bytes.subarray(i, Math.min(i + CODE_UNITS_PER_CALL, end))
    // Not spread: that goes through the iterator of typed arrays and takes seven times as long.
    text += String.fromCharCode.apply(null, part as unknown as number[])
  }
  return text
}

/** The text of octets that are all ASCII, as a response head is; else `undefined`. */
function decodeAscii(bytes: Uint8Array): string | undefined {
  try {
    const text = utf8Strict.decode(bytes)
    // Of UTF-8, only ASCII has as many characters as octets.
    return text.length === bytes.length ? text : undefined
  } catch {
    return undefined
  }
}

/**
 * The octets a native string stands for.
 *
 * @throws {RangeError} when a code unit is above U+00FF.
 */
export function nativeToOctets(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  writeNative(bytes, 0, text)
  return bytes
}

/**
 * Writes a native string into `target` at `offset`, one byte a code unit.
 *
 * @throws {RangeError} when a code unit is above U+00FF.
 */
export function writeNative(target: Uint8Array, offset: number, text: string): void {
  if (tryWriteNative(target, offset, text)) return
  const unit = text.charCodeAt(text.search(/[^\x00-\xff]/))
  throw new RangeError(
    `Cannot write U+${unit.toString(16).toUpperCase().padStart(4, '0')} as one octet: wanted at most U+00FF`
  )
}

/** {@link writeNative}; `false` where a code unit is above U+00FF: what has been written then means nothing. */
export function tryWriteNative(target: Uint8Array, offset: number, text: string): boolean {
  const { length } = text
  if (length >= ENCODER_PAYS) {
    // Of UTF-8, only ASCII has as many octets as code units.
    const { read } = utf8.encodeInto(text, target.subarray(offset, offset + length))
    if (read === length) return true
  }
  for (let i = 0; i < length; i++) {
    const unit = codeUnitAt(text, i)
    if (unit > 0xff) return false
    target[offset + i] = unit
  }
  return true
}

/** The UTF-8 form of ordinary text, as a native string. */
export function textToNative(text: string): string {
  return isAscii(text) ? text : octetsToNative(utf8.encode(text))
}

/** The text whose UTF-8 form a native string holds, or `undefined` when it holds none. */
export function nativeToText(text: string): string | undefined {
  if (isAscii(text)) return text
  try {
    return utf8Strict.decode(nativeToOctets(text))
  } catch {
    // Not UTF-8, which is for the caller to judge: `undefined` says it.
    return undefined
  }
}

/** Whether every code unit is below U+0080. */
export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (codeUnitAt(text, i) > 0x7f) return false
  }
  return true
}

/**
 * Replaces each `%HH` by its octet, once. A malformed sequence stays as it is (PATH-3).
 *
 * @param text ASCII text, as a URL parser leaves it.
 */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16))
  )
}

/** Octets that a path may hold as they are: `pchar` and `/` (RFC 3986 §3.3). */
const NOT_PATH = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g

/** Writes each octet of a native string that a path cannot hold as `%HH`, the `%` included. */
export function percentEncode(text: string): string {
  return text.replace(NOT_PATH, (unit) => {
    return `%${unit.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
}
