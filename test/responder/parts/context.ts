/**
 * What the parts of the responder's suite share.
 *
 * @module
 */
import type { FrontServer } from '../../backend/front.ts'
import { eventually } from '../../support/deadline.ts'
import { type ClientRequest, send, sendRaw } from '../../support/http-client.ts'
import type { Seen } from '../app.ts'
import type { Front, FrontOptions } from '../fronts.ts'
import type { Served } from '../runtimes.ts'

/** What a part of the suite works with; the servers are there once its tests run. */
export interface ResponderContext {
  readonly front: Front
  /**
   * The front before a handler of `app.ts`, started once for each way to set it up.
   *
   * @param served By default the fetch handler.
   */
  server(served?: Served, options?: FrontOptions): Promise<FrontServer>
  /** What the responder has logged so far. */
  log(): string
}

/** Sends a request to a handler that shows it and returns what it saw. */
export async function seenBy(origin: string, request: ClientRequest): Promise<Seen> {
  const { status, text, json } = await send(origin, request)
  if (status !== 200) throw new Error(`${request.target}: ${status} ${text}`)
  return json()
}

/** What a handler saw of a request that is written by hand, or the status that it was answered with. */
export async function seenRaw(origin: string, head: string, body = ''): Promise<Seen | number> {
  const text = await sendRaw(origin, `${head}\r\nConnection: close\r\n\r\n${body}`)
  const status = Number(/^HTTP\/1\.[01] ([0-9]{3}) /.exec(text)?.[1])
  if (status !== 200) return status
  const [json] = /\{"method":[^]*\}(?=\r\n|$)/.exec(text) ?? []
  return json === undefined ? status : (JSON.parse(json) as Seen)
}

/** A name for what happens once. */
export function uniqueToken(): string {
  return crypto.randomUUID()
}

/** What has become of the request with this token, once it is what a test waits for. */
export async function fateOf(origin: string, token: string, event: string): Promise<string[]> {
  return await eventually(`${event} of ${token}`, async () => {
    const response = await send(origin, { target: `/do/fate?token=${token}` })
    const events: string[] = response.json()
    return events.includes(event) && events
  })
}

/** Lets a request that waits go on. */
export async function release(origin: string, token: string): Promise<void> {
  await send(origin, { target: `/do/release?token=${token}` })
}
