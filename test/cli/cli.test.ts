import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sha256 } from '../backend/download.ts'
import { makeCertificates } from '../backend/tls.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { REFUSING_PORT } from '../support/free-port.ts'
import { eventually, within } from '../support/deadline.ts'
import { endProcesses, run, type Started, start } from './command.ts'

let uwsgi: UwsgiServer
beforeAll(async () => {
  uwsgi = await startUwsgi()
})
afterAll(async () => {
  endProcesses()
  await uwsgi.stop()
})

/** `serve` in front of uWSGI on a free port, once it listens. */
async function startServing(...args: string[]): Promise<Started & { origin: string }> {
  const listen = ['--listen', 'http://127.0.0.1:0']
  const started = start('serve', '--upstream', uwsgi.address, ...listen, ...args)
  const line = /^Listening on (\S+),/
  const origin = await eventually('listening', () => line.exec(started.output.stdout)?.[1])
  return { ...started, origin }
}

describe('edge-wsgi', () => {
  test('--help lists the commands and exits with 0', async () => {
    const { status, stdout } = await run('--help')
    expect(status).toBe(0)
    for (const command of ['serve', 'respond', 'request', 'ping', 'environ']) {
      expect(stdout).toContain(command)
    }
  })

  test.each([
    [[], 'Usage:'],
    [['serv'], "unknown command 'serv'"],
    [['serve'], "required option '--upstream <ADDRESS>' not specified"],
    [
      ['serve', '--upstream', 'http://h'],
      'Cannot use address "http://h": wanted "uwsgi://host:port"',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--listen', 'tcp:1'],
      'Cannot listen on "tcp:1": wanted "http://host:port"',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--read-timeout', '5s'],
      '--read-timeout is wrong: Cannot read "5s"',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--close-timeout', '0'],
      '--close-timeout is wrong: it is "0", wanted milliseconds',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--client-header-timeout', '0'],
      '--client-header-timeout is wrong: Cannot use clientHeaderTimeout 0: wanted milliseconds',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--client-keepalive-timeout', '75s'],
      '--client-keepalive-timeout is wrong: Cannot read "75s"',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--client-send-timeout', '0'],
      '--client-send-timeout is wrong: Cannot use clientSendTimeout 0: wanted milliseconds',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--max-connections', '0'],
      '--max-connections is wrong: Cannot use maxConnections 0: wanted a whole number above 0',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--max-requests-per-connection', '-1'],
      '--max-requests-per-connection is wrong: Cannot read "-1"',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--trusted-proxies', 'me'],
      '--trusted-proxies is wrong: Cannot trust peer "me"',
    ],
    [
      ['serve', '--upstream', 'unix:/x', '--modifier1', '22'],
      '--modifier1 is wrong: Cannot use modifier1 22: wanted one of 0, 5, 7, 9, 14',
    ],
    [
      ['ping', 'uwsgi://127.0.0.1:1', '--ssl-name', 'x'],
      'Cannot use sslName: uwsgi://127.0.0.1:1 is not "suwsgi://host:port"',
    ],
    [['environ', 'http://h/', '-H', 'nonsense'], 'Wanted "Name: value"'],
    [['environ', 'http://h/', '-d', '@/no/such/file'], 'no such file'],
  ])('%j is a wrong command line: exit status 2', async (args, message) => {
    const { status, stderr, stdout } = await run(...args)
    expect(status).toBe(2)
    expect(stderr).toContain(message)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(stdout).toBe('')
  })
})

describe('edge-wsgi ping', () => {
  test('exits with 0 when uWSGI answers', async () => {
    const { status, stdout } = await run('ping', uwsgi.address)
    expect(status).toBe(0)
    expect(stdout).toMatch(/^uwsgi:\/\/127\.0\.0\.1:\d+ answered in [\d.]+ ms\n$/)
  })

  test('exits with 1 and says why when nothing listens', async () => {
    const { status, stderr } = await run('ping', `uwsgi://127.0.0.1:${REFUSING_PORT}`)
    expect(status).toBe(1)
    expect(stderr).toMatch(
      /^edge-wsgi: Cannot connect to uwsgi:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/
    )
  })

  test('exits with 1 when the answer does not come in time', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const { status, stderr } = await run('ping', `uwsgi://127.0.0.1:${port}`, '--timeout', '100')
    silent.close()
    expect(status).toBe(1)
    expect(stderr).toBe('edge-wsgi: The upstream did not answer a ping within 100 ms\n')
  })

  test('speaks TLS with the authority that it is given', async () => {
    const pem = await makeCertificates()
    const tls = await startUwsgi({ app: 'environ', tls: pem.server })
    try {
      const trusted = await run('ping', tls.address, '--ssl-trusted-certificate', pem.ca.cert)
      expect(trusted).toMatchObject({ status: 0, stderr: '' })
      const untrusted = await run('ping', tls.address)
      expect(untrusted.status).toBe(1)
      expect(untrusted.stderr).toMatch(/certificate/)
    } finally {
      await tls.stop()
      await pem.remove()
    }
  })
})

