import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { resolveEnvironOptions } from '../../src/core/environ-options.ts'
import { addTrace } from '../../src/core/trace-context.ts'
import { cgiVars } from '../../src/core/vars.ts'
import { requestHead } from '../../src/core/request-head.ts'

/** The example of the specification. */
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const NEW_ID = /^[0-9a-f]{32}$/
const NEW_TRACE = /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/

/** The variables of a request with these header lines, after `addTrace()`, and what it returned. */
function trace(headers: [string, string][]) {
  const request = new Request('http://h/')
  let ids = { requestId: '', traceparent: '' }
  const head = requestHead(request, { rawHeaders: headers })
  const { vars } = cgiVars(head, resolveEnvironOptions(), (fields) => (ids = addTrace(fields)))
  const names = vars.map(([name]) => name)
  expect(new Set(names).size).toBe(names.length)
  const byName: Record<string, string | undefined> = Object.fromEntries(vars)
  expect(byName['HTTP_X_REQUEST_ID']).toBe(ids.requestId)
  expect(byName['HTTP_TRACEPARENT']).toBe(ids.traceparent)
  return { ...ids, tracestate: byName['HTTP_TRACESTATE'], names }
}

describe('addTrace()', () => {
  test('makes ids for a request that has none, each time new ones', () => {
    const seen = new Set<string>()
    const digits = Array.from({ length: 32 }, () => new Set<string>())
    for (let count = 0; count < 500; count++) {
      const { requestId, traceparent } = trace([['Host', 'h']])
      expect(requestId).toMatch(NEW_ID)
      expect(traceparent).toMatch(NEW_TRACE)
      const [, traceId = '', parentId = ''] = traceparent.split('-')
      expect(traceId).toBe(requestId)
      for (const id of [traceId, parentId]) seen.add(id)
      digits.forEach((found, place) => found.add(traceId.charAt(place)))
    }
    expect(seen.size).toBe(1000)
    // In each place, any of 16: one is missing from 500 once in 10^13.
    expect(digits.map(({ size }) => size)).toEqual(digits.map(() => 16))
  })

  test.each([['a'], ['7f3c-b2.1_x~+/=:@'], ['A'.repeat(128)]])(
    'keeps the request id %j in its place',
    (id) => {
      const { requestId, names } = trace([
        ['Host', 'h'],
        ['X-Request-Id', id],
        ['X-Last', '1'],
      ])
      expect(requestId).toBe(id)
      expect(names.slice(0, 5)).toEqual([
        'HTTP_HOST',
        'HTTP_X_REQUEST_ID',
        'HTTP_X_LAST',
        'HTTP_TRACEPARENT',
        'QUERY_STRING',
      ])
    }
  )

  test.each([[''], ['a b'], ['a"b'], ['a\\b'], ['é'], ['a\tb'], ['${jndi:x}'], ['A'.repeat(129)]])(
    'replaces the request id %j',
    (id) => {
      expect(trace([['X-Request-Id', id]]).requestId).toMatch(NEW_ID)
    }
  )

  test('replaces a request id that was sent twice', () => {
    const lines: [string, string][] = [
      ['X-Request-Id', 'a'],
      ['x-request-id', 'b'],
    ]
    expect(trace(lines).requestId).toMatch(NEW_ID)
  })

  test.each([
    ['of the specification', TRACE],
    ['with flags that are not known yet', `${TRACE.slice(0, -2)}ff`],
    ['of a later version', `cc${TRACE.slice(2)}`],
    ['of a later version with more fields', `cc${TRACE.slice(2)}-what-the-future-will-be.like`],
  ])('keeps a traceparent %s, and its tracestate', (_what, given) => {
    const { traceparent, tracestate } = trace([
      ['Traceparent', given],
      ['tracestate', 'rojo=00f067aa0ba902b7'],
      ['tracestate', 'congo=t61rcWkgMzE'],
    ])
    expect(traceparent).toBe(given)
    expect(tracestate).toBe('rojo=00f067aa0ba902b7, congo=t61rcWkgMzE')
  })

  test.each([
    ['empty', ''],
    ['in upper case', TRACE.toUpperCase()],
    ['too short', TRACE.slice(0, -1)],
    ['of version 00 with more fields', `${TRACE}-00`],
    ['of version ff', `ff${TRACE.slice(2)}`],
    ['with a trace id of zeros', TRACE.replace(/-[0-9a-f]{32}-/, `-${'0'.repeat(32)}-`)],
    ['with a parent id of zeros', TRACE.replace(/-[0-9a-f]{16}-/, `-${'0'.repeat(16)}-`)],
    ['of a later version that goes on without a hyphen', `cc${TRACE.slice(2)}.x`],
    ['of a later version that is endless', `cc${TRACE.slice(2)}-${'x'.repeat(300)}`],
    ['with illegal characters', TRACE.replace('4bf9', '4bg9')],
    ['with other separators', TRACE.replaceAll('-', '_')],
  ])('replaces a traceparent %s, and drops its tracestate', (_what, given) => {
    const { traceparent, tracestate } = trace([
      ['traceparent', given],
      ['tracestate', 'rojo=1'],
    ])
    expect(traceparent).toMatch(NEW_TRACE)
    expect(tracestate).toBeUndefined()
  })

  test.each([[TRACE], [`cc${TRACE.slice(2)}-x`]])('replaces %j that was sent twice', (given) => {
    const { traceparent } = trace([
      ['traceparent', given],
      ['traceparent', given],
    ])
    expect(traceparent).toMatch(NEW_TRACE)
  })

  test('drops a tracestate without traceparent', () => {
    expect(trace([['tracestate', 'rojo=1']]).tracestate).toBeUndefined()
  })

  test('any values: both ids are valid after it, a second call changes nothing, others stay', () => {
    const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef-'), maxLength: 60 })
    const value = fc.oneof(fc.string(), hex, fc.constant(TRACE), fc.constant(`cc${TRACE.slice(2)}`))
    const names = ['x-request-id', 'traceparent', 'tracestate', 'a']
    const field = fc.tuple(fc.constantFrom(...names), value)
    fc.assert(
      fc.property(fc.array(field), (given) => {
        const fields = new Map(given)
        const other = fields.get('a')
        const first = addTrace(fields)
        expect(first.requestId).toMatch(/^[\x21-\x7e]{1,128}$/)
        expect(first.traceparent).toMatch(
          /^(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}/
        )
        const after = [...fields]
        expect(addTrace(fields)).toEqual(first)
        expect([...fields]).toEqual(after)
        expect(fields.get('a')).toBe(other)
      })
    )
  })
})
