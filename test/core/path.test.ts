import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  checkTargetLength,
  decodePath,
  MAX_TARGET_BYTES,
  normalizeMount,
  parseTarget,
  type PathOptions,
  splitMount,
} from '../../src/core/path.ts'
import { refusal } from './support.ts'

const DEFAULTS: PathOptions = {
  encodedSlash: 'decode',
  decodedDotSegments: 'reject',
  collapseLeadingSlashes: false,
  allowNul: false,
}

/** What a URL's path becomes, from the URL on. */
function decoded(path: string, options: Partial<PathOptions> = {}): string {
  return decodePath(new URL(`http://h.example${path}`).pathname, { ...DEFAULTS, ...options })
}

test.each([
  ['/', '/'],
  ['/a?b?c', '/a?b?c'],
  ['/a?', '/a?'],
  ['/a#f?g', '/a'],
  ['//evil.com/p', '//evil.com/p'],
  ['/*', '/*'],
  ['/é\xff', '/é\xff'],
])(
  'parseTarget() takes %j as origin-form, without the fragment (PATH-2)',
  (target, pathAndQuery) => {
    expect(parseTarget(target, 'GET')).toEqual({ type: 'origin', pathAndQuery })
  }
)

test.each([
  ['http://h/p?q#f', 'h', '/p?q'],
  ['HTTPS://u:p@H:8/p', 'H:8', '/p'],
  ['http://a@b@real', 'real', '/'],
  ['http://h?q', 'h', '/?q'],
  ['http://', '', '/'],
])('parseTarget() takes %s apart, userinfo left out (TGT-1)', (target, authority, pathAndQuery) => {
  expect(parseTarget(target, 'GET')).toEqual({ type: 'absolute', authority, pathAndQuery })
})

test('parseTarget() knows * with OPTIONS and refuses it otherwise (TGT-2)', () => {
  expect(parseTarget('*', 'OPTIONS')).toEqual({ type: 'asterisk' })
  for (const method of ['GET', 'options', 'POST']) {
    expect(refusal(() => parseTarget('*', method))).toBe('400 ERR_BAD_REQUEST')
  }
})

test.each(
  ['', 'foo/bar', 'h:443', '**', '*/', '?q', '#f', '.', '../x', 'ftp://h/', 'http:/h', 'http:h']
    .concat(['/a b', '/a\tb', '/a\r\nX: y', '/a\0', '/\x7f', '/\x1b[2J', ' /', '/a ', '\\x'])
    .concat(['/\u0100', '/\u560d\u560a', 'javascript:alert(1)', 'http\\://h/'])
)('parseTarget() refuses %j (TGT-3, TGT-4, SEC-11)', (target) => {
  for (const method of ['GET', 'OPTIONS']) {
    expect(refusal(() => parseTarget(target, method))).toBe('400 ERR_BAD_REQUEST')
  }
})

test('parseTarget() refuses all that is neither /, http(s)://, nor * (TGT-4)', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (target) => {
      fc.pre(!/^(?:\/|https?:\/\/|\*$)/i.test(target))
      expect(refusal(() => parseTarget(target, 'OPTIONS'))).toBe('400 ERR_BAD_REQUEST')
    })
  )
})

test('parseTarget() and checkTargetLength() stop at 8 KiB (TGT-5, SEC-37)', () => {
  const longest = '/'.padEnd(MAX_TARGET_BYTES, 'a')
  expect(MAX_TARGET_BYTES).toBe(8192)
  expect(parseTarget(longest, 'GET')).toEqual({ type: 'origin', pathAndQuery: longest })
  for (const call of [
    () => parseTarget(`${longest}a`, 'GET'),
    () => parseTarget('x '.repeat(5000), 'GET'),
    () => checkTargetLength(8193),
  ]) {
    expect(refusal(call)).toBe('414 ERR_TARGET_TOO_LONG')
  }
  expect(refusal(() => checkTargetLength(8192))).toBe('not refused')
})

