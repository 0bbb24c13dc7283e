import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import type { Application, ApplicationResult } from '../../src/core/application.ts'
import { ValidationError, validator } from '../../src/core/validator.ts'
import { octets } from './support.ts'
import { acceptAll, appOf, call, errorsOf, TEXT, untyped } from './validator-support.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

type Result = ApplicationResult & { close(): unknown }
type StartResponse = typeof acceptAll

/** Calls of a validated application, and the warnings until now. */
function watch(app: Application): {
  run: () => Promise<Result>
  reports: () => (string | number)[]
  messages: () => string[]
} {
  const warnings: ValidationError[] = []
  const validated = validator(app, { onWarning: (warning) => warnings.push(warning) })
  return {
    run: async () => (await call(validated)) as Result,
    reports: () => warnings.map(({ item }) => item),
    messages: () => warnings.map(({ message }) => message),
  }
}

const asyncApp = untyped(async function* (_environ: unknown, startResponse: StartResponse) {
  startResponse('200 OK', [TEXT])
  yield octets('hello')
})

async function readAll(result: Result): Promise<void> {
  for await (const chunk of result) expect(chunk).toEqual(octets('hello'))
}

describe.each([
  ['sync', appOf()],
  ['async', asyncApp],
])('a server that does not close (%s result)', (_kind, app) => {
  test('`validator()` item 29: is reported at the next call, once', async () => {
    const { run, reports, messages } = watch(app)
    const first = await run()
    await readAll(first)
    expect(reports()).toEqual([])
    const second = await run()
    expect(messages()).toEqual([
      'Cannot pass wsgiref.validate item 29: the server did not close() a result before the application was called again',
    ])
    await second.close()
    await run()
    expect(reports()).toEqual([29])
  })

  test('`validator()` item 29: may leave the iteration first', async () => {
    const { run, reports } = watch(app)
    const iterator = iteratorOf(await run())
    await iterator.next()
    await iterator.return?.()
    await run()
    expect(reports()).toEqual([29])
  })

  test('`validator()` item 29: reports nothing of a result that is still read', async () => {
    const { run, reports } = watch(app)
    const first = await run()
    const iterator = iteratorOf(first)
    await iterator.next()
    const second = await run()
    await iterator.next()
    await first.close()
    await readAll(second)
    await second.close()
    await run()
    expect(reports()).toEqual([])
  })

  test('`validator()` item 29: is reported when the result is collected, once', async () => {
    const { run, reports, messages } = watch(app)
    await (async () => void (await run()))()
    await collectUntil(() => reports().length > 0)
    expect(messages()).toEqual([
      'Cannot pass wsgiref.validate item 29: the server did not close() a result before it was garbage collected',
    ])
    await run()
    expect(reports()).toEqual([29])
  })

  test('`validator()` item 29: is not reported again when a reported result is collected', async () => {
    const { run, reports } = watch(app)
    await (async () => await readAll(await run()))()
    const second = await run()
    expect(reports()).toEqual([29])
    await collectSome()
    expect(reports()).toEqual([29])
    await second.close()
  })

  test('`validator()` item 29: reports nothing of closed results that are collected', async () => {
    const { run, reports } = watch(app)
    await (async () => {
      const result = await run()
      await readAll(result)
      await result.close()
    })()
    await (async () => await (await run()).close())()
    await collectSome()
    expect(reports()).toEqual([])
  })
})

test.each([
  ['sync', untyped(() => [octets('before startResponse')]), 'item 28'],
  ['async', untyped(async () => failing()), 'of the application'],
])('`validator()` item 29: a %s result that failed must be closed too', async (_kind, app, why) => {
  const { run, reports } = watch(app)
  const iterator = iteratorOf(await run())
  await expect((async () => await iterator.next())()).rejects.toThrow(why)
  await run()
  expect(reports()).toEqual([29])
})

async function* failing(): AsyncGenerator<Uint8Array> {
  yield await Promise.reject(new Error('of the application'))
}

