import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { describe, expect, test } from 'vitest'

const SRC = resolve(import.meta.dirname, '../../src')

/** Each layer may import itself and those before it. */
const LAYERS = ['core', 'codec', 'bridge', 'responder', 'hono', 'target', 'program']

/** Files and folders at the top of src, and the layer each stands in. */
const TOP_LEVEL: Record<string, string> = {
  core: 'core',
  codec: 'codec',
  bridge: 'bridge',
  responder: 'responder',
  hono: 'hono',
  target: 'target',
  cli: 'program',
  'cli.ts': 'program',
  'worker.ts': 'program',
  'start.ts': 'program',
  // An application, which needs no target.
  'environ-page': 'hono',
  // The portable API.
  'index.ts': 'core',
}

/** What each layer may import from outside this package. */
const EXTERNAL: Record<string, RegExp> = {
  core: /^ipaddr\.js$/,
  codec: /^$/,
  bridge: /^$/,
  responder: /^$/,
  hono: /^hono($|\/)/,
  target: /^(node:|cloudflare:sockets$)/,
  program: /^(node:|commander$|pino$|prom-client$|hono($|\/))/,
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts')
)

describe('layers', () => {
  test('every source file stands in one', () => {
    const unknown = files.filter((file) => TOP_LEVEL[topOf(file)] === undefined)
    expect(unknown).toEqual([])
    expect(files.length).toBeGreaterThan(30)
  })

  test.each(files)('%s imports nothing above its layer', (file) => {
    const layer = layerOf(file)
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith('.')) {
        expect(specifier).toMatch(EXTERNAL[layer] ?? /^$/)
        continue
      }
      expect(specifier).toMatch(/\.ts$/)
      const imported = relative(SRC, resolve(SRC, dirname(file), specifier))
      expect(LAYERS.indexOf(layerOf(imported)), `${file} → ${imported}`).toBeLessThanOrEqual(
        LAYERS.indexOf(layer)
      )
    }
  })

  test('what watches a bridge is loaded by the command line, when it is asked for', () => {
    const named = files.filter((file) => /'(pino|prom-client)'/.test(read(file)))
    expect(named.toSorted()).toEqual(['cli/json-log.ts', 'cli/metrics.ts'])
    for (const file of files) {
      for (const specifier of importsOf(file, { typesToo: false })) {
        expect(specifier, file).not.toMatch(/^pino$|^prom-client$|\/(json-log|metrics)\.ts$/)
      }
    }
  })

  test('the runtime is never sniffed below the targets', () => {
    const sniffing = files
      .filter((file) => LAYERS.indexOf(layerOf(file)) < LAYERS.indexOf('target'))
      .filter((file) => /\b(navigator\.userAgent|process\.|Deno\.|Bun\.)/.test(read(file)))
    expect(sniffing).toEqual([])
  })

  test('no two modules import each other, directly or in a circle', () => {
    const done = new Set<string>()
    function visit(file: string, path: readonly string[]): void {
      expect(path, 'import circle').not.toContain(file)
      if (done.has(file)) return
      for (const specifier of importsOf(file, { typesToo: false })) {
        if (specifier.startsWith('.')) {
          visit(relative(SRC, resolve(SRC, dirname(file), specifier)), [...path, file])
        }
      }
      done.add(file)
    }
    for (const file of files) visit(file, [])
  })
})

function read(file: string): string {
  return readFileSync(join(SRC, file), 'utf8')
}

function topOf(file: string): string {
  return file.split(sep)[0] ?? ''
}

function layerOf(file: string): string {
  return TOP_LEVEL[topOf(file)] ?? 'none'
}

/** Specifiers of static imports and re-exports. */
function importsOf(file: string, { typesToo } = { typesToo: true }): string[] {
  const code = read(file).replaceAll(/\/\*[^]*?\*\//g, '')
  const statements = code.matchAll(
    /^(?:import|export(?=\s+(?:type\s+)?[{*]))\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?'([^']+)'/gm
  )
  return [...statements]
    .filter(([, type]) => typesToo || type === undefined)
    .map(([, , specifier]) => specifier ?? '')
}
