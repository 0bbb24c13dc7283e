import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { resolveBridgeOptions } from '../../src/bridge/resolve-bridge-options.ts'
import { ERROR_STATUS } from '../../src/core/errors.ts'
import { readDeployment } from '../../src/target/env.ts'
import { resolveResponderOptions } from '../../src/responder/responder-options.ts'
import {
  OPTION_TABLE,
  RESPONDER_TABLE,
  SERVE_TABLE,
  variableOf,
} from '../../src/target/option-table.ts'
import { resolveServeLimits } from '../../src/target/serve-options.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
const wranglerToml = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8')

/** README's tables of options: those of a bridge, those of a responder, and those of a server. */
const [bridgeDocs = '', responderDocs = '', serverDocs = ''] = readme.split(
  /### (?:Responder|Server)\n/
)

/** Cells of the rows of every table whose first cell matches. */
function rows(first: RegExp, text = readme): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
    .filter(([cell = '']) => first.test(cell))
}

function resolvedBridge(): Record<string, unknown> {
  const { environ, ...bridge } = resolveBridgeOptions()
  return { ...environ, ...bridge }
}

function names(cell = ''): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '')
}

describe('README', () => {
  test('lists every error code with its status', () => {
    const listed = rows(/`ERR_/).flatMap(([codes, status]) =>
      names(codes).map((code) => [code, Number(status)])
    )
    expect(Object.fromEntries(listed)).toEqual(ERROR_STATUS)
  })

  test('lists every option of a bridge', () => {
    const listed = new Set(rows(/^`[a-z]/, bridgeDocs).flatMap(([cell]) => names(cell)))
    for (const { option } of OPTION_TABLE) expect(listed, option).toContain(option)
  })

  test('lists every option of a responder', () => {
    const listed = new Set(rows(/^`[a-z]/, responderDocs).flatMap(([cell]) => names(cell)))
    for (const { option } of RESPONDER_TABLE) expect(listed, option).toContain(option)
  })

  test('lists every limit of a server', () => {
    const listed = new Set(rows(/^`[a-z]/, serverDocs).flatMap(([cell]) => names(cell)))
    for (const { option } of SERVE_TABLE) expect(listed, option).toContain(option)
  })

  test.each([
    ['a bridge', bridgeDocs, resolvedBridge(), 8],
    ['a responder', responderDocs, { ...resolveResponderOptions() }, 6],
    ['a server', serverDocs, { ...resolveServeLimits() }, 4],
  ])('says the defaults of %s that are in force', (_what, text, actual, least) => {
    const numbers = rows(/^`[a-z]/, text).filter(([, value = '']) => /^\d+$/.test(value))
    expect(numbers.length).toBeGreaterThanOrEqual(least)
    for (const [cell, value] of numbers) {
      for (const name of names(cell)) expect([name, actual[name]]).toEqual([name, Number(value)])
    }
  })

  test('names every runtime dependency and its reason', () => {
    for (const name of Object.keys(manifest.dependencies)) {
      expect(rows(new RegExp(`\\[${name.replace('.', '\\.')}\\]`))[0]?.[1]).toMatch(/\w+/)
    }
  })

  test('links only to files that exist', () => {
    for (const [, target = ''] of readme.matchAll(/\]\((?!https?:|#)([^)]+)\)/g)) {
      expect(() => readFileSync(join(ROOT, target))).not.toThrow()
    }
  })
})

describe('wrangler.toml', () => {
  const documented = [...wranglerToml.matchAll(/^(?:# )?([A-Z][A-Z0-9_]+) = (.+)$/gm)]

  test('documents every variable', () => {
    const known = ['UPSTREAM', 'UPSTREAM_BINDING', 'HEALTH_PATH', ...OPTION_TABLE.map(variableOf)]
    expect(documented.map(([, name]) => name).toSorted()).toEqual(known.toSorted())
  })

  test('shows values that are accepted', () => {
    for (const [, name = '', value = ''] of documented) {
      if (value === '"""') continue
      expect(() => readDeployment({ [name]: JSON.parse(value) as string }), name).not.toThrow()
    }
  })
})