test.each([
  ['/a/./b/../c', '/a/c', 'PATH-1'],
  ['/a\\..\\b', '/b', 'PATH-1'],
  ['/a\tb\n', '/ab', 'PATH-1'],
  ['/%41%c3%A9', '/A\xc3\xa9', 'PATH-3'],
  ['/a%252e%252e/b', '/a%2e%2e/b', 'PATH-3, SEC-31'],
  ['/a%zz%4', '/a%zz%4', 'PATH-3'],
  ['/a+b;c=d;e', '/a+b;c=d;e', 'PATH-4'],
  ['/café/あ', '/caf\xc3\xa9/\xe3\x81\x82', 'PATH-5'],
  ['/%ff%fe', '/\xff\xfe', 'PATH-5, STR-2'],
  ['/a%2Fb', '/a/b', 'PATH-7'],
  ['/a%5cb', '/a\\b', 'PATH-7'],
  ['/...', '/...', 'PATH-8'],
  ['/a/..;/b', '/a/..;/b', 'PATH-8, SEC-31'],
  ['/a..%2fb', '/a../b', 'PATH-8'],
  ['/x.php%0a', '/x.php\n', 'PATH-9, SEC-34'],
  ['/index.php/PATH%0aINFO', '/index.php/PATH\nINFO', 'PATH-9, SEC-34'],
  ['/a%0d%0aSet-Cookie:x', '/a\r\nSet-Cookie:x', 'PATH-9'],
  ['/%23%3f', '/#?', 'PATH-3'],
  ['//evil.com//p', '//evil.com//p', 'PATH-10, SEC-14'],
])('decodePath() gives %j as %j (%s)', (path, value) => {
  expect(decoded(path)).toBe(value)
})

test.each(['/a%00.php', '/%00', '/a%00HTTP_X%00y'])(
  'decodePath() refuses %s unless allowNul (PATH-6, SEC-30)',
  (path) => {
    expect(refusal(() => decoded(path))).toBe('400 ERR_BAD_REQUEST')
    expect(decoded(path, { allowNul: true })).toBe(path.replaceAll('%00', '\0'))
  }
)

test('decodePath() decodes, refuses or preserves %2F, as asked (PATH-7, SEC-32)', () => {
  for (const path of ['/a%2Fb', '/a%2fb', '/%2f']) {
    expect(refusal(() => decoded(path, { encodedSlash: 'reject' }))).toBe('400 ERR_BAD_REQUEST')
    expect(decoded(path, { encodedSlash: 'preserve' })).toBe(path)
    expect(decoded(path)).toBe(path.replace(/%2f/i, '/'))
  }
  expect(decoded('/a%2Eb%41', { encodedSlash: 'preserve' })).toBe('/a.bA')
  expect(decoded('/a%252Fb', { encodedSlash: 'reject' })).toBe('/a%2Fb')
})

test.each([
  '/..%2f..%2fetc/passwd',
  '/a/..%2fb',
  '/a/%2e%2e%2fb',
  '/a%2f..',
  '/a%2f%2e%2e/b',
  '/a%2f.',
  '/.%2fa',
  '/%2e%2fa',
  '/admin%2F..%2Fx',
  '/static/..%2f..%2fx',
])(
  'decodePath() refuses %s, a dot segment once decoded (PATH-8, SEC-31, SEC-32, SEC-37)',
  (path) => {
    expect(refusal(() => decoded(path))).toBe('400 ERR_BAD_REQUEST')
    expect(decoded(path, { decodedDotSegments: 'pass' })).toBe(
      path.replace(/%2f/gi, '/').replace(/%2e/gi, '.')
    )
  }
)

test('decodePath() refuses a path that no URL parser leaves so (PATH-5, STR-3, SEC-11)', () => {
  for (const path of ['/\u0100', '/a\u560d\u560aX: y', '/%41\u212a']) {
    expect(refusal(() => decodePath(path, DEFAULTS))).toBe('400 ERR_BAD_REQUEST')
  }
})

