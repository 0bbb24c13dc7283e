import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { resolveEnvironOptions } from '../../src/core/environ-options.ts'
import {
  compileTrust,
  type Origin,
  parseAddress,
  parseForwarded,
  resolveOrigin,
} from '../../src/core/forwarded.ts'
import { collectFields } from '../../src/core/header-field.ts'
import type { HeaderField, Peer } from '../../src/core/request-head.ts'
import { rawHead, refusal } from './support.ts'

interface Resolved {
  readonly origin: Origin
  /** What is left of the header fields. */
  readonly fields: Record<string, string>
}

/** Resolves a request whose peer is a proxy on 10.0.0.1, which is trusted unless `trusted` differs. */
function resolved(
  headers: readonly HeaderField[],
  trusted: readonly string[] = ['10.0.0.0/8'],
  { remote = { addr: '10.0.0.1', port: 5555 }, trustHost = false, url = 'http://h.example/' } = {}
): Resolved {
  const head = rawHead({ headers, remote, url, host: null })
  const fields = collectFields(head, resolveEnvironOptions())
  const origin = resolveOrigin(head, fields, compileTrust(trusted), trustHost)
  return { origin, fields: Object.fromEntries(fields) }
}

/** The address that a trusted proxy's `X-Forwarded-For` leads to. */
function clientOf(chain: string): string | undefined {
  return resolved([['X-Forwarded-For', chain]]).origin.addr
}

const FAMILY: HeaderField[] = [
  ['Forwarded', 'for=1.2.3.4;proto=https;host=evil'],
  ['X-Forwarded-For', '127.0.0.1'],
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Host', 'evil.example'],
  ['X-Forwarded-Port', '1'],
  ['X-Forwarded-Ssl', 'on'],
  ['X-Forwarded-Prefix', '/x'],
  ['X-Forwarded-Whatever', 'x'],
  ['X-Real-IP', '127.0.0.1'],
  ['X-Client-IP', '127.0.0.1'],
  ['True-Client-IP', '127.0.0.1'],
]

test.each<[string, readonly string[], Peer | undefined, string | undefined]>([
  ['nobody trusted', [], { addr: '10.0.0.1', port: 5555 }, '10.0.0.1'],
  ['another trusted', ['10.0.0.2', 'unix:'], { addr: '10.0.0.1', port: 5555 }, '10.0.0.1'],
  ['peer unknown', ['0.0.0.0/0', '::/0', 'unix:'], undefined, undefined],
  ['peer no address', ['0.0.0.0/0', '::/0'], { addr: 'unix:' }, undefined],
  ['peer garbage', ['0.0.0.0/0', '::/0'], { addr: 'evil' }, undefined],
])('resolveOrigin() removes the whole family, %s (TRUST-1, SEC-15)', (_, trusted, remote, addr) => {
  const head = rawHead({
    headers: [...FAMILY, ['X-A', '1']],
    host: null,
    ...(remote === undefined ? {} : { remote }),
  })
  const fields = collectFields(head, resolveEnvironOptions())
  const origin = resolveOrigin(head, fields, compileTrust(trusted), true)
  expect(origin).toEqual({ addr, port: remote?.port, scheme: 'http' })
  expect([...fields]).toEqual([['x-a', '1']])
})

test.each([
  ['1.2.3.4', '1.2.3.4'],
  ['127.0.0.1, 6.6.6.6', '6.6.6.6'],
  ['9.9.9.9, 6.6.6.6, 10.0.0.9', '6.6.6.6'],
  ['6.6.6.6,10.0.0.9,10.0.0.8', '6.6.6.6'],
  ['10.0.0.7, 10.0.0.9', '10.0.0.7'],
  ['1.2.3.4:80', '1.2.3.4'],
  ['[2001:DB8::1]', '2001:db8::1'],
  ['[2001:db8::1]:4711', '2001:db8::1'],
  ['2001:db8:0:0::1', '2001:db8::1'],
  ['::ffff:127.0.0.1', '127.0.0.1'],
  ['0:0:0:0:0:0:0:1', '::1'],
  ['6.6.6.6, ::ffff:10.0.0.9', '6.6.6.6'],
  ['6.6.6.6, ::ffff:a00:9', '6.6.6.6'],
  ['6.6.6.6, 10.0.0.9:80, [::ffff:10.0.0.8]:80', '6.6.6.6'],
])('resolveOrigin() walks X-Forwarded-For %s to %s (TRUST-2, SEC-16)', (chain, addr) => {
  const { origin } = resolved([['X-Forwarded-For', chain]])
  expect(origin).toEqual({ addr, port: undefined, scheme: 'http' })
})

