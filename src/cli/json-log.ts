/**
 * The log of `serve --log json`: one JSON object a line, through pino.
 *
 * pino is loaded when the log is made: a bridge without it must not wait for it at its start.
 *
 * @module
 */
import type { ErrorContext } from '../bridge/bridge-options.ts'
import type { ExchangeEvent } from '../bridge/exchange-event.ts'
import { GatewayError } from '../core/errors.ts'

/** Writes JSON lines, each before the call returns: nothing is lost where the process ends. */
export interface JsonLog {
  /** A line of level `info`: what an exchange came to. */
  onExchange(this: void, event: ExchangeEvent): void
  /** A line of level `error`: code and message, and the stack of what is a bug. */
  onError(this: void, error: Error, context: ErrorContext): void
  /** A line of level `info` that says no more than `message`. */
  say(this: void, message: string): void
}

/** File descriptor of standard output. */
const STDOUT = 1

/**
 * Makes a log.
 *
 * @param destination File descriptor or path of a file to append to.
 */
export async function createJsonLog(destination: number | string = STDOUT): Promise<JsonLog> {
  const { pino } = await import('pino')
  const logger = pino(
    {
      // Process id and host name are for whoever collects the lines to add.
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    pino.destination({ dest: destination, sync: true })
  )
  return {
    onExchange: (event) => logger.info(exchangeLine(event)),
    onError: (error, context) => logger.error(errorLine(error, context)),
    say: (message) => logger.info(message),
  }
}

/** The event in the order in which a person reads it; pino leaves out what is `undefined`. */
function exchangeLine(event: ExchangeEvent): object {
  const { method, target, status, upstream, tried, retries, requestBytes, responseBytes } = event
  const { error, requestId, traceparent } = event
  return {
    method,
    target,
    status,
    upstream,
    tried,
    retries,
    requestBytes,
    responseBytes,
    connectMs: toMicroseconds(event.connectMs),
    headMs: toMicroseconds(event.headMs),
    totalMs: toMicroseconds(event.totalMs),
    error,
    requestId,
    traceparent,
  }
}

function errorLine(error: Error, { method, path, upstream }: ErrorContext): object {
  const isOurs = error instanceof GatewayError
  return {
    code: isOurs ? error.code : 'ERR_INTERNAL',
    method,
    target: path,
    upstream,
    message: error.message,
    stack: isOurs ? undefined : error.stack,
  }
}

/** Milliseconds, cut to what a clock tells. */
function toMicroseconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 1000) / 1000
}
