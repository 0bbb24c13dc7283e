/**
 * Where the programs that the suite starts are found.
 *
 * @module
 */
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The root of the project, whose `.venv` holds the Python servers. */
export const PROJECT_ROOT: string = join(import.meta.dirname, '..', '..')
/** The folder of the Python applications. */
export const BACKEND: string = import.meta.dirname
/** The Python virtual environment that `install.ts` makes. */
export const VENV: string = join(PROJECT_ROOT, '.venv')

// Debian puts nginx into /usr/sbin, which is not on the PATH of ordinary users; Homebrew's prefix
// is not on the PATH of programs that editors start.
const MORE_DIRECTORIES = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin']
// Debian's and Fedora's; those of Homebrew; that of macOS.
const APACHE_NAMES = ['apache2', 'httpd']
const APACHE_MODULES = [
  '/usr/lib/apache2/modules',
  '/usr/lib64/httpd/modules',
  '/usr/lib/httpd/modules',
  '/opt/homebrew/lib/httpd/modules',
  '/usr/local/lib/httpd/modules',
  '/usr/libexec/apache2',
]
const CHROMIUM_NAMES = [
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
  'google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

/** The path of the first of these programs that exists; a name with a slash is a path already. */
export function findProgram(...names: string[]): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE_DIRECTORIES]
  const paths = names.flatMap((name) =>
    name.includes('/') ? [name] : directories.map((directory) => join(directory, name))
  )
  return paths.find(isExecutable)
}

/** The path of Chromium or of Chrome. */
export function findChromium(): string | undefined {
  return findProgram(...CHROMIUM_NAMES)
}

/** An Apache, and the folder of its modules. */
export interface ApacheProgram {
  readonly command: string
  readonly modules: string
}

/** Apache, where it has mod_proxy_uwsgi. */
export function findApache(): ApacheProgram | undefined {
  const command = findProgram(...APACHE_NAMES)
  const modules = APACHE_MODULES.find((path) => existsSync(join(path, 'mod_proxy_uwsgi.so')))
  return command === undefined || modules === undefined ? undefined : { command, modules }
}

/**
 * The path of a program that must be there.
 *
 * @throws {Error} When it is missing, as `npm test` installs it.
 */
export function requireProgram(name: string): string {
  const path = findProgram(name)
  if (path === undefined) {
    throw new Error(`Cannot find ${name}: run node test/backend/install.ts`)
  }
  return path
}

/** The path of a program inside the virtual environment. */
export function venvProgram(name: string): string {
  return requireProgram(join(VENV, 'bin', name))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false // Missing or not executable: not the program either way.
  }
}
