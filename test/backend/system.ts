/**
 * What the suite needs from the system, and how it gets there.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findApache, findChromium, findProgram } from './programs.ts'

/** Something that a package manager provides. */
export interface Need {
  readonly name: string
  /** Where it is, `undefined` when it is missing. */
  find(): string | undefined
  /** The package of each package manager. */
  readonly apt: string
  readonly brew: string
  readonly dnf: string
}

/** The programs that the suite starts. */
export const PROGRAMS: readonly Need[] = [
  {
    name: 'python3',
    find: () => findProgram('python3'),
    apt: 'python3',
    brew: 'python3',
    dnf: 'python3',
  },
  { name: 'nginx', find: () => findProgram('nginx'), apt: 'nginx', brew: 'nginx', dnf: 'nginx' },
  {
    name: 'apache with mod_proxy_uwsgi',
    find: () => findApache()?.command,
    // The program without the service, which would listen on port 80.
    apt: 'apache2-bin',
    brew: 'httpd',
    dnf: 'httpd',
  },
  {
    name: 'chromium',
    find: findChromium,
    apt: 'chromium',
    brew: '--cask chromium',
    dnf: 'chromium',
  },
  {
    name: 'openssl',
    find: () => findProgram('openssl'),
    apt: 'openssl',
    brew: 'openssl',
    dnf: 'openssl',
  },
]

/** What compiles uWSGI, of which there are no binary packages, and makes the environment for it. */
export const BUILD_NEEDS: readonly Need[] = [
  {
    name: 'C compiler',
    find: () => findProgram('cc', 'gcc'),
    apt: 'gcc libc6-dev',
    brew: 'gcc',
    dnf: 'gcc',
  },
  {
    name: 'Python headers',
    find: findPythonHeaders,
    apt: 'python3-dev',
    brew: 'python3',
    dnf: 'python3-devel',
  },
  {
    name: 'Python venv module',
    find: () => succeeds('python3', ['-c', 'import ensurepip, venv']),
    apt: 'python3-venv',
    brew: 'python3',
    dnf: 'python3',
  },
  {
    name: 'OpenSSL headers',
    find: findOpensslHeaders,
    apt: 'libssl-dev',
    brew: 'openssl pkgconf',
    dnf: 'openssl-devel',
  },
]

/**
 * Installs what is missing through apt-get, where that works without a question.
 *
 * @throws {Error} When something is missing in the end; the message says how to install it.
 */
export function provide(needs: readonly Need[]): void {
  const missing = needs.filter((need) => need.find() === undefined)
  if (missing.length > 0) {
    aptInstall(missing.flatMap((need) => need.apt.split(' ')))
  }

  const absent = missing.filter((need) => need.find() === undefined)
  if (absent.length > 0) {
    throw new Error(howToInstall(absent))
  }
}

function howToInstall(needs: readonly Need[]): string {
  const packages = (manager: 'apt' | 'brew' | 'dnf') => needs.map((need) => need[manager]).join(' ')
  return `Cannot run the suite without ${needs.map((need) => need.name).join(', ')}. Install with
  Debian, Ubuntu: sudo apt-get install ${packages('apt')}
  Fedora:         sudo dnf install ${packages('dnf')}
  macOS:          ${needs.map((need) => `brew install ${need.brew}`).join(' && ')}`
}

function aptInstall(packages: string[]): void {
  const prefix = rootPrefix()
  if (process.platform !== 'linux' || !findProgram('apt-get') || prefix === undefined) {
    return // The caller sees what is still missing and says how to install it.
  }
  console.log(`apt-get: installing ${packages.join(', ')}`)
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...packages]]) {
    // sudo clears the environment, so env sets it behind sudo.
    const command = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', ...args]
    const { status, stdout, stderr } = run(command)
    if (status !== 0) {
      console.error(tail(`${stdout}${stderr}`))
    }
  }
}

/** The words before a command that make root run it, `undefined` when that needs a password. */
function rootPrefix(): string[] | undefined {
  if (process.getuid?.() === 0) {
    return []
  }
  return succeeds('sudo', ['-n', 'true']) === undefined ? undefined : ['sudo', '-n']
}

function findPythonHeaders(): string | undefined {
  const code = 'import sysconfig; print(sysconfig.get_path("include"))'
  const header = join(run(['python3', '-c', code]).stdout.trim(), 'Python.h')
  return existsSync(header) ? header : undefined
}

/** Asks the compiler, which knows its own search path; Homebrew's headers are found by pkg-config. */
function findOpensslHeaders(): string | undefined {
  return (
    succeeds('cc', ['-E', '-include', 'openssl/ssl.h', '-x', 'c', '/dev/null']) ??
    succeeds('pkg-config', ['--exists', 'openssl'])
  )
}

function succeeds(command: string, args: string[]): string | undefined {
  return run([command, ...args]).status === 0 ? command : undefined
}

/** Runs a command to its end and keeps what it prints. */
export function run(command: string[]): { status: number | null; stdout: string; stderr: string } {
  const [program = '', ...args] = command
  // The limit is for the output of pip compiling uWSGI.
  const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const
  const { status, stdout, stderr, error } = spawnSync(program, args, options)
  return { status, stdout: stdout ?? '', stderr: stderr ?? String(error ?? '') }
}

/** Runs a command that must succeed. @returns what it prints on standard output. */
export function must(command: string[]): string {
  const { status, stdout, stderr } = run(command)
  if (status !== 0) throw new Error(`Cannot run ${command.join(' ')}:\n${tail(stdout + stderr)}`)
  return stdout
}

/** The last lines of a program's output. */
export function tail(output: string): string {
  return output.trimEnd().split('\n').slice(-30).join('\n')
}
