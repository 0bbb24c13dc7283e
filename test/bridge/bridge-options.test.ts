import { afterEach, describe, expect, test, vi } from 'vitest'
import type { BridgeOptions } from '../../src/bridge/bridge-options.ts'
import { resolveBridgeOptions } from '../../src/bridge/resolve-bridge-options.ts'
import { GatewayError } from '../../src/core/errors.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

/** Class and message of what options are refused with. */
function refusal(options: Record<string, unknown>): string {
  try {
    resolveBridgeOptions(options as BridgeOptions)
  } catch (error) {
    return String(error)
  }
  return ''
}

describe('resolveBridgeOptions()', () => {
  test('fills in the defaults that the options document', () => {
    expect(resolveBridgeOptions()).toMatchObject({
      connectTimeout: 60_000,
      sendTimeout: 60_000,
      readTimeout: 60_000,
      clientBodyTimeout: 60_000,
      bufferSize: 65_536,
      params: [],
      modifier1: 0,
      modifier2: 0,
      maxVars: 128,
      maxVarsBytes: 65_535,
      environ: { maxHeaders: 100, unknownLength: 'buffer', allowNul: false },
    })
  })

  test.each<[BridgeOptions, object]>([
    [
      { connectTimeout: 1, sendTimeout: Infinity, readTimeout: 2_147_483_648 },
      { connectTimeout: 1, sendTimeout: Infinity, readTimeout: 2_147_483_648 },
    ],
    [
      { bufferSize: 1, maxVars: Infinity, maxVarsBytes: 1 },
      { bufferSize: 1, maxVars: Infinity, maxVarsBytes: 1 },
    ],
    [
      { maxVarsBytes: 65_535, modifier1: 14, modifier2: 255 },
      { maxVarsBytes: 65_535, modifier1: 14, modifier2: 255 },
    ],
    [
      { params: { UWSGI_FILE: '/x.py', 'wsgi.x': '', HTTP_A: 'caf\xe9\t' } },
      {
        params: [
          ['UWSGI_FILE', '/x.py'],
          ['wsgi.x', ''],
          ['HTTP_A', 'caf\xe9\t'],
        ],
      },
    ],
    [
      { mount: '/legacy', unknownLength: 'reject' },
      { environ: { mount: '/legacy', unknownLength: 'reject' } },
    ],
  ])('takes %j', (options, resolved) => {
    expect(resolveBridgeOptions(options)).toMatchObject(resolved)
  })

  test.each([0, 5, 7, 9, 14])('UW-2: takes modifier1 %i', (modifier1) => {
    expect(resolveBridgeOptions({ modifier1 }).modifier1).toBe(modifier1)
  })

  const TIMEOUT = 'wanted milliseconds above 0, or Infinity for no limit'
  const LIMIT = 'wanted a whole number, or Infinity for no limit'
  const PLUGIN = 'wanted one of 0, 5, 7, 9, 14'

  test.each<[string, unknown, string]>([
    ['connectTimeout', 0, `RangeError: Cannot use connectTimeout 0: ${TIMEOUT}`],
    ['sendTimeout', -1, `RangeError: Cannot use sendTimeout -1: ${TIMEOUT}`],
    ['readTimeout', Number.NaN, `RangeError: Cannot use readTimeout NaN: ${TIMEOUT}`],
    ['readTimeout', -Infinity, `RangeError: Cannot use readTimeout -Infinity: ${TIMEOUT}`],
    ['clientBodyTimeout', 0.5, `RangeError: Cannot use clientBodyTimeout 0.5: ${LIMIT}`],
    ['connectTimeout', '60s', `RangeError: Cannot use connectTimeout 60s: ${TIMEOUT}`],
    ['connectTimeout', '60', `RangeError: Cannot use connectTimeout 60: ${LIMIT}`],
    ['bufferSize', -1, `RangeError: Cannot use bufferSize -1: ${LIMIT}`],
    ['bufferSize', 1.5, `RangeError: Cannot use bufferSize 1.5: ${LIMIT}`],
    ['maxVars', -1, `RangeError: Cannot use maxVars -1: ${LIMIT}`],
    [
      'maxVarsBytes',
      0,
      'RangeError: Cannot use maxVarsBytes 0: wanted a whole number from 1 to 65535',
    ],
    [
      'maxVarsBytes',
      65_536,
      'RangeError: Cannot use maxVarsBytes 65536: wanted a whole number from 1 to 65535',
    ],
    [
      'maxVarsBytes',
      Infinity,
      'RangeError: Cannot use maxVarsBytes Infinity: wanted a whole number from 1 to 65535',
    ],
    ['modifier2', 256, 'RangeError: Cannot use modifier2 256: wanted a whole number from 0 to 255'],
    ['modifier2', -1, 'RangeError: Cannot use modifier2 -1: wanted a whole number from 0 to 255'],
    ['modifier1', 22, `RangeError: Cannot use modifier1 22: ${PLUGIN}`],
    ['modifier1', 17, `RangeError: Cannot use modifier1 17: ${PLUGIN}`],
    ['modifier1', 100, `RangeError: Cannot use modifier1 100: ${PLUGIN}`],
    ['modifier1', 173, `RangeError: Cannot use modifier1 173: ${PLUGIN}`],
    ['modifier1', '0', `RangeError: Cannot use modifier1 0: ${PLUGIN}`],
    [
      'unknownLength',
      'stream',
      'TypeError: Cannot use unknownLength "stream" in a bridge: a uwsgi packet announces the length of its body; wanted "buffer" or "reject"',
    ],
    ['allowNul', true, 'TypeError: Cannot use allowNul in a bridge: uWSGI ends a string at NUL'],
  ])('names %s, its value %j and what was wanted', (name, value, message) => {
    expect(refusal({ [name]: value })).toBe(message)
  })

  const NAME = 'wanted a name of letters, digits, "_" and "."'
  const VALUE = 'its value holds CR, LF, NUL or a character above U+00FF'

  test.each<[string, string, string]>([
    ['', 'v', `TypeError: Cannot use params "": ${NAME}`],
    ['A B', 'v', `TypeError: Cannot use params "A B": ${NAME}`],
    ['A-B', 'v', `TypeError: Cannot use params "A-B": ${NAME}`],
    ['A\n', 'v', `TypeError: Cannot use params "A\\n": ${NAME}`],
    ['A\0B', 'v', `TypeError: Cannot use params "A\\u0000B": ${NAME}`],
    ['\xc9', 'v', `TypeError: Cannot use params "\xc9": ${NAME}`],
    ['A', 'a\r\nb', `TypeError: Cannot use params A: ${VALUE}`],
    ['A', 'a\0b', `TypeError: Cannot use params A: ${VALUE}`],
    ['A', '\u0100', `TypeError: Cannot use params A: ${VALUE}`],
    ['PATH_INFO', 'a\nb', `TypeError: Cannot use params PATH_INFO: ${VALUE}`],
  ])('refuses params %j with %j, without telling the value', (name, value, message) => {
    expect(refusal({ params: { [name]: value } })).toBe(message)
  })

  test.each([5, true, null, undefined, {}])(
    'refuses params with a value that is no string: %j',
    (value) => {
      expect(refusal({ params: { A: value } })).toMatch(
        /^TypeError: Cannot use params A: .*wanted a string/
      )
    }
  )

  test('reports errors to the console in one line, control characters escaped (SEC-36)', () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {})
    const context = { method: 'GET', path: '/a\x1b[0m\nb', upstream: 'uwsgi://h:3031' }
    resolveBridgeOptions().onError(new GatewayError('ERR_READ_TIMEOUT', 'Late'), context)
    const [[line]] = lines.mock.calls as [[string]]
    expect(line).toMatch(/^GET \/a\S+ uwsgi:\/\/h:3031: ERR_READ_TIMEOUT Late$/)
    expect(line).not.toMatch(/[\0-\x1f\x7f]/)
  })
})
