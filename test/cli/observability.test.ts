import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ExchangeEvent } from '../../src/bridge/exchange-event.ts'
import { createJsonLog } from '../../src/cli/json-log.ts'
import { createMetrics, serveMetrics } from '../../src/cli/metrics.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { eventually, within } from '../support/deadline.ts'
import { REFUSING_PORT } from '../support/free-port.ts'
import { send } from '../support/http-client.ts'
import { endProcesses, run, type Started, start } from './command.ts'

/** An exchange that went well, except for what a test says. */
function eventOf(changes: Partial<ExchangeEvent> = {}): ExchangeEvent {
  return {
    method: 'GET',
    target: '/a?b',
    status: 200,
    upstream: 'uwsgi://127.0.0.1:3031',
    tried: ['uwsgi://127.0.0.1:3031'],
    retries: 0,
    requestBytes: 3,
    responseBytes: 5,
    connectMs: 1.23456,
    headMs: 20,
    totalMs: 30,
    error: undefined,
    requestId: 'a1',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    ...changes,
  }
}

type LogLine = Record<string, unknown>

/** The objects of a log of one JSON object a line. */
function parseLines(text: string): LogLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LogLine)
}

/** The samples of a scrape, by name and labels. */
async function scrape(url: string): Promise<Record<string, number>> {
  const { status, text, header } = await send(url, { target: '/metrics' })
  expect(status).toBe(200)
  expect(header('Content-Type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(
    samples.map((line) => {
      const space = line.lastIndexOf(' ')
      return [line.slice(0, space), Number(line.slice(space + 1))]
    })
  )
}

/** Counts events, and reads them back through HTTP. */
async function counted(...events: ExchangeEvent[]): Promise<Record<string, number>> {
  const { onExchange, registry } = await createMetrics()
  for (const event of events) onExchange(event)
  const server = await serveMetrics(registry, 'http://127.0.0.1:0')
  try {
    return await scrape(server.url)
  } finally {
    await server.close()
  }
}

/** `serve` in front of uWSGI on a free port, once it listens. */
async function startServing(
  upstream: string,
  ...args: string[]
): Promise<Started & { origin: string; metrics: string }> {
  const listen = ['--listen', 'http://127.0.0.1:0']
  const started = start('serve', '--upstream', upstream, ...listen, ...args)
  const find = (pattern: RegExp) =>
    eventually(String(pattern), () => pattern.exec(started.output.stdout)?.[1])
  const origin = await find(/Listening on (\S+),/)
  const withMetrics = args.includes('--metrics')
  const metrics = withMetrics ? await find(/Metrics at (\S+)\/metrics/) : ''
  return { ...started, origin, metrics }
}

/** The line of the exchange with a target, once it is there. */
function exchangeLine(output: Started['output'], target: string): Promise<LogLine> {
  return eventually(`a line of ${target}`, () =>
    parseLines(output.stdout).find((line) => line['target'] === target && 'status' in line)
  )
}

/** The name of a counter of requests to the backend of {@link eventOf}. */
function requestsTotal(
  method: string,
  status: number,
  upstream = 'uwsgi://127.0.0.1:3031'
): string {
  return `edge_wsgi_requests_total{method="${method}",status="${status}",upstream="${upstream}"}`
}

describe('createJsonLog()', () => {
  const folder = mkdtempSync(join(tmpdir(), 'edge-wsgi-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  /** What is in the file of a log when the calls return. */
  async function written(
    name: string,
    use: (log: Awaited<ReturnType<typeof createJsonLog>>) => void
  ) {
    const file = join(folder, name)
    use(await createJsonLog(file))
    return readFileSync(file, 'utf8')
  }

  test('writes an exchange as one object, in order, at once', async () => {
    const [line = {}] = parseLines(
      await written('exchange', ({ onExchange }) => onExchange(eventOf()))
    )
    expect(Object.keys(line)).toEqual(
      ['level', 'time', 'method', 'target', 'status', 'upstream', 'tried', 'retries'].concat(
        ['requestBytes', 'responseBytes', 'connectMs', 'headMs', 'totalMs'],
        ['requestId', 'traceparent']
      )
    )
    const { time, ...rest } = line
    expect(new Date(time as string).toISOString()).toBe(time)
    const { error: _none, ...event } = eventOf()
    expect(rest).toEqual({ level: 'info', ...event, connectMs: 1.235 })
  })

  test('writes what went wrong', async () => {
    const event = eventOf({ status: 502, error: 'ERR_UPSTREAM_CONNECT', connectMs: undefined })
    const [line] = parseLines(await written('wrong', ({ onExchange }) => onExchange(event)))
    expect(line).toMatchObject({ status: 502, error: 'ERR_UPSTREAM_CONNECT' })
    expect(line).not.toHaveProperty('connectMs')
  })

  test('keeps what a client sent inside its line', async () => {
    const target = '/\n{"level":"error"}\u001b[2J"\\'
    const text = await written('hostile', ({ onExchange }) => onExchange(eventOf({ target })))
    expect(text.split('\n')).toHaveLength(2)
    expect(text).not.toContain('\u001b')
    expect(parseLines(text)).toMatchObject([{ level: 'info', target }])
  })

  test('writes errors with code and message, and the stack of a bug alone', async () => {
    const context = { method: 'GET', path: '/p', upstream: 'unix:/s' }
    const text = await written('errors', ({ onError }) => {
      onError(new GatewayError('ERR_READ_TIMEOUT', 'Too late'), context)
      onError(new TypeError('x is no function'), context)
    })
    const common = { level: 'error', method: 'GET', target: '/p', upstream: 'unix:/s' }
    const [timeout, bug] = parseLines(text)
    expect(timeout).toMatchObject({ ...common, code: 'ERR_READ_TIMEOUT', message: 'Too late' })
    expect(timeout).not.toHaveProperty('stack')
    expect(bug).toMatchObject({ ...common, code: 'ERR_INTERNAL', message: 'x is no function' })
    expect(bug?.['stack']).toMatch(/^TypeError: x is no function\n {4}at /)
  })

  test('says a message', async () => {
    const [line] = parseLines(await written('said', ({ say }) => say('Listening')))
    expect(line).toMatchObject({ level: 'info', message: 'Listening' })
  })
})

describe('metrics', () => {
  test('count exchanges by method, status and backend', async () => {
    const samples = await counted(eventOf(), eventOf(), eventOf({ method: 'POST', status: 404 }))
    expect(samples[requestsTotal('GET', 200)]).toBe(2)
    expect(samples[requestsTotal('POST', 404)]).toBe(1)
    expect(samples).toMatchObject({
      edge_wsgi_retries_total: 0,
      edge_wsgi_request_bytes_total: 9,
      edge_wsgi_response_bytes_total: 15,
    })
  })

  test('make no series of methods that clients make up', async () => {
    const events = Array.from({ length: 50 }, (_, count) => eventOf({ method: `X${count}` }))
    const samples = await counted(...events)
    const series = Object.keys(samples).filter((name) =>
      name.startsWith('edge_wsgi_requests_total')
    )
    expect(series).toEqual([requestsTotal('OTHER', 200)])
  })

  test('count errors by code, retries, and requests that no backend saw', async () => {
    const failed = eventOf({ status: 502, error: 'ERR_UPSTREAM_EMPTY', retries: 2 })
    const refused = eventOf({ status: 400, error: 'ERR_BAD_REQUEST', upstream: undefined })
    const samples = await counted(failed, failed, refused)
    expect(samples).toMatchObject({
      'edge_wsgi_errors_total{code="ERR_UPSTREAM_EMPTY"}': 2,
      'edge_wsgi_errors_total{code="ERR_BAD_REQUEST"}': 1,
      [requestsTotal('GET', 400, 'none')]: 1,
      edge_wsgi_retries_total: 4,
    })
  })

  test('tell times in seconds, those that there were', async () => {
    const samples = await counted(eventOf({ connectMs: 2, headMs: 30, totalMs: 4000 }), {
      ...eventOf({ connectMs: undefined, headMs: undefined, totalMs: 1000 }),
    })
    expect(samples).toMatchObject({
      edge_wsgi_connect_seconds_sum: 0.002,
      edge_wsgi_connect_seconds_count: 1,
      'edge_wsgi_connect_seconds_bucket{le="0.001"}': 0,
      'edge_wsgi_connect_seconds_bucket{le="0.0025"}': 1,
      edge_wsgi_head_seconds_sum: 0.03,
      edge_wsgi_head_seconds_count: 1,
      edge_wsgi_request_duration_seconds_sum: 5,
      edge_wsgi_request_duration_seconds_count: 2,
    })
  })

  test('tell about the process, and are a registry each', async () => {
    const samples = await counted()
    expect(samples['process_resident_memory_bytes']).toBeGreaterThan(0)
    expect(samples['edge_wsgi_request_duration_seconds_count']).toBe(0)
  })

  test('are at /metrics alone, for GET and HEAD', async () => {
    const { registry } = await createMetrics()
    const server = await serveMetrics(registry, 'http://127.0.0.1:0')
    try {
      for (const target of ['/', '/metrics/', '/metricsx', '/%6detrics']) {
        expect(await send(server.url, { target })).toMatchObject({ status: 404 })
      }
      const posted = await send(server.url, { method: 'POST', target: '/metrics' })
      expect(posted.status).toBe(405)
      expect(posted.header('Allow')).toBe('GET, HEAD')
      const head = await send(server.url, { method: 'HEAD', target: '/metrics' })
      expect([head.status, head.body.length]).toEqual([200, 0])
      expect((await send(server.url, { target: '/metrics?name=up' })).status).toBe(200)
    } finally {
      await server.close()
    }
    await expect(send(server.url, { target: '/metrics' })).rejects.toThrow('ECONNREFUSED')
  })
})

describe('edge-wsgi serve', () => {
  let uwsgi: UwsgiServer
  beforeAll(async () => {
    uwsgi = await startUwsgi()
  })
  afterAll(async () => {
    endProcesses()
    await uwsgi.stop()
  })

  test('--log alone writes lines, as --log line does', async () => {
    for (const args of [['--log'], ['--log', 'line']]) {
      const { child, output, done, origin } = await startServing(uwsgi.address, ...args)
      await send(origin, { target: '/flask/head' })
      child.kill('SIGTERM')
      await within('exit', done)
      expect(output.stdout).toMatch(/^Listening .+\n\S+ 127\.0\.0\.1 "GET \/flask\/head .+\n$/)
    }
  })

  test('--log json writes nothing but objects, errors among them', async () => {
    const dead = `uwsgi://127.0.0.1:${REFUSING_PORT}`
    const { child, output, done, origin } = await startServing(dead, '--log', 'json')
    expect((await send(origin, { target: '/p?q' })).status).toBe(502)
    child.kill('SIGTERM')
    expect(await within('exit', done)).toMatchObject({ status: 0, stderr: '' })
    const [listening, ...lines] = parseLines(output.stdout)
    expect(listening).toMatchObject({
      level: 'info',
      message: `Listening on ${origin}, bridging to ${dead}`,
    })
    const errors = lines.filter(({ level }) => level === 'error')
    expect(errors).toMatchObject([
      { code: 'ERR_UPSTREAM_CONNECT', method: 'GET', target: '/p?q', upstream: dead },
    ])
    expect(errors[0]?.['message']).toContain('ECONNREFUSED')
  })

  test('--log json writes what each exchange came to, with the ids that the application saw', async () => {
    const { output, origin } = await startServing(uwsgi.address, '--log', 'json')
    const requestId = `test-${process.pid}`
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const sent = await send(origin, {
      target: '/flask/echo?a=1',
      body: 'abc',
      headers: [
        ['X-Request-Id', requestId],
        ['traceparent', traceparent],
        ['tracestate', 'rojo=1'],
      ],
    })
    const seen = (sent.json() as { headers: Record<string, string> }).headers
    expect(seen).toMatchObject({
      HTTP_X_REQUEST_ID: requestId,
      HTTP_TRACEPARENT: traceparent,
      HTTP_TRACESTATE: 'rojo=1',
    })
    const line = await exchangeLine(output, '/flask/echo?a=1')
    const number = expect.any(Number) as number
    expect(line).toEqual({
      level: 'info',
      time: expect.any(String) as string,
      method: 'POST',
      target: '/flask/echo?a=1',
      status: 200,
      upstream: uwsgi.address,
      tried: [uwsgi.address],
      retries: 0,
      requestBytes: 3,
      responseBytes: sent.body.length,
      connectMs: number,
      headMs: number,
      totalMs: number,
      requestId,
      traceparent,
    })
  })

  test('--log json names the ids that were made, as the application saw them', async () => {
    const { output, origin } = await startServing(uwsgi.address, '--log', 'json')
    const headers: [string, string][] = [
      ['X-Request-Id', 'no id'],
      ['tracestate', 'rojo=1'],
    ]
    const sent = await send(origin, { target: '/bottle/echo', headers })
    const seen = (sent.json() as { headers: Record<string, string> }).headers
    expect(seen['HTTP_X_REQUEST_ID']).toMatch(/^[0-9a-f]{32}$/)
    expect(seen).not.toHaveProperty('HTTP_TRACESTATE')
    expect(await exchangeLine(output, '/bottle/echo')).toMatchObject({
      requestId: seen['HTTP_X_REQUEST_ID'],
      traceparent: seen['HTTP_TRACEPARENT'],
    })
  })

  test('--log json says what went wrong with an exchange', async () => {
    const dead = `uwsgi://127.0.0.1:${REFUSING_PORT}`
    const { output, origin } = await startServing(dead, '--log', 'json')
    await send(origin, { target: '/p' })
    const line = await exchangeLine(output, '/p')
    expect(line).toMatchObject({
      status: 502,
      upstream: dead,
      tried: [dead],
      error: 'ERR_UPSTREAM_CONNECT',
    })
    expect(line).not.toHaveProperty('connectMs')
    expect(line).not.toHaveProperty('headMs')
  })

  test('--metrics counts what went through', async () => {
    const flags = ['--metrics', 'http://127.0.0.1:0']
    const { origin, metrics } = await startServing(uwsgi.address, ...flags)
    await send(origin, { target: '/flask/download?bytes=1000' })
    await send(origin, { target: '/flask/download?bytes=24' })
    await send(origin, { target: '/flask/echo', body: 'abc' })
    await send(origin, { target: '/flask/status/404' })
    await send(origin, { method: 'PURGE', target: '/' })
    await send(origin, { target: '/flask/fail/before' })
    const samples = await eventually('six requests counted', async () => {
      const all = await scrape(metrics)
      return all['edge_wsgi_request_duration_seconds_count'] === 6 && all
    })
    const total = (method: string, status: number) =>
      samples[requestsTotal(method, status, uwsgi.address)]
    expect(total('GET', 200)).toBe(2)
    expect(total('POST', 200)).toBe(1)
    expect(total('GET', 404)).toBe(1)
    expect(total('GET', 502)).toBe(1)
    expect(total('OTHER', 200)).toBe(1)
    expect(samples['edge_wsgi_errors_total{code="ERR_UPSTREAM_EMPTY"}']).toBe(1)
    expect(samples['edge_wsgi_request_bytes_total']).toBe(3)
    expect(samples['edge_wsgi_response_bytes_total']).toBeGreaterThan(1024)
    expect(samples['edge_wsgi_connect_seconds_count']).toBe(6)
    expect(samples['edge_wsgi_head_seconds_count']).toBe(5)
  })

  test('--metrics is a listener of its own, which SIGTERM ends', async () => {
    const flags = ['--metrics', 'http://127.0.0.1:0']
    const { child, done, origin, metrics } = await startServing(uwsgi.address, ...flags)
    expect(metrics).not.toBe(origin)
    expect(await scrape(metrics)).toHaveProperty('process_cpu_seconds_total')
    // The public listener bridges this path as any other.
    expect((await send(origin, { target: '/metrics' })).json()).toMatchObject({
      PATH_INFO: '/metrics',
    })
    child.kill('SIGTERM')
    expect(await within('exit', done)).toMatchObject({ status: 0, stderr: '' })
    await expect(send(metrics, { target: '/metrics' })).rejects.toThrow('ECONNREFUSED')
  })

  test.each([
    [
      ['--metrics', '9100'],
      '--metrics is wrong: Cannot listen on "9100": wanted "http://host:port"',
    ],
    [['--log', 'xml'], "argument 'xml' is invalid. Allowed choices are line, json."],
  ])('%j is a wrong command line: exit status 2', async (args, message) => {
    const { status, stdout, stderr } = await run('serve', '--upstream', uwsgi.address, ...args)
    expect(status).toBe(2)
    expect(stderr).toContain(message)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(stdout).toBe('')
  })

  test('an address that is taken, of the metrics or behind them, ends it with exit status 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const [busy, free] = [`http://127.0.0.1:${port}`, 'http://127.0.0.1:0']
    for (const [listen = '', metrics = ''] of [
      [free, busy],
      [busy, free],
    ]) {
      const args = ['--upstream', uwsgi.address, '--listen', listen, '--metrics', metrics]
      const { status, stderr } = await run('serve', ...args)
      expect(status).toBe(1)
      expect(stderr).toMatch(/^edge-wsgi: .*EADDRINUSE.*\n$/)
    }
    taken.close()
  })
})
