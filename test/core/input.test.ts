import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { exactly, streamSource } from '../../src/core/body-source.ts'
import { WsgiInput } from '../../src/core/input.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import { chunkStream, natives, octets, refusalOf } from './support.ts'

type Size = number | null | undefined

/** What Python's `io.BytesIO` does, on a native string. */
class BytesModel {
  readonly #text: string
  #position = 0

  constructor(text: string) {
    this.#text = text
  }

  read(size: Size): string {
    return this.#advance(this.#text.length, size)
  }

  readline(limit: Size): string {
    const index = this.#text.indexOf('\n', this.#position)
    return this.#advance(index < 0 ? this.#text.length : index + 1, limit)
  }

  readlines(hint: Size): string[] {
    const lines: string[] = []
    let total = 0
    for (let line = this.readline(-1); line !== ''; line = this.readline(-1)) {
      lines.push(line)
      total += line.length
      if (hint != null && hint > 0 && total >= hint) break
    }
    return lines
  }

  #advance(end: number, size: Size): string {
    const start = this.#position
    this.#position = size == null || size < 0 ? end : Math.min(end, start + size)
    return this.#text.slice(start, this.#position)
  }
}

function inputOf(...chunks: string[]): WsgiInput {
  return new WsgiInput(streamSource(chunkStream(chunks)))
}

async function call(input: WsgiInput, method: string, size: Size): Promise<unknown> {
  if (method === 'readlines') return natives(await input.readlines(size))
  return octetsToNative(await (method === 'read' ? input.read(size) : input.readline(size)))
}

test('WsgiInput reads like BytesIO over any chunking and mix of calls (BODY-1)', async () => {
  const chunk = fc.string({
    unit: fc.constantFrom('\n', 'a', 'b', '\r', '\0', '\xff'),
    maxLength: 9,
  })
  const step = fc.record({
    method: fc.constantFrom('read', 'readline', 'readlines'),
    size: fc.oneof(fc.integer({ min: -2, max: 12 }), fc.constantFrom(undefined, null, 1e9)),
  } as const)
  await fc.assert(
    fc.asyncProperty(fc.array(chunk), fc.array(step), async (chunks, steps) => {
      const input = inputOf(...chunks)
      const model = new BytesModel(chunks.join(''))
      for (const { method, size } of steps) {
        expect(await call(input, method, size)).toEqual(model[method](size))
      }
      expect(await call(input, 'read', -1)).toBe(model.read(-1))
      expect(await call(input, 'read', 1)).toBe('')
    }),
    { numRuns: 500 }
  )
})

test.each([
  ['read', 0, ''],
  ['read', 2, 'ab'],
  ['read', 4, 'ab\nc'],
  ['read', 99, 'ab\ncd\n\ne'],
  ['read', -1, 'ab\ncd\n\ne'],
  ['read', null, 'ab\ncd\n\ne'],
  ['read', undefined, 'ab\ncd\n\ne'],
  ['readline', undefined, 'ab\n'],
  ['readline', 0, ''],
  ['readline', 1, 'a'],
  ['readline', 3, 'ab\n'],
  ['readline', 4, 'ab\n'],
  ['readlines', undefined, ['ab\n', 'cd\n', '\n', 'e']],
  ['readlines', 0, ['ab\n', 'cd\n', '\n', 'e']],
  ['readlines', 3, ['ab\n']],
  ['readlines', 4, ['ab\n', 'cd\n']],
] as const)('WsgiInput.%s(%s) gives %j', async (method, size, result) => {
  expect(await call(inputOf('a', 'b\nc', 'd\n', '\ne'), method, size)).toEqual(result)
})

test('WsgiInput yields its lines from where it stands, and can go on after', async () => {
  const input = inputOf('ab\nc', 'd\ne\nf')
  expect(octetsToNative(await input.read(1))).toBe('a')
  const lines: string[] = []
  for await (const line of input) {
    lines.push(octetsToNative(line))
    if (lines.length === 2) break
  }
  expect(lines).toEqual(['b\n', 'cd\n'])
  expect(octetsToNative(await input.read())).toBe('e\nf')
  for await (const line of input) lines.push(octetsToNative(line))
  expect(lines).toHaveLength(2)
})

test('WsgiInput waits for no more than was asked for', async () => {
  const input = new WsgiInput(streamSource(chunkStream(['ab\ncd'], 'stall')))
  expect(await call(input, 'readline', undefined)).toBe('ab\n')
  expect(await call(input, 'read', 2)).toBe('cd')
})

test('WsgiInput stays at the end, whatever its source does next', async () => {
  const chunks = ['ab', undefined, 'cd']
  const input = new WsgiInput({
    async read() {
      const chunk = chunks.shift()
      return chunk === undefined ? undefined : octets(chunk)
    },
    async cancel() {},
  })
  expect(await call(input, 'read', undefined)).toBe('ab')
  expect(await call(input, 'read', undefined)).toBe('')
  expect(await call(input, 'readlines', undefined)).toEqual([])
})

test('WsgiInput throws where the body ends early, at every call (BODY-6)', async () => {
  for (const method of ['read', 'readline', 'readlines']) {
    const input = new WsgiInput(exactly(streamSource(chunkStream(['ab'])), 5))
    expect(await refusalOf(call(input, method, undefined))).toBe('400 ERR_BODY_TOO_SHORT')
    expect(await refusalOf(call(input, 'read', 1))).toBe('400 ERR_BODY_TOO_SHORT')
  }
  const gone = new Error('client gone')
  const input = new WsgiInput(streamSource(chunkStream(['ab'], gone)))
  await expect(input.read()).rejects.toBe(gone)
})

test('WsgiInput has the methods of PEP 3333 and no other', () => {
  expect(Object.getOwnPropertyNames(WsgiInput.prototype).toSorted()).toEqual([
    'constructor',
    'read',
    'readline',
    'readlines',
  ])
  expect(Object.keys(inputOf())).toEqual([])
})
