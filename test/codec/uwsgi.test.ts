import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodePacket,
  type Packet,
  PacketDecoder,
  type PacketOptions,
} from '../../src/codec/uwsgi.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { Variable } from '../../src/core/vars.ts'
import { codeOf, decodePacket } from './decode.ts'
import { byteByByte, cutAt, cutBytes, joined, octets, text } from './wire.ts'

function encodeCode(vars: readonly Variable[], options?: PacketOptions): string {
  try {
    return `${encodePacket(vars, options).length} bytes`
  } catch (error) {
    return codeOf(error)
  }
}

function encodeError(vars: readonly Variable[], options?: PacketOptions): GatewayError {
  try {
    encodePacket(vars, options)
  } catch (error) {
    if (error instanceof GatewayError) return error
    throw error
  }
  throw new Error('Cannot find the error: the packet was encoded')
}

/** This many bytes. */
function k(size: number): string {
  return 'k'.repeat(size)
}

/** `count` variables. */
function many(count: number): Variable[] {
  return Array.from({ length: count }, (_, i) => [`HTTP_X_${i}`, 'v'] as const)
}

describe('encodePacket() and PacketDecoder', () => {
  const unit = fc.integer({ min: 0, max: 0xff }).map((code) => String.fromCharCode(code))
  const native = fc.string({ unit, maxLength: 300 }).filter((value) => !/[\r\n\0]/.test(value))
  const name = native.filter((value) => value !== '')
  const variable = fc.tuple(name, native)
  const byte = fc.integer({ min: 0, max: 255 })

  test('decode(encode(x)) is x, whatever the cuts and whatever follows', () => {
    fc.assert(
      fc.property(
        fc.array(variable.filter(([key]) => !key.startsWith('UWSGI_'))),
        fc.array(
          fc.tuple(
            name.map((key) => `UWSGI_${key}`),
            native
          ),
          { maxLength: 5 }
        ),
        byte,
        byte,
        fc.uint8Array(),
        fc.array(fc.nat(70_000)),
        (vars, params, modifier1, modifier2, body, offsets) => {
          const packet = encodePacket(vars, { params, modifier1, modifier2 })
          const bytes = joined(packet, body)
          const chunks = cutAt(
            bytes,
            offsets.filter((offset) => offset < bytes.length)
          )
          expect(decodePacket(chunks)).toEqual({
            packet: { modifier1, modifier2, vars: [...vars, ...params] },
            chunks: expect.any(Number),
            rest: text(body),
          })
        }
      )
    )
  })

  test('the largest block there can be comes back', () => {
    const vars: Variable[] = [['A', '\xff'.repeat(65_530)]]
    expect(decodePacket([encodePacket(vars)]).packet?.vars).toEqual(vars)
  })
})

