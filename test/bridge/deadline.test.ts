import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Deadline } from '../../src/bridge/deadline.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

describe('Deadline', () => {
  test('fires once, when a step takes as long as it may', () => {
    const onExpire = vi.fn<() => void>()
    new Deadline(1000, onExpire).start()
    vi.advanceTimersByTime(999)
    expect(onExpire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(onExpire).toHaveBeenCalledOnce()
    vi.advanceTimersByTime(10_000)
    expect([onExpire.mock.calls.length, vi.getTimerCount()]).toEqual([1, 0])
  })

  test('moves on with every step, with one timer', () => {
    const onExpire = vi.fn<() => void>()
    const deadline = new Deadline(1000, onExpire)
    for (let step = 0; step < 10; step++) {
      deadline.start()
      expect(vi.getTimerCount()).toBe(1)
      vi.advanceTimersByTime(900)
    }
    expect(onExpire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(100)
    expect(onExpire).toHaveBeenCalledOnce()
  })

  test('does not count the time between steps', () => {
    const onExpire = vi.fn<() => void>()
    const deadline = new Deadline(1000, onExpire)
    deadline.start()
    vi.advanceTimersByTime(900)
    deadline.pause()
    vi.advanceTimersByTime(5000)
    deadline.start()
    vi.advanceTimersByTime(999)
    expect(onExpire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(onExpire).toHaveBeenCalledOnce()
  })

  test('takes another limit with a step, mostly without another timer', () => {
    const onExpire = vi.fn<() => void>()
    const deadline = new Deadline(1000, onExpire)
    deadline.start()
    vi.advanceTimersByTime(900)
    deadline.start(5000)
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(4999)
    deadline.start(300)
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(200)
    deadline.start()
    vi.advanceTimersByTime(299)
    expect(onExpire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect([onExpire.mock.calls.length, vi.getTimerCount()]).toEqual([1, 0])
  })

  test('takes no other timer for a step as its first behind a longer one', () => {
    const onExpire = vi.fn<() => void>()
    const timers = vi.spyOn(globalThis, 'setTimeout')
    const deadline = new Deadline(1000, onExpire)
    deadline.start(60_000)
    vi.advanceTimersByTime(10)
    deadline.start(1000)
    expect(timers).toHaveBeenCalledOnce()
    vi.advanceTimersByTime(999)
    expect(onExpire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(onExpire).toHaveBeenCalledOnce()
  })

  test('has no timer for a step without limit behind one with a limit', () => {
    const onExpire = vi.fn<() => void>()
    const deadline = new Deadline(1000, onExpire)
    deadline.start()
    deadline.start(Infinity)
    vi.advanceTimersByTime(2000)
    expect([onExpire.mock.calls.length, vi.getTimerCount()]).toEqual([0, 0])
  })

  test('leaves no timer behind when it is stopped, once and for all', () => {
    const onExpire = vi.fn<() => void>()
    const deadline = new Deadline(1000, onExpire)
    deadline.start()
    deadline.stop()
    expect(vi.getTimerCount()).toBe(0)
    deadline.start()
    expect(vi.getTimerCount()).toBe(0)
    vi.advanceTimersByTime(5000)
    expect(onExpire).not.toHaveBeenCalled()
  })

  test('takes no timer for Infinity', () => {
    new Deadline(Infinity, () => {}).start()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('waits longer than a timer can', () => {
    const onExpire = vi.fn<() => void>()
    const timers = vi.spyOn(globalThis, 'setTimeout')
    new Deadline(2 ** 31 + 1000, onExpire).start()
    vi.advanceTimersByTime(2 ** 31)
    // A longer one would fire at once, over and over.
    expect(timers.mock.calls.map(([, delay]) => delay)).toEqual([2 ** 31 - 1, 1001])
    expect(onExpire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1000)
    expect(onExpire).toHaveBeenCalledOnce()
  })
})
