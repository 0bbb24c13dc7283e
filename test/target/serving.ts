/**
 * `serve` in this process, and clients that put it to the test.
 *
 * @module
 */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { type Handler, serve, type ServeOptions, type Server } from '../../src/target/node/index.ts'
import { within } from '../support/deadline.ts'

/** A limit that is met soon. */
export const SHORT_MS: number = 100
/** A limit that nothing meets while a test runs. */
const NEVER_MS = 3_600_000
/** The Host line of each request. */
export const HOST: string = 'Host: h.example\r\n'

/** What {@link cleanUp} does, last first. */
export const cleanups: (() => unknown)[] = []
/** Ends what a test has begun. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
}

/** A server in this process. */
export interface Serving {
  readonly origin: string
  readonly port: number
  /** Targets that the handler got. */
  readonly seen: string[]
  /** Resolves once the connection of the first request is closed. */
  gone(): Promise<unknown>
  /** Resolves once no connection is left; closes the server. */
  idle(): Promise<void>
}

/** A server that breaks nothing off by itself when it closes. */
export async function serving(
  handler: Handler,
  options: Partial<ServeOptions> = {}
): Promise<Serving> {
  const seen: string[] = []
  const gone = Promise.withResolvers<void>()
  const fetch = (request: Request, env?: unknown): Response | Promise<Response> => {
    seen.push(new URL(request.url).pathname)
    const { incoming } = env as { incoming: IncomingMessage }
    if (seen.length === 1) incoming.socket.on('close', () => gone.resolve())
    return (handler as (request: Request, env?: unknown) => Response)(request, env)
  }
  const server: Server = await serve(fetch, {
    listen: 'http://127.0.0.1:0',
    closeTimeout: NEVER_MS,
    ...options,
  })
  const { port } = new URL(server.url)
  return {
    origin: server.url,
    port: Number(port),
    seen,
    gone: () => within('the end of the connection', gone.promise),
    idle: () => within('the end of all connections', server.close()),
  }
}

/** A request. */
export function get(target: string, version = '1.1'): string {
  return `GET ${target} HTTP/${version}\r\n${HOST}\r\n`
}

/** Answers every request. */
export const ok: Handler = () => new Response('ok')

/** A client that {@link silentReader} made. */
export interface SilentReader {
  readonly socket: Socket
  /** Starts to read, and says whether the connection turns out to be reset. */
  isReset(): Promise<boolean>
}

/** A client that reads nothing until it is told to. */
export async function silentReader(port: number, bytes: string): Promise<SilentReader> {
  const socket = connect({ host: '127.0.0.1', port })
  cleanups.push(() => socket.destroy())
  const end = Promise.withResolvers<boolean>()
  socket.on('error', (error: NodeJS.ErrnoException) => end.resolve(error.code === 'ECONNRESET'))
  socket.on('close', () => end.resolve(false))
  await once(socket, 'connect')
  socket.pause()
  socket.write(bytes)
  function isReset(): Promise<boolean> {
    socket.resume()
    return within('the end', end.promise)
  }
  return { socket, isReset }
}
