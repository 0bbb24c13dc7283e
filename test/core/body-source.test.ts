import { setImmediate as nextTurn } from 'node:timers/promises'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  atMost,
  type BodySource,
  bytesSource,
  collect,
  concat,
  exactly,
  sourceStream,
  streamSource,
} from '../../src/core/body-source.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { chunkStream, octets, refusalOf } from './support.ts'

/** Notes what is read and cancelled behind it. */
function watched(chunks: readonly string[]): BodySource & { readonly log: unknown[] } {
  const source = streamSource(chunkStream(chunks))
  const log: unknown[] = []
  return {
    log,
    async read() {
      const chunk = await source.read()
      log.push(chunk === undefined ? 'end' : octetsToNative(chunk))
      return chunk
    },
    async cancel(reason) {
      log.push(['cancel', reason])
      await source.cancel(reason)
    },
  }
}

async function textOf(source: BodySource): Promise<string> {
  return octetsToNative(await collect(source))
}

test('streamSource() passes over empty chunks and stays at its end', async () => {
  const source = streamSource(chunkStream(['', 'ab', '', '', 'c', '']))
  const read = async (): Promise<unknown> => octetsToNative((await source.read()) ?? octets('end'))
  expect([await read(), await read(), await read(), await read()]).toEqual([
    'ab',
    'c',
    'end',
    'end',
  ])
})

test('streamSource() rejects where the stream fails, and cancels without rejecting', async () => {
  const gone = new Error('client gone')
  const source = streamSource(chunkStream(['ab'], gone))
  await source.read()
  await expect(source.read()).rejects.toBe(gone)
  await expect(source.read()).rejects.toBe(gone)
  await expect(source.cancel(gone)).resolves.toBeUndefined()
})

test('streamSource() hands the reason of a cancellation to the stream', async () => {
  const reasons: unknown[] = []
  const source = streamSource(new ReadableStream({ cancel: (reason) => void reasons.push(reason) }))
  await source.cancel('enough')
  await source.cancel('again')
  expect(reasons).toEqual(['enough'])
  expect(await source.read()).toBeUndefined()
})

test('bytesSource() gives its bytes once; nothing when empty or cancelled', async () => {
  const source = bytesSource(octets('abc'))
  expect([await source.read(), await source.read()]).toEqual([octets('abc'), undefined])
  expect(await bytesSource(new Uint8Array()).read()).toBeUndefined()
  const cancelled = bytesSource(octets('abc'))
  await cancelled.cancel('enough')
  expect(await cancelled.read()).toBeUndefined()
})

test('exactly() cuts any chunking at its length, or fails (BODY-1, BODY-6)', async () => {
  const chunks = fc.array(fc.string({ unit: 'binary-ascii', maxLength: 5 }), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(chunks, fc.nat(30), async (parts, length) => {
      const text = parts.join('')
      const source = exactly(streamSource(chunkStream(parts)), length)
      if (text.length >= length) expect(await textOf(source)).toBe(text.slice(0, length))
      else expect(await refusalOf(textOf(source))).toBe('400 ERR_BODY_TOO_SHORT')
    })
  )
})

test('exactly() asks for nothing behind its length, and cancels it (BODY-6)', async () => {
  const source = watched(['abc', 'def', 'GET /smuggled'])
  expect(await textOf(exactly(source, 4))).toBe('abcd')
  expect(source.log).toEqual(['abc', 'def', ['cancel', undefined]])
  const none = watched(['abc'])
  expect(await textOf(exactly(none, 0))).toBe('')
  expect(none.log).toEqual([])
})

test('exactly() ends without waiting for a peer that keeps the line open (BODY-6)', async () => {
  expect(await textOf(exactly(streamSource(chunkStream(['abc'], 'stall')), 3))).toBe('abc')
})

test('exactly() keeps failing once the body is too short (BODY-6)', async () => {
  const source = exactly(streamSource(chunkStream(['ab'])), 3)
  await source.read()
  await expect(source.read()).rejects.toThrow('ended 1 bytes short of its Content-Length 3')
  expect(await refusalOf(source.read())).toBe('400 ERR_BODY_TOO_SHORT')
})

test('atMost() counts bytes as they arrive and refuses the chunk over (BODY-2, SEC-81)', async () => {
  expect(await textOf(atMost(watched(['abc', 'de']), 5))).toBe('abcde')
  const source = watched(['abc', 'def', 'ghi'])
  const limited = atMost(source, 5)
  expect(await limited.read()).toEqual(octets('abc'))
  expect(await refusalOf(limited.read())).toBe('413 ERR_BODY_TOO_LARGE')
  expect(await refusalOf(limited.read())).toBe('413 ERR_BODY_TOO_LARGE')
  expect(source.log.slice(0, 3)).toMatchObject(['abc', 'def', ['cancel', { status: 413 }]])
  expect(await textOf(atMost(watched(['abc']), Infinity))).toBe('abc')
  expect(await refusalOf(textOf(atMost(watched(['a']), 0)))).toBe('413 ERR_BODY_TOO_LARGE')
})

test.each<[string, (source: BodySource) => BodySource]>([
  ['exactly', (source) => exactly(source, 3)],
  ['atMost', (source) => atMost(source, 3)],
])('%s() hands a cancellation on', async (_, wrap) => {
  const source = watched(['abc'])
  await wrap(source).cancel('enough')
  expect(source.log).toEqual([['cancel', 'enough']])
})

test('sourceStream() reads only what is asked for', async () => {
  const source = watched(['a', 'b', 'c'])
  const reader = sourceStream(source).getReader()
  await nextTurn()
  expect(source.log).toEqual([])
  expect(await reader.read()).toEqual({ done: false, value: octets('a') })
  await nextTurn()
  expect(source.log).toEqual(['a'])
  await reader.cancel('enough')
  expect(source.log).toEqual(['a', ['cancel', 'enough']])
})

test('sourceStream() hands on no memory but that of its chunks', async () => {
  const larger = new Uint8Array([1, 2, 3, 4])
  const whole = new Uint8Array([5, 6])
  const chunks = [larger.subarray(1, 3), whole]
  const stream = sourceStream({ read: async () => chunks.shift(), cancel: async () => {} })
  const got: Uint8Array[] = []
  for await (const chunk of stream) got.push(chunk)
  expect(got.map((chunk) => [[...chunk], chunk.buffer.byteLength])).toEqual([
    [[2, 3], 2],
    [[5, 6], 2],
  ])
  expect(got[1]).toBe(whole)
})

test('sourceStream() closes at the end and fails where the source does (BODY-6)', async () => {
  expect(await new Response(sourceStream(watched(['a', 'b']))).text()).toBe('ab')
  const short = sourceStream(exactly(watched(['a']), 2))
  expect(await refusalOf(new Response(short).text())).toBe('400 ERR_BODY_TOO_SHORT')
})

test('concat() joins chunks, and copies none that is alone', () => {
  const one = octets('ab')
  expect(concat([one], 2)).toBe(one)
  expect(concat([], 0)).toEqual(new Uint8Array())
  expect(concat([one, octets('c'), octets('')], 3)).toEqual(octets('abc'))
})
