/**
 * Installs what the suite runs against: the Python servers into `.venv`, nginx, Apache and Chromium
 * into the system. `npm test` runs it each time; when all is there, it only looks.
 *
 * Nothing is optional: a server that is missing fails the suite instead of skipping its tests.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { BACKEND, PROJECT_ROOT, VENV } from './programs.ts'
import { BUILD_NEEDS, PROGRAMS, provide, run, tail } from './system.ts'

const REQUIREMENTS = join(BACKEND, 'requirements.txt')
const STAMP = join(VENV, 'requirements.sha256')
const MINIMUM_PYTHON = '3.10'

try {
  installPrograms()
  installPython()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

function installPrograms(): void {
  provide(PROGRAMS)
  for (const program of PROGRAMS) {
    console.log(`${program.name}: ${program.find()}`)
  }
}

function installPython(): void {
  const python = describePython()
  // A virtual environment is tied to the interpreter that made it, not only to its version.
  const stamp = createHash('sha256').update(readFileSync(REQUIREMENTS)).update(python).digest('hex')
  const place = `python: ${relative(PROJECT_ROOT, VENV)}`
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp && existsSync(venv('uwsgi'))) {
    console.log(`${place} is up to date`)
    return
  }

  provide(BUILD_NEEDS)
  console.log(`${place} is being made; compiling uWSGI takes a minute`)
  const start = Date.now()
  must('make the virtual environment', ['python3', '-m', 'venv', '--clear', VENV])
  const pip = [venv('python'), '-m', 'pip', '--disable-pip-version-check', '--no-input']
  // With threads, uWSGI's build now and then links before its last object is there.
  process.env['CPUCOUNT'] = '1'
  // A uWSGI from pip's cache may have been compiled for another python3 of the same version.
  must('install requirements.txt', [...pip, 'install', '--no-cache-dir', '-r', REQUIREMENTS])
  checkTls()
  writeFileSync(STAMP, stamp)
  console.log(`${place} is made, in ${Math.round((Date.now() - start) / 1000)} s`)
}

/** Version and place of `python3`. */
function describePython(): string {
  const code = `import sys; print(sys.version_info >= (${MINIMUM_PYTHON.replace('.', ', ')}), \
sys.version, sys.base_prefix)`
  const { status, stdout, stderr } = run(['python3', '-c', code])
  if (status !== 0) {
    throw new Error(`Cannot run python3, wanted ${MINIMUM_PYTHON} or later\n${tail(stderr)}`)
  }
  if (!stdout.startsWith('True')) {
    throw new Error(
      `Cannot use python3: it is ${stdout.split(' ')[1]}, wanted ${MINIMUM_PYTHON} or later`
    )
  }
  return stdout
}

function must(purpose: string, command: string[]): void {
  const { status, stdout, stderr } = run(command)
  if (status !== 0) {
    throw new Error(
      `${tail(stdout + stderr)}
Cannot ${purpose}: the end of the output is above.
Compiling uWSGI needs a C compiler, the Python headers and those of OpenSSL; the downloads need a
network, or a pip that is configured for a mirror.`
    )
  }
}

/** uWSGI leaves TLS out without a word when it does not find OpenSSL's headers. */
function checkTls(): void {
  if (!run([venv('uwsgi'), '--help']).stdout.includes('--suwsgi-socket')) {
    throw new Error(
      'Cannot use this uWSGI: it was compiled without TLS, wanted the headers of OpenSSL'
    )
  }
}

function venv(name: string): string {
  return join(VENV, 'bin', name)
}
