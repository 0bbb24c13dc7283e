/**
 * `wsgi.input` and `wsgi.errors` as the validator hands them on: items 46 to 57 of `wsgiref.validate`.
 *
 * They have the methods that PEP 3333 names, so that an application which uses another one fails. An
 * input may answer at once or with a promise; either way what it answers is checked.
 *
 * @see https://peps.python.org/pep-3333/#input-and-error-streams
 * @module
 */
import { isPromiseLike, kindOf, ValidationError } from './validation-error.ts'

type Method = (...args: readonly unknown[]) => unknown

/** A `wsgi.input` that has passed item 38. */
export type InputStream = Record<'read' | 'readline' | 'readlines', Method>

/** A `wsgi.errors` that has passed item 39. */
export type ErrorStream = Record<'flush' | 'write' | 'writelines', Method>

/** Wraps `wsgi.input`; the wrapper can be iterated as the original can, and with `for await`. */
export function checkInput(input: InputStream): object {
  return Symbol.iterator in input ? new BlockingInput(input) : new CheckedInput(input)
}

class CheckedInput {
  readonly #input: InputStream

  constructor(input: InputStream) {
    this.#input = input
  }

  /** A size is wanted: a server of WSGI 1.0 may never answer a `read()` without. */
  read(...args: readonly unknown[]): unknown {
    if (args.length !== 1) {
      throw new ValidationError(
        46,
        `read() got ${args.length} arguments, wanted exactly one, a size`
      )
    }
    return whenDone(this.#input.read(...args), (bytes) => checkBytes(47, 'read()', bytes))
  }

  readline(...args: readonly unknown[]): unknown {
    if (args.length > 1) {
      throw new ValidationError(48, `readline() got ${args.length} arguments, wanted at most one`)
    }
    return whenDone(this.#input.readline(...args), (bytes) => checkBytes(49, 'readline()', bytes))
  }

  readlines(...args: readonly unknown[]): unknown {
    if (args.length > 1) {
      throw new ValidationError(50, `readlines() got ${args.length} arguments, wanted at most one`)
    }
    return whenDone(this.#input.readlines(...args), checkLines)
  }

  /** Goes through `readline()` (item 53), and so through its checks. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const line = checkBytes(49, 'readline()', await this.readline())
      if (line.length === 0) return
      yield line
    }
  }

  close(): never {
    throw new ValidationError(54, 'wsgi.input was closed, which is the server’s to do')
  }
}

/** An input of a server that has the whole body already. */
class BlockingInput extends CheckedInput {
  *[Symbol.iterator](): Generator<Uint8Array, void, undefined> {
    for (;;) {
      const line = checkBytes(49, 'readline()', this.readline())
      if (line.length === 0) return
      yield line
    }
  }
}

/** Wraps `wsgi.errors`. */
export function checkErrors(errors: ErrorStream): object {
  function write(text: unknown): unknown {
    if (typeof text !== 'string') {
      throw new ValidationError(55, `wsgi.errors got ${kindOf(text)}, wanted a string`)
    }
    return errors.write(text)
  }
  return {
    write,
    /** Goes through `write()` (item 56), and so through its check. */
    writelines(lines: Iterable<unknown>): void {
      for (const text of lines) write(text)
    },
    flush: () => errors.flush(),
    close(): never {
      throw new ValidationError(57, 'wsgi.errors was closed, which is the server’s to do')
    },
  }
}

function whenDone(answer: unknown, check: (value: unknown) => unknown): unknown {
  return isPromiseLike(answer) ? Promise.resolve(answer).then(check) : check(answer)
}

function checkBytes(item: number, method: string, bytes: unknown): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes
  throw new ValidationError(item, `${method} answered ${kindOf(bytes)}, wanted a Uint8Array`)
}

function checkLines(lines: unknown): unknown {
  if (!Array.isArray(lines)) {
    throw new ValidationError(51, `readlines() answered ${kindOf(lines)}, wanted an array`)
  }
  for (const line of lines) checkBytes(52, 'readlines()', line)
  return lines
}