test.each(
  ['', 'unknown', '256.1.1.1', '1.2.3', '0x7f.1', '127.1', '2130706433', '010.0.0.9', 'localhost']
    .concat([
      '1.2.3.4:',
      '1.2.3.4:80:80',
      '[1.2.3.4',
      '[1.2.3.4]x',
      '[2001:db8::1]:123456',
      '2001:db8::1::',
      'unix:',
      '_hidden',
    ])
    .concat(['1.2.3.4/8', '1.2.3.4;x', '"1.2.3.4"', '1.2.3.4 x', '\x851.2.3.4', '1.2.3.4\x85'])
)('resolveOrigin() stops at %j in X-Forwarded-For (TRUST-2, SEC-16)', (garbage) => {
  expect(clientOf(garbage)).toBe('10.0.0.1')
  expect(clientOf(`6.6.6.6, ${garbage}`)).toBe('10.0.0.1')
  expect(clientOf(`6.6.6.6, ${garbage}, 10.0.0.9`)).toBe('10.0.0.9')
  expect(clientOf(`${garbage}, 6.6.6.6`)).toBe('6.6.6.6')
})

test('resolveOrigin() strips only SP and HTAB off an element (HDR-7, TRUST-2, SEC-09)', () => {
  expect(clientOf('9.9.9.9,\t6.6.6.6 ')).toBe('6.6.6.6')
  expect(clientOf('9.9.9.9, 6.6.6.6\xa0, 10.0.0.9')).toBe('10.0.0.9')
})

test('resolveOrigin() joins X-Forwarded-For lines and keeps them for the application (TRUST-2)', () => {
  const { origin, fields } = resolved([
    ['X-Forwarded-For', '9.9.9.9'],
    ['X-Forwarded-For', '6.6.6.6'],
  ])
  expect(origin.addr).toBe('6.6.6.6')
  expect(fields).toEqual({ 'x-forwarded-for': '9.9.9.9, 6.6.6.6' })
})

test('resolveOrigin() keeps the port of a peer that no header replaced (TRUST-2)', () => {
  const origin = { addr: '10.0.0.1', port: 5555, scheme: 'http' }
  expect(resolved([]).origin).toEqual(origin)
  expect(resolved([['X-Real-IP', '6.6.6.6']]).origin).toEqual(origin)
})

test('resolveOrigin() trusts a peer on a unix socket where asked to (TRUST-2)', () => {
  const remote = { addr: 'unix:', port: 0 }
  const headers: HeaderField[] = [['X-Forwarded-For', '6.6.6.6, unix:, 7.7.7.7']]
  expect(resolved(headers, ['unix:'], { remote }).origin.addr).toBe('7.7.7.7')
  expect(resolved(headers, ['0.0.0.0/0'], { remote }).origin.addr).toBeUndefined()
})

test.each([
  ['https', 'https'],
  ['HTTPS', 'https'],
  ['http', 'http'],
  ['http, https', 'https'],
  ['https, http', 'http'],
  ['http, javascript, https', 'https'],
])(
  'resolveOrigin() reads the last X-Forwarded-Proto of %s: %s (TRUST-3, SEC-17)',
  (value, scheme) => {
    const { origin, fields } = resolved([['X-Forwarded-Proto', value]])
    expect(origin.scheme).toBe(scheme)
    expect(fields).toEqual({ 'x-forwarded-proto': scheme })
  }
)

test.each([
  'javascript',
  '',
  'https,',
  'https, ws',
  'ht\xe9',
  'https:',
  'on',
  '\x85https',
  'https\xa0',
])(
  'resolveOrigin() ignores and removes X-Forwarded-Proto %j (TRUST-3, SEC-09, SEC-17)',
  (value) => {
    for (const url of ['http://h.example/', 'https://h.example/']) {
      const { origin, fields } = resolved([['X-Forwarded-Proto', value]], undefined, { url })
      expect(origin.scheme).toBe(new URL(url).protocol.slice(0, -1))
      expect(fields).toEqual({})
    }
  }
)

test.each([
  ['on', 'https'],
  ['ON', 'https'],
  ['off', 'http'],
  ['1', 'http'],
  ['javascript', 'http'],
])(
  'resolveOrigin() reads X-Forwarded-Ssl %s as %s and removes it (TRUST-3, SEC-17)',
  (value, scheme) => {
    const { origin, fields } = resolved([['X-Forwarded-Ssl', value]])
    expect([origin.scheme, fields]).toEqual([scheme, {}])
  }
)

