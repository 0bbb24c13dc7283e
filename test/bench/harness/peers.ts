/**
 * Installs what the benchmark measures and what it measures with, and says what it could not get: the
 * rows that need it then say so too, and the others run.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BACKEND, findProgram, PROJECT_ROOT, VENV } from '../../backend/programs.ts'
import { must, type Need, PROGRAMS, provide } from '../../backend/system.ts'

const BENCH = join(import.meta.dirname, '..')

const WRK: Need = {
  name: 'wrk',
  find: () => findProgram('wrk'),
  apt: 'wrk',
  brew: 'wrk',
  dnf: 'wrk',
}
/** Of what the suite needs, the benchmark has no use for Chromium and OpenSSL. */
const NEEDED = new Set(['python3', 'nginx', 'apache with mod_proxy_uwsgi'])

/** Installs what is missing. @returns what is missing still, and why. */
export function preparePeers(): string[] {
  const needs = [...PROGRAMS.filter(({ name }) => NEEDED.has(name)), WRK]
  return [
    ...needs.flatMap((need) => problemOf(need.name, () => provide([need]))),
    ...problemOf('uWSGI and gunicorn', installPython),
    ...problemOf('npm packages', installPackages),
  ]
}

function problemOf(name: string, work: () => void): string[] {
  try {
    work()
    return []
  } catch (error) {
    return [`${name}: ${error instanceof Error ? error.message : String(error)}`]
  }
}

function installPython(): void {
  if (existsSync(join(VENV, 'bin', 'uwsgi')) && existsSync(join(VENV, 'bin', 'gunicorn'))) return
  must([process.execPath, join(BACKEND, 'install.ts')])
}

/** The packages of `test/bench/package.json`, which are no part of the project's own lock. */
function installPackages(): void {
  const { dependencies } = readJson(join(BENCH, 'package.json')) as {
    dependencies: Record<string, string>
  }
  const installed = Object.entries(dependencies).every(([name, version]) => {
    const path = join(BENCH, 'node_modules', name, 'package.json')
    return existsSync(path) && (readJson(path) as { version: string }).version === version
  })
  if (!installed)
    must(['npm', 'ci', '--prefix', BENCH, '--ignore-scripts', '--no-audit', '--no-fund'])
}

/** Builds `dist`, which is what users run. */
export function build(): void {
  must(['npm', '--prefix', PROJECT_ROOT, 'run', 'build'])
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}