describe('encodePacket() sizes (UW-1, SEC-60, SEC-61)', () => {
  test.each<[string, Variable[], string]>([
    ['block of 65535 bytes, in its value', [['A', k(65_530)]], '65539 bytes'],
    ['block of 65536 bytes, in its value', [['A', k(65_531)]], 'ERR_VARS_TOO_LARGE'],
    ['block of 65535 bytes, in its name', [[k(65_531), '']], '65539 bytes'],
    ['block of 65536 bytes, in its name', [[k(65_532), '']], 'ERR_VARS_TOO_LARGE'],
    [
      'block of 65535 bytes, in two variables',
      [
        ['A', k(32_763)],
        ['B', k(32_762)],
      ],
      '65539 bytes',
    ],
    [
      'block of 65536 bytes, in two variables',
      [
        ['A', k(32_763)],
        ['B', k(32_763)],
      ],
      'ERR_VARS_TOO_LARGE',
    ],
    ['value of 65535 bytes', [['A', k(65_535)]], 'ERR_VARS_TOO_LARGE'],
    ['value of 65536 bytes', [['A', k(65_536)]], 'ERR_VARS_TOO_LARGE'],
    ['name of 65535 bytes', [[k(65_535), '']], 'ERR_VARS_TOO_LARGE'],
    ['name of 65536 bytes', [[k(65_536), '']], 'ERR_VARS_TOO_LARGE'],
    [
      'block whose size wraps to 9 in 16 bits',
      [
        ['A', k(32_766)],
        ['B', k(32_769)],
      ],
      'ERR_VARS_TOO_LARGE',
    ],
    ['no variables', [], '4 bytes'],
    ['one empty value', [['A', '']], '9 bytes'],
  ])('%s: %s', (_what, vars, expected) => {
    expect(encodeCode(vars)).toBe(expected)
  })

  test('writes the size little-endian, below and above 255', () => {
    expect([...encodePacket([['A', k(0x102 - 5)]]).subarray(0, 9)]).toEqual([
      0, 0x02, 0x01, 0, 1, 0, 0x41, 0xfd, 0,
    ])
    expect([...encodePacket([['A', k(65_530)]]).subarray(0, 4)]).toEqual([0, 0xff, 0xff, 0])
  })

  test('counts the variables of params into the size', () => {
    const params: Variable[] = [['B', k(32_763)]]
    expect(encodeCode([['A', k(32_762)]], { params })).toBe('65539 bytes')
    expect(encodeCode([['A', k(32_763)]], { params })).toBe('ERR_VARS_TOO_LARGE')
  })

  test.each<[string, Variable[], PacketOptions, string]>([
    ['maxDatasize 4096, block 4096', [['A', k(4091)]], { maxDatasize: 4096 }, '4100 bytes'],
    ['maxDatasize 4096, block 4097', [['A', k(4092)]], { maxDatasize: 4096 }, 'ERR_VARS_TOO_LARGE'],
    [
      'maxDatasize above the format',
      [['A', k(65_531)]],
      { maxDatasize: 70_000 },
      'ERR_VARS_TOO_LARGE',
    ],
    ['maxVars 128, 128 variables (UW-4)', many(128), { maxVars: 128 }, '1814 bytes'],
    ['maxVars 128, 129 variables (UW-4)', many(129), { maxVars: 128 }, 'ERR_VARS_TOO_LARGE'],
    [
      'maxVars 128, 128 and one of params (UW-4)',
      many(128),
      { maxVars: 128, params: [['A', '']] },
      'ERR_VARS_TOO_LARGE',
    ],
    ['no maxVars', many(2000), {}, '30894 bytes'],
  ])('%s', (_what, vars, options, expected) => {
    expect(encodeCode(vars, options)).toBe(expected)
  })

  test('says what was too large and what the limit is, and no value', () => {
    const secret = 'secret'.repeat(12_000)
    expect(encodeError([['HTTP_COOKIE', secret]]).message).toBe(
      'Cannot encode uwsgi packet: HTTP_COOKIE is 72000 bytes, limit is 65535'
    )
    expect(encodeError([['A', k(5000)]], { maxDatasize: 4096 }).message).toBe(
      'Cannot encode uwsgi packet: the vars block is 5005 bytes, limit is 4096'
    )
    expect(encodeError(many(129), { maxVars: 128 }).message).toBe(
      'Cannot encode uwsgi packet: it has 129 variables, limit is 128'
    )
    expect(encodeError([['A', '']], { maxVars: 0 }).status).toBe(431)
  })
})