test.each<HeaderField[][]>([
  [
    [
      ['X-Forwarded-Proto', 'https'],
      ['X-Forwarded-Ssl', 'off'],
    ],
  ],
  [
    [
      ['X-Forwarded-Proto', 'http'],
      ['X-Forwarded-Ssl', 'on'],
    ],
  ],
  [
    [
      ['X-Forwarded-Proto', 'http'],
      ['Forwarded', 'for=6.6.6.6;proto=https'],
    ],
  ],
  [
    [
      ['X-Forwarded-Ssl', 'on'],
      ['Forwarded', 'for=6.6.6.6;proto=http'],
    ],
  ],
])('resolveOrigin() refuses schemes that contradict each other: %# (TRUST-3)', (headers) => {
  expect(refusal(() => resolved(headers))).toBe('400 ERR_BAD_REQUEST')
})

test.each([
  ['h2.example', 'h2.example'],
  ['evil.example, a@h, H2.example:81', 'H2.example:81'],
  ['[::1]:8', '[::1]:8'],
])('resolveOrigin() takes X-Forwarded-Host %s only where asked to (TRUST-4)', (value, host) => {
  const headers: HeaderField[] = [
    ['X-Forwarded-Host', value],
    ['X-Forwarded-Port', '9, 8443'],
  ]
  expect(resolved(headers, undefined, { trustHost: true }).origin).toMatchObject({
    host,
    hostPort: '8443',
  })
  const { origin } = resolved(headers)
  expect([origin.host, origin.hostPort]).toEqual([undefined, undefined])
})

test.each<HeaderField>([
  ['X-Forwarded-Host', ''],
  ['X-Forwarded-Host', 'a@h'],
  ['X-Forwarded-Host', 'h/p'],
  ['X-Forwarded-Host', 'h,'],
  ['X-Forwarded-Host', 'h:99999'],
  ['X-Forwarded-Port', ''],
  ['X-Forwarded-Port', '65536'],
  ['X-Forwarded-Port', '-1'],
  ['X-Forwarded-Port', '+80'],
  ['X-Forwarded-Port', '8x'],
  ['X-Forwarded-Port', '000080'],
])('resolveOrigin() refuses a trusted %s of %j (TRUST-4, HOST-1)', (name, value) => {
  expect(refusal(() => resolved([[name, value]], undefined, { trustHost: true }))).toBe(
    '400 ERR_BAD_REQUEST'
  )
})

test.each([
  ['for=6.6.6.6', '6.6.6.6', 'http'],
  ['for=9.9.9.9, For="6.6.6.6";Proto=HTTPS;by=10.0.0.1', '6.6.6.6', 'https'],
  ['for="[2001:db8::1]:4711";proto=https', '2001:db8::1', 'https'],
  ['for=6.6.6.6;proto=https, for=10.0.0.9;proto=http', '6.6.6.6', 'http'],
  ['for="1.2.3.4;proto=https"', '10.0.0.1', 'http'],
  ['for="1.2.3.4, for=5.6.7.8";proto=http', '10.0.0.1', 'http'],
  ['for=unknown', '10.0.0.1', 'http'],
  ['for=_hidden, for=10.0.0.9', '10.0.0.9', 'http'],
  ['proto=https', '10.0.0.1', 'https'],
  ['for=6.6.6.6;proto=javascript', '6.6.6.6', 'http'],
])('resolveOrigin() reads Forwarded %s as %s, %s (TRUST-5, SEC-18)', (value, addr, scheme) => {
  expect(resolved([['Forwarded', value]]).origin).toMatchObject({ addr, scheme })
})

test('resolveOrigin() lets X-Forwarded-For win over Forwarded, and removes that (TRUST-5)', () => {
  const { origin, fields } = resolved([
    ['Forwarded', 'for=9.9.9.9;proto=https'],
    ['X-Forwarded-For', '6.6.6.6'],
  ])
  expect(origin).toMatchObject({ addr: '6.6.6.6', scheme: 'http' })
  expect(fields).toEqual({ 'x-forwarded-for': '6.6.6.6' })
})

