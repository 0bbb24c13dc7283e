/**
 * Numbers as people read them.
 *
 * @module
 */
import type { Spread } from '../harness/statistics.ts'

/** Three digits that count, thousands apart. */
export function formatNumber(value: number): string {
  const magnitude = Math.abs(value)
  const decimals = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2
  return value.toLocaleString('en', {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  })
}

/** `12.3 (11.9–12.8)` */
export function formatSpread({ median, min, max }: Spread): string {
  return `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`
}
