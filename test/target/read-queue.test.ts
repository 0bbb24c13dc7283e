import { describe, expect, test } from 'vitest'
import { ReadQueue } from '../../src/target/node/read-queue.ts'

const bytes = (...octets: number[]): Uint8Array => Uint8Array.from(octets)

/** A queue for 4 bytes, and how often its socket was told to go on. */
function makeQueue(): { queue: ReadQueue; resumed: () => number } {
  let resumed = 0
  const queue = new ReadQueue({ resume: () => void resumed++ }, 4)
  return { queue, resumed: () => resumed }
}

describe('ReadQueue', () => {
  test('gives what arrives to the read that waits, else keeps it in order', async () => {
    const { queue } = makeQueue()
    const reading = queue.read()
    queue.push(bytes(1))
    queue.push(bytes(2))
    queue.push(bytes(3))
    queue.end()
    const got = [await reading, await queue.read(), await queue.read(), await queue.read()]
    expect(got).toEqual([bytes(1), bytes(2), bytes(3), undefined])
  })

  test('pauses its socket when it is full, and resumes it when there is room', async () => {
    const { queue, resumed } = makeQueue()
    expect([queue.push(bytes(1, 2, 3)), queue.push(bytes(4))]).toEqual([true, false])
    expect(resumed()).toBe(0)
    await queue.read()
    expect(resumed()).toBe(1)
  })

  test('interrupt() fails the read that waits; what arrives is for the next', async () => {
    const { queue } = makeQueue()
    const reading = queue.read()
    queue.interrupt(new Error('too late'))
    queue.push(bytes(1))
    await expect(reading).rejects.toThrow('too late')
    expect(await queue.read()).toEqual(bytes(1))
  })

  test('discard() throws away what waits and lets its socket go on', async () => {
    const { queue, resumed } = makeQueue()
    queue.push(bytes(1, 2, 3, 4))
    queue.discard(() => {})
    expect(resumed()).toBe(1)
    queue.end()
    expect(await queue.read()).toBeUndefined()
  })

  test('discard() tells of each piece that arrives, and never pauses', () => {
    const { queue } = makeQueue()
    let pieces = 0
    queue.discard(() => void pieces++)
    expect([queue.push(bytes(1, 2, 3, 4)), queue.push(bytes(5))]).toEqual([true, true])
    expect(pieces).toBe(2)
  })

  test('discard() leaves the read that waits its piece', async () => {
    const { queue } = makeQueue()
    let pieces = 0
    const reading = queue.read()
    queue.discard(() => void pieces++)
    queue.push(bytes(1))
    queue.push(bytes(2))
    expect([await reading, pieces]).toEqual([bytes(1), 1])
  })

  test('end() with a failure fails each read behind what has arrived', async () => {
    const { queue } = makeQueue()
    queue.push(bytes(1))
    queue.end(new Error('broken'))
    expect(await queue.read()).toEqual(bytes(1))
    await expect(queue.read()).rejects.toThrow('broken')
    await expect(queue.read()).rejects.toThrow('broken')
  })
})