test.each([
  ['for="1.2.3.4;proto=http"', [{ for: '1.2.3.4;proto=http' }]],
  ['for=a;proto=b,for=c', [{ for: 'a', proto: 'b' }, { for: 'c' }]],
  ['for="a, b\\"c\\\\";by=d', [{ for: 'a, b"c\\', by: 'd' }]],
  ['for="";by=d \t,\t FOR=e', [{ for: '', by: 'd' }, { for: 'e' }]],
  ['for=a;', [{ for: 'a' }]],
  ['for=a,', [{ for: 'a' }]],
  ['', []],
])('parseForwarded() parses %j, quotes respected (TRUST-5, SEC-18)', (value, elements) => {
  expect(parseForwarded(value).map((element) => Object.fromEntries(element))).toEqual(elements)
})

test.each([
  'for',
  'for=',
  'for=a b',
  'for="a',
  'for=a"b"',
  '=a',
  'for=a;;by=b',
  'for =a',
  'for="\\"',
])('parseForwarded() refuses %j (TRUST-5, SEC-18)', (value) => {
  expect(refusal(() => parseForwarded(value))).toBe('400 ERR_BAD_REQUEST')
})

test('parseForwarded() gives any quoted text back (TRUST-5, SEC-18)', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
      fc.pre(!/[\r\n]/.test(text))
      const quoted = text.replace(/["\\]/g, '\\$&')
      expect(parseForwarded(`for="${quoted}";proto=http`)).toEqual([
        new Map([
          ['for', text],
          ['proto', 'http'],
        ]),
      ])
    })
  )
})

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::FFFF:192.0.2.9', '192.0.2.9'],
  ['0:0:0:0:0:0:0:1', '::1'],
  ['64:ff9b::192.0.2.9', '64:ff9b::c000:209'],
  ['fe80::1%eth0', 'fe80::1%eth0'],
])('parseAddress() writes %s as %s (TRUST-2, SEC-16)', (text, addr) => {
  expect(parseAddress(text)).toBe(addr)
})

// Forms of inet_aton() that ipaddr.js accepts, within IPv6 too.
test.each(['127.1', '0x7f.0.0.1', '0177.0.0.1', '::ffff:0x7f.0.0.1', '::ffff:0177.0.0.1'])(
  'parseAddress() takes no address from %s (TRUST-2, SEC-16)',
  (text) => {
    expect(parseAddress(text)).toBeUndefined()
  }
)

test('parseAddress() does not take ::127.0.0.1 for 127.0.0.1, which ::7f00:1 is not (TRUST-2)', () => {
  expect(parseAddress('::7f00:1')).toBe('::7f00:1')
  expect(parseAddress('::127.0.0.1')).not.toBe('127.0.0.1')
})

test('parseAddress() and trust checks never throw, whatever the text (TRUST-2, SEC-16)', () => {
  const isTrusted = compileTrust(['10.0.0.0/8', '2001:db8::/32', 'unix:'])
  const sign = fc.constantFrom(':', '::', '.', '0x', '%', '1', '255', 'ffff', '/', '[', ']')
  const text = fc.oneof(
    fc.string(),
    fc.array(sign).map((signs) => signs.join(''))
  )
  fc.assert(
    fc.property(text, (addr) => {
      const parsed = parseAddress(addr)
      expect(typeof isTrusted(addr)).toBe('boolean')
      if (parsed !== undefined) expect(parsed).toMatch(/^[0-9a-f:.]+(?:%[0-9a-z]+)?$/i)
    })
  )
})

test.each([
  ['10.0.0.0/8', '10.255.0.1', true],
  ['10.0.0.0/8', '11.0.0.1', false],
  ['10.0.0.0/8', '::ffff:10.1.2.3', true],
  ['10.0.0.1', '10.0.0.1', true],
  ['10.0.0.1', '10.0.0.10', false],
  ['0.0.0.0/0', '::1', false],
  ['::/0', '1.2.3.4', false],
  ['2001:db8::/32', '2001:db8:0:1::9', true],
  ['2001:db8::/32', '2001:db9::9', false],
  ['::1', '0:0:0:0:0:0:0:1', true],
  ['unix:', 'unix:', true],
  ['0.0.0.0/0', 'unix:', false],
  ['0.0.0.0/0', '1.2.3', false],
])('compileTrust() of %s for %s is %s (TRUST-2, SEC-16)', (range, addr, trusted) => {
  expect(compileTrust([range])(addr)).toBe(trusted)
})

test.each(['', 'h.example', '10.0.0', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', '*'])(
  'compileTrust() refuses the proxy %j (TRUST-2)',
  (proxy) => {
    expect(() => compileTrust([proxy])).toThrow(TypeError)
  }
)
