import { expect, test } from 'vitest'
import { streamSource } from '../../src/core/body-source.ts'
import { WsgiInput } from '../../src/core/input.ts'
import { validator } from '../../src/core/validator.ts'
import { chunkStream, natives, octets } from './support.ts'
import {
  acceptAll,
  type AnyEnviron,
  breachOf,
  call,
  errorsOf,
  inputOf,
  TEXT,
  untyped,
} from './validator-support.ts'

type Method = (...args: readonly unknown[]) => unknown
type Use = (streams: { input: Input; errors: Record<string, Method> }) => unknown
type Input = Record<'read' | 'readline' | 'readlines' | 'close', Method> &
  Iterable<Uint8Array> &
  AsyncIterable<Uint8Array>

/** What an application does to the streams that the validator hands it. */
function using(use: Use, changes: AnyEnviron = {}): unknown {
  let used: unknown
  const app = untyped((environ: AnyEnviron, startResponse: typeof acceptAll) => {
    used = use({
      input: environ['wsgi.input'] as Input,
      errors: environ['wsgi.errors'] as Record<string, Method>,
    })
    startResponse('200 OK', [TEXT])
    return []
  })
  void call(validator(app), changes)
  return used
}

type Row = readonly [item: number, title: string, breach: () => unknown, message: string]

function answering(method: string, answer: unknown): AnyEnviron {
  return { 'wsgi.input': inputOf({ [method]: () => answer }) }
}

function wrongAnswer(
  item: number,
  method: 'read' | 'readline' | 'readlines',
  answer: unknown,
  kind: string,
  wanted: string
): Row[] {
  const message = `${method}() answered ${kind}, wanted ${wanted}`
  const args = method === 'read' ? [1] : []
  return [
    [
      item,
      `refuses ${kind} from ${method}()`,
      () => using(({ input }) => input[method](...args), answering(method, answer)),
      message,
    ],
    [
      item,
      `refuses a promise of ${kind} from ${method}()`,
      () =>
        using(({ input }) => input[method](...args), answering(method, Promise.resolve(answer))),
      message,
    ],
  ]
}

const BYTES = 'a Uint8Array'

const ROWS: readonly Row[] = [
  [
    46,
    'refuses read() without a size',
    () => using(({ input }) => input.read()),
    'read() got 0 arguments, wanted exactly one, a size',
  ],
  [
    46,
    'refuses read() with two arguments',
    () => using(({ input }) => input.read(1, 2)),
    'read() got 2 arguments, wanted exactly one, a size',
  ],
  ...wrongAnswer(47, 'read', 'a', 'a string', BYTES),
  ...wrongAnswer(47, 'read', undefined, 'undefined', BYTES),
  [
    48,
    'refuses readline() with two arguments',
    () => using(({ input }) => input.readline(1, 2)),
    'readline() got 2 arguments, wanted at most one',
  ],
  ...wrongAnswer(49, 'readline', null, 'null', BYTES),
  [
    50,
    'refuses readlines() with two arguments',
    () => using(({ input }) => input.readlines(1, 2)),
    'readlines() got 2 arguments, wanted at most one',
  ],
  ...wrongAnswer(51, 'readlines', new Set([octets('a')]), 'a Set', 'an array'),
  ...wrongAnswer(52, 'readlines', [octets('a'), 'b'], 'a string', BYTES),
  [
    49,
    'checks the lines of an iteration',
    () => using(({ input }) => [...input], answering('readline', 'a')),
    'readline() answered a string, wanted a Uint8Array',
  ],
  [
    49,
    'refuses a promise in a synchronous iteration',
    () => using(({ input }) => [...input], answering('readline', Promise.resolve(octets('')))),
    'readline() answered a Promise, wanted a Uint8Array',
  ],
  [
    49,
    'checks the lines of an asynchronous iteration',
    () => using(({ input }) => collect(input), answering('readline', Promise.resolve('a'))),
    'readline() answered a string, wanted a Uint8Array',
  ],
  [
    54,
    'refuses close() of wsgi.input',
    () => using(({ input }) => input.close()),
    'wsgi.input was closed, which is the server’s to do',
  ],
  [
    55,
    'refuses bytes in wsgi.errors',
    () => using(({ errors }) => errors.write?.(octets('a'))),
    'wsgi.errors got a Uint8Array, wanted a string',
  ],
  [
    55,
    'refuses an Error in wsgi.errors',
    () => using(({ errors }) => errors.write?.(new Error('a'))),
    'wsgi.errors got an Error, wanted a string',
  ],
  [
    56,
    'checks each of writelines()',
    () => using(({ errors }) => errors.writelines?.(['a', 1])),
    'wsgi.errors got a number, wanted a string',
  ],
  [
    57,
    'refuses close() of wsgi.errors',
    () => using(({ errors }) => errors.close?.()),
    'wsgi.errors was closed, which is the server’s to do',
  ],
]

