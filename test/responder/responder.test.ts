import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { AcceptedConnection } from '../../src/responder/accepted-connection.ts'
import type { FetchHandler } from '../../src/core/handler.ts'
import { createResponder } from '../../src/responder/responder.ts'
import { packet, variables } from '../support/uwsgi-client.ts'

/** A front that does what a test says. */
class MemoryFront implements AcceptedConnection {
  readonly remote = { addr: '127.0.0.1' }
  readonly #ended = Promise.withResolvers<void>()
  readonly ended: Promise<void> = this.#ended.promise
  readonly did: string[] = []
  written = ''
  /** Whether it takes the end of the response. */
  takesEnd = true
  #arrived: (Uint8Array | undefined)[] = []
  #reader: PromiseWithResolvers<Uint8Array | undefined> | undefined
  #onDiscard: (() => void) | undefined

  send(bytes: Uint8Array | undefined): void {
    if (bytes === undefined) this.#ended.resolve()
    if (this.#reader !== undefined) this.#reader.resolve(bytes)
    else if (this.#onDiscard === undefined) this.#arrived.push(bytes)
    else if (bytes !== undefined) this.#onDiscard()
    this.#reader = undefined
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#reader !== undefined) this.did.push('read twice at once')
    if (this.#arrived.length > 0) return this.#arrived.shift()
    this.#reader = Promise.withResolvers()
    return await this.#reader.promise
  }

  interrupt(error: Error): void {
    this.#reader?.reject(error)
    this.#reader = undefined
  }

  discard(onBytes: () => void): void {
    this.#arrived = []
    this.#onDiscard = onBytes
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.written += Buffer.from(bytes).toString('latin1')
  }

  async end(): Promise<void> {
    this.did.push('end')
    if (!this.takesEnd) await this.ended
  }

  reset(): void {
    this.did.push('reset')
    this.send(undefined)
  }

  close(): void {
    this.did.push('close')
    this.send(undefined)
  }
}

const CHUNK = new Uint8Array(10)

/** Lets all that is ready happen. */
async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve))
}

/** Has a front get an early answer; says whether its connection is over. */
async function answered(front: MemoryFront, sendTimeout = 60_000): Promise<() => boolean> {
  const respond = createResponder(() => new Response('no', { status: 413 }), {
    sendTimeout,
    onError: () => {},
  })
  front.send(packet(variables('POST', '/', [['CONTENT_LENGTH', '1000000']])))
  let isOver = false
  void respond(front).then(() => (isOver = true))
  await vi.advanceTimersByTimeAsync(10)
  expect(front.written).toMatch(/^HTTP\/1\.1 413 [^]*\r\n\r\nno$/)
  expect(front.did).toEqual(['end'])
  return () => isOver
}

describe('createResponder() lingers on a front that still sends', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('until it ends', async () => {
    const front = new MemoryFront()
    const isOver = await answered(front)
    front.send(CHUNK)
    await vi.advanceTimersByTimeAsync(1000)
    expect(isOver()).toBe(false)
    front.send(undefined)
    await vi.advanceTimersByTimeAsync(1)
    expect(isOver()).toBe(true)
  })

  test('no longer than 5 seconds without a byte', async () => {
    const front = new MemoryFront()
    const isOver = await answered(front)
    await vi.advanceTimersByTimeAsync(4900)
    front.send(CHUNK)
    await vi.advanceTimersByTimeAsync(4900)
    expect(isOver()).toBe(false)
    await vi.advanceTimersByTimeAsync(200)
    expect(isOver()).toBe(true)
    expect(front.did).toContain('close')
  })

  test('no longer than 30 seconds at all', async () => {
    const front = new MemoryFront()
    const isOver = await answered(front)
    for (let second = 0; second < 29; second++) {
      front.send(CHUNK)
      await vi.advanceTimersByTimeAsync(1000)
    }
    expect(isOver()).toBe(false)
    front.send(CHUNK)
    await vi.advanceTimersByTimeAsync(1500)
    expect(isOver()).toBe(true)
  })

  test('no longer than sendTimeout where it does not take the end', async () => {
    const front = new MemoryFront()
    front.takesEnd = false
    const isOver = await answered(front, 1000)
    await vi.advanceTimersByTimeAsync(1100)
    expect(front.did).toContain('reset')
    await vi.advanceTimersByTimeAsync(10)
    expect(isOver()).toBe(true)
  })

  test('and leaves no timer behind', async () => {
    const front = new MemoryFront()
    await answered(front)
    front.send(undefined)
    await vi.advanceTimersByTimeAsync(1)
    expect(vi.getTimerCount()).toBe(0)
  })
})

/** Has a front send a request and three pieces, more than it announced. */
async function exchange(handler: FetchHandler): Promise<MemoryFront> {
  const front = new MemoryFront()
  const responding = createResponder(handler)(front)
  front.send(packet(variables('POST', '/', [['CONTENT_LENGTH', '6']])))
  await turn()
  for (let i = 0; i < 3; i++) {
    front.send(new Uint8Array(3))
    await turn()
  }
  front.send(undefined)
  await responding
  return front
}

describe('createResponder() reads one piece at a time', () => {
  test.each<[string, FetchHandler]>([
    ['was read to its end', async (request) => new Response(await request.arrayBuffer())],
    [
      'is still being read',
      (request) => {
        void request.body?.getReader().read()
        return new Response('early')
      },
    ],
    [
      'was cancelled',
      async (request) => {
        await request.body?.cancel()
        return new Response('early')
      },
    ],
  ])('where the body %s', async (_what, handler) => {
    const front = await exchange(handler)
    expect(front.written).toMatch(/^HTTP\/1\.1 200 /)
    expect(front.did).toEqual(['end', 'close'])
  })
})

test('createResponder() closes a connection that takes no response', async () => {
  const front = new MemoryFront()
  front.write = async () => {
    throw new Error('broken')
  }
  const responding = createResponder(() => new Response('hello'))(front)
  front.send(packet(variables('GET', '/')))
  await responding
  expect(front.did).toEqual(['close', 'close'])
})

test('createResponder() leaves a handler that never settles to itself', async () => {
  const front = new MemoryFront()
  const responding = createResponder(() => new Promise<Response>(() => {}))(front)
  front.send(packet(variables('GET', '/')))
  await turn()
  front.send(undefined)
  await responding
  expect(front.did).toEqual(['close'])
})
