/**
 * On what the numbers were made.
 *
 * @module
 */
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { run } from '../../backend/system.ts'
import { findApache, findProgram, PROJECT_ROOT, VENV } from '../../backend/programs.ts'

/** The machine, and the version of each program that took part. */
export interface Machine {
  readonly cpu: string
  readonly cpus: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly commit: string
  readonly versions: Readonly<Record<string, string>>
}

/** Describes this machine. */
export function describeMachine(): Machine {
  const bin = join(PROJECT_ROOT, 'node_modules', '.bin')
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    commit: firstLine(['git', '-C', PROJECT_ROOT, 'describe', '--always', '--dirty']),
    versions: {
      Node: process.version.slice(1),
      nginx: versionOf([findProgram('nginx') ?? '', '-v']),
      Apache: versionOf([findApache()?.command ?? '', '-v']),
      uWSGI: versionOf([join(VENV, 'bin', 'uwsgi'), '--version']),
      gunicorn: versionOf([join(VENV, 'bin', 'gunicorn'), '--version']),
      Deno: versionOf([join(bin, 'deno'), '--version']),
      workerd: versionOf([join(bin, 'workerd'), '--version']),
      wrk: versionOf([findProgram('wrk') ?? '', '-v']),
    },
  }
}

function versionOf(command: string[]): string {
  return /\d+[.-]\d+[.\d-]*/.exec(firstLine(command))?.[0] ?? 'missing'
}

/** Of either output: nginx writes its version to standard error. */
function firstLine([program = '', ...args]: string[]): string {
  if (program === '') return ''
  const { stdout, stderr } = run([program, ...args])
  return `${stdout}${stderr}`.trim().split('\n')[0] ?? ''
}