describe('encodePacket() refuses what a packet must not hold', () => {
  test.each<[string, string, string]>([
    ['UW-3: an empty name', '', 'v'],
    ['NUL in a name', 'A\0B', 'v'],
    ['CR in a name', 'A\rB', 'v'],
    ['LF in a name', 'A\nB', 'v'],
    ['LF in a name that ends in PATH_INFO', '\nPATH_INFO', 'v'],
    ['NUL in a value', 'HTTP_A', 'a\0b'],
    ['CR in a value', 'HTTP_A', 'a\rb'],
    ['LF in a value', 'HTTP_A', 'a\nb'],
    ['CR LF in QUERY_STRING', 'QUERY_STRING', 'a\r\nb'],
    ['CR LF in REQUEST_URI', 'REQUEST_URI', '/a\r\nb'],
    ['CR LF in a name that resembles PATH_INFO', 'HTTP_PATH_INFO', '/a\r\nb'],
    [
      'SEC-65: a status line in SERVER_PROTOCOL',
      'SERVER_PROTOCOL',
      'HTTP/1.1 200 X\r\nX-I: 1\r\n\r\n',
    ],
    ['SEC-65: a request line in REQUEST_METHOD', 'REQUEST_METHOD', 'GET / HTTP/1.1\r\nX-I: 1'],
    ['NUL in PATH_INFO', 'PATH_INFO', '/a\0b'],
    ['NUL in SCRIPT_NAME', 'SCRIPT_NAME', '/a\0b'],
    ['STR-3: U+0100 in a value', 'HTTP_A', '\u0100'],
    ['STR-3: U+560D U+560A, whose low bytes are CR LF', 'HTTP_A', '\u560d\u560aX: y'],
    ['STR-3: a surrogate pair', 'PATH_INFO', '/\u{1f600}'],
    ['STR-3: a lone surrogate at the end of a long value', 'HTTP_A', `${'a'.repeat(5000)}\ud800`],
    ['STR-3: U+0141, whose low byte is A, in a name', '\u0141', 'v'],
  ])('%s', (_what, name, value) => {
    expect(encodeCode([[name, value]])).toBe('ERR_BAD_REQUEST')
    expect(encodeCode([], { params: [[name, value]] })).toBe('ERR_BAD_REQUEST')
  })

  test.each<[string, string, string]>([
    ['PATH-9: CR LF in PATH_INFO', 'PATH_INFO', '/a\r\nSet-Cookie: x'],
    ['PATH-9: CR LF in SCRIPT_NAME', 'SCRIPT_NAME', '/a\r\n'],
    ['every other octet in a value', 'HTTP_A', octetsBut('\0\r\n')],
    ['every octet but NUL in PATH_INFO', 'PATH_INFO', octetsBut('\0')],
    ['SEC-05: UWSGI_FILE under HTTP_', 'HTTP_UWSGI_FILE', '/x.py'],
    ['UW-12: an empty value', 'HTTP_A', ''],
  ])('but takes %s', (_what, name, value) => {
    expect(decodePacket([encodePacket([[name, value]])]).packet?.vars).toEqual([[name, value]])
  })

  test.each([
    'UWSGI_FILE',
    'UWSGI_SCRIPT',
    'UWSGI_MODULE',
    'UWSGI_CALLABLE',
    'UWSGI_HOME',
    'UWSGI_CHDIR',
    'UWSGI_SETENV',
    'UWSGI_POSTFILE',
    'UWSGI_APPID',
    'UWSGI_SCHEME',
    'UWSGI_TOUCH_RELOAD',
    'UWSGI_',
  ])('UW-5, SEC-62: %s, unless it is among params', (name) => {
    expect(
      encodeCode([
        ['A', 'b'],
        [name, 'v'],
      ])
    ).toBe('ERR_BAD_REQUEST')
    expect(encodeError([[name, 'hidden']]).message).not.toContain('hidden')
    const packet = encodePacket([['A', 'b']], { params: [[name, 'v']] })
    // Last, for of two with one name uWSGI takes the last.
    expect(decodePacket([packet]).packet?.vars).toEqual([
      ['A', 'b'],
      [name, 'v'],
    ])
  })

  test.each([
    ['modifier1', -1],
    ['modifier1', 256],
    ['modifier1', 1.5],
    ['modifier1', Number.NaN],
    ['modifier2', -1],
    ['modifier2', 256],
    ['modifier2', Infinity],
  ])('UW-2: %s %s', (name, value) => {
    expect(() => encodePacket([], { [name]: value })).toThrow(
      new RangeError(`Cannot use ${name} ${value}: wanted a byte, 0 to 255`)
    )
  })

  test('UW-2: but takes every byte as a modifier, in its own place', () => {
    for (let byte = 0; byte <= 255; byte++) {
      const packet = encodePacket([], { modifier1: byte, modifier2: 255 - byte })
      expect([...packet]).toEqual([byte, 0, 0, 255 - byte])
    }
  })
})

