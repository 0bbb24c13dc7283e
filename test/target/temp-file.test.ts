import { readdir, readlink } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ExchangeEvent } from '../../src/bridge/exchange-event.ts'
import { type BridgeOptions, createBridge, serve } from '../../src/target/node/index.ts'
import { openTempFile } from '../../src/target/node/temp-file.ts'
import { downloadBytes, sha256 } from '../backend/download.ts'
import { makeDirectory } from '../backend/process.ts'
import { BACKEND } from '../backend/programs.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { eventually, within } from '../support/deadline.ts'
import { send } from '../support/http-client.ts'
import { type DenoOptions, startDeno } from './deno-target.ts'
import type { RunningTarget } from './target.ts'

/** Far more than the buffers of both systems' sockets hold for a client that reads nothing. */
const DOWNLOAD_BYTES = 50_000_000
const DOWNLOAD = `/download?bytes=${DOWNLOAD_BYTES}`
const DOWNLOAD_SHA256 = sha256(downloadBytes(DOWNLOAD_BYTES))
/** Long enough for what must not happen to happen, on most runs; it is no bound on anything. */
const WHILE_MS = 300

/** One worker, which whoever makes it wait has to himself. */
let uwsgi: UwsgiServer
/** Where temporary files are made: nobody else's are in it. */
let folder: string
let tmpdirBefore: string | undefined
let cleanUp: (() => void | Promise<void>)[] = []

beforeAll(async () => {
  uwsgi = await startUwsgi({
    app: join(BACKEND, 'stream_app.py'),
    processes: 1,
    threads: 1,
    // By default uWSGI gives a reader up that stalls for 4 s: then it would be free for that reason.
    args: ['--socket-timeout=60'],
  })
  folder = await makeDirectory()
  tmpdirBefore = process.env['TMPDIR']
})
afterAll(async () => {
  await uwsgi?.stop()
})
afterEach(expectNothingLeft)

