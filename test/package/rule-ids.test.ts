import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const TESTS = resolve(import.meta.dirname, '..')

/** The conformance rules that this project keeps, by group: how many there are, less what is elsewhere. */
const RULES: readonly (readonly [group: string, digits: number, ids: readonly number[]])[] = [
  ['STR', 1, range(1, 6)],
  ['PATH', 1, range(1, 13)],
  ['TGT', 1, range(1, 5)],
  ['MOUNT', 1, range(1, 5)],
  ['HOST', 1, range(1, 5)],
  ['HDR', 1, range(1, 13)],
  ['TRUST', 1, range(1, 6)],
  ['BODY', 1, range(1, 7)],
  ['INV', 1, range(1, 2)],
  ['REV', 1, range(1, 4)],
  ['RSP', 1, [...range(1, 7), ...range(10, 21), ...range(30, 44), ...range(50, 52)]],
  // 9 is gunicorn's own dialect, 13 a rule for whoever deploys.
  ['UW', 1, [...range(1, 8), ...range(10, 12), 14]],
  [
    'SEC',
    2,
    [...range(1, 23), ...range(30, 38), ...range(40, 52), ...range(60, 66), ...range(70, 82)],
  ],
]

const titles = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('rule-ids.test.ts'))
  .flatMap((name) => stringsOf(readFileSync(join(TESTS, name), 'utf8')))
  .join('\n')

test.each(RULES)('every rule %s has a test that names it', (group, digits, ids) => {
  const missing = ids
    .map((id) => `${group}-${String(id).padStart(digits, '0')}`)
    .filter((id) => !new RegExp(`\\b${id}\\b`).test(titles))
  expect(missing).toEqual([])
})

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** String literals: titles, and the cells of tables that titles are made of. Comments do not count. */
function stringsOf(code: string): string[] {
  const found = code.matchAll(
    /\/\*[^]*?\*\/|\/\/.*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g
  )
  return Array.from(found, ([text]) => text).filter((text) => !text.startsWith('/'))
}