test.each([
  ['///evil.com//p', '/evil.com//p'],
  ['/%2f/a', '/a'],
  ['/a//b', '/a//b'],
])(
  'decodePath() collapses the leading slashes of %s where asked (PATH-10, SEC-14)',
  (path, value) => {
    expect(decoded(path, { collapseLeadingSlashes: true })).toBe(value)
  }
)

test('decodePath() takes any path as octets, by any policy, or refuses it (PATH-5, STR-1)', () => {
  const part = fc.constantFrom(
    '/',
    '//',
    '%',
    '%2',
    '%2f',
    '%2E',
    '.',
    '..',
    '%00',
    '%ff',
    'é',
    'a'
  )
  const anyPath = fc.array(fc.oneof(part, fc.string({ unit: 'binary' }))).map((all) => all.join(''))
  const anyOptions = fc.record({
    encodedSlash: fc.constantFrom('decode', 'preserve', 'reject'),
    decodedDotSegments: fc.constantFrom('pass', 'reject'),
    collapseLeadingSlashes: fc.boolean(),
    allowNul: fc.boolean(),
  })
  fc.assert(
    fc.property(anyPath, anyOptions, (path, options) => {
      let value = ''
      const refused = refusal(() => (value = decoded(`/${path}`, options)))
      expect(refused).toBeOneOf(['not refused', '400 ERR_BAD_REQUEST'])
      expect(value).toMatch(refused === 'not refused' ? /^\/[\0-\xff]*$/ : /^$/)
    })
  )
})

test.each([
  ['', ''],
  ['/', ''],
  ['/app', '/app'],
  ['/app/', '/app'],
  ['/a/b', '/a/b'],
  ['/\xe3\x81\x82pp', '/\xe3\x81\x82pp'],
])('normalizeMount() writes %j as %j (MOUNT-3)', (mount, scriptName) => {
  expect(normalizeMount(mount)).toBe(scriptName)
})

test.each([
  'app',
  '//',
  '/a//b',
  '//a',
  '/a?b',
  '/a#b',
  '/../a',
  '/a/.',
  '/a\0',
  ' /a',
  'http://h/a',
])('normalizeMount() refuses %j (MOUNT-3)', (mount) => {
  expect(() => normalizeMount(mount)).toThrow(TypeError)
})

test.each([
  ['/app', '/app', ''],
  ['/app/', '/app', '/'],
  ['/app/x', '/app', '/x'],
  ['/app//x', '/app', '//x'],
  ['/app/x\n', '/app', '/x\n'],
  ['/a', '', '/a'],
  ['/a/b/c', '/a/b', '/c'],
])('splitMount() of %j at %j leaves PATH_INFO %j (MOUNT-1, SEC-38)', (path, mount, pathInfo) => {
  expect(splitMount(path, mount)).toEqual({ scriptName: mount, pathInfo })
})

test.each([
  ['/apple', '/app'],
  ['/ap', '/app'],
  ['/', '/app'],
  ['/App', '/app'],
  ['/app\n', '/app'],
  ['/app.', '/app'],
  ['//app', '/app'],
  ['/x/app', '/app'],
  ['/a/bc', '/a/b'],
])('splitMount() refuses %j under %j (MOUNT-1, MOUNT-2, SEC-33, SEC-38)', (path, mount) => {
  expect(refusal(() => splitMount(path, mount))).toBe('404 ERR_MOUNT_MISMATCH')
})

test('splitMount() nests: the concatenation stays the path (MOUNT-5, INV-1)', () => {
  const segment = fc.constantFrom('/a', '/b', '/\xe3\x81\x82', '/a b')
  const mounts = fc.tuple(segment, segment)
  fc.assert(
    fc.property(mounts, fc.constantFrom('', '/', '//', '/x', '/a/b'), ([outer, inner], rest) => {
      const first = splitMount(outer + inner + rest, outer)
      const second = splitMount(first.pathInfo, inner)
      expect(first.scriptName + first.pathInfo).toBe(outer + inner + rest)
      expect(second).toEqual({ scriptName: inner, pathInfo: rest })
    })
  )
})
