/**
 * Client text on its way into a log line.
 *
 * @module
 */
import { GatewayError } from './errors.ts'

const UNSAFE = /[\x00-\x1f\x7f-\x9f\\\u2028\u2029]/g

/**
 * Escapes what could end a log line or speak to a terminal: C0, DEL, C1, and the backslash itself.
 *
 * @returns For example `\x0a` for a line feed (CVE-2020-7694 is what happens otherwise).
 */
export function logText(text: string): string {
  return text.replace(UNSAFE, (unit) => {
    const code = unit.charCodeAt(0)
    return code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).padStart(2, '0')}`
  })
}

/**
 * Writes an error to the console, where no hook wants it: a code and what happened, or a bug's stack.
 *
 * @param where What was under way, client text included.
 */
export function reportToConsole(where: string, error: Error): void {
  const what = error instanceof GatewayError ? `${error.code} ${error.message}` : `${error.stack}`
  console.error(logText(`${where}: ${what}`))
}
