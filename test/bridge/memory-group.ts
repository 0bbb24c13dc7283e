/**
 * Groups of backends that do what a test says, behind a real bridge.
 *
 * @module
 */
import type { Address } from '../../src/bridge/address.ts'
import { formatAddress } from '../../src/bridge/address.ts'
import { type Bridge, createBridgeOn } from '../../src/bridge/bridge.ts'
import type { BridgeOptions, ErrorContext } from '../../src/bridge/bridge-options.ts'
import type { Connection } from '../../src/bridge/connection.ts'
import type { ExchangeEvent } from '../../src/bridge/exchange-event.ts'
import type { OpenTempFile } from '../../src/bridge/spool.ts'
import type { UpstreamServerOptions } from '../../src/bridge/upstream-server.ts'
import { type BodySource, collect } from '../../src/core/body-source.ts'
import { type RequestHead, requestHead } from '../../src/core/request-head.ts'
import { text } from '../codec/wire.ts'
import { MemoryConnection, never, opening } from './memory-connection.ts'

/** What a backend does with a connection; it refuses one by throwing. */
export type Plan = (connection: MemoryConnection, index: number) => void | Promise<void>

/** A backend of the group. */
export interface MemoryBackend {
  readonly address: string
  plan: Plan
  /** The connections it was given, in order; those it refused are not in it. */
  readonly connections: MemoryConnection[]
}

/** A bridge and the backends behind it. */
export interface MemoryGroup {
  readonly bridge: Bridge
  readonly backends: readonly MemoryBackend[]
  /** What `onExchange` got. */
  readonly events: ExchangeEvent[]
  /** What `onError` got. */
  readonly reports: { code: string | undefined; error: Error; context: ErrorContext }[]
}

/** What tests of groups vary. */
export interface GroupOptions extends BridgeOptions {
  servers?: readonly Omit<UpstreamServerOptions, 'address'>[]
  openTempFile?: OpenTempFile
}

/** A bridge to backends a, b, c, … with these plans. */
export function groupOf(plans: readonly Plan[], options: GroupOptions = {}): MemoryGroup {
  const { servers = [], openTempFile, ...given } = options
  const backends = plans.map((plan, index) => {
    const address = `uwsgi://${String.fromCharCode(97 + index)}:3031`
    return { address, plan, connections: [] as MemoryConnection[] }
  })
  async function connect(address: Address): Promise<Connection> {
    const backend = backends.find((candidate) => candidate.address === formatAddress(address))
    if (backend === undefined) throw new Error(`no backend at ${formatAddress(address)}`)
    const connection = new MemoryConnection()
    const index = backend.connections.length
    await backend.plan(connection, index)
    backend.connections.push(connection)
    return connection
  }
  const events: ExchangeEvent[] = []
  const reports: MemoryGroup['reports'] = []
  const bridge = createBridgeOn(
    {
      connect: () => (address) => opening(connect(address)),
      requestMeta: () => ({}),
      headerEncoding: 'latin1',
      openTempFile,
    },
    backends.map(({ address }, index) => ({ address, ...servers[index] })),
    {
      tracing: false,
      onExchange: (event) => void events.push(event),
      onError: (error, context) =>
        void reports.push({ code: (error as { code?: string }).code, error, context }),
      ...given,
    }
  )
  return { bridge, backends, events, reports }
}

/** A response of uWSGI. */
export function wire(status: number, body: string, ...headers: string[]): string {
  const lines = [`HTTP/1.1 ${status} Said So`, `Content-Length: ${body.length}`, ...headers]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

/** Answers at once. */
export function answers(status: number, body: string, ...headers: string[]): Plan {
  return (connection) => void connection.respond(wire(status, body, ...headers))
}

/** Answers at once, but for the last byte, which comes with the next turn of the event loop. */
export function answersInPieces(status: number, body: string): Plan {
  return (connection) => {
    const all = wire(status, body)
    connection.respond(all.slice(0, -1))
    setImmediate(() => connection.respond(all.slice(-1)))
  }
}

/** Answers with a body that goes on and on, as far as anybody can tell. */
export function answersEndlessly(status: number): Plan {
  return (connection) => void connection.respond(`HTTP/1.1 ${status} Said So\r\n\r\nand so on`)
}

/** Sends some bytes and closes. */
export function cuts(bytes = ''): Plan {
  return (connection) => void (bytes === '' ? connection : connection.respond(bytes)).end()
}

/** Is not there. */
export const refuses: Plan = () => {
  throw new Error('connect ECONNREFUSED')
}

/** Accepts and never says a word. */
export const keepsSilent: Plan = () => {}

/** Never accepts. */
export const neverAccepts: Plan = () => never()

/** Answers once it has this many bytes of the body. */
export function answersBehind(length: number, status: number, body: string): Plan {
  return (connection) =>
    void bytesOf(connection, length).then(() => connection.respond(wire(status, body)))
}

/** Closes once it has this many bytes of the body. */
export function cutsBehind(length: number): Plan {
  return (connection) => void bytesOf(connection, length).then(() => connection.end())
}

/** Waits until a backend has this many bytes of the body. */
export async function bytesOf(connection: MemoryConnection, length: number): Promise<void> {
  while (bodyOf(connection).length < length) {
    if (connection.closed) return
    await settle()
  }
}

/** What a backend got behind the packet. */
export function bodyOf({ written }: MemoryConnection): string {
  return written.slice(4 + written.charCodeAt(1) + written.charCodeAt(2) * 256)
}

/** Lets all that can happen without time passing happen. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** The head of a request; with a body when its length is given, which is 'chunked' where it is unknown. */
export function headOf(method: string, length?: number | 'chunked', target = '/a'): RequestHead {
  const framing: [string, string][] =
    length === undefined
      ? []
      : [length === 'chunked' ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', `${length}`]]
  return requestHead(new Request(`http://h.example${target}`, { method }), {
    rawHeaders: [['Host', 'h.example'], ...framing],
    rawTarget: target,
    hasBody: length !== undefined,
  })
}

/** What came back, read to its end. */
export interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** Sends a request and reads the answer. */
export async function ask(
  bridge: Bridge,
  head: RequestHead = headOf('GET'),
  body?: BodySource,
  signal?: AbortSignal
): Promise<Answer> {
  const response = await bridge.handle(head, body, signal)
  return {
    status: response.status,
    headers: Object.fromEntries(
      response.headers.map(([name, value]) => [name.toLowerCase(), value])
    ),
    body: response.body === undefined ? '' : text(await collect(response.body)),
  }
}
