import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBridge } from '../../src/target/node/index.ts'
import { startNginx } from '../backend/nginx.ts'
import { eventually, within } from '../support/deadline.ts'
import { freePort } from '../support/free-port.ts'
import { send } from '../support/http-client.ts'
import { endProcesses, run, type Started, start } from './command.ts'

const FUNCTION = `export default (request, env) =>
  Response.json({ url: request.url, user: env.environ.REMOTE_USER ?? null, addr: env.requestMeta.remote.addr })`
const OBJECT = `export default { prefix: 'mine ', fetch() { return new Response(this.prefix + 'too') } }`
const APPLICATION = `export default function* (environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']])
  yield new TextEncoder().encode(environ.SCRIPT_NAME + '|' + environ.PATH_INFO)
}`
const SLOW = `let release
export default {
  async fetch(request) {
    if (request.url.endsWith('/release')) return new Response(String(release?.()))
    await new Promise((resolve) => { release = resolve })
    return new Response('done')
  },
}`

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'edge-wsgi-respond-'))
})
afterAll(() => {
  endProcesses()
  rmSync(folder, { recursive: true, force: true })
})

function file(name: string, code: string): string {
  const path = join(folder, name)
  writeFileSync(path, code)
  return path
}

/** `respond` on a free port, once it listens. */
async function startResponding(
  code: string,
  ...args: string[]
): Promise<Started & { address: string; app: string }> {
  const app = file(`app-${Math.random().toString(36).slice(2)}.mjs`, code)
  const listen = args.includes('--listen') ? [] : ['--listen', 'uwsgi://127.0.0.1:0']
  const started = start('respond', '--app', app, ...listen, ...args)
  const line = /^Listening on (\S+),/
  const address = await eventually('listening', () => line.exec(started.output.stdout)?.[1])
  return { ...started, address, app }
}

async function end({ child, done }: Started): Promise<void> {
  child.kill('SIGTERM')
  expect((await within('exit', done)).status).toBe(0)
}

describe('edge-wsgi respond', () => {
  test('serves a fetch handler behind nginx, variables of the front included', async () => {
    const started = await startResponding(FUNCTION, '--log')
    expect(started.output.stdout).toBe(`Listening on ${started.address}, serving ${started.app}\n`)
    const nginx = await startNginx({
      upstream: started.address,
      extra: 'uwsgi_param REMOTE_USER $arg_user;',
    })
    try {
      const response = await send(nginx.origin, { target: '/a%2Fb?user=bob' })
      expect(response.json()).toEqual({
        url: `${nginx.origin}/a%2Fb?user=bob`,
        user: 'bob',
        addr: '127.0.0.1',
      })
    } finally {
      await nginx.stop()
    }
    await end(started)
    expect(started.output.stdout).toMatch(
      /\n\S+ 127\.0\.0\.1 "GET \/a%2Fb\?user=bob HTTP\/1\.1" 200 [\d.]+ms\n$/
    )
    expect(started.output.stderr).toBe('')
  })

  test('serves an object with fetch() on a unix socket', async () => {
    const path = join(folder, 'app.sock')
    const started = await startResponding(OBJECT, '--listen', `unix:${path}`)
    expect(started.address).toBe(`unix:${path}`)
    const response = await createBridge(`unix:${path}`).fetch(new Request('http://h/'))
    expect(await response.text()).toBe('mine too')
    await end(started)
  })

  test('--wsgi serves an application', async () => {
    const started = await startResponding(APPLICATION, '--wsgi')
    const bridge = createBridge(started.address, { mount: '/app' })
    expect(await (await bridge.fetch(new Request('http://h/app/x'))).text()).toBe('/app|/x')
    await end(started)
  })

  test('answers edge-wsgi ping', async () => {
    const started = await startResponding(FUNCTION)
    expect((await run('ping', started.address)).status).toBe(0)
    await end(started)
  })

  test('every limit is a flag: --max-body-bytes', async () => {
    const started = await startResponding(FUNCTION, '--max-body-bytes', '3')
    const request = new Request('http://h/', { method: 'POST', body: 'four' })
    expect((await createBridge(started.address).fetch(request)).status).toBe(413)
    await end(started)
  })

  test('lets requests under way end on SIGTERM', async () => {
    const started = await startResponding(SLOW)
    const bridge = createBridge(started.address, { onError: () => {} })
    const answer = bridge.fetch(new Request('http://h/'))
    const release = async () =>
      (await (await bridge.fetch(new Request('http://h/release'))).text()) === 'undefined'
    // Once more than before: the first may come before there is somebody to release.
    await eventually('the request under way', release)
    expect(await (await answer).text()).toBe('done')
    await end(started)
  })

  test('breaks off what is still under way after --close-timeout', async () => {
    const started = await startResponding(SLOW, '--close-timeout', '50', '--log')
    const bridge = createBridge(started.address, { onError: () => {} })
    const answer = bridge.fetch(new Request('http://h/'))
    await eventually('a connection', async () => (await bridge.ping(), true))
    await end(started)
    expect((await answer).status).toBe(502)
    expect(started.output.stdout).toMatch(/"GET \/ HTTP\/1\.1" 499 /)
  })

  test.each([
    [
      'no file',
      '/no/such/file.mjs',
      [],
      /--app \S+ is wrong: it cannot be imported: .*ERR_MODULE/s,
    ],
    [
      'a syntax error',
      'export default {',
      [],
      /wrong-\.mjs is wrong: it cannot be imported: SyntaxError: /,
    ],
    [
      'no default export',
      'export const a = 1',
      [],
      /its default export is undefined, wanted a fetch/,
    ],
    [
      'no function',
      'export default { fetch: 1 }',
      [],
      /its default export is object, wanted a fetch/,
    ],
    ['no application', OBJECT, ['--wsgi'], /its default export is object, wanted an application/],
    [
      'a wrong address',
      FUNCTION,
      ['--listen', 'http://127.0.0.1:1'],
      /wanted "uwsgi:\/\/host:port"/,
    ],
    ['a wrong peer', FUNCTION, ['--allow-from', 'me'], /^edge-wsgi: --allow-from is wrong: /],
    ['a wrong limit', FUNCTION, ['--max-vars', '-1'], /^edge-wsgi: --max-vars is wrong: /],
  ])('%s: exit status 2 and what was wanted', async (_what, code, args, message) => {
    const app = code.startsWith('/')
      ? code
      : file(`wrong-${args.join('')}.mjs`.replaceAll('/', ''), code)
    const { status, stderr, stdout } = await run('respond', '--app', app, ...args)
    expect(stderr).toMatch(message)
    expect([status, stdout]).toEqual([2, ''])
  })

  test('a port that is taken is one clear line and exit status 1', async () => {
    const port = await freePort()
    const started = await startResponding(FUNCTION, '--listen', `uwsgi://127.0.0.1:${port}`)
    const again = await run('respond', '--app', started.app, '--listen', started.address)
    expect([again.status, again.stderr]).toEqual([
      1,
      expect.stringMatching(/^edge-wsgi: .*EADDRINUSE.*\n$/),
    ])
    await end(started)
  })
})
