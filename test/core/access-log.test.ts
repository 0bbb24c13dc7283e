import { expect, test } from 'vitest'
import { type AccessLogEntry, formatAccessLog } from '../../src/core/access-log.ts'

const ENTRY: AccessLogEntry = {
  remote: '192.0.2.7',
  method: 'GET',
  target: '/a?b',
  protocol: 'HTTP/1.1',
  status: 200,
  durationMs: 12.345,
}

/** A line without its time, which is checked here. */
function line(changes: Partial<AccessLogEntry> = {}): string {
  const before = Date.now()
  const text = formatAccessLog({ ...ENTRY, ...changes })
  const after = Date.now()
  const mark = text.indexOf(' ')
  const time = Date.parse(text.slice(0, mark))
  expect(text.slice(0, mark)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(time).toBeGreaterThanOrEqual(before)
  expect(time).toBeLessThanOrEqual(after)
  return text.slice(mark + 1)
}

test('formatAccessLog() writes time, client, request line, status and duration', () => {
  expect(line()).toBe('192.0.2.7 "GET /a?b HTTP/1.1" 200 12.3ms')
})

test('formatAccessLog() writes - for an unknown client, and 499 for one that left', () => {
  expect(line({ remote: undefined })).toBe('- "GET /a?b HTTP/1.1" 200 12.3ms')
  expect(line({ status: undefined })).toBe('192.0.2.7 "GET /a?b HTTP/1.1" 499 12.3ms')
})

test.each([
  [0, '0.0ms'],
  [0.05, '0.1ms'],
  [59_999.99, '60000.0ms'],
])('formatAccessLog() writes %d as %s', (durationMs, text) => {
  expect(line({ durationMs })).toBe(`192.0.2.7 "GET /a?b HTTP/1.1" 200 ${text}`)
})

test.each<[string, Partial<AccessLogEntry>, string]>([
  [
    'a quote in the target',
    { target: '/"a" 200' },
    '192.0.2.7 "GET /%22a%22 200 HTTP/1.1" 200 12.3ms',
  ],
  ['a quote in the method', { method: 'G"' }, '192.0.2.7 "G%22 /a?b HTTP/1.1" 200 12.3ms'],
  [
    'a line feed',
    { target: '/a\n1.2.3.4 - - "GET' },
    '192.0.2.7 "GET /a\\x0a1.2.3.4 - - %22GET HTTP/1.1" 200 12.3ms',
  ],
  ['an escape', { target: '/\x1b[2J' }, '192.0.2.7 "GET /\\x1b[2J HTTP/1.1" 200 12.3ms'],
  ['a C1 control', { target: '/\x9b' }, '192.0.2.7 "GET /\\x9b HTTP/1.1" 200 12.3ms'],
  ['a backslash', { target: '/\\x0a' }, '192.0.2.7 "GET /\\x5cx0a HTTP/1.1" 200 12.3ms'],
  [
    'a protocol',
    { protocol: 'HTTP/1.1\r\n' },
    '192.0.2.7 "GET /a?b HTTP/1.1\\x0d\\x0a" 200 12.3ms',
  ],
  ['a client', { remote: '::1\n' }, '::1\\x0a "GET /a?b HTTP/1.1" 200 12.3ms'],
])('formatAccessLog() stays one line of its own making: %s (SEC-36)', (_, changes, text) => {
  expect(line(changes)).toBe(text)
})