function octetsBut(refused: string): string {
  const all = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
  return all.filter((unit) => !refused.includes(unit)).join('')
}

/** A packet of this block. */
function packetOf(block: string): Uint8Array {
  const size = octets(block).length
  return octets(`\0${String.fromCharCode(size & 0xff, size >> 8)}\0${block}`)
}

describe('PacketDecoder', () => {
  test.each([
    ['a name that runs past the block', '\xff\xffAB'],
    ['a name one byte longer than the block', '\x03\0AB'],
    ['UW-1: a name length behind which another variable hides', '\xff\xff\x06\0HTTP_Z\x04\0smug'],
    ['a name without a value', '\x01\0A'],
    ['a name with half a value length', '\x01\0A\x01'],
    ['a value that runs past the block', '\x01\0A\xff\xffB'],
    ['a value one byte longer than the block', '\x01\0A\x02\0B'],
    ['SEC-61: a name of length zero', '\0\0\x01\0B'],
    ['SEC-61: a name of length zero behind a variable', '\x01\0A\x01\0B\0\0\x01\0B'],
    ['UW-12: one stray byte', '\x01\0A\x01\0B\0'],
    ['UW-12: two stray bytes, zero', '\x01\0A\x01\0B\0\0'],
    ['UW-12: two stray bytes, a length', '\x01\0A\x01\0B\x01\0'],
    ['UW-12: three stray bytes', '\x01\0A\x01\0B\x01\0C'],
    ['one byte', 'A'],
  ])('refuses %s', (_what, block) => {
    const bytes = packetOf(block)
    expect(decodePacket([bytes])).toEqual({ error: 'ERR_BAD_REQUEST' })
    expect(decodePacket(byteByByte(bytes))).toEqual({ error: 'ERR_BAD_REQUEST' })
    // The bytes behind the block are not the block's.
    expect(decodePacket([joined(bytes, octets('\0'.repeat(99)))])).toEqual({
      error: 'ERR_BAD_REQUEST',
    })
  })

  test.each([
    [1000, {}, undefined],
    [1001, {}, 'ERR_VARS_TOO_LARGE'],
    [128, { maxVars: 128 }, undefined],
    [129, { maxVars: 128 }, 'ERR_VARS_TOO_LARGE'],
    [0, { maxVars: 0 }, undefined],
  ])('UW-4: %i variables with %j: %s', (count, options, error) => {
    const outcome = decodePacket([encodePacket(many(count))], options)
    expect([outcome.error, outcome.packet?.vars.length]).toEqual([error, error ? undefined : count])
  })

  test('UW-1: refuses a size over maxDatasize at the header, before the block', () => {
    const options = { maxDatasize: 4096 }
    expect(decodePacket([octets('\0\x01\x10\0')], options)).toEqual({ error: 'ERR_VARS_TOO_LARGE' })
    expect(decodePacket([octets('\0\0\x10\0')], options)).toEqual({ rest: '\0\0\x10\0' })
  })

  test.each([0, 1, 2, 3])('waits for its header, after %i bytes too', (size) => {
    const bytes = octets('\0\xff\xff\0').subarray(0, size)
    expect(decodePacket([bytes])).toEqual({ rest: text(bytes) })
  })

  test('decodes two packets in one piece one after the other', () => {
    const decoder = new PacketDecoder()
    decoder.push(joined(encodePacket([['A', '1']]), encodePacket([['B', '2']]), octets('end')))
    expect(decoder.decode()?.vars).toEqual([['A', '1']])
    expect(decoder.decode()?.vars).toEqual([['B', '2']])
    expect(text(decoder.rest())).toBe('end')
  })

  test('decodes each packet by itself, whatever names came before', () => {
    const first = [
      ['A', '1'],
      ['HTTP_X_AA', '2'],
      ['N'.repeat(100), '3'],
    ] as const
    const packets = [
      first,
      [['HTTP_X_AB', '4'], ...first],
      [
        ['B', '5'],
        ['HTTP_X_A', '6'],
        ['N'.repeat(99), '7'],
      ],
      [],
      first,
    ] as const
    for (const vars of [...packets, ...packets]) {
      expect(decodePacket([encodePacket(vars)]).packet?.vars).toEqual(vars)
    }
  })

  test('gives texts that keep nothing of the packet in memory', () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const kept: string[] = []
    collect()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 500; i++) {
      const id = `session-${String(i).padStart(12, '0')}`
      const vars = [
        [`HTTP_X_ID_${id.toUpperCase().replaceAll('-', '_')}`, 'x'],
        ['HTTP_SESSION_ID', id],
        ['HTTP_COOKIE', 'c'.repeat(60_000)],
      ] as const
      kept.push(
        ...(decodePacket([encodePacket(vars)])
          .packet?.vars.slice(0, 2)
          .flat() ?? [])
      )
    }
    collect()
    expect(kept.length).toBe(2000)
    // All packets together are 30 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(5_000_000)
  })

  test('STR-1: decodes each octet to its code unit, beside lengths of any octet', () => {
    const all = text(Uint8Array.from({ length: 256 }, (_, octet) => octet))
    // All but those that no packet holds in a value.
    const value = all.replace(/[\0\r\n]/g, '')
    for (let length = 0; length <= value.length; length++) {
      const vars = [
        [`HTTP_${'A'.repeat(length)}`, value.slice(0, length)],
        ['PATH_INFO', value.slice(length)],
      ] as const
      expect(decodePacket([encodePacket(vars)]).packet?.vars).toEqual(vars)
    }
  })

  const length = fc.oneof(fc.nat(6), fc.nat(0xffff)).map((n) => [n & 0xff, n >> 8])
  /** Lengths that mostly do not fit, between bytes that mostly mean nothing. */
  const block = fc
    .array(fc.oneof(length, fc.array(fc.nat(255), { maxLength: 6 })), { maxLength: 12 })
    .map((parts) => parts.flat())
  const framed = fc
    .tuple(block, fc.array(fc.nat(255), { maxLength: 6 }))
    .map(([bytes, more]) =>
      Uint8Array.of(0, bytes.length & 0xff, bytes.length >> 8, 0, ...bytes, ...more)
    )

  test('of any bytes in any chunks makes a packet or a GatewayError, the same for all cuts', () => {
    fc.assert(
      fc.property(
        cutBytes(fc.oneof(framed, fc.uint8Array({ maxLength: 200 }))),
        ({ bytes, chunks }) => {
          // decodePacket() throws on what is not a GatewayError.
          const { chunks: _whole, ...whole } = decodePacket([bytes], { maxVars: 3 })
          const { chunks: _cut, ...cut } = decodePacket(chunks, { maxVars: 3 })
          expect(cut).toEqual(whole)
          if (whole.packet === undefined) return
          // Every byte is in the packet or behind it, and none is another than it was.
          expect(rebuilt(whole.packet) + (whole.rest ?? '')).toBe(text(bytes))
        }
      ),
      { numRuns: 2000 }
    )
  })
})

/** A packet as bytes, written by other means than the encoder's, which refuses some of them. */
function rebuilt({ modifier1, modifier2, vars }: Packet): string {
  const block = vars.flat().map((native) => uint16(native.length) + native)
  const bytes = block.join('')
  return (
    String.fromCharCode(modifier1) + uint16(bytes.length) + String.fromCharCode(modifier2) + bytes
  )
}

function uint16(value: number): string {
  return String.fromCharCode(value & 0xff, value >> 8)
}
