import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseUrl } from '../../src/core/parse-url.ts'

const PARTS = ['href', 'protocol', 'host', 'hostname', 'port', 'pathname', 'search'] as const

/** The parts that the rules read. */
function partsOf(url: Partial<Record<(typeof PARTS)[number], string>> | null) {
  return url && PARTS.map((part) => url[part])
}

/** Parsed twice, since what an origin comes to is remembered. */
function parsedTwice(origin: string, pathAndQuery: string): unknown[] {
  const [, protocol, authority = ''] = /^(https?:)\/\/(.*)$/s.exec(origin) ?? []
  const scheme = protocol === 'https:' ? 'https:' : 'http:'
  return [1, 2].map(() => partsOf(parseUrl(scheme, authority, pathAndQuery)))
}

function parsedAtOnce(origin: string, pathAndQuery: string): unknown[] {
  const parts = partsOf(URL.parse(origin + pathAndQuery))
  return [parts, parts]
}

describe('parseUrl() is URL.parse() (PATH-1, PATH-12)', () => {
  test.each([
    ['/'],
    ['//'],
    ['/a/b-c_d~e/'],
    ['/a.html'],
    ['/a..b/c.'],
    ['/.'],
    ['/..'],
    ['/a/../b'],
    ['/a/./b'],
    ['/a/.b/..c/...'],
    ['/%2e%2e/a'],
    ['/a/%2E/b'],
    ['//evil.com/p'],
    ['/a;b=1,2:3@4'],
    ['/a\\b'],
    ["/'a'"],
    ['/a|b'],
    ['/a"b<c>`{d}^'],
    ['/é'],
    ['/a?'],
    ['/a?b=c&d=%20%zz?/../'],
    ["/a?'b'"],
    ['/a?b#c'],
    ['/a#b'],
    ['/C|/a'],
  ])('of the path and query %j', (pathAndQuery) => {
    for (const origin of ['http://h', 'https://h:8443', 'http://h:80', 'http://[::1]:8080']) {
      expect(parsedTwice(origin, pathAndQuery)).toEqual(parsedAtOnce(origin, pathAndQuery))
    }
  })

  test.each([
    ['http://H.Example'],
    ['http://127.1'],
    ['http://user@h'],
    ['http://user:word@h'],
    ['http://h/base'],
    ['http://h?q'],
    ['http://h#f'],
    ['http://a b'],
    ['http://'],
    ['http://h:99999'],
  ])('of the origin %j', (origin) => {
    for (const pathAndQuery of ['/', '/a/b?c']) {
      expect(parsedTwice(origin, pathAndQuery)).toEqual(parsedAtOnce(origin, pathAndQuery))
    }
  })

  test('of anything', () => {
    const text = fc.string({ unit: 'binary-ascii', maxLength: 12 })
    const piece = fc.oneof(
      fc.constantFrom('/', '.', '..', '%2e', '%', '?', '&', '=', 'a', '-', "'", '\\', '|'),
      text
    )
    const host = fc.oneof(fc.constantFrom('h', 'H', 'h:80', 'h:8080', '[::1]'), text)
    fc.assert(
      fc.property(host, fc.array(piece, { maxLength: 8 }), (name, pieces) => {
        const parts = [`http://${name}`, `/${pieces.join('')}`] as const
        expect(parsedTwice(...parts)).toEqual(parsedAtOnce(...parts))
      }),
      { numRuns: 2000 }
    )
  })
})
