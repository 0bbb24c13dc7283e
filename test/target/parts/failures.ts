/**
 * Backends that are down, silent or broken: a page before the head, a broken transfer behind it.
 *
 * @module
 */
import { REFUSING_PORT } from '../../support/free-port.ts'
import { describe, expect, test } from 'vitest'
import { logged } from '../../support/deadline.ts'
import { type ClientResponse, open, send } from '../../support/http-client.ts'
import type { Script } from '../../support/scripted-backend.ts'
import type { RunningTarget } from '../target.ts'
import type { SuiteContext } from './context.ts'

const OK = 'HTTP/1.1 200 OK\r\n'
const BROKEN = /broke off|aborted|ECONNRESET|hang up/

/** Long enough for a busy machine to answer in, short enough to wait for. */
const READ_TIMEOUT = '1500'

/** Describes failures of the backend. */
export function describeFailures(context: SuiteContext): void {
  async function request(name: string, script: Script, variables = {}): Promise<ClientResponse> {
    context.scripted().on(name, script)
    const { origin } = await deployment(variables)
    return await send(origin, { target: `/script/${name}` })
  }
  function deployment(variables = {}): Promise<RunningTarget> {
    return context.deployment({ UPSTREAM: context.scripted().address, ...variables })
  }
  const page = { status: 502, text: '502 Bad Gateway\n' }

  describe('a backend that fails before its head is whole', () => {
    test.each<[string, Script, string]>([
      ['garbage', { reply: 'What is this?\r\n\r\n' }, 'ERR_UPSTREAM_PROTOCOL'],
      ['binary', { reply: Uint8Array.from({ length: 512 }, (_, i) => i & 0xff) }, 'ERR_UPSTREAM'],
      ['nothing', {}, 'ERR_UPSTREAM_EMPTY'],
      ['reset', { ending: 'reset' }, 'ERR_UPSTREAM_EMPTY'],
      ['truncated', { reply: `${OK}Content-Ty` }, 'ERR_UPSTREAM_TRUNCATED'],
      ['status-600', { reply: 'HTTP/1.1 600 X\r\n\r\n' }, 'ERR_UPSTREAM_PROTOCOL'],
      ['switching', { reply: 'HTTP/1.1 101 X\r\n\r\n' }, 'ERR_UPSTREAM_PROTOCOL'],
      ['control', { reply: `${OK}X: a\x01b\r\n\r\n` }, 'ERR_UPSTREAM_PROTOCOL'],
      ['folded', { reply: `${OK}X: a\r\n b\r\n\r\n` }, 'ERR_UPSTREAM_PROTOCOL'],
      ['bad-name', { reply: `${OK}X(Y): 1\r\n\r\n` }, 'ERR_UPSTREAM_PROTOCOL'],
      ['too-big', { reply: `${OK}X: ${'a'.repeat(70_000)}\r\n\r\n` }, 'ERR_UPSTREAM_PROTOCOL'],
      [
        'length-and-coding',
        {
          reply: `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
        },
        'ERR_UPSTREAM_PROTOCOL',
      ],
      [
        'two-lengths',
        { reply: `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!` },
        'ERR_UPSTREAM_PROTOCOL',
      ],
    ])('%s is 502', async (name, script, code) => {
      const { status, text } = await request(name, script)
      expect({ status, text }).toEqual(page)
      await logged(await deployment(), new RegExp(`/script/${name} .*${code}`))
    })

    test('that is down is 502', async () => {
      const UPSTREAM = `uwsgi://127.0.0.1:${REFUSING_PORT}`
      const running = await context.deployment({ UPSTREAM })
      const { status, text } = await send(running.origin, { target: '/' })
      expect({ status, text }).toEqual(page)
      await logged(running, /ERR_UPSTREAM_CONNECT/)
    })

    test.each<[string, Script]>([
      ['silent', { ending: 'hold' }],
      ['stalled-in-head', { reply: OK, ending: 'hold' }],
    ])('%s is 504 after READ_TIMEOUT', async (name, script) => {
      const { status, text } = await request(name, script, { READ_TIMEOUT })
      expect({ status, text }).toEqual({ status: 504, text: '504 Gateway Timeout\n' })
      await logged(await deployment({ READ_TIMEOUT }), new RegExp(`/${name} .*ERR_READ_TIMEOUT`))
    })
  })

  describe('a backend that fails behind its head breaks the transfer off', () => {
    test.each<[string, Script, string]>([
      ['short', { reply: `${OK}Content-Length: 9\r\n\r\nhello` }, 'ERR_UPSTREAM_TRUNCATED'],
      [
        'short-reset',
        { reply: `${OK}Content-Length: 9\r\n\r\nhello`, ending: 'reset' },
        'ERR_UPSTREAM_TRUNCATED',
      ],
      ['eof-reset', { reply: `${OK}\r\nhello`, ending: 'reset' }, 'ERR_UPSTREAM_TRUNCATED'],
      [
        'no-last-chunk',
        { reply: `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n` },
        'ERR_UPSTREAM_TRUNCATED',
      ],
      [
        'stalled-in-length',
        { reply: `${OK}Content-Length: 9\r\n\r\nhello`, ending: 'hold' },
        'ERR_READ_TIMEOUT',
      ],
      ['stalled-in-body', { reply: `${OK}\r\nhello`, ending: 'hold' }, 'ERR_READ_TIMEOUT'],
    ])('%s', async (name, script, code) => {
      await expect(request(name, script, { READ_TIMEOUT })).rejects.toThrow(BROKEN)
      await logged(await deployment({ READ_TIMEOUT }), new RegExp(`/script/${name} .*${code}`))
    })

    test('a bad chunk', async () => {
      const reply = `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`
      context.scripted().on('bad-chunk', { reply, ending: 'hold' })
      const { origin } = await deployment()
      const opening = open(origin, { target: '/script/bad-chunk' })
      const backend = await context.scripted().connection('bad-chunk')
      const response = await opening
      expect(Buffer.from((await response.read()) ?? []).toString()).toBe('hello')
      backend.write('zz\r\n')
      await expect(response.rest()).rejects.toThrow(BROKEN)
    })
  })
}
