import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import jsr from '../../jsr.json' with { type: 'json' }
import manifest from '../../package.json' with { type: 'json' }

const ROOT = resolve(import.meta.dirname, '../..')

/** What the Worker may weigh, minified and compressed: 40 KiB, and Hono's 11. */
const WORKER_GZIP_BYTES = 51 * 1024

/** Runs a program of the package's own tools. */
function run(program: string, ...args: string[]): string {
  return execFileSync(join(ROOT, 'node_modules/.bin', program), args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

describe('package', () => {
  let dist = ''
  beforeAll(() => {
    // Inside node_modules, so that the dependencies resolve as they do for a user.
    dist = mkdtempSync(join(ROOT, 'node_modules', '.dist-'))
    run('tsc', '-p', 'tsconfig.build.json', '--outDir', dist)
  })
  afterAll(() => rmSync(dist, { recursive: true, force: true }))

  test.each(Object.entries(manifest.exports).filter(([, target]) => typeof target === 'object'))(
    'export %s is built, with its types',
    (_name, target) => {
      for (const file of Object.values(target)) {
        expect(statSync(join(dist, file.replace('./dist/', ''))).size).toBeGreaterThan(0)
      }
    }
  )

  test('the portable entry points export exactly the names of the design', async () => {
    const portable = (await import(join(dist, 'index.js'))) as object
    expect(Object.keys(portable).toSorted()).toEqual([
      'ERROR_STATUS',
      'GatewayError',
      'fromEnviron',
      'gateway',
      'runApplication',
      'toApplication',
      'toEnviron',
    ])
    const codec = (await import(join(dist, 'codec/index.js'))) as object
    expect(Object.keys(codec).toSorted()).toEqual([
      'PacketDecoder',
      'ResponseDecoder',
      'encodePacket',
      'encodeResponseHead',
    ])
    const hono = (await import(join(dist, 'hono/index.js'))) as object
    expect(Object.keys(hono).toSorted()).toEqual(['uwsgiPass', 'wsgi'])
    const validator = (await import(join(dist, 'core/validator.js'))) as object
    expect(Object.keys(validator).toSorted()).toEqual(['ValidationError', 'validator'])
  })

  test('every target exports the same names, and those that listen serve() and serveUwsgi()', async () => {
    const node = (await import(join(dist, 'target/node/index.js'))) as object
    expect(Object.keys(node).toSorted()).toEqual([
      'connect',
      'createBridge',
      'requestMeta',
      'serve',
      'serveUwsgi',
    ])
    const deno = (await import(join(dist, 'target/deno.js'))) as object
    expect(Object.keys(deno).toSorted()).toEqual([
      'connect',
      'createBridge',
      'requestMeta',
      'serve',
      'serveUwsgi',
    ])
    const workers = readFileSync(join(dist, 'target/workers.js'), 'utf8')
    expect(
      [...workers.matchAll(/^export (?:async )?(?:const|function) (\w+)/gm)]
        .map(([, name]) => name)
        .toSorted()
    ).toEqual(['connect', 'createBridge', 'requestMeta'])
  })

  test('no public declaration names a runtime type package', () => {
    for (const target of Object.values(manifest.exports)) {
      if (typeof target === 'string') continue
      const text = readFileSync(join(dist, target.types.replace('./dist/', '')), 'utf8')
      expect(text).not.toMatch(/workers-types|@types\/node|reference types/)
    }
  })

  test('the built command runs', () => {
    const node = join(ROOT, 'node_modules/.bin/node')
    const help = execFileSync(node, [join(dist, 'cli.js'), '--help'], { encoding: 'utf8' })
    expect(help).toMatch(/^Usage: edge-wsgi /)
  })

  test('JSR gets the same version, exports and dependencies', () => {
    const sources = Object.entries(manifest.exports).flatMap(([name, target]) =>
      typeof target === 'string'
        ? []
        : [[name, target.default.replace('./dist/', './src/').replace(/js$/, 'ts')]]
    )
    expect(jsr.exports).toEqual(Object.fromEntries(sources))
    expect(jsr.version).toBe(manifest.version)
    const version = manifest.dependencies['ipaddr.js']
    expect(jsr.imports).toEqual({
      hono: `npm:hono@${manifest.peerDependencies.hono.split(' ')[0]}`,
      'ipaddr.js': `npm:ipaddr.js@${version}`,
    })
  })

  test('JSR would take it: no export needs type inference', () => {
    const flags = ['--dry-run', '--no-check', '--allow-dirty', '--quiet', '--config', 'jsr.json']
    expect(() => run('deno', 'publish', ...flags)).not.toThrow()
  })

  test('every version is pinned', () => {
    const { dependencies, devDependencies } = manifest
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/)
    }
  })
})

describe('Worker', () => {
  test(`wrangler deploy --dry-run bundles it into at most ${WORKER_GZIP_BYTES} bytes`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'edge-wsgi-worker-'))
    try {
      const output = run('wrangler', 'deploy', '--dry-run', '--outdir', folder)
      expect(output).toContain('--dry-run: exiting now.')
      const bundle = readFileSync(join(folder, 'worker.js'))
      expect(gzipSync(bundle).length).toBeLessThanOrEqual(WORKER_GZIP_BYTES)
      expect(bundle.toString('latin1')).not.toMatch(/from"node:/)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
