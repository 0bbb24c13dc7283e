import { describe, expect, test } from 'vitest'
import { abortSignalOf, Departure } from '../../src/core/client-signal.ts'

function neverAdded(): void {}

describe('Departure', () => {
  test('tells those who listen, once, and in their order', () => {
    const departure = new Departure()
    const told: string[] = []
    departure.addEventListener('abort', () => told.push(`first ${departure.aborted}`))
    departure.addEventListener('abort', () => told.push('second'))
    expect(departure.aborted).toBe(false)
    departure.abort()
    departure.addEventListener('abort', () => told.push('too late'))
    departure.abort()
    expect(told).toEqual(['first true', 'second'])
  })

  test('tells those who have stopped listening nothing, and the others all the same', () => {
    const departure = new Departure()
    const told: string[] = []
    const gone = (): void => void told.push('gone')
    const leaving = (): void => void told.push('leaving')
    departure.addEventListener('abort', () => {
      told.push('staying')
      departure.removeEventListener('abort', leaving)
    })
    departure.addEventListener('abort', leaving)
    departure.addEventListener('abort', () => told.push('last'))
    departure.removeEventListener('abort', neverAdded)
    departure.addEventListener('abort', gone)
    departure.removeEventListener('abort', gone)
    departure.abort()
    expect(told).toEqual(['staying', 'last'])
  })
})

describe('abortSignalOf()', () => {
  test('is an AbortSignal as it is', () => {
    const { signal } = new AbortController()
    expect(abortSignalOf(signal)).toBe(signal)
  })

  test('aborts when the client goes', () => {
    const departure = new Departure()
    const signal = abortSignalOf(departure)
    expect([signal instanceof AbortSignal, signal.aborted]).toEqual([true, false])
    departure.abort()
    expect(signal.aborted).toBe(true)
  })

  test('has aborted where the client has gone before', () => {
    const departure = new Departure()
    departure.abort()
    expect(abortSignalOf(departure).aborted).toBe(true)
  })
})
