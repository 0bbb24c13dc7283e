import { describe, expect, test, vi } from 'vitest'
import { remember } from '../../src/core/remember.ts'

describe('remember()', () => {
  test('makes a result once, one for each text', () => {
    const make = vi.fn<(text: string) => number>((text) => text.length)
    const length = remember(make)
    expect([length('a'), length('bc'), length('a'), length('')]).toEqual([1, 2, 1, 0])
    expect(length('')).toBe(0)
    expect(make).toHaveBeenCalledTimes(3)
  })

  test('remembers no more than 256 texts, and none over 128 characters', () => {
    const make = vi.fn<(text: string) => string>((text) => text)
    const same = remember(make)
    for (let number = 0; number < 256; number++) same(String(number))
    same('0')
    expect(make).toHaveBeenCalledTimes(256)
    same('one more')
    same('0')
    expect(make).toHaveBeenCalledTimes(258)
    for (const long of ['x'.repeat(128), 'x'.repeat(129)]) {
      make.mockClear()
      expect([same(long), same(long)]).toEqual([long, long])
      expect(make).toHaveBeenCalledTimes(long.length === 128 ? 1 : 2)
    }
  })

  test('does not remember what was thrown', () => {
    let broken = true
    const same = remember((text) => {
      if (broken) throw new Error('not yet')
      return text
    })
    expect(() => same('a')).toThrow('not yet')
    broken = false
    expect(same('a')).toBe('a')
  })
})
