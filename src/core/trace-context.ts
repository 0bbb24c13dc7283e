/**
 * The ids by which a request is found again in every log it passes: `X-Request-Id` and `traceparent`.
 *
 * No span is started here: a trace that comes in goes on unchanged, as through an intermediary that
 * takes no part in it. What cannot be a `traceparent` is replaced, and its `tracestate` dropped.
 *
 * @see https://www.w3.org/TR/trace-context-2/
 * @module
 */
import type { Variable } from './vars.ts'

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

const REQUEST_ID = 'HTTP_X_REQUEST_ID'
const TRACEPARENT = 'HTTP_TRACEPARENT'
const TRACESTATE = 'HTTP_TRACESTATE'

/** What may stand in a log line and in a URL; header lines that were joined have a comma. */
const PLAUSIBLE_ID = /^[A-Za-z0-9._~+/=:@-]{1,128}$/

/** version "-" trace-id "-" parent-id "-" trace-flags (§3.2.2), and what a later version appends. */
const TRACEPARENT_FIELDS =
  /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x2b\x2d-\x7e]*)?$/
/** Longest `traceparent` of a later version that is passed on, in characters: it goes into logs. */
const MAX_TRACEPARENT_LENGTH = 256

const ALL_ZERO = /^0+$/

/**
 * Sees to it that the variables of a request carry `HTTP_X_REQUEST_ID` and `HTTP_TRACEPARENT`: the
 * client's where they are valid, new ones otherwise. Without a valid `traceparent`,
 * `HTTP_TRACESTATE` is removed, since it belongs to one (§3.3).
 *
 * @param vars Variables of one request, each name once; changed in place.
 * @returns The ids that the variables now carry.
 */
export function addTrace(vars: Variable[]): TraceIds {
  let requestIdAt = -1
  let traceparentAt = -1
  let tracestateAt = -1
  // Not entries(): every request comes through here, and an iterator of pairs costs more than the rest.
  for (let index = 0; index < vars.length; index++) {
    const name = vars[index]?.[0]
    if (name === REQUEST_ID) requestIdAt = index
    else if (name === TRACEPARENT) traceparentAt = index
    else if (name === TRACESTATE) tracestateAt = index
  }
  const givenId = vars[requestIdAt]?.[1]
  const given = vars[traceparentAt]?.[1]
  const ownId = isPlausibleId(givenId) ? undefined : randomHex()
  const requestId = ownId ?? givenId ?? ''
  const traceparent = isTraceparent(given) ? given : makeTraceparent(ownId ?? randomHex())
  const made: Variable[] = []
  if (requestIdAt < 0) made.push([REQUEST_ID, requestId])
  else vars[requestIdAt] = [REQUEST_ID, requestId]
  if (traceparentAt < 0) made.push([TRACEPARENT, traceparent])
  else vars[traceparentAt] = [TRACEPARENT, traceparent]
  if (given !== traceparent && tracestateAt >= 0) vars.splice(tracestateAt, 1)
  // In front, with all that is not the gateway's own (UW-3).
  vars.unshift(...made)
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

/** 32 digits, all but six bits random. A UUID, since runtimes keep random bytes for many of those at hand. */
function randomHex(): string {
  const uuid = crypto.randomUUID()
  return (
    uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24)
  )
}