test('`validator()` item 29: is written to the wsgi.errors of its own request', async () => {
  const first: unknown[] = []
  const second: unknown[] = []
  const validated = validator(appOf())
  await readAll((await call(validated, { 'wsgi.errors': errorsOf(first) })) as Result)
  await call(validated, { 'wsgi.errors': errorsOf(second) })
  expect(first).toEqual([expect.stringMatching(/item 29: .*called again\n$/)])
  expect(second).toEqual([])
})

test('`validator()` item 29: looks at each application by itself', async () => {
  const one = watch(appOf())
  const other = watch(appOf())
  await readAll(await one.run())
  await other.run()
  expect([one.reports(), other.reports()]).toEqual([[], []])
})

test.each([
  ['close() of what the application returned', { close: true, return: true }, ['close']],
  [
    'return() of an iterator whose maker has no close()',
    { close: false, return: true },
    ['return'],
  ],
  ['nothing where there is neither', { close: false, return: false }, []],
])('`validator()` item 29: a close() calls %s, once (RSP-42)', async (_what, has, calls) => {
  const seen: string[] = []
  const { run } = watch(closable(has, seen))
  const result = await run()
  await iteratorOf(result).next()
  expect(seen).toEqual([])
  result.close()
  result.close()
  expect(seen).toEqual(calls)
})

test('close() does not return() what has come to its end', async () => {
  const seen: string[] = []
  const result = await watch(closable({ close: false, return: true }, seen)).run()
  await readAll(result)
  await result.close()
  expect(seen).toEqual([])
})

test('close() after return() does not return() again, but does close()', async () => {
  const seen: string[] = []
  for (const close of [false, true]) {
    const result = await watch(closable({ close, return: true }, seen)).run()
    const iterator = iteratorOf(result)
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined })
    result.close()
  }
  expect(seen).toEqual(['return', 'return', 'close'])
})

test('close() cleans up behind a breach in the result', async () => {
  const seen: string[] = []
  const app = untyped(function* () {
    try {
      yield octets('before startResponse')
    } finally {
      seen.push('finally')
    }
  })
  const result = await watch(app).run()
  await expect(readAll(result)).rejects.toThrow('item 28')
  seen.length = 0
  const iterator = iteratorOf(await watch(app).run())
  await expect((async () => await iterator.next())()).rejects.toThrow('item 28')
  expect(seen).toEqual([])
  ;(iterator as unknown as Result).close()
  expect(seen).toEqual(['finally'])
})

test('close() gives what the close() of the application gave, and its error', async () => {
  const answer = Promise.resolve()
  const [good, bad] = [() => answer, () => fail()].map((close) =>
    watch(untyped(() => Object.assign([], { close })))
  )
  const result = await good?.run()
  expect([result?.close(), result?.close()]).toEqual([answer, answer])
  expect(result?.close()).toBe(answer)
  const failed = await bad?.run()
  expect(() => failed?.close()).toThrow('of the application')
  expect(failed?.close()).toBeUndefined()
})

function fail(): never {
  throw new Error('of the application')
}

/** An application whose result says what is called of it. */
function closable(has: { close: boolean; return: boolean }, seen: string[]): Application {
  return untyped((_environ: unknown, startResponse: StartResponse) => {
    startResponse('200 OK', [TEXT])
    const chunks = [octets('hello')].values()
    const iterator: Iterator<Uint8Array> = { next: () => chunks.next() }
    if (has.return) iterator.return = () => ({ done: true, value: void seen.push('return') })
    const result = { [Symbol.iterator]: () => iterator }
    return has.close ? { ...result, close: () => seen.push('close') } : result
  })
}

function iteratorOf(result: ApplicationResult): AsyncIterator<Uint8Array> | Iterator<Uint8Array> {
  return Symbol.asyncIterator in result ? result[Symbol.asyncIterator]() : result[Symbol.iterator]()
}

/** Collects garbage until something happens, which the language does not promise but V8 keeps. */
async function collectUntil(done: () => boolean): Promise<void> {
  for (let turn = 0; turn < 100 && !done(); turn++) {
    await setImmediate()
    collectGarbage()
  }
}

async function collectSome(): Promise<void> {
  let turns = 0
  await collectUntil(() => ++turns > 10)
}
