import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { logText } from '../../src/core/log-text.ts'

test.each([
  ['/a\n1.2.3.4 - - "GET', '/a\\x0a1.2.3.4 - - "GET'],
  ['\r\0\x7f', '\\x0d\\x00\\x7f'],
  ['\x1b[2J\x9b2J', '\\x1b[2J\\x9b2J'],
  ['\\x0a', '\\x5cx0a'],
  ['a\u2028b\u2029\x85', 'a\\u2028b\\u2029\\x85'],
  ['/café?q=1#ü 😀', '/café?q=1#ü 😀'],
])('logText() escapes what ends a line or speaks to a terminal: %j (SEC-36)', (text, escaped) => {
  expect(logText(text)).toBe(escaped)
})

test('logText() leaves no control character, and can be undone (SEC-36)', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const escaped = logText(text)
      expect(escaped).not.toMatch(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/)
      const undone = escaped.replace(/\\(?:x(..)|u(....))/g, (_, two?: string, four?: string) =>
        String.fromCharCode(Number.parseInt(two ?? four ?? '', 16))
      )
      expect(undone).toBe(text)
    })
  )
})
