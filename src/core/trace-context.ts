/**
 * The ids by which a request is found again in every log it passes: `X-Request-Id` and `traceparent`.
 *
 * No span is started here: a trace that comes in goes on unchanged, as through an intermediary that
 * takes no part in it. What cannot be a `traceparent` is replaced, and its `tracestate` dropped.
 *
 * @see https://www.w3.org/TR/trace-context-2/
 * @module
 */
import type { HeaderFields } from './header-field.ts'
import { nativeToOctets, octetsToNative } from './octets.ts'

/** The ids of a request, as the application gets them. */
export interface TraceIds {
  /** `X-Request-Id`: the client's, or 32 hexadecimal digits. */
  readonly requestId: string
  /**
   * `traceparent`: the client's, or a new one whose flags say that nobody recorded it. Where both are
   * made here, its trace-id is the request's id.
   */
  readonly traceparent: string
}

/** What may stand in a log line and in a URL; header lines that were joined have a comma. */
const PLAUSIBLE_ID = /^[A-Za-z0-9._~+/=:@-]{1,128}$/

/** version "-" trace-id "-" parent-id "-" trace-flags (§3.2.2), and what a later version appends. */
const TRACEPARENT_FIELDS =
  /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x2b\x2d-\x7e]*)?$/
/** Longest `traceparent` of a later version that is passed on, in characters: it goes into logs. */
const MAX_TRACEPARENT_LENGTH = 256

const ALL_ZERO = /^0+$/

/**
 * Sees to it that the header fields of a request hold `X-Request-Id` and `traceparent`: the client's
 * where they are valid, new ones otherwise. Without a valid `traceparent`, `tracestate` is removed,
 * since it belongs to one (§3.3).
 *
 * @param fields Changed in place.
 * @returns The ids that the fields now hold.
 */
export function addTrace(fields: HeaderFields): TraceIds {
  const givenId = fields.get('x-request-id')
  const given = fields.get('traceparent')
  const ownId = isPlausibleId(givenId) ? undefined : randomHex()
  const requestId = ownId ?? givenId ?? ''
  const traceparent = isTraceparent(given) ? given : makeTraceparent(ownId ?? randomHex())
  fields.set('x-request-id', requestId)
  fields.set('traceparent', traceparent)
  if (given !== traceparent) fields.delete('tracestate')
  return { requestId, traceparent }
}

function isPlausibleId(value: string | undefined): value is string {
  return value !== undefined && PLAUSIBLE_ID.test(value)
}

function isTraceparent(value: string | undefined): value is string {
  if (value === undefined || value.length > MAX_TRACEPARENT_LENGTH) return false
  const [, version, traceId = '', parentId = '', appended] = TRACEPARENT_FIELDS.exec(value) ?? []
  if (version === undefined || version === 'ff') return false
  if (version === '00' && appended !== undefined) return false
  return !ALL_ZERO.test(traceId) && !ALL_ZERO.test(parentId)
}

/** Half of the trace's id serves as the parent's, which need only be unique within the trace. */
function makeTraceparent(traceId: string): string {
  return `00-${traceId}-${traceId.slice(16)}-00`
}

const ID_LENGTH = 32
/** Digits are made for many ids at once, since asking for a few random bytes takes as long. */
const POOL_LENGTH = 64 * ID_LENGTH
const DIGITS: Uint8Array = nativeToOctets('0123456789abcdef')
let pool = ''
let used = 0

/** 32 random hexadecimal digits. */
function randomHex(): string {
  if (used === pool.length) {
    pool = randomDigits(POOL_LENGTH)
    used = 0
  }
  used += ID_LENGTH
  return pool.slice(used - ID_LENGTH, used)
}

function randomDigits(length: number): string {
  const digits = new Uint8Array(length)
  let end = 0
  for (const octet of crypto.getRandomValues(new Uint8Array(length / 2))) {
    digits[end++] = DIGITS[octet >> 4] ?? 0
    digits[end++] = DIGITS[octet & 0xf] ?? 0
  }
  return octetsToNative(digits)
}