test.each(ROWS)('`validator()` item %i: %s', async (item, _title, breach, message) => {
  const error = await breachOf(breach)
  // What goes through write() fails as what is written does.
  const seen = item === 56 ? 55 : item
  expect([error.item, error.message]).toEqual([
    seen,
    `Cannot pass wsgiref.validate item ${seen}: ${message}`,
  ])
})

async function collect(lines: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<string[]> {
  const found: Uint8Array[] = []
  for await (const line of lines) found.push(line)
  return natives(found)
}

function none(): never {
  throw new Error('not what the validator should ask')
}

/** An input of which only `readline()` gives anything. */
function lineInput(lines: string[], delayed: boolean): object {
  const readline = (): unknown => {
    const line = octets(lines.shift() ?? '')
    return delayed ? Promise.resolve(line) : line
  }
  return {
    read: none,
    readlines: none,
    readline,
    [delayed ? Symbol.asyncIterator : Symbol.iterator]: none,
  }
}

test('`validator()` item 53: iteration of wsgi.input goes through readline()', async () => {
  const changes = { 'wsgi.input': lineInput(['a\n', 'b'], false) }
  expect(using(({ input }) => natives([...input]), changes)).toEqual(['a\n', 'b'])
})

test.each([true, false])(
  '`validator()` item 53: so does `for await`, where promises are %s',
  async (delayed) => {
    const changes = { 'wsgi.input': lineInput(['a\n', 'b'], delayed) }
    expect(await using(({ input }) => collect(input), changes)).toEqual(['a\n', 'b'])
  }
)

test('`validator()` item 53: an input that only promises is not iterable at once', () => {
  const changes = { 'wsgi.input': lineInput([], true) }
  expect(using(({ input }) => Symbol.iterator in input, changes)).toBe(false)
})

test('`validator()` passes the calls of wsgi.input on, and what they answer', async () => {
  const calls: unknown[] = []
  const answers = { read: octets('a'), readline: octets('b'), readlines: [octets('c')] }
  const methods = Object.entries(answers).map(([name, answer]) => [
    name,
    (...args: readonly unknown[]) => {
      calls.push([name, ...args])
      return answer
    },
  ])
  const changes = { 'wsgi.input': inputOf(Object.fromEntries(methods)) }
  const seen = using(
    ({ input }) => [
      input.read(-1),
      input.readline(),
      input.readline(7),
      input.readlines(),
      input.readlines(null),
    ],
    changes
  ) as unknown[]
  expect(calls).toEqual([
    ['read', -1],
    ['readline'],
    ['readline', 7],
    ['readlines'],
    ['readlines', null],
  ])
  expect(seen[0]).toBe(answers.read)
  expect(seen[1]).toBe(answers.readline)
  expect(seen[3]).toBe(answers.readlines)
})

test('`validator()` lets an application read our own input', async () => {
  const input = new WsgiInput(streamSource(chunkStream(['ab\nc', 'd\n', 'ef\ng\nh'])))
  const read = using(
    async ({ input: checked }) => [
      natives([(await checked.read(2)) as Uint8Array]),
      natives([(await checked.readline()) as Uint8Array]),
      natives([(await checked.readline(1)) as Uint8Array]),
      natives((await checked.readlines(1)) as Uint8Array[]),
      await collect(checked),
    ],
    { 'wsgi.input': input }
  )
  expect(await read).toEqual([['ab'], ['\n'], ['c'], ['d\n'], ['ef\n', 'g\n', 'h']])
})

test('`validator()` item 56: writelines() goes through write()', () => {
  const written: unknown[] = []
  using(
    ({ errors }) => {
      errors.write?.('a')
      errors.writelines?.(['b', 'c'])
      errors.flush?.()
    },
    { 'wsgi.errors': errorsOf(written) }
  )
  expect(written).toEqual(['a', 'b', 'c', 'flush()'])
})