/** Stops what a test started, and looks for what that forgot. */
async function expectNothingLeft(): Promise<void> {
  for (const undo of cleanUp.toReversed()) await undo()
  cleanUp = []
  if (tmpdirBefore === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = tmpdirBefore
  expect(await readdir(folder)).toEqual([])
}

interface Front {
  readonly origin: string
  /** What onError got, in the order in which it came. */
  readonly errors: (Error & { code?: string })[]
  readonly events: ExchangeEvent[]
}

/** A bridge behind `serve` on Node, whose temporary files are in `folder`. */
async function startFront(
  options: BridgeOptions = {},
  tmpdir = folder,
  upstream = uwsgi.address
): Promise<Front> {
  process.env['TMPDIR'] = tmpdir
  const errors: Front['errors'] = []
  const events: ExchangeEvent[] = []
  const bridge = createBridge(upstream, {
    bufferBytes: 65_536,
    onError: (error) => void errors.push(error),
    onExchange: (event) => void events.push(event),
    ...options,
  })
  const server = await serve(bridge, { listen: 'http://127.0.0.1:0', closeTimeout: 1 })
  cleanUp.push(() => server.close())
  return { origin: server.url, errors, events }
}

/** A client that reads nothing until it is told to. */
async function stall(origin: string, target: string): Promise<Socket> {
  const { hostname, port } = new URL(origin)
  const socket = connect({ host: hostname, port: Number(port) })
  cleanUp.push(() => void socket.destroy())
  await within('a connection', once(socket, 'connect'))
  socket.pause()
  socket.write(`GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
  return socket
}

/** Reads on to the end: the size of the body and its digest. */
async function readOn(socket: Socket): Promise<{ status: string; size: number; sha256: string }> {
  const digest = createHash('sha256')
  let head = ''
  let size = 0
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk
    if (!head.includes('\r\n\r\n')) {
      const before = head.length
      head += chunk.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      rest = end < 0 ? chunk.subarray(chunk.length) : chunk.subarray(end + 4 - before)
    }
    size += rest.length
    digest.update(rest)
  })
  socket.resume()
  await within('the end of the response', once(socket, 'close'))
  return { status: head.slice(9, 12), size, sha256: digest.digest('hex') }
}

const WHOLE = { status: '200', size: DOWNLOAD_BYTES, sha256: DOWNLOAD_SHA256 }

/** A request that takes the only worker there is, and takes it no longer than it lasts. */
async function expectFreeWorker(origin: string): Promise<void> {
  expect((await send(origin, { target: '/' })).status).toBe(200)
}

/** What the descriptors of this process that point into `folder` are called. */
async function openFiles(): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''))
  )
  return links.filter((link) => link.startsWith(folder))
}

/** How many descriptors this process has open, sockets included. */
async function descriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length
}

/** Waits until no temporary file is open: one is closed a little later than it is given up. */
async function expectNoFile(): Promise<void> {
  await eventually('no temporary file', async () => (await openFiles()).length === 0)
  expect(await readdir(folder)).toEqual([])
}

/** Bytes that live outside of the JavaScript heap, where bodies are; V8 frees garbage among them a little late. */
function bodyMemory(): number {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

describe('openTempFile()', () => {
  test('makes a file without a name, which is gone when it is closed', async () => {
    const file = await openTempFile(folder)
    const [link = '', ...more] = await openFiles()
    expect([link.endsWith(' (deleted)'), more, await readdir(folder)]).toEqual([true, [], []])
    await file.write(Buffer.from('hello'), 0)
    await file.write(Buffer.from('y, world'), 4)
    expect(Buffer.from(await file.read(2, 6)).toString()).toBe('lly, w')
    expect(Buffer.from(await file.read(9, 99)).toString()).toBe('rld')
    expect(await file.read(99, 1)).toHaveLength(0)
    file.close()
    file.close()
    await expectNoFile()
    await expect(file.read(0, 1)).rejects.toMatchObject({ code: 'EBADF' })
  })

  test('ends what is under way before it closes', async () => {
    const file = await openTempFile(folder)
    const bytes = downloadBytes(1_000_000)
    const writing = file.write(bytes, 0)
    const reading = writing.then(() => {
      const under = file.read(0, bytes.length)
      file.close()
      return under
    })
    await writing
    expect(sha256(await reading)).toBe(sha256(bytes))
    await expectNoFile()
  })

  test('rejects where there is no folder', async () => {
    await expect(openTempFile(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('serve() on Node to a slow client', () => {
  test('frees the worker, keeps the body in a file without a name, and gives it whole', async () => {
    const { origin, errors } = await startFront()
    await expectFreeWorker(origin)
    const before = bodyMemory()
    const descriptorsBefore = await descriptors()
    const client = await stall(origin, DOWNLOAD)
    await eventually('a temporary file', async () => (await openFiles()).length > 0)
    await expectFreeWorker(origin)
    expect([(await openFiles()).length, await readdir(folder)]).toEqual([1, []])
    // Sockets hold some of it; the body itself would be over this bound.
    await eventually('the body out of memory', () => bodyMemory() - before < DOWNLOAD_BYTES / 3)
    expect(await readOn(client)).toEqual(WHOLE)
    await expectNoFile()
    await eventually('no socket', async () => (await descriptors()) <= descriptorsBefore)
    expect(errors).toEqual([])
  })

  test('deletes the file when the client goes away behind the end of the response', async () => {
    const { origin, events } = await startFront()
    const client = await stall(origin, DOWNLOAD)
    await eventually('a temporary file', async () => (await openFiles()).length > 0)
    await expectFreeWorker(origin)
    client.resetAndDestroy()
    await expectNoFile()
    await eventually('the event of the download', () => events.length === 2)
    expect(events.map(({ error }) => error)).toEqual([undefined, 'ERR_CLIENT_CLOSED'])
  })

  test('deletes the file and lets the backend go when the client goes away before', async () => {
    const { origin, errors } = await startFront({ maxTempFileBytes: 4_000_000 })
    const client = await stall(origin, DOWNLOAD)
    await eventually('a temporary file', async () => (await openFiles()).length > 0)
    const answer = send(origin, { target: '/' })
    client.resetAndDestroy()
    expect((await answer).status).toBe(200)
    await expectNoFile()
    expect(errors).toEqual([])
  })

  test.each<[string, BridgeOptions, string]>([
    ['maxTempFileBytes 0', { maxTempFileBytes: 0 }, DOWNLOAD],
    ['maxTempFileBytes below the body', { maxTempFileBytes: 1_000_000 }, DOWNLOAD],
    ['buffering off', { buffering: false }, DOWNLOAD],
    ['X-Accel-Buffering: no', {}, `${DOWNLOAD}&buffering=no`],
    ['text/event-stream', {}, `${DOWNLOAD}&type=text/event-stream`],
  ])('lets the backend wait for it with %s', async (_what, options, target) => {
    const { origin } = await startFront(options)
    const client = await stall(origin, target)
    await sleep(WHILE_MS)
    let answered = false
    const answer = send(origin, { target: '/' }).then(({ status }) => {
      answered = true
      return status
    })
    await sleep(WHILE_MS)
    expect(answered).toBe(false)
    const [body, status] = await Promise.all([readOn(client), answer])
    expect([body, status]).toEqual([WHOLE, 200])
    await expectNoFile()
  })

  test.each<[string, BridgeOptions, string]>([
    [
      'X-Accel-Buffering: no is ignored',
      { ignoreHeaders: ['X-Accel-Buffering'] },
      `${DOWNLOAD}&buffering=no`,
    ],
    ['X-Accel-Buffering: yes', {}, `${DOWNLOAD}&buffering=yes`],
  ])('frees the worker where %s', async (_what, options, target) => {
    const { origin } = await startFront(options)
    const client = await stall(origin, target)
    await eventually('a temporary file', async () => (await openFiles()).length > 0)
    await expectFreeWorker(origin)
    expect(await readOn(client)).toEqual(WHOLE)
  })

  test('gives the whole body where no file can be made', async () => {
    const { origin, errors } = await startFront({}, join(folder, 'none'))
    const client = await stall(origin, DOWNLOAD)
    await sleep(WHILE_MS)
    expect(await readOn(client)).toEqual(WHOLE)
    // The client lost nothing, so there is nothing to report.
    expect(errors).toEqual([])
  })
})

describe('serve() on Node', () => {
  let two: UwsgiServer
  beforeAll(async () => {
    two = await startUwsgi({ app: join(BACKEND, 'stream_app.py'), processes: 1, threads: 2 })
  })
  afterAll(() => two?.stop())

  test.each<[string, string, BridgeOptions]>([
    ['an event', '&type=text/event-stream', {}],
    ['a chunk with X-Accel-Buffering: no', '&buffering=no', {}],
    ['a chunk of any response', '', {}],
    ['a chunk where nothing is read ahead', '', { buffering: false }],
  ])('passes %s on before there is another', async (_what, query, options) => {
    const bridge = createBridge(two.address, options)
    const token = crypto.randomUUID()
    const url = 'http://h.example'
    const response = await bridge.fetch(new Request(`${url}/events?token=${token}${query}`))
    const reader = response.body?.getReader()
    const read = async (): Promise<string | undefined> => {
      const { value } = (await within('a chunk', reader?.read() ?? Promise.reject())) ?? {}
      return value && Buffer.from(value).toString()
    }
    expect(await read()).toBe('one\n')
    await (await bridge.fetch(new Request(`${url}/confirm?token=${token}`))).text()
    expect([await read(), await read()]).toEqual(['two\n', undefined])
  })
})

/** `size` bytes of the pattern; half way it waits for a gate. */
function upload(size: number, halfWay?: () => Promise<unknown>): Readable {
  const bytes = downloadBytes(size)
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < size; at += 100_000) {
      if (halfWay !== undefined && at === Math.floor(size / 200_000) * 100_000) await halfWay()
      yield bytes.subarray(at, at + 100_000)
    }
  }
  return Readable.from(pieces())
}

describe('serve() on Node and a request body of unknown length', () => {
  test('keeps it in a file, and announces its length', async () => {
    const { origin } = await startFront()
    const before = bodyMemory()
    // The bytes that the client holds are among those.
    const bound = before + DOWNLOAD_BYTES + DOWNLOAD_BYTES / 3
    const body = upload(DOWNLOAD_BYTES, async () => {
      await eventually('a temporary file', async () => (await openFiles()).length > 0)
      await eventually('the body out of memory', () => bodyMemory() < bound)
      expect(await readdir(folder)).toEqual([])
    })
    const response = await send(origin, { target: '/', body })
    expect(response.json()).toEqual({
      announced: String(DOWNLOAD_BYTES),
      length: DOWNLOAD_BYTES,
      sha256: DOWNLOAD_SHA256,
    })
    await expectNoFile()
  })

  test('gives Django what it was sent', async () => {
    const django = await startUwsgi({ app: join(BACKEND, 'django_app.py') })
    try {
      const { origin } = await startFront({}, folder, django.address)
      const response = await send(origin, { target: '/echo', body: upload(DOWNLOAD_BYTES) })
      expect(response.json()).toMatchObject({
        content_length: String(DOWNLOAD_BYTES),
        body_length: DOWNLOAD_BYTES,
        body_sha256: DOWNLOAD_SHA256,
      })
      await expectNoFile()
    } finally {
      await django.stop()
    }
  })

  test('refuses one over maxBodyBytes, and leaves no file', async () => {
    const { origin, errors } = await startFront({ maxBodyBytes: 1_000_000 })
    expect((await send(origin, { target: '/', body: upload(5_000_000) })).status).toBe(413)
    await expectNoFile()
    expect(errors.map(({ code }) => code)).toEqual(['ERR_BODY_TOO_LARGE'])
  })

  test('refuses one over bufferBytes and maxTempFileBytes', async () => {
    const { origin, errors } = await startFront({ maxTempFileBytes: 500_000 })
    expect((await send(origin, { target: '/', body: upload(5_000_000) })).status).toBe(413)
    await expectNoFile()
    expect(errors.map(({ code }) => code)).toEqual(['ERR_BODY_TOO_LARGE'])
  })

  test('deletes the file when the client goes away', async () => {
    const { origin, events } = await startFront()
    const { hostname, port } = new URL(origin)
    const socket = connect({ host: hostname, port: Number(port) })
    socket.on('error', () => {})
    socket.write('POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n')
    socket.write(Buffer.alloc(100_000))
    await eventually('a temporary file', async () => (await openFiles()).length > 0)
    socket.resetAndDestroy()
    await expectNoFile()
    await eventually('the event of the upload', () => events.length === 1)
    expect(events[0]?.error).toBe('ERR_CLIENT_CLOSED')
  })

  test('keeps maxBufferedBodyBytes in memory where no file can be made', async () => {
    const options = { maxBufferedBodyBytes: 200_000 }
    const { origin, errors } = await startFront(options, join(folder, 'none'))
    expect((await send(origin, { target: '/', body: upload(200_000) })).status).toBe(200)
    expect((await send(origin, { target: '/', body: upload(200_001) })).status).toBe(413)
    expect(errors.map(({ code }) => code)).toEqual(['ERR_BODY_TOO_LARGE'])
  })
})

async function startDenoFront(
  options: DenoOptions,
  tmpdir: string = folder
): Promise<RunningTarget> {
  const running = await startDeno(
    { UPSTREAM: uwsgi.address, BUFFER_BYTES: '65536', TMPDIR: tmpdir },
    options
  )
  cleanUp.push(() => running.stop())
  return running
}

describe('serve() on Deno to a slow client', () => {
  test('frees the worker, and gives it the whole body', async () => {
    const permissions = [`--allow-read=${folder}`, `--allow-write=${folder}`]
    const { origin } = await startDenoFront({ permissions })
    const client = await stall(origin, DOWNLOAD)
    await expectFreeWorker(origin)
    expect(await readdir(folder)).toEqual([])
    expect(await readOn(client)).toEqual(WHOLE)
    const body = Readable.from([Buffer.alloc(300_000)])
    expect((await send(origin, { target: '/', body })).json()).toMatchObject({
      announced: '300000',
      length: 300_000,
    })
  })

  test('needs no variable but TMPDIR, where that is set', async () => {
    const permissions = ['--allow-env=TMPDIR', `--allow-read=${folder}`, `--allow-write=${folder}`]
    const front = await startDenoFront({ permissions, program: 'bridge', terminal: true })
    const client = await stall(front.origin, DOWNLOAD)
    await expectFreeWorker(front.origin)
    expect(await readOn(client)).toEqual(WHOLE)
  })

  test.each<[string, () => string[]]>([
    ['to write', () => []],
    ['to read', () => [`--allow-write=${folder}`]],
    ['to write there', () => ['--allow-read', '--allow-write=/nowhere']],
    // The folder would be TMP or TEMP then, which are not for us to see: so it is /tmp.
    ['to read the environment', () => ['--allow-env=TMPDIR']],
  ])('asks nobody for a permission %s, and lets the backend wait', async (_what, permissions) => {
    const allowed = permissions()
    const seesTmpdir = allowed.includes('--allow-env=TMPDIR')
    const running = await startDenoFront(
      { permissions: allowed, program: seesTmpdir ? 'bridge' : 'server', terminal: true },
      seesTmpdir ? '' : folder
    )
    const { origin } = running
    const client = await stall(origin, DOWNLOAD)
    await sleep(WHILE_MS)
    let answered = false
    const answer = send(origin, { target: '/' }).then(({ status }) => {
      answered = true
      return status
    })
    await sleep(WHILE_MS)
    expect(answered).toBe(false)
    const [body, status] = await Promise.all([readOn(client), answer])
    expect([body, status]).toEqual([WHOLE, 200])
    const large = Readable.from([Buffer.alloc(300_000)])
    expect((await send(origin, { target: '/', body: large })).status).toBe(200)
    expect(running.log()).not.toMatch(/requests \w+ access|Allow\?/)
  })
})
