import { describe, expect, test } from 'vitest'
import { type Address, formatAddress, parseAddress } from '../../src/bridge/address.ts'

function tcp(hostname: string, port: number, tls = false): Address {
  return { type: 'tcp', hostname, port, tls }
}

describe('parseAddress()', () => {
  test.each<[string, Address, string?]>([
    ['uwsgi://127.0.0.1:3031', tcp('127.0.0.1', 3031)],
    ['uwsgi://localhost:1', tcp('localhost', 1)],
    ['uwsgi://app.internal:65535', tcp('app.internal', 65_535)],
    ['uwsgi://my_app-1.example:3031', tcp('my_app-1.example', 3031)],
    ['uwsgi://h:3031/', tcp('h', 3031), 'uwsgi://h:3031'],
    ['uwsgi://h:03031', tcp('h', 3031), 'uwsgi://h:3031'],
    ['uwsgi://[::1]:3031', tcp('::1', 3031)],
    ['uwsgi://[2001:db8::192.0.2.1]:3031', tcp('2001:db8::192.0.2.1', 3031)],
    ['suwsgi://h.example:3032', tcp('h.example', 3032, true)],
    ['suwsgi://[::1]:3032', tcp('::1', 3032, true)],
    ['unix:/run/uwsgi/app.sock', { type: 'unix', path: '/run/uwsgi/app.sock' }],
    ['unix:/run/a b:c', { type: 'unix', path: '/run/a b:c' }],
  ])('reads %s, and formatAddress() writes it', (text, address, canonical = text) => {
    expect(parseAddress(text)).toEqual(address)
    expect(formatAddress(address)).toBe(canonical)
  })

  test.each([
    '',
    'h:3031',
    '127.0.0.1:3031',
    'http://h:3031',
    'UWSGI://h:3031',
    'uwsgi:h:3031',
    'uwsgi://',
    'uwsgi://h',
    'uwsgi://h:',
    'uwsgi://:3031',
    'uwsgi://h:0',
    'uwsgi://h:65536',
    'uwsgi://h:123456',
    'uwsgi://h:-1',
    'uwsgi://h:3031/path',
    'uwsgi://h:3031?x',
    'uwsgi://h:3031\n',
    ' uwsgi://h:3031',
    'uwsgi://user@h:3031',
    'uwsgi://user:secret@h:3031',
    'uwsgi://h h:3031',
    'uwsgi://::1:3031',
    'uwsgi://[h]:3031',
    'uwsgi://[]:3031',
    'suwsgis://h:3031',
    'unix:',
    'unix:relative.sock',
    'unix://run/app.sock\0',
    'unix:/run/app\0.sock',
    '/run/app.sock',
    'env:APP',
  ])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(
      new TypeError(
        `Cannot use address ${JSON.stringify(text)}: wanted "uwsgi://host:port", "suwsgi://host:port" (TLS) or "unix:/path"`
      )
    )
  })
})
