import { describe, expect, test } from 'vitest'
import type { UpstreamServerOptions } from '../../src/bridge/upstream-server.ts'
import { readDeployment } from '../../src/target/env.ts'
import { readUpstream } from '../../src/target/upstream-text.ts'
import { run } from '../cli/command.ts'

const A = 'uwsgi://10.0.1.50:3031'

/** Texts that are wrong, and what the message says of each. */
const WRONG: [text: string, message: string][] = [
  ['', 'Cannot use no upstream: wanted an address'],
  [' ,\n, ', 'Cannot use no upstream: wanted an address'],
  ['http://h', 'Cannot use address "http://h": wanted "uwsgi://host:port"'],
  [`${A}, nonsense`, 'Cannot use address "nonsense"'],
  ['backup', 'Cannot use address "backup"'],
  [`${A} bakcup`, `Cannot read "bakcup" of ${A}: wanted ADDRESS, then any of weight=N, backup`],
  [`${A} BACKUP`, 'Cannot read "BACKUP"'],
  [`${A} backup=1`, 'Cannot read "backup=1"'],
  [`${A} backup=`, 'Cannot read "backup="'],
  [`${A} down=true`, 'Cannot read "down=true"'],
  [`${A} weight`, 'Cannot read "weight"'],
  [`${A} weight=`, 'Cannot read "weight="'],
  [`${A} weight=-1`, 'Cannot read "weight=-1"'],
  [`${A} weight=1.5`, 'Cannot read "weight=1.5"'],
  [`${A} weight=0x10`, 'Cannot read "weight=0x10"'],
  [`${A} weight=2=3`, 'Cannot read "weight=2=3"'],
  [`${A} weight=1234567890`, 'Cannot read "weight=1234567890"'],
  [`${A} weight = 2`, 'Cannot read "weight"'],
  [`${A} maxConns=2`, 'Cannot read "maxConns=2"'],
  [`${A} slow_start=1`, 'Cannot read "slow_start=1"'],
  [`${A} toString=1`, 'Cannot read "toString=1"'],
  [`${A} address=1`, 'Cannot read "address=1"'],
  [`${A} fail_timeout=10s`, 'Cannot read "fail_timeout=10s"'],
  [`${A} weight=0`, 'Cannot use weight 0: wanted a whole number from 1 to 65535'],
  [`${A} weight=65536`, 'Cannot use weight 65536'],
  [`${A} max_conns=0`, 'Cannot use maxConns 0: wanted at least 1'],
  [`${A} fail_timeout=0`, 'Cannot use failTimeout 0: wanted milliseconds above 0'],
]

describe('readUpstream()', () => {
  test.each<[string, UpstreamServerOptions[]]>([
    [A, [{ address: A }]],
    ['  unix:/run/app.sock\n', [{ address: 'unix:/run/app.sock' }]],
    ['suwsgi://h:1,uwsgi://[::1]:2', [{ address: 'suwsgi://h:1' }, { address: 'uwsgi://[::1]:2' }]],
    [
      `${A} weight=2, unix:/run/app.sock backup`,
      [
        { address: A, weight: 2 },
        { address: 'unix:/run/app.sock', backup: true },
      ],
    ],
    [
      `${A}\tdown\r\n\r\nunix:/a  max_conns=7\n`,
      [
        { address: A, down: true },
        { address: 'unix:/a', maxConns: 7 },
      ],
    ],
    [
      `${A} weight=65535 max_conns=1 max_fails=0 fail_timeout=1 backup down`,
      [
        {
          address: A,
          weight: 65_535,
          maxConns: 1,
          maxFails: 0,
          failTimeout: 1,
          backup: true,
          down: true,
        },
      ],
    ],
    [`,${A},`, [{ address: A }]],
  ])('reads %j', (text, servers) => {
    expect(readUpstream(text)).toEqual(servers)
  })

  test.each(WRONG)('refuses %j by name', (text, message) => {
    expect(() => readUpstream(text)).toThrow(message)
  })

  test.each(WRONG.filter(([text]) => text !== ''))(
    'refuses %j as UPSTREAM, whose name comes first',
    (text, message) => {
      // A variable is trimmed, and what is left of this one is text all the same.
      expect(() => readDeployment({ UPSTREAM: text })).toThrow(`UPSTREAM is wrong: ${message}`)
      expect(() => readDeployment({ UPSTREAM: text })).toThrow(TypeError)
    }
  )
})

describe('edge-wsgi serve --upstream', () => {
  test.each<[upstream: string[], message: string]>([
    [[''], 'Cannot use no upstream: wanted an address'],
    [['http://h'], 'Cannot use address "http://h": wanted "uwsgi://host:port"'],
    [[A, `${A} bakcup`], `Cannot read "bakcup" of ${A}: wanted ADDRESS`],
    [[`${A} weight=0`, A], 'Cannot use weight 0: wanted a whole number'],
  ])('%j is a wrong command line: exit status 2', async (upstream, message) => {
    const flags = upstream.flatMap((text) => ['--upstream', text])
    const { status, stdout, stderr } = await run(
      'serve',
      ...flags,
      '--listen',
      'http://127.0.0.1:0'
    )
    expect(stderr).toContain(`edge-wsgi: --upstream is wrong: ${message}`)
    expect(stderr).toMatch(/^edge-wsgi: --upstream is wrong: .*\n$/)
    expect([status, stdout]).toEqual([2, ''])
  })
})
