/**
 * Where the programs that the suite starts are found.
 *
 * @module
 */
import { accessSync, constants } from 'node:fs'
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