describe('edge-wsgi request', () => {
  test('prints the body alone, and with -i the head before it', async () => {
    const url = 'http://localhost/flask/head'
    expect(await run('request', uwsgi.address, url)).toMatchObject({ status: 0, stdout: 'hello' })
    const { stdout } = await run('request', uwsgi.address, url, '-i')
    expect(stdout).toMatch(
      /^HTTP\/1\.1 200 OK\r\n(.+\r\n)*Content-Length: 5\r\n(.+\r\n)*\r\nhello$/
    )
  })

  test('sends method, header lines and data', async () => {
    const { stdout } = await run(
      'request',
      uwsgi.address,
      'http://example.com:8000/bottle/echo?q=1',
      '-X',
      'PUT',
      '-H',
      'X-Test: a',
      '-H',
      'Host: other.example',
      '-d',
      'abc'
    )
    expect(JSON.parse(stdout)).toMatchObject({
      method: 'PUT',
      query_string: 'q=1',
      host: 'other.example',
      content_length: '3',
      body_sha256: sha256(Buffer.from('abc')),
      headers: { HTTP_X_TEST: 'a' },
    })
  })

  test('reads data from a file and from standard input', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'edge-wsgi-'))
    const bytes = Buffer.from([0, 255, 10, 13])
    writeFileSync(join(folder, 'data'), bytes)
    const url = 'http://localhost/flask/echo'
    const fromFile = await run('request', uwsgi.address, url, '-d', `@${join(folder, 'data')}`)
    rmSync(folder, { recursive: true })
    expect(JSON.parse(fromFile.stdout)).toMatchObject({
      method: 'POST',
      body_sha256: sha256(bytes),
    })
    const { child, done } = start('request', uwsgi.address, url, '-d', '@-')
    child.stdin?.end(bytes)
    expect(JSON.parse((await done).stdout)).toMatchObject({ body_sha256: sha256(bytes) })
  })

  test('-f exits with 22 for 404, without it the page is printed', async () => {
    const url = 'http://localhost/flask/status/404'
    const failed = await run('request', uwsgi.address, url, '-f')
    expect(failed).toMatchObject({ status: 22, stdout: '' })
    expect(failed.stderr).toBe('edge-wsgi: the application answered 404\n')
    expect((await run('request', uwsgi.address, url)).status).toBe(0)
  })

  test('a failed upstream exits with 1, its code in words', async () => {
    const failed = await run('request', uwsgi.address, 'http://localhost/flask/fail/before')
    expect(failed).toMatchObject({ status: 1, stdout: '' })
    expect(failed.stderr).toBe('edge-wsgi: The upstream closed the connection without an answer\n')
  })
})

describe('edge-wsgi environ', () => {
  test('prints one NAME=value a line, octets escaped', async () => {
    const { status, stdout } = await run(
      'environ',
      'http://h.example/app/café?x=é',
      '--mount',
      '/app'
    )
    expect(status).toBe(0)
    const lines = stdout.split('\n')
    expect(lines).toContain('SCRIPT_NAME=/app')
    expect(lines).toContain('PATH_INFO=/caf\\xc3\\xa9')
    expect(lines).toContain('QUERY_STRING=x=%C3%A9')
    expect(lines).toContain('HTTP_HOST=h.example')
    expect(lines).toContain('wsgi.url_scheme=http')
  })

  test('--json prints the groups', async () => {
    const { stdout } = await run(
      'environ',
      'https://h.example/',
      '--json',
      '-d',
      'ab',
      '-H',
      'X-Forwarded-For: 192.0.2.1',
      '--trusted-proxies',
      '10.0.0.0/8',
      '--remote-addr',
      '10.1.2.3'
    )
    const { cgi, http, wsgi } = JSON.parse(stdout) as Record<string, Record<string, unknown>>
    expect(cgi).toMatchObject({
      REQUEST_METHOD: 'POST',
      CONTENT_LENGTH: '2',
      REMOTE_ADDR: '192.0.2.1',
    })
    expect(http).toMatchObject({ HTTP_HOST: 'h.example' })
    expect(wsgi).toMatchObject({ 'wsgi.url_scheme': 'https' })
  })

  test('a request that no environ may stand for exits with 1', async () => {
    const { status, stderr } = await run('environ', 'http://h/a%00b')
    expect(status).toBe(1)
    expect(stderr).toBe('edge-wsgi: Cannot forward path: it holds %00\n')
  })
})

describe('edge-wsgi serve', () => {
  test('prints one line when it listens, logs a line a request, lets requests end on SIGTERM', async () => {
    const { child, output, done, origin } = await startServing('--log')
    expect(output.stdout).toBe(`Listening on ${origin}, bridging to ${uwsgi.address}\n`)

    const token = `cli-${process.pid}`
    const response = await fetch(`${origin}/flask/stream?token=${token}`)
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toBe('one\n')
    child.kill('SIGTERM')
    // It no longer listens, and the answer under way still comes to its end.
    await eventually('refusal', () =>
      fetch(origin).then(
        () => false,
        () => true
      )
    )
    await run('request', uwsgi.address, `http://h/flask/confirm?token=${token}`, '-X', 'POST')
    expect((await reader.read()).value).toBe('two\n')
    expect((await reader.read()).done).toBe(true)
    expect((await within('exit', done)).status).toBe(0)
    expect(output.stdout).toMatch(
      /\n\d{4}-\d\d-\d\dT[\d:.]+Z 127\.0\.0\.1 "GET \/flask\/stream\?token=\S+ HTTP\/1\.1" 200 [\d.]+ms\n$/
    )
    expect(output.stderr).toBe('')
  })

  test('breaks off what is still under way after --close-timeout', async () => {
    const { child, done, origin } = await startServing('--close-timeout', '50')
    const response = await fetch(`${origin}/flask/stream?token=cli-cut-${process.pid}`)
    const text = response.text()
    text.catch(() => {})
    child.kill('SIGTERM')
    await expect(text).rejects.toThrow('terminated')
    expect((await within('exit', done)).status).toBe(0)
  })

  test('a port that is taken is one clear line and exit status 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const { status, stderr } = await run(
      'serve',
      '--upstream',
      uwsgi.address,
      '--listen',
      `http://127.0.0.1:${port}`
    )
    taken.close()
    expect(status).toBe(1)
    expect(stderr).toMatch(/^edge-wsgi: .*EADDRINUSE.*\n$/)
  })
})
